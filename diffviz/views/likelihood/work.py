"""What the likelihood view asks for: a picture judged, and sets ranked."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainer.ask import setting
from trainer.bits import Bits, Exactly, Figure, Several, Taken, judged, several


@dataclass(frozen=True)
class Likely(Bits):
    """What is judged, and how it is looked at."""

    # fmt: off
    place: float = setting(0.0, "Place", "Which noise the map of pixels shows: 0 all", least=0,
                           most=1)
    # fmt: on


def one(ask: Likely, places: tuple[Path, ...]) -> Iterator[Figure | Taken | Exactly]:
    """The picture, by a model that is looked up in `places`."""
    from trainer.drawing import open_model

    yield from judged(ask, open_model(ask, places))


def all_sets(ask: Likely, places: tuple[Path, ...]) -> Iterator[Several]:
    """All sets, by a model that is looked up in `places`."""
    from trainer.drawing import open_model

    yield from several(ask, open_model(ask, places))
