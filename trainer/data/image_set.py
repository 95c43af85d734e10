"""What a data set is once it is read."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ImageSet:
    """Training and test images, uint8 (N, C, H, W), and their labels, int64 (N,).

    `left_out` says what of a folder was passed over, in a sentence; `names` are the classes'.
    """

    name: str
    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    left_out: str = ""
    names: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return self.train.shape[1:]

    @property
    def classes(self) -> int:
        return int(self.train_labels.max()) + 1

    @property
    def kind(self) -> dict[str, Any]:
        """What has to stay the same for a training to go on: plain data that JSON takes."""
        return {"shape": list(self.shape), "images": len(self.train), "classes": self.classes}

    @property
    def facts(self) -> str:
        """What there is, for people: how many, how large, of which classes, how bright."""
        channels, height, width = self.shape
        colour = "grey" if channels == 1 else "colour"
        some = self.train[:1000]
        words = (
            f"{len(self.train):,} training and {len(self.test):,} test images, {width} x {height} "
            f"{colour}, {self.classes} class{'es' if self.classes != 1 else ''}, "
            f"levels {some.min()} to {some.max()}."
        )
        return f"{words} {self.left_out}".strip()
