"""What the straight view asks for: a model's ways as pictures, and a toy's flow made straight."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainer.ask import setting
from trainer.catalogue import TOYS
from trainer.straight import Flowed, Level, Straightness, follow

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


def look(ask: Straight, places: tuple[Path, ...]) -> Iterator[Level]:
    """The ways of a model that is looked up in `places`."""
    from trainer.drawing import open_model

    yield from follow(ask, open_model(ask, places))


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
