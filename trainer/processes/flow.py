"""Paths that end in pure noise, alpha(1) = 0, in continuous time."""

import math

import torch
from torch import Tensor

from trainer.processes.base import Process


class CosinePath(Process):
    """alpha = cos(πt/2), sigma = sin(πt/2): the cosine schedule in continuous time, alpha(1) = 0.

    Salimans and Ho 2022, arXiv:2202.00512, who pair it with v prediction.
    """

    finite = False

    def marginal(self, t: Tensor) -> tuple[Tensor, Tensor]:
        # sin of the complement rather than cos: it is exactly 0 at t = 1.
        return torch.sin((1 - t) * (math.pi / 2)), torch.sin(t * (math.pi / 2))

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        f = -(math.pi / 2) * torch.tan(t * (math.pi / 2))
        return f, -2 * f

    def slopes(self, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = self.marginal(t)
        return -(math.pi / 2) * sigma, (math.pi / 2) * alpha


class RectifiedFlow(Process):
    """The straight line from data to noise: alpha = 1 - t, sigma = t.

    Liu et al. 2022, arXiv:2209.03003; Lipman et al. 2022, arXiv:2210.02747 (with noise at t = 1).
    """

    finite = False

    def marginal(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - t, t.clone()

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return -1 / (1 - t), 2 * t / (1 - t)

    def slopes(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return -torch.ones_like(t), torch.ones_like(t)
