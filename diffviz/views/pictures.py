"""Tensors as pictures: what workers hand to the window."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

BINS = np.linspace(-4, 4, 65)  # of histograms of pixel values


def pictures(x: "Tensor") -> np.ndarray:
    """Signed floats (N, C, H, W) as uint8 pictures, channels last; one channel without its axis."""
    from trainer.images import channels_last, to_bytes

    return channels_last(to_bytes(x).cpu().numpy())
