"""The SDEs of Song et al. 2021, arXiv:2011.13456."""

import math

import torch
from torch import Tensor

from trainer.problems import Problem
from trainer.processes.base import Process


class VPSDE(Process):
    """Variance preserving SDE, beta(t) linear (Song et al. 2021, equation 11 and appendix C).

    With `shift` beta is changed so that sigma / alpha is so many times as large at every t:
    exp(B) - 1 = SNR^-1 grows by shift², B the integral of beta (trainer.processes.flow).
    """

    def __init__(self, beta_min: float = 0.1, beta_max: float = 20.0, shift: float = 1.0) -> None:
        if not 0 < beta_min <= beta_max:
            raise Problem("A VP SDE needs 0 < beta_min <= beta_max.")
        self.beta_min, self.beta_max, self.shift = beta_min, beta_max, shift

    def _straight(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Beta without the shift, and its integral from 0 to t."""
        rise = self.beta_max - self.beta_min
        return self.beta_min + t * rise, t * self.beta_min + t**2 * rise / 2

    def _stretched(self, total: Tensor) -> Tensor:
        """exp(-B) + shift² (1 - exp(-B)), which is exp(B' - B)."""
        return torch.exp(-total) - self.shift**2 * torch.expm1(-total)

    def beta(self, t: Tensor) -> Tensor:
        beta, total = self._straight(t)
        return beta if self.shift == 1 else beta * self.shift**2 / self._stretched(total)

    def beta_integral(self, t: Tensor) -> Tensor:
        """The integral of beta from 0 to t."""
        _, total = self._straight(t)
        return total if self.shift == 1 else total + self._stretched(total).log()

    def marginal(self, t: Tensor) -> tuple[Tensor, Tensor]:
        total = self.beta_integral(t)
        return torch.exp(-total / 2), (-torch.expm1(-total)).sqrt()

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        beta = self.beta(t)
        return -beta / 2, beta


class SubVPSDE(VPSDE):
    """Sub-VP SDE: VP's drift, a variance that stays below VP's (Song et al. 2021, equation 28)."""

    def marginal(self, t: Tensor) -> tuple[Tensor, Tensor]:
        total = self.beta_integral(t)
        return torch.exp(-total / 2), -torch.expm1(-total)

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        beta = self.beta(t)
        return -beta / 2, beta * -torch.expm1(-2 * self.beta_integral(t))


class VESDE(Process):
    """Variance exploding SDE (Song et al. 2021, equation 9): alpha = 1, sigma grows geometrically.

    sigma(0) = sigma_min, not 0: the least noise that the model ever sees. Song et al. take 0.01; a
    likelihood needs less than half a grey level, 0.004.
    """

    def __init__(self, sigma_min: float = 0.001, sigma_max: float = 50.0) -> None:
        if not 0 < sigma_min < sigma_max:
            raise Problem("A VE SDE needs 0 < sigma_min < sigma_max.")
        self.sigma_min, self.sigma_max = sigma_min, sigma_max
        self.prior_std = sigma_max

    def marginal(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(t), self.sigma_min * (self.sigma_max / self.sigma_min) ** t

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        _, sigma = self.marginal(t)
        return torch.zeros_like(t), sigma**2 * (2 * math.log(self.sigma_max / self.sigma_min))
