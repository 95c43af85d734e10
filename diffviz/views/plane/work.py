"""What the plane asks for, and what is worked out of it: fields, particles, a net that learns."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from diffviz.views.toys import FRAMES, REACH, Paths, Progress, Toy, paths, view_scale
from trainer.ask import Choice, setting
from trainer.catalogue import PREDICTIONS, TOYS
from trainer.problems import Problem

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.denoiser import Denoiser, Model
    from trainer.exact import Mixture
    from trainer.processes import Process

HAND = "by-hand"
SHAPES = (*TOYS.values(), Choice(HAND, "drawn by hand"))
VIEWS = (
    Choice("forward", "Forward SDE"),
    Choice("reverse", "Reverse SDE, exact score"),
    Choice("flow", "Probability-flow ODE, exact score"),
    Choice("reverse learnt", "Reverse SDE, learnt score"),
    Choice("flow learnt", "Probability-flow ODE, learnt score"),
)
HALVES = (
    Choice("", "whole"), Choice("left", "left half"), Choice("right", "right half")
)  # fmt: skip
OBJECTIVES = tuple(one for one in PREDICTIONS if one.id in ("v", "eps", "flow"))
PARTICLES = 500


@dataclass(frozen=True)
class Plane(Toy):
    """A distribution in the plane under a process, in two views."""

    version: ClassVar[int] = 2
    # fmt: off
    t: float = setting(0.3, "t", "Where the slider stands: 1 is noise", least=0, most=1)
    shape: str = setting("two-moons", "Distribution", "The data distribution", choices=SHAPES)
    left: str = setting("reverse", "Left view", "What this view shows", choices=VIEWS)
    right: str = setting("flow", "Right view", "What this view shows", choices=VIEWS)
    half: str = setting(
        "", "Class", "Which half the dots are asked to be of; the network then learns both halves, "
        "and to be asked for none", choices=HALVES,
    )
    guidance: float = setting(
        1.0, "Guidance", "How strongly the class is asked for: 1 as it is, more leads away from "
        "what is common to both (Ho and Salimans 2022)", least=0, most=20,
    )
    objective: str = setting("v", "Predicts", "What the network is trained to answer",
                             choices=OBJECTIVES)
    strokes: str = setting(
        "", "Strokes", "What is drawn by hand: x y x y …; a stroke after another",
    )
    # fmt: on

    @classmethod
    def migrate(cls, values: dict[str, Any], version: int) -> dict[str, Any]:
        if version > 1:
            return values
        found = super().migrate(values, version)
        ids = {choice.title: choice.id for choice in (*SHAPES, *VIEWS)}
        views = found.pop("views", [])
        for side, title in zip(("left", "right"), views, strict=False):
            found[side] = ids[title]
        strokes = [np.array(stroke, float).reshape(-1, 2) for stroke in values["strokes"]]
        return {**found, "shape": ids[values["shape"]], "strokes": to_words(strokes)}


def to_words(strokes: list[np.ndarray]) -> str:
    """Strokes, each (n, 2), as settings have them."""
    return "; ".join(" ".join(f"{value:.3f}" for value in stroke.flatten()) for stroke in strokes)


def from_words(text: str) -> list[np.ndarray]:
    """The strokes, float32 (n, 2), of such words; a Problem where they are none."""
    try:
        found = [np.array(words.split(), np.float32).reshape(-1, 2) for words in text.split(";")]
    except ValueError as error:
        raise Problem(f"The drawing's strokes are not pairs of numbers ({error}).") from error
    if not all(np.isfinite(stroke).all() for stroke in found):
        raise Problem("The drawing's strokes are not finite: draw it anew.")
    return [stroke for stroke in found if len(stroke)]


@dataclass(frozen=True)
class Field:
    """p_t and a score over the plane and over time, in the view's units, by rising t.

    `heat` (FRAMES, G, G) uint8, first index x_1: 255 sqrt(p / max p).
    `arrows` (FRAMES, n, n, 2) is sigma(t) times the score at `arrow_axis` (n,) with itself.
    """

    heat: np.ndarray
    arrow_axis: np.ndarray
    arrows: np.ndarray


@dataclass(frozen=True)
class LearntField:
    """A network's score so far, as in Field."""

    arrow_axis: np.ndarray
    arrows: np.ndarray


@dataclass(frozen=True)
class Learning:
    """Training has got to `step` of `steps`; the losses since the last such event."""

    step: int
    steps: int
    losses: np.ndarray


PLANE_STEPS = 100
HEAT_POINTS = 128
ARROW_POINTS = 15
LEARN_EVERY = 100  # updates between two looks at the learnt field


