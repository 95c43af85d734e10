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
