"""What the exact view asks for: a denoiser beside the exact ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainer.ask import setting
from trainer.truth import Level, Truth, compare


@dataclass(frozen=True)
class Exact(Truth):
    """A comparison, and where the slider stands."""

    # fmt: off
    place: float = setting(0.75, "Place", "Where the slider stands", least=0, most=1)
    # fmt: on


def look(ask: Exact, places: tuple[Path, ...]) -> Iterator[Level]:
    """Every t of a model that is looked up in `places`."""
    from trainer.drawing import open_model

    yield from compare(ask, open_model(ask, places))
