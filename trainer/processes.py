"""Forward processes. A process is its marginals: q(x_t | x_0) = N(alpha(t) x_0, sigma(t)² I).

Time t runs in [0, 1], 0 at the data. From alpha, sigma and their derivatives follow the SDE
    dx = f(t) x dt + g(t) dw,   f = d log alpha / dt,   g² = d sigma² / dt - 2 f sigma²
(Song et al. 2021, arXiv:2011.13456; Kingma et al. 2021, arXiv:2107.00630), the signal-to-noise
ratio, the prior, and the Gaussian transitions between any two times. DDPM (Ho et al. 2020,
arXiv:2006.11239) is the same thing read at t = i/T, i = 1…T.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trainer.problems import Problem

LAST_STEP = 1e-5  # the earliest time from which a sampler steps to 0
SPACINGS = ("time", "quadratic", "log-snr", "karras")


def spread(values: Tensor, x: Tensor) -> Tensor:
    """Shape per-sample `values` (B,) so that they broadcast over x (B, …)."""
    return values.view(-1, *[1] * (x.dim() - 1))


class Process(ABC):
    """A Gaussian forward process on t in [0, 1]. Times are tensors (B,); results share their dtype.

    `prior_std` is the standard deviation of the Gaussian that reverse sampling starts from.
    `finite` says whether drift and diffusion are finite at t = 1 (they are not where alpha(1) = 0).
    `earliest` is the earliest time that networks learn: the ODE's solvers end there, and jump to
    the data by the model's x0.
    """

    prior_std: float = 1.0
    finite: bool = True
    earliest: float = 1e-3

    @abstractmethod
    def marginal(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(alpha, sigma) of q(x_t | x_0), both (B,)."""

    @abstractmethod
    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(f, g²) of dx = f x dt + g dw, both (B,)."""

    def slopes(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(d alpha / dt, d sigma / dt), both (B,), at t > 0.

        Along the probability-flow ODE dx/dt = alpha' x0 + sigma' eps (Song et al. 2021, equation
        13, with the score written as x0 and eps), which stays finite where alpha(1) = 0.
        """
        alpha, sigma = self.marginal(t)
        f, g2 = self.coefficients(t)
        return f * alpha, f * sigma + g2 / (2 * sigma)

    def sde(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Forward SDE at x (B, …), t (B,): drift f(t)·x, like x, and diffusion g(t), (B,)."""
        f, g2 = self.coefficients(t)
        return spread(f, x) * x, g2.sqrt()

    def log_snr(self, t: Tensor) -> Tensor:
        """lambda(t) = log(alpha² / sigma²), (B,); falls as t grows."""
        alpha, sigma = self.marginal(t)
        return 2 * (alpha.log() - sigma.log())

    @property
    def terminal_snr(self) -> float:
        """alpha(1)² / sigma(1)²: the signal left where sampling starts from pure noise.

        Above about 1e-3 the prior visibly differs from q(x_1) (Lin et al. 2023, arXiv:2305.08891).
        """
        alpha, sigma = self.marginal(torch.ones(1, dtype=torch.float64))
        return float((alpha / sigma) ** 2)

    def time_at(self, log_snr: Tensor) -> Tensor:
        """The t (B,) in [0, 1] at which log-SNR takes the given values, by bisection."""
        low, high = torch.zeros_like(log_snr), torch.ones_like(log_snr)
        for _ in range(45 if log_snr.dtype == torch.float64 else 30):
            middle = (low + high) / 2
            noisier = self.log_snr(middle) < log_snr
            low, high = torch.where(noisier, low, middle), torch.where(noisier, middle, high)
        return (low + high) / 2

    def diffuse(self, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_t = alpha(t) x_0 + sigma(t) noise; x0 and noise (B, …), t (B,)."""
        alpha, sigma = self.marginal(t)
        return spread(alpha, x0) * x0 + spread(sigma, x0) * noise

    def transition(self, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """(a, v) of q(x_t | x_s) = N(a x_s, v I) for s <= t, both (B,)."""
        alpha_s, sigma_s = self.marginal(s)
        alpha_t, sigma_t = self.marginal(t)
        a = alpha_t / alpha_s
        return a, (sigma_t**2 - a**2 * sigma_s**2).clamp_min(0)

    def posterior(self, x: Tensor, x0: Tensor, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """Mean, like x, and variance (B,) of q(x_s | x_t = x, x_0) for s < t.

        Ho et al. 2020, equations 6 and 7, for any two times of any Gaussian process.
        """
        a, v = self.transition(s, t)
        alpha_s, sigma_s = self.marginal(s)
        _, sigma_t = self.marginal(t)
        from_x = a * (sigma_s / sigma_t) ** 2
        from_x0 = alpha_s * v / sigma_t**2
        mean = spread(from_x, x) * x + spread(from_x0, x) * x0
        return mean, v * (sigma_s / sigma_t) ** 2

    def prior_sample(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Draw x_1 ~ N(0, prior_std² I) on the generator's device."""
        return self.prior_std * torch.randn(shape, generator=generator, device=generator.device)

    def prior_logp(self, x: Tensor) -> Tensor:
        """log N(x; 0, prior_std² I) in nats, (B,)."""
        flat = x.flatten(1) / self.prior_std
        constant = flat.shape[1] * (math.log(2 * math.pi) / 2 + math.log(self.prior_std))
        return -0.5 * flat.square().sum(1) - constant

    def times(self, steps: int, start: float = 1.0, spacing: str = "time") -> Tensor:
        """The times of a sampler with `steps` updates: (steps + 1,), from `start` down to 0.

        `spacing`: "time" is even in t; "quadratic" even in sqrt(t) (Song, Meng and Ermon 2021,
        appendix D.2); "log-snr" even in log-SNR (Lu et al. 2022, arXiv:2206.00927); "karras" even
        in (sigma / alpha)^(1/7) (Karras et al. 2022, arXiv:2206.00364, equation 5). The last two
        end at t = `earliest`, then 0.
        """
        if steps < 1:
            raise Problem("A sampler needs at least 1 step.")
        if not 0 < start <= 1:
            raise Problem(f"Sampling starts at a time in (0, 1], not at {start:g}.")
        if spacing not in SPACINGS:
            raise Problem(f"Times are spaced by one of {', '.join(SPACINGS)}, not by '{spacing}'.")
        left = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
        if spacing in ("time", "quadratic"):
            return (start * (left if spacing == "time" else left**2)).float()
        # Not earlier than a chain tells from 0 (DDPM._locate).
        end = max(min(self.earliest, start / steps), min(LAST_STEP, start / 2))
        ends = torch.tensor([start, end], dtype=torch.float64)
        # Where alpha(1) = 0 the first level is infinite; sigma / alpha = 80 is Karras et al.'s.
        first, last = self.log_snr(ends).clamp_min(-2 * math.log(80))
        passed = torch.linspace(0, 1, steps, dtype=torch.float64)
        if spacing == "log-snr":
            levels = first + (last - first) * passed
        else:
            first, last = (-first / 14).exp(), (-last / 14).exp()
            levels = -14 * (first + (last - first) * passed).log()
        times = self.time_at(levels)
        times[0] = start
        return torch.cat([times, torch.zeros(1).double()]).float()


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
    def cosine(cls, steps: int = 1000, offset: float = 0.008, beta_max: float = 0.999) -> "DDPM":
        """Nichol and Dhariwal 2021, arXiv:2102.09672, equation 17."""
        i = torch.arange(steps + 1, dtype=torch.float64) / steps
        bars = torch.cos((i + offset) / (1 + offset) * math.pi / 2) ** 2
        return cls((1 - bars[1:] / bars[:-1]).clamp_max(beta_max))

    @classmethod
    def sigmoid(
        cls, steps: int = 1000, start: float = -3.0, end: float = 3.0, beta_max: float = 0.999
    ) -> "DDPM":
        """Jabri et al. 2022, arXiv:2212.11972: alpha-bar falls along a sigmoid."""
        u = torch.linspace(start, end, steps + 1, dtype=torch.float64).sigmoid()
        bars = (u[-1] - u) / (u[-1] - u[0])
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

    def index(self, t: Tensor | float) -> Any:
        """The chain's index i, 0…T, nearest to t."""
        return torch.as_tensor(t * self.steps).round().long()

    def times(self, steps: int, start: float = 1.0, spacing: str = "time") -> Tensor:
        """Times on the chain's grid where all `steps` fit in it, off it otherwise."""
        times = super().times(steps, start, spacing)
        nearest = (times.double() * self.steps).round()
        return (nearest / self.steps).float() if bool((nearest.diff() < 0).all()) else times


class VPSDE(Process):
    """Variance preserving SDE, beta(t) linear (Song et al. 2021, equation 11 and appendix C)."""

    def __init__(self, beta_min: float = 0.1, beta_max: float = 20.0) -> None:
        if not 0 < beta_min <= beta_max:
            raise Problem("A VP SDE needs 0 < beta_min <= beta_max.")
        self.beta_min, self.beta_max = beta_min, beta_max

    def beta(self, t: Tensor) -> Tensor:
        return self.beta_min + t * (self.beta_max - self.beta_min)

    def beta_integral(self, t: Tensor) -> Tensor:
        """The integral of beta from 0 to t."""
        return t * self.beta_min + t**2 * (self.beta_max - self.beta_min) / 2

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

    sigma(0) = sigma_min, not 0: the least noise that the model ever sees.
    """

    def __init__(self, sigma_min: float = 0.01, sigma_max: float = 50.0) -> None:
        if not 0 < sigma_min < sigma_max:
            raise Problem("A VE SDE needs 0 < sigma_min < sigma_max.")
        self.sigma_min, self.sigma_max = sigma_min, sigma_max
        self.prior_std = sigma_max

    def marginal(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(t), self.sigma_min * (self.sigma_max / self.sigma_min) ** t

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        _, sigma = self.marginal(t)
        return torch.zeros_like(t), sigma**2 * (2 * math.log(self.sigma_max / self.sigma_min))


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


def zero_terminal_snr_linear(
    steps: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02
) -> DDPM:
    """DDPM.linear mended by DDPM.zero_terminal_snr."""
    return DDPM.linear(steps, beta_start, beta_end).zero_terminal_snr()


PROCESSES: dict[str, Callable[..., Process]] = {
    "ddpm-linear": DDPM.linear,
    "ddpm-cosine": DDPM.cosine,
    "ddpm-sigmoid": DDPM.sigmoid,
    "ddpm-zero-snr": zero_terminal_snr_linear,
    "vp": VPSDE,
    "sub-vp": SubVPSDE,
    "ve": VESDE,
    "cosine": CosinePath,
    "flow": RectifiedFlow,
}


def make_process(name: str, parameters: dict[str, Any]) -> Process:
    """The process of that name in PROCESSES; a Problem names what is wrong with the parameters."""
    if name not in PROCESSES:
        raise Problem(f"There is no process '{name}'. Choose one of: {', '.join(PROCESSES)}.")
    try:
        return PROCESSES[name](**parameters)
    except (TypeError, IndexError, RuntimeError) as error:  # torch refuses steps < 0 in each way
        raise Problem(f"The process '{name}' does not take {parameters}: {error}.") from error
