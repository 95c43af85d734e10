"""What the network view asks for: a network looked into, block by block."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.ask import setting
from trainer.inside import Inside, Level, inspect

if TYPE_CHECKING:
    from trainer.anatomy import Anatomy


@dataclass(frozen=True)
class Network(Inside):
    """What is inside a network, and how it is looked at."""

    # fmt: off
    block: int = setting(-1, "Block", "Which block is looked at; -1: the one in the middle",
                         least=-1, more=True)
    place: float = setting(0.5, "Place", "Where the slider stands", least=0, most=1)
    # fmt: on


def look(ask: Network, places: tuple[Path, ...]) -> Iterator["Anatomy | Level"]:
    """What `inspect` finds in a model that is looked up in `places`."""
    from trainer.drawing import open_model

    yield from inspect(ask, open_model(ask, places))
