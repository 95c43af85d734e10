"""What the training view asks workers to do."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainer.config import ExperimentConfig


@dataclass(frozen=True)
class TrainingIn:
    """Training goes into this folder, under these settings."""

    folder: Path
    config: ExperimentConfig


def training(folder: Path, config: ExperimentConfig | None) -> Iterator[object]:
    """Create the run (or, without `config`, resume it) and pass the engine's events on."""
    from trainer.runs import Run
    from trainer.training import train

    run = Run.open(folder) if config is None else Run.create(folder, config)
    yield TrainingIn(folder, run.config)
    yield from train(run.config, run)
