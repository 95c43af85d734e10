"""The images of a Drawing as they grow, for every view that draws."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trainer.catalogue import SAMPLERS
from trainer.requests import Drawing


@dataclass(frozen=True)
class Growing:
    """The images so far: `finished` ones, then the model's present guesses of a batch under way.

    uint8 (n, H, W) or (n, H, W, 3); `share` of the whole is done, 0…1.
    """

    images: np.ndarray = field(repr=False)
    finished: int
    share: float


@dataclass(frozen=True)
class Drawn:
    """All images: as pictures, and `final`, the floats (N, C, H, W) that they round.

    `nfe` passes of the network an image, `seconds` spent sampling, `precision` that it ran in;
    `random`: the sampler took fresh noise on its way.
    """

    images: np.ndarray = field(repr=False)
    final: np.ndarray = field(repr=False)
    nfe: int
    seconds: float
    precision: str
    random: bool = False


def grow(ask: Drawing, places: tuple[Path, ...]) -> Iterator[Growing | Drawn]:
    """Draw what is asked of a model that is looked up in `places`."""
    from diffviz.views.pictures import pictures
    from trainer.drawing import draw, open_model

    opened = open_model(ask, places)
    done: list[np.ndarray] = []
    finals: list[np.ndarray] = []
    seconds, nfe = 0.0, 0
    for stage in draw(ask, opened):
        frame: Any = stage.frame
        now = pictures(frame.x if stage.last else frame.x0)
        part = frame.index / ask.steps
        if stage.last:
            done.append(now)
            finals.append(frame.x.float().cpu().numpy())
            seconds, nfe = seconds + stage.seconds, frame.nfe
        shown = np.concatenate(done if stage.last else [*done, now])
        finished = stage.first + (stage.count if stage.last else 0)
        yield Growing(shown, finished, (stage.first + stage.count * part) / ask.count)
    precision = str(opened.model.precision).removeprefix("torch.")
    random = SAMPLERS.named(ask.sampler).make(**ask.options).random
    yield Drawn(np.concatenate(done), np.concatenate(finals), nfe, seconds, precision, random)
