"""What the slice view asks for: scores in the plane through three images."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainer.ask import setting
from trainer.slices import Level, Slicing, slices


@dataclass(frozen=True)
class Slice(Slicing):
    """A plane, and where the slider stands."""

    # fmt: off
    place: float = setting(0.5, "Place", "Where the slider stands", least=0, most=1)
    # fmt: on


def look(ask: Slice, places: tuple[Path, ...]) -> Iterator[Level]:
    """Every t of a model that is looked up in `places`."""
    from trainer.drawing import open_model

    yield from slices(ask, open_model(ask, places))
