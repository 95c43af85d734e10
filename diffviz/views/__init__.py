"""The views, listed once: window, menus, stored settings and the tour read this."""

from trainer.catalogue import Catalogue, Entry

VIEWS = Catalogue(
    "view",
    Entry(
        "trajectories", "Trajectories", "Noising beside denoising, through time",
        "diffviz.views.trajectories.view:TrajectoriesView",
    ),
    Entry("training", "Training", "A model as it learns, live",
          "diffviz.views.training.view:TrainingView"),
    Entry(
        "samplers", "Samplers", "Samplers side by side on the same noise",
        "diffviz.views.samplers.view:SamplersView",
    ),
    Entry("grid", "Grid", "Any two settings against each other",
          "diffviz.views.grid.view:GridView"),
    Entry("gallery", "Gallery", "Many samples at once", "diffviz.views.gallery.view:GalleryView"),
    Entry("edit", "Edit", "Steering a trained model", "diffviz.views.edit.view:EditView"),
    Entry(
        "learning", "Learning", "How it got there: every checkpoint on the same noise",
        "diffviz.views.learning.view:LearningView",
    ),
    Entry("exact", "Exact", "Copy, Gaussian, or its own: the learnt denoiser beside the exact ones",
          "diffviz.views.exact.view:ExactView"),
    Entry("slice", "Slice", "The score field of images, in the plane through three of them",
          "diffviz.views.slice.view:SliceView"),
    Entry("runs", "Runs", "Trainings side by side", "diffviz.views.runs.view:RunsView"),
    Entry(
        "overview", "Overview 1-D", "The whole method in one dimension",
        "diffviz.views.overview.view:OverviewView",
    ),
    Entry("plane", "Plane 2-D", "The same in the plane", "diffviz.views.plane.view:PlaneView"),
    Entry(
        "schedule", "Schedules", "Schedules side by side",
        "diffviz.views.schedule.view:ScheduleView",
    ),
    Entry(
        "spectrum", "Spectrum", "Why coarse to fine: power by frequency and t",
        "diffviz.views.spectrum.view:SpectrumView",
    ),
)  # fmt: skip
# The view whose controls stand at the left, and the one that is on the stage at first.
SIDE, FIRST = "training", "trajectories"
