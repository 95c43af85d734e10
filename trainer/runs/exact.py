"""A model in closed form, opened as a run is: by its id wherever a run's name may stand."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from trainer.catalogue import EXACT
from trainer.config import ExactConfig
from trainer.data import load
from trainer.denoiser import Denoiser
from trainer.exact import Images
from trainer.problems import Problem
from trainer.runs.folder import SHIPPED, Run, find

__all__ = ["ExactRun", "run_named"]


@lru_cache(maxsize=2)
def _images(dataset: str, first: int, count: int | None, only: int | None, device: str) -> Images:
    """The training images asked for; kept, for the next ask is likely of the same."""
    data = load(dataset)
    chosen = slice(first, None if count is None else first + count)
    images, labels = data.train[chosen], data.train_labels[chosen]
    if only is not None:
        images, labels = images[labels == only], labels[labels == only]
    return Images(
        torch.from_numpy(np.array(images)).to(device), torch.from_numpy(np.array(labels)).to(device)
    )


class ExactRun(Run):
    """A run that nobody trained: it has settings and a model, and no folder, weights or state."""

    def __init__(self, exact: ExactConfig) -> None:
        super().__init__(Path(exact.id), exact.config())
        self.exact = exact

    def checkpoints(self) -> list[Path]:
        return []

    def newest(self) -> Path:
        raise Problem(
            f"{self.exact.id} is worked out, not trained: it has no checkpoint. Name a trained run."
        )

    def model(
        self, checkpoint: Path | None = None, device: str = "cpu", precision: str = "float32"
    ) -> Denoiser:
        """The exact model(x, t) -> eps; in float32 whatever the precision."""
        one = self.exact
        images = _images(one.dataset, one.first, one.images, one.only, device)
        network = EXACT.named(one.kind).find()(images, self.process, one.classes)
        return Denoiser(network, self.process, "x0").eval()

    def image_shape(self) -> tuple[int, int, int]:
        return load(self.exact.dataset).shape


def run_named(model: str, places: tuple[Path, ...] = (SHIPPED,)) -> Run:
    """The run that a name in one of `places`, a path, or an exact model's id means."""
    exact = ExactConfig.from_id(model)
    return Run.open(find(model, places)) if exact is None else ExactRun(exact)
