"""The discrete chain of DDPM, read as a process in continuous time."""

import math
from typing import Any

import torch
from torch import Tensor

from trainer.problems import Problem
from trainer.processes.base import LEAST_LOG_SNR, Process


class DDPM(Process):
    """The discrete chain of Ho et al. 2020: betas beta_1…beta_T (T,), each in (0, 1].

    `alpha_bars` (T + 1,) float64 starts with 1 at i = 0. Between the chain's own times i/T,
    alpha is interpolated linearly, which makes the process continuous and keeps every q(x_i | x_0)
    and q(x_i | x_j) of the chain exact, so that SDE and ODE samplers run on it too.
    """

    def __init__(self, betas: Tensor) -> None:
        betas = betas.double()
        if betas.dim() != 1 or len(betas) == 0 or not bool(((betas > 0) & (betas <= 1)).all()):
            raise Problem("DDPM's betas must be one list of numbers above 0 and at most 1.")
        self.betas = betas
        self.steps = len(betas)
        self.chain_steps = self.steps
        self.earliest = 1 / self.steps
        log_alpha_bars = torch.cat([torch.zeros(1).double(), torch.log1p(-betas).cumsum(0)])
        self.alpha_bars = log_alpha_bars.exp()
        self.finite = bool(self.alpha_bars[-1] > 0)
        # 1 - alpha rather than alpha: near t = 0 it keeps its digits in float32.
        self._shortfall = -torch.expm1(log_alpha_bars / 2)
        self._on_device: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    @classmethod
    def linear(cls, steps: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02) -> "DDPM":
        """Ho et al. 2020, section 4: betas evenly spaced."""
        return cls(torch.linspace(beta_start, beta_end, steps, dtype=torch.float64))

    @classmethod
    def cosine(
        cls, steps: int = 1000, offset: float = 0.008, beta_max: float = 0.999, shift: float = 1.0
    ) -> "DDPM":
        """Nichol and Dhariwal 2021, arXiv:2102.09672, equation 17."""
        i = torch.arange(steps + 1, dtype=torch.float64) / steps
        bars = torch.cos((i + offset) / (1 + offset) * math.pi / 2) ** 2
        return cls._of(bars, beta_max, shift)

    @classmethod
    def sigmoid(
        cls,
        steps: int = 1000,
        start: float = -3.0,
        end: float = 3.0,
        beta_max: float = 0.999,
        shift: float = 1.0,
    ) -> "DDPM":
        """Jabri et al. 2022, arXiv:2212.11972: alpha-bar falls along a sigmoid."""
        u = torch.linspace(start, end, steps + 1, dtype=torch.float64).sigmoid()
        return cls._of((u[-1] - u) / (u[-1] - u[0]), beta_max, shift)

    @classmethod
    def _of(cls, bars: Tensor, beta_max: float, shift: float) -> "DDPM":
        """The chain of those alpha-bars (T + 1,), up to a factor, but with the noise `shift` times
        as strong: SNR / shift² at every step (Hoogeboom et al. 2023, arXiv:2301.11093)."""
        if shift != 1:
            bars = bars / bars[0]
            bars = bars / (bars + shift**2 * (1 - bars))
        return cls((1 - bars[1:] / bars[:-1]).clamp_max(beta_max))

    def zero_terminal_snr(self) -> "DDPM":
        """This schedule shifted and scaled so that alpha_T = 0 (Lin et al. 2023, algorithm 1).

        arXiv:2305.08891. Needs a network that predicts x0 or v: at t = 1 eps says nothing of x0.
        """
        root = self.alpha_bars[1:].sqrt()
        root = (root - root[-1]) * root[0] / (root[0] - root[-1])
        bars = torch.cat([torch.ones(1).double(), root.square()])
        return DDPM(1 - bars[1:] / bars[:-1])

    def _table(self, like: Tensor) -> Tensor:
        key = (like.device, like.dtype)
        if key not in self._on_device:
            self._on_device[key] = self._shortfall.to(like.dtype).to(like.device)
        return self._on_device[key]

    def _locate(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The chain index (B,) at the upper end of t's interval, and t's place in it, in [0, 1]."""
        position = t * self.steps
        nearest = position.round()
        position = torch.where((position - nearest).abs() < 1e-3, nearest, position)
        upper = position.ceil().clamp(1, self.steps)
        return upper.long(), position - (upper - 1)

    def marginal(self, t: Tensor) -> tuple[Tensor, Tensor]:
        table = self._table(t)
        upper, place = self._locate(t)
        shortfall = torch.lerp(table[upper - 1], table[upper], place)
        return 1 - shortfall, (shortfall * (2 - shortfall)).sqrt()

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        f = self.slopes(t)[0] / self.marginal(t)[0]
        return f, -2 * f

    def slopes(self, t: Tensor) -> tuple[Tensor, Tensor]:
        table = self._table(t)
        upper, _ = self._locate(t)
        slope = (table[upper - 1] - table[upper]) * self.steps
        alpha, sigma = self.marginal(t)
        return slope, -alpha * slope / sigma

    @property
    def likelihood_ends(self) -> tuple[float, float]:
        """From the first timestep: earlier ones the network never learns."""
        most, least = self.log_snr(torch.tensor([1 / self.steps, 1.0]).double()).tolist()
        return most, max(least, LEAST_LOG_SNR)

    @property
    def likelihood_time(self) -> float:
        return 1 / self.steps

    @property
    def mendable(self) -> bool:
        return float(self.alpha_bars[-1]) > 0

    def on_grid(self, t: Tensor) -> Tensor:
        return (t * self.steps).ceil().clamp(1, self.steps) / self.steps

    def place(self, t: float) -> str:
        return f"i = {int(self.index(t))} of {self.steps}"

    def label(self, t: float) -> str:
        return f"{round(t * self.steps)}"

    def index(self, t: Tensor | float) -> Any:
        """The chain's index i, 0…T, nearest to t."""
        return torch.as_tensor(t * self.steps).round().long()

    def times(self, steps: int, start: float = 1.0, spacing: str = "time") -> Tensor:
        """Times on the chain's grid where all `steps` fit in it, off it otherwise."""
        times = super().times(steps, start, spacing)
        nearest = (times.double() * self.steps).round()
        return (nearest / self.steps).float() if bool((nearest.diff() < 0).all()) else times


def zero_terminal_snr_linear(
    steps: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02
) -> DDPM:
    """DDPM.linear mended by DDPM.zero_terminal_snr."""
    return DDPM.linear(steps, beta_start, beta_end).zero_terminal_snr()
