"""What the training view asks workers to do."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trainer.config import ExperimentConfig


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


def facts(dataset: str, count: int = 16) -> Iterator[Facts]:
    """Look at a data set before anything is trained on it."""
    from trainer.data import load
    from trainer.metrics import spread_out

    data = load(dataset)
    images = spread_out(data.train, count).transpose(0, 2, 3, 1)
    yield Facts(data.facts, np.ascontiguousarray(images[..., 0] if data.shape[0] == 1 else images))


def training(folder: Path, config: ExperimentConfig | None) -> Iterator[object]:
    """Create the run (or, without `config`, resume it) and pass the engine's events on."""
    from trainer.data import load
    from trainer.runs import Run
    from trainer.training import refuse, train

    run = Run.open(folder) if config is None else None
    data = load(run.config.dataset if run else config.dataset)  # type: ignore[union-attr]
    if run is None:
        assert config is not None
        refuse(config, data)
        run = Run.create(folder, config)
    yield TrainingIn(folder, run.config)
    yield from train(run.config, run, data=data)
