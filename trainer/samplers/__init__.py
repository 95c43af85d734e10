"""Samplers: base.py says what one is; each takes one step, over any model(x, t) -> eps."""

from trainer.catalogue import SAMPLERS
from trainer.samplers.base import Frame, Known, Sampler, noise_path, noise_step, sample, walk
from trainer.samplers.noise import Noise

__all__ = [
    "SAMPLERS", "Frame", "Known", "Noise", "Sampler", "noise_path", "noise_step", "sample", "walk",
]  # fmt: skip
