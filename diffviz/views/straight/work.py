"""What the straight view asks for: a model's ways as pictures, and a toy's flow made straight."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from trainer.ask import setting
from trainer.catalogue import EXACT, TOYS
from trainer.config import ExactConfig
from trainer.straight import Flowed, Moment, Straightness

FEW = (1, 2, 4, 8)  # steps that are compared with the whole way
LINES = {"learnt": 1, "the training set": 0, "its Gaussian": 2}  # and their series
HEAT = 128  # points a side of the data's density
REACH = 3.0


@dataclass(frozen=True)
class Straight(Straightness):
    """A model's ways, and reflow in the plane."""

    # fmt: off
    shape: str = setting("eight-gaussians", "Distribution", "What the flow in the plane learns",
                         choices=TOYS)
    rounds: int = setting(2, "Reflows", "How often the flow is learnt anew from its own pairs",
                          least=1, most=5)
    place: float = setting(0.4, "Place", "Where the slider stands: 0 at the noise", least=0, most=1)
    # fmt: on


@dataclass(frozen=True)
class Few:
    """Images drawn in few steps, uint8 (n, H, W[, 3]), and how far they are from the whole way's:
    root mean square, pixels in [-1, 1]."""

    steps: int
    images: np.ndarray = field(repr=False)
    apart: float


@dataclass(frozen=True)
class Level:
    """Ways at s, which is `t` to the slider: `states` and `guesses` uint8 (n, H, W[, 3]).

    `time` is the process's. `bends` by LINES' names, as far as they are known yet, each (F,) over
    all s; `few` once they are drawn.
    """

    t: float
    time: float
    states: np.ndarray = field(repr=False)
    guesses: np.ndarray = field(repr=False)
    bends: dict[str, np.ndarray] = field(default_factory=dict, repr=False)
    few: tuple[Few, ...] = field(default=(), repr=False)


def follow(ask: Straight, places: tuple[Path, ...]) -> Iterator[Level]:
    """Every s of the model's ways; then each again with bends, few steps, and the exact models."""
    from diffviz.views.pictures import pictures
    from trainer.drawing import open_model, seeds
    from trainer.runs.exact import run_named
    from trainer.samplers import Noise
    from trainer.straight import bend, in_steps, ways

    opened = open_model(ask, places)
    process, config = opened.model.process, opened.run.config
    noise = Noise(seeds(ask.seed, range(ask.count)), opened.shape, process, opened.device).start()
    found: list[Level] = []
    way: list[Moment] = []
    for moment in ways(opened.model, process, noise, ask.steps):
        way.append(moment)
        # As light as x_t, which is brighter than y by the noise that the line is short of.
        bright = float(np.hypot(1 - moment.s, moment.s))
        found.append(Level(
            moment.s, moment.t, pictures(moment.y / bright), pictures(moment.x0)
        ))  # fmt: skip
        yield found[-1]
    end = way[-1].x0
    few = [Few(ask.steps, pictures(end), 0.0)]
    for steps in FEW:
        x = in_steps(opened.model, process, noise, steps)
        few.insert(-1, Few(steps, pictures(x), float((x - end).square().mean().sqrt())))
    bends = {"learnt": bend(way).mean(1)}
    yield from (replace(level, bends=bends, few=tuple(few)) for level in found)
    for kind in ("gaussian", "training-set"):
        exact = ExactConfig(
            kind, config.dataset, config.process, config.process_parameters, config.limit_images,
            first=config.first_image,
        )  # fmt: skip
        model = run_named(exact.id).model(device=opened.device)
        way = []
        for level, moment in zip(found, ways(model, process, noise, ask.steps), strict=True):
            way.append(moment)
            yield replace(level, bends=bends, few=tuple(few))  # else nobody could stop this
        bends = bends | {EXACT[kind].title: bend(way).mean(1)}
        yield from (replace(level, bends=bends, few=tuple(few)) for level in found)


@dataclass(frozen=True)
class Learning:
    """The flow's training, in so manieth `round`, has got to `step` of `steps`."""

    round: int
    step: int
    steps: int


@dataclass(frozen=True)
class Ground:
    """The data's density, uint8 (HEAT, HEAT), first index x_1: 255 sqrt(p / max p)."""

    heat: np.ndarray


def flow(ask: Straight, **settings: Any) -> Iterator[Ground | Learning | Flowed]:
    """Learn a flow in the plane and make it straight; `settings` are those of `reflow`."""
    import torch

    from trainer.exact import MixtureModel
    from trainer.processes import RectifiedFlow
    from trainer.straight import reflow
    from trainer.toys import ToyStep, toy

    mixture = toy(ask.shape, torch.Generator().manual_seed(ask.seed))
    axis = torch.linspace(-REACH, REACH, HEAT)
    density = MixtureModel(mixture, RectifiedFlow()).density_on_grid(axis, 0.0)
    yield Ground((255 * (density / density.max()).sqrt()).round().byte().numpy())
    generator, done = torch.Generator().manual_seed(ask.seed), 0
    for event in reflow(mixture, generator, ask.rounds, seed=ask.seed, **settings):
        if isinstance(event, ToyStep):
            yield Learning(done, event.step, event.steps)
        else:
            done = event.round + 1
            yield event
