"""What the decision view asks for, and what came back from each t as arrays."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from trainer.ask import setting
from trainer.decision import Decision, Told, Turn, told


@dataclass(frozen=True)
class Deciding(Decision):
    """A decision, and how it is looked at."""

    # fmt: off
    place: float = setting(0.22, "Place", "Where the slider stands: 0 at t = 1, 1 at the data",
                           least=0, most=1)
    chosen: int = setting(0, "Chosen", "The image whose continuations are shown", least=0)
    # fmt: on


@dataclass(frozen=True)
class Level:
    """One t: of n images themselves there, `states` uint8 (n, H, W), and their `ends` (n, k, H, W).

    The classifier sees `labels` (n, k) in the ends, and is so sure of each: `sureness` (n, k).
    `index` is t's place among all times. `speciation`: where theory expects the decision, if known.
    """

    index: int
    t: float
    states: np.ndarray = field(repr=False)
    ends: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    sureness: np.ndarray = field(repr=False)
    speciation: float | None = None


def decide(ask: Deciding, places: tuple[Path, ...]) -> Iterator[Level]:
    """Every t of the first image, then of more and more; each event holds all images so far."""
    from trainer.decision import decisions, largest_variance, speciation
    from trainer.drawing import open_model
    from trainer.images import pictures

    opened = open_model(ask, places)
    process, found = opened.model.process, dict[int, Level]()
    for turn in decisions(ask, opened):
        # Where variance explodes the state is shown as the network sees it, else it were clipped.
        level = _level(turn, pictures(turn.states / max(1.0, float(turn.states.std()))),
                       pictures(turn.ends.flatten(0, 1)))  # fmt: skip
        if turn.index in found:
            before = found[turn.index]
            both: dict[str, Any] = {
                name: np.concatenate([getattr(before, name), getattr(level, name)])
                for name in ("states", "ends", "labels", "sureness")
            }
            level = replace(before, **both)
        found[turn.index] = level
        yield level
        if turn.first == 0 and len(found) == ask.times and level.speciation is None:
            variance = largest_variance(opened)
            found = {
                k: replace(one, speciation=speciation(process, variance))
                for k, one in found.items()
            }


def _level(turn: Turn, states: np.ndarray, ends: np.ndarray) -> Level:
    ends = ends.reshape(*turn.labels.shape, *ends.shape[1:])
    return Level(turn.index, turn.t, states, ends, turn.labels, turn.sureness)


def tell(levels: list[Level], agreed: float) -> Told | None:
    """What all levels of an ask tell, the latest t first; None while some t is missing."""
    if not levels or levels[-1].t > 0:
        return None
    count = min(len(level.labels) for level in levels)
    labels = np.stack([level.labels[:count] for level in levels])
    return told(np.array([level.t for level in levels]), labels, agreed)
