"""What the copies view asks for: the same noise by models that learnt from other images."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainer.ask import setting
from trainer.copying import Copying, Rung, copying


@dataclass(frozen=True)
class Copies(Copying):
    """Models of one kind, and where the slider stands."""

    # fmt: off
    place: float = setting(0.0, "Place", "Where the slider stands: 0 at the fewest images", least=0,
                           most=1)
    # fmt: on


@dataclass(frozen=True)
class Level:
    """A rung, at its place `t` on the slider: 1 at the left end, of the fewest images."""

    t: float
    rung: Rung


# The lines of the plot over the number of images: what is told of each, and its series.
LINES = {
    "samples": ("samples to the nearest training image", 1),
    "test": ("test images to it", 0),
    "apart": ("halves, same noise", 2),
    "chance": ("halves, other noise", 6),
}


def compare(ask: Copies, places: tuple[Path, ...]) -> Iterator[Level]:
    """Every size, the smallest first."""
    for rung in copying(ask, places):
        yield Level(1 - rung.index / max(1, rung.count - 1), rung)
