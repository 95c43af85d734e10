"""The views, listed once: window, menus, stored settings and the tour read this.

A view's tip is the question that it answers, and how.
"""

from trainer.catalogue import Catalogue, Entry

__all__ = ["FIRST", "GROUPS", "SIDE", "VIEWS", "view_of"]
# The headings that views stand under, in order, and what is asked there.
GROUPS = {
    "Draw": "What does a model draw, and what steers it?",
    "Train": "How does a model learn, and which learnt best?",
    "Understand": "What does a model know?",
    "Teach": "How does the method work?",
}
VIEWS = Catalogue(
    "view",
    Entry(
        "trajectories", "Trajectories",
        "How does noise become a digit? Noising beside denoising, through time",
        "diffviz.views.trajectories.view:TrajectoriesView", group="Draw",
    ),
    Entry(
        "training", "Training", "What does it learn? A model as it learns, live",
        "diffviz.views.training.view:TrainingView", group="Train",
    ),
    Entry(
        "samplers", "Samplers", "Which sampler draws best? Side by side on the same noise",
        "diffviz.views.samplers.view:SamplersView", group="Draw",
    ),
    Entry(
        "grid", "Grid", "What does each setting do? Any two against each other",
        "diffviz.views.grid.view:GridView", group="Draw",
    ),
    Entry(
        "gallery", "Gallery", "How good are they all? Many samples at once",
        "diffviz.views.gallery.view:GalleryView", group="Draw",
    ),
    Entry(
        "edit", "Edit", "Can a model be steered? Completing, changing and mixing images",
        "diffviz.views.edit.view:EditView", group="Draw",
    ),
    Entry(
        "learning", "Learning", "How did it get there? Every checkpoint on the same noise",
        "diffviz.views.learning.view:LearningView", group="Train",
    ),
    Entry(
        "network", "Network",
        "What is inside? Blocks, feature maps, attention, and what can still change",
        "diffviz.views.network.view:NetworkView", group="Understand",
    ),
    Entry(
        "decision", "Decision", "When does it become a 7? Noise an image, and let it come back",
        "diffviz.views.decision.view:DecisionView", group="Understand",
    ),
    Entry(
        "likelihood", "Likelihood",
        "How likely is this picture? And nonsense? In bits, by level of noise and by pixel",
        "diffviz.views.likelihood.view:LikelihoodView", group="Understand",
    ),
    Entry(
        "copies", "Copy or create",
        "Copy or create, and with 100 images? Models of few images and many, on the same noise",
        "diffviz.views.copies.view:CopiesView", group="Understand",
    ),
    Entry(
        "straight", "Straight", "Are the ways straight? How they bend, and reflow",
        "diffviz.views.straight.view:StraightView", group="Understand",
    ),
    Entry(
        "exact", "Exact",
        "Copy, Gaussian, or its own? The learnt denoiser beside the exact ones",
        "diffviz.views.exact.view:ExactView", group="Understand",
    ),
    Entry(
        "slice", "Slice",
        "What does the score look like for images? In the plane through three of them",
        "diffviz.views.slice.view:SliceView", group="Understand",
    ),
    Entry(
        "runs", "Runs", "Which training was better? Runs side by side",
        "diffviz.views.runs.view:RunsView", group="Train",
    ),
    Entry(
        "overview", "Overview 1-D", "How does it work? The whole method in one dimension",
        "diffviz.views.overview.view:OverviewView", group="Teach",
    ),
    Entry(
        "plane", "Plane 2-D", "And with two numbers? The same for points of the plane",
        "diffviz.views.plane.view:PlaneView", group="Teach",
    ),
    Entry(
        "schedule", "Schedules", "How fast shall noise come? Schedules side by side",
        "diffviz.views.schedule.view:ScheduleView", group="Teach",
    ),
    Entry(
        "spectrum", "Spectrum", "Why coarse to fine? Power by frequency and t",
        "diffviz.views.spectrum.view:SpectrumView", group="Understand",
    ),
)  # fmt: skip
# The view whose controls stand at the left, and the one that is on the stage at first.
SIDE, FIRST = "training", "trajectories"


def view_of(kept: object) -> str:
    """The id of the view that is kept by its id or, before version 2, by its title."""
    return next((name for name, entry in VIEWS.items() if entry.title == kept), str(kept))
