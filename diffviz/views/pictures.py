"""Tensors as pictures: what workers hand to the window."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

BINS = np.linspace(-4, 4, 65)  # of histograms of pixel values


def pictures(x: "Tensor") -> np.ndarray:
    """Signed floats (N, C, H, W) as uint8 pictures, channels last; one channel without its axis."""
    from trainer.images import to_bytes

    images = to_bytes(x).cpu().numpy().transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images[..., 0] if images.shape[3] == 1 else images[..., :3])
