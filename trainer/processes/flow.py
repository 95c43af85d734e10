"""Paths that end in pure noise, alpha(1) = 0, in continuous time.

With `shift` the noise is so many times as strong beside the image at every t: log-SNR falls by
2 ln(shift), as more pixels ask for (Hoogeboom et al. 2023, arXiv:2301.11093, equation 4).
"""

import math

import torch
from torch import Tensor

from trainer.processes.base import Process


class CosinePath(Process):
    """alpha = cos(πt/2), sigma = sin(πt/2): the cosine schedule in continuous time, alpha(1) = 0.

    Salimans and Ho 2022, arXiv:2202.00512, who pair it with v prediction. With a shift the angle
    is atan(shift · tan(πt/2)).
    """

    finite = False

    def __init__(self, shift: float = 1.0) -> None:
        self.shift = shift

    def _turned(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor | float]:
        """Cosine and sine of the angle at t, and how fast it turns there."""
        # sin of the complement rather than cos: it is exactly 0 at t = 1.
        cosine, sine = torch.sin((1 - t) * (math.pi / 2)), torch.sin(t * (math.pi / 2))
        if self.shift == 1:
            return cosine, sine, math.pi / 2
        length = (cosine**2 + (self.shift * sine) ** 2).sqrt()
        turn = (math.pi / 2) * self.shift / length**2
        return cosine / length, self.shift * sine / length, turn

    def marginal(self, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma, _ = self._turned(t)
        return alpha, sigma

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        *_, turn = self._turned(t)
        f = -turn * (self.shift * torch.tan(t * (math.pi / 2)))
        return f, -2 * f

    def slopes(self, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma, turn = self._turned(t)
        return -turn * sigma, turn * alpha


class RectifiedFlow(Process):
    """The straight line from data to noise: alpha = 1 - t, sigma = t.

    Liu et al. 2022, arXiv:2209.03003; Lipman et al. 2022, arXiv:2210.02747 (with noise at t = 1).
    With a shift s the line is walked at s t / (1 + (s - 1) t) (Esser et al. 2024, equation 23).
    """

    finite = False

    def __init__(self, shift: float = 1.0) -> None:
        self.shift = shift

    def _walked(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is left of the line at t, how far that is, and how fast it goes there."""
        slower = 1 + (self.shift - 1) * t
        return (1 - t) / slower, self.shift * t / slower, self.shift / slower**2

    def marginal(self, t: Tensor) -> tuple[Tensor, Tensor]:
        left, far, _ = self._walked(t)
        return left, far

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        left, far, speed = self._walked(t)
        return -speed / left, 2 * speed * far / left

    def slopes(self, t: Tensor) -> tuple[Tensor, Tensor]:
        *_, speed = self._walked(t)
        return -speed, speed
