"""Forward processes. A process is its marginals: q(x_t | x_0) = N(alpha(t) x_0, sigma(t)² I).

Time t runs in [0, 1], 0 at the data. From alpha, sigma and their derivatives follow the SDE
    dx = f(t) x dt + g(t) dw,   f = d log alpha / dt,   g² = d sigma² / dt - 2 f sigma²
(Song et al. 2021, arXiv:2011.13456; Kingma et al. 2021, arXiv:2107.00630), the signal-to-noise
ratio, the prior, and the Gaussian transitions between any two times. DDPM (Ho et al. 2020,
arXiv:2006.11239) is the same thing read at t = i/T, i = 1…T.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from trainer.catalogue import SPACINGS
from trainer.problems import Problem

# Where likelihood takes data and noise to be: at 13.3 a grey level is six standard deviations of
# the noise (Kingma et al. 2021; Zheng et al. 2023), at -10 next to nothing is left of the image.
MOST_LOG_SNR, LEAST_LOG_SNR = 13.3, -10.0
LAST_STEP = 1e-5  # the earliest time from which a sampler steps to 0


def spread(values: Tensor, x: Tensor) -> Tensor:
    """Shape per-sample `values` (B,) so that they broadcast over x (B, …)."""
    return values.view(-1, *[1] * (x.dim() - 1))


class Process(ABC):
    """A Gaussian forward process on t in [0, 1]. Times are tensors (B,); results share their dtype.

    `prior_std` is the standard deviation of the Gaussian that reverse sampling starts from.
    `finite` says whether drift and diffusion are finite at t = 1 (they are not where alpha(1) = 0).
    `earliest` is the earliest time that networks learn: the ODE's solvers end there, and jump to
    the data by the model's x0. `chain_steps` is T where the process is a discrete chain, read at
    t = i/T; its exact terms are the chain's own.
    """

    prior_std: float = 1.0
    finite: bool = True
    earliest: float = 1e-3
    chain_steps: int | None = None

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

    @property
    def likelihood_ends(self) -> tuple[float, float]:
        """The log-SNRs, most first, between which likelihood is told and trained for.

        13.3 and -10 whatever the process, or as near to them as it comes (VE begins with noise).
        """
        most, least = self.log_snr(torch.tensor([0.0, 1.0], dtype=torch.float64)).tolist()
        return min(most, MOST_LOG_SNR), max(least, LEAST_LOG_SNR)

    @property
    def likelihood_time(self) -> float:
        """Where likelihood takes the data to be: the time of the first of `likelihood_ends`."""
        return float(self.time_at(torch.tensor(self.likelihood_ends[:1], dtype=torch.float64)))

    def on_grid(self, t: Tensor) -> Tensor:
        """Times (…) as training takes them: on a chain's grid, never before `earliest`."""
        return t.clamp(self.earliest, 1.0)

    def place(self, t: float) -> str:
        """Where t is, for people: "i = 3 of 300" of a chain, else "continuous"."""
        return "continuous"

    def label(self, t: float) -> str:
        """t as short as figures have it: the chain's index, or the time."""
        return f"{t:.2f}"

    def zero_terminal_snr(self) -> "Process":
        """The process mended to end in pure noise; a Problem unless it is a chain."""
        raise Problem("Only a discrete chain's betas can be mended to end in pure noise.")

    @property
    def mendable(self) -> bool:
        """Whether `zero_terminal_snr` would change it."""
        return False

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
        known = [choice.id for choice in SPACINGS]
        if spacing not in known:
            raise Problem(f"Times are spaced by one of {', '.join(known)}, not by '{spacing}'.")
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
