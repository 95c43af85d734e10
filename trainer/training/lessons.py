"""Which images each step of a training takes, and where they come from."""

import math
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from trainer.config import ExperimentConfig
from trainer.data import ImageSet
from trainer.data.mapped import let_go
from trainer.samplers.noise import nth
from trainer.training.parts import pieces

RESIDENT = 2**30  # bytes of images that an accelerator keeps whole

Batch = tuple[Tensor, Tensor | None]


def steps_per_epoch(config: ExperimentConfig, images: int, device: str = "cpu") -> int:
    """Steps of one pass over so many training images."""
    count = len(range(images)[config.chosen(images)])
    # Batch norm cannot learn from a batch of one, nor can a process from an empty share.
    short = 0 < count % config.batch_size < max(2, pieces(config, device))
    return math.ceil(count / config.batch_size) - short


class Lessons:
    """The training images, and which of them each step takes: in random order, each once an epoch.

    They stay where they are, in memory or in a mapped file; of a file the next batch is read ahead,
    on a thread of its own. An accelerator keeps those that are few.
    """

    def __init__(self, config: ExperimentConfig, data: ImageSet, device: str) -> None:
        chosen = config.chosen(len(data.train))
        images = data.train[chosen]
        self.count, self.device = len(images), device
        resident = device != "cpu" and images.nbytes <= RESIDENT
        self.resident = torch.from_numpy(images.copy()).to(device) if resident else None
        self.images = images
        self.labels = torch.from_numpy(data.train_labels[chosen].copy()).to(device)
        self.told = bool(config.classes)
        self.seed, self.batch_size = config.seed, config.batch_size
        self.per_epoch = steps_per_epoch(config, len(data.train), device)
        self.steps = self.per_epoch * config.epochs
        self._epoch, self._order = -1, torch.empty(0)
        ahead = isinstance(images, np.memmap) and not resident
        self._reader = ThreadPoolExecutor(1, "reader") if ahead else None
        self._coming: dict[int, Future[Batch]] = {}

    def at(self, step: int) -> Batch:
        """The images (B, C, H, W), uint8, and labels (B,) of the step after `step` steps."""
        if self._reader is None:
            return self._read(step)
        coming, self._coming = self._coming, {}
        for one in (step, step + 1):
            known = coming.get(one)
            self._coming[one] = known or self._reader.submit(self._read, one)
        return self._coming.pop(step).result()

    def _read(self, step: int) -> Batch:
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            shuffle = torch.Generator().manual_seed(nth(self.seed, epoch))
            order = torch.randperm(self.count, generator=shuffle)
            self._epoch, self._order = epoch, order.to(self.labels.device)
        rows = self._order[place * self.batch_size : (place + 1) * self.batch_size]
        if self.resident is not None:
            images = self.resident[rows]
        else:
            images = torch.from_numpy(self.images[rows.cpu().numpy()]).to(self.device)
            let_go(self.images)
        return images, self.labels[rows] if self.told else None
