"""The images of a Drawing as they grow, for every view that draws."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trainer.comparing import Drawn, drawing
from trainer.requests import Drawing

__all__ = ["Drawn", "Growing", "grow"]


@dataclass(frozen=True)
class Growing:
    """The images so far: `finished` ones, then the model's present guesses of a batch under way.

    uint8 (n, H, W) or (n, H, W, 3); `share` of the whole is done, 0…1.
    """

    images: np.ndarray = field(repr=False)
    finished: int
    share: float


def grow(ask: Drawing, places: tuple[Path, ...]) -> Iterator[Growing | Drawn]:
    """Draw what is asked of a model that is looked up in `places`."""
    from trainer.drawing import open_model
    from trainer.images import pictures

    done: list[np.ndarray] = []
    for event in drawing(ask, open_model(ask, places)):
        if isinstance(event, Drawn):
            yield event
            continue
        frame: Any = event.frame
        now = pictures(frame.x if event.last else frame.x0)
        shown = np.concatenate([*done, now])
        if event.last:
            done.append(now)
        finished = event.first + (event.count if event.last else 0)
        part = event.first + event.count * frame.index / ask.steps
        yield Growing(shown, finished, part / ask.count)