def _mixture_of(ask: Plane) -> "Mixture":
    import torch

    from trainer.toys import drawn, toy

    if ask.shape == HAND:
        return drawn([torch.from_numpy(stroke) for stroke in from_words(ask.strokes)])
    return toy(ask.shape, torch.Generator().manual_seed(ask.seed))


def _chosen(ask: Plane, mixture: "Mixture") -> "Mixture":
    """The half that is asked for, or the whole."""
    from trainer.toys import halves

    return mixture.only(halves(mixture) == _label(ask)) if ask.half else mixture


def _label(ask: Plane) -> int:
    return ("left", "right").index(ask.half)


def _exact(ask: Plane, mixture: "Mixture", process: "Process") -> "Model":
    """The exact model, guided to the half that is asked for."""
    from trainer.exact import MixtureModel
    from trainer.guidance import Guided

    whole = MixtureModel(mixture, process)
    if not ask.half:
        return whole
    half = MixtureModel(_chosen(ask, mixture), process)
    return Guided(half, whole, process, ask.guidance)


def _guided(ask: Plane, model: "Denoiser", count: int) -> "Model":
    """The learnt model for `count` points, guided alike."""
    import torch

    from trainer.guidance import Guided

    if not ask.half:
        return model
    asked = model.conditioned(torch.full((count,), _label(ask)))
    return Guided(asked, model, model.process, ask.guidance)


def _arrows(process: "Process", model: "Model", axis: "Tensor") -> np.ndarray:
    """sigma(t) times the model's score, (FRAMES, n, n, 2)."""
    import torch

    from trainer.denoiser import latest_time

    grid = torch.cartesian_prod(axis, axis)
    times = torch.linspace(0, 1, FRAMES)
    times[0] = times[1] / 10  # models are asked at t > 0
    times[-1] = latest_time(model, process)
    scale = view_scale(process, times)
    found = np.empty((FRAMES, len(axis), len(axis), 2), np.float32)
    with torch.no_grad():
        for k in range(FRAMES):
            eps = model(grid * scale[k], times[k].expand(len(grid)))
            found[k] = -eps.view(len(axis), len(axis), 2).numpy()
    return found


def plane(ask: Plane) -> Iterator[Field | Progress | Paths]:
    """p_t, its score, and forward, ODE and reverse SDE paths, all by the exact model."""
    import torch

    from trainer.exact import MixtureModel

    process = ask.made()
    whole = _mixture_of(ask)
    mixture, model = _chosen(ask, whole), _exact(ask, whole, process)
    density_of = MixtureModel(mixture, process)
    axis = torch.linspace(-REACH[2], REACH[2], HEAT_POINTS)
    heat = np.empty((FRAMES, HEAT_POINTS, HEAT_POINTS), np.uint8)
    for k, t in enumerate(torch.linspace(0, 1, FRAMES)):
        density = density_of.density_on_grid(axis * view_scale(process, t[None]), float(t))
        heat[k] = (255 * (density / density.max()).sqrt()).round().byte().numpy()
        yield Progress(k / FRAMES)
    arrow_axis = torch.linspace(-REACH[2], REACH[2], ARROW_POINTS + 2)[1:-1]
    yield Field(heat, arrow_axis.numpy(), _arrows(process, model, arrow_axis))
    for kind in ("reverse", "flow", "forward"):
        yield from paths(mixture, process, model, kind, PARTICLES, PLANE_STEPS, ask.seed)


def learn(ask: Plane, steps: int = 1200) -> Iterator[Learning | LearntField | Progress | Paths]:
    """Train a small network on the distribution; show its score and its paths as it learns."""
    import torch

    from trainer.toys import halves, train_toy

    process = ask.made()
    mixture = _mixture_of(ask)
    axis = torch.linspace(-REACH[2], REACH[2], ARROW_POINTS + 2)[1:-1]
    generator, losses = torch.Generator().manual_seed(ask.seed), []
    for event in train_toy(
        mixture, process, generator, steps, seed=ask.seed, prediction=ask.objective,
        labels=halves(mixture) if ask.half else None,
    ):  # fmt: skip
        losses.append(event.loss)
        if event.step % 10 == 0 or event.step == steps:
            yield Learning(event.step, steps, np.array(losses))
            losses = []
        if event.step % LEARN_EVERY and event.step < steps:
            continue
        arrows = _arrows(process, _guided(ask, event.model, len(axis) ** 2), axis)
        yield LearntField(axis.numpy(), arrows)
        model = _guided(ask, event.model, PARTICLES)
        for kind in ("reverse", "flow"):
            for found in paths(mixture, process, model, kind, PARTICLES, PLANE_STEPS, ask.seed):
                if isinstance(found, Paths):
                    found = Paths(kind, found.places, learnt=True)
                yield found
