"""8-bit images and the numbers that networks see: 0…255 as -1…1, and back.

Importing this needs no torch.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

LEVEL = 2 / 255  # the distance of two neighbouring grey levels


def to_signed(images: "Tensor") -> "Tensor":
    """uint8 (…) as float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def to_bytes(x: "Tensor") -> "Tensor":
    """Float (…), [-1, 1] kept and the rest clipped, as uint8 by rounding."""
    return ((x.float() + 1) * 127.5).round().clamp(0, 255).byte()


def channels_last(images: np.ndarray) -> np.ndarray:
    """Pictures (N, C, H, W) as (N, H, W), or (N, H, W, 3) where there are colours."""
    last = images.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(last[..., 0] if last.shape[3] == 1 else last[..., :3])


def pictures(x: "Tensor") -> np.ndarray:
    """Floats (N, C, H, W) in [-1, 1], what lies beyond clipped, as uint8 (N, H, W[, 3])."""
    return channels_last(to_bytes(x).cpu().numpy())
