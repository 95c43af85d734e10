"""What training yields, as it happens. Needs no torch: the window matches on these classes."""

import json
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "Evaluated", "Event", "Finished", "Previewed", "Reading", "Saved", "Started", "Step", "Warned",
    "is_finite", "line_of_metrics", "outcome",
]  # fmt: skip
NUMBERS = ("step", "epoch", "loss", "rate", "gradient", "bpd", "epochs", "steps")
E = TypeVar("E")
T = TypeVar("T")


@dataclass(frozen=True)
class Reading:
    """Of `count` images of a folder so many are read: of many it is done once, and kept."""

    done: int
    count: int


@dataclass(frozen=True)
class Started:
    """Training begins (or goes on) after `step` of `steps`, on `device`."""

    step: int
    steps: int
    steps_per_epoch: int
    epochs: int
    device: str


@dataclass(frozen=True)
class Step:
    """One optimiser update is done. `epoch` counts from 1; elapsed in seconds since Started.

    `rate` is the learning rate that it took, `gradient` the gradient's length before clipping.
    """

    step: int
    epoch: int
    loss: float
    images_per_second: float
    elapsed: float
    rate: float = 0.0
    gradient: float = 0.0


@dataclass(frozen=True)
class Previewed:
    """Samples from the EMA weights, uint8 NCHW, quickly drawn from fixed noise."""

    step: int
    samples: "np.ndarray"


@dataclass(frozen=True)
class Evaluated:
    """The EMA weights on held-out images, and samples from them, uint8 NCHW.

    The bound in bits/dim with its standard error, and the mean squared error of the network's
    answer in each tenth of (0, 1], from t = 0 up. Of a model with classes, without its label.
    """

    step: int
    epoch: int
    bits_per_dim: float
    error: float
    samples: "np.ndarray"
    loss_by_time: tuple[float, ...] = ()


@dataclass(frozen=True)
class Saved:
    """The state, or EMA weights, are on disk."""

    step: int
    path: Path


@dataclass(frozen=True)
class Warned:
    """Something failed that training survives."""

    message: str


@dataclass(frozen=True)
class Finished:
    """Every epoch is done."""

    step: int
    elapsed: float


Event = Reading | Started | Step | Previewed | Evaluated | Saved | Warned | Finished


def outcome(work: Generator[E, None, T], each: Callable[[E], Any] = lambda event: None) -> T:
    """What long work returns; `each` is told its events."""
    while True:
        try:
            event = next(work)
        except StopIteration as end:
            found: T = end.value
            return found
        each(event)


def line_of_metrics(line: bytes) -> dict[str, Any] | None:
    """A line of a run's metrics.jsonl, with those of its values that are what they should be.

    None of one without a step: it is torn, still being written, or damaged.
    """
    try:
        read = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(read, dict):
        return None
    for name in read.keys() & NUMBERS:
        if not is_finite(read[name]):
            del read[name]
    parts = read.get("loss_by_time", ())
    if not (isinstance(parts, list) and all(is_finite(part) for part in parts)):
        read.pop("loss_by_time", None)
    return read if "step" in read else None


def is_finite(value: Any) -> bool:
    """Whether what JSON said is a number, and one that floats can hold."""
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max
