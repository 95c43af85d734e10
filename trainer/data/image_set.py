"""What a data set is once it is read."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ImageSet:
    """Training and test images, uint8 (N, C, H, W), and their labels, int64 (N,)."""

    name: str
    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return self.train.shape[1:]

    @property
    def classes(self) -> int:
        return int(self.train_labels.max()) + 1
