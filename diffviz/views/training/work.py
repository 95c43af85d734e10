"""What the training view asks workers to do."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trainer.config import ExperimentConfig
from trainer.events import Reading

PREVIEW_SECONDS = 5.0  # between two frames of the film, at least


@dataclass(frozen=True)
class TrainingIn:
    """Training goes into this folder, under these settings."""

    folder: Path
    config: ExperimentConfig


@dataclass(frozen=True)
class Facts:
    """What a data set is, in words, and some of its images, uint8 (n, H, W) or (n, H, W, 3)."""

    words: str
    images: np.ndarray = field(repr=False)


def facts(dataset: str, count: int = 16) -> Iterator[Facts | Reading]:
    """Look at a data set before anything is trained on it."""
    from trainer.data import reading
    from trainer.metrics import spread_out

    data = yield from reading(dataset)
    images = spread_out(data.train, count).transpose(0, 2, 3, 1)
    yield Facts(data.facts, np.ascontiguousarray(images[..., 0] if data.shape[0] == 1 else images))


@dataclass(frozen=True)
class Outlook:
    """What a training would take on this machine: seconds in all, and until the first digits.

    `digits` is None where that is not known.
    """

    images_per_second: float
    seconds: float
    digits: float | None


def outlook(config: ExperimentConfig) -> Iterator[Outlook | Reading | None]:
    """Train for about a second, and leave nothing of it. None comes after each step."""
    from trainer.data import reading
    from trainer.training import for_size
    from trainer.training.speed import FIRST_DIGITS, speed

    data = yield from reading(config.dataset)
    config = for_size(config, data.shape)
    count, rate = len(data.train[config.chosen(len(data.train))]), 0.0
    for found in speed(config, data):
        rate = found
        yield None
    needed = FIRST_DIGITS.get(config.network) if config.dataset == "mnist" else None
    yield Outlook(rate, config.epochs * count / rate, None if needed is None else needed / rate)


def training(
    folder: Path, config: ExperimentConfig | None, epochs: int | None = None
) -> Iterator[object]:
    """Create the run, or without `config` resume it, for `epochs` in all; pass the events on."""
    from trainer.data import reading
    from trainer.runs import Run
    from trainer.training import for_size, placed, refuse_new, resuming, train

    if config is None:
        run, data = yield from resuming(folder, epochs=epochs)
    else:
        config = placed(config)
        data = yield from reading(config.dataset)
        config = for_size(config, data.shape)
        refuse_new(folder, config, data)
        run = Run.create(folder, config)
    yield TrainingIn(folder, run.config)
    yield from train(run.config, run, data=data, preview_every=PREVIEW_SECONDS)
