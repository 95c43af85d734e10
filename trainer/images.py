"""8-bit images and the numbers that networks see: 0…255 as -1…1, and back."""

import numpy as np
import torch
from torch import Tensor

LEVEL = 2 / 255  # the distance of two neighbouring grey levels


def to_signed(images: Tensor) -> Tensor:
    """uint8 (…) as float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def to_bytes(x: Tensor) -> Tensor:
    """Float (…), [-1, 1] kept and the rest clipped, as uint8 by rounding."""
    return ((x.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def dequantise(images: Tensor, generator: torch.Generator) -> Tensor:
    """uint8 (…) as float32 with uniform noise one grey level wide around each value.

    A density p(x) of the result bounds the probability of the bytes (Theis et al. 2016,
    arXiv:1511.01844): -log2 P(bytes) <= E[-log2 p(x)] - D log2(LEVEL).
    """
    noise = torch.rand(images.shape, generator=generator, device=generator.device)
    return to_signed(images) + (noise.to(images.device) - 0.5) * LEVEL


def channels_last(images: np.ndarray) -> np.ndarray:
    """Pictures (N, C, H, W) as (N, H, W), or (N, H, W, 3) where there are colours."""
    last = images.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(last[..., 0] if last.shape[3] == 1 else last[..., :3])
