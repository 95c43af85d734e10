"""Data x_0 ~ N(mean, S): every score, path and likelihood is known in closed form."""

import math

import torch

from trainer import samplers
from trainer.denoiser import Prediction
from trainer.processes import Process, spread


class GaussianModel:
    """The exact model(x, t) -> eps for N(mean, std² I) under a process."""

    def __init__(self, process, mean: float, std: float) -> None:
        self.process, self.mean, self.std = process, mean, std

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        alpha, sigma = (spread(v, x) for v in self.process.marginal(t))
        return sigma * (x - alpha * self.mean) / (alpha**2 * self.std**2 + sigma**2)


class LevelsModel:
    """The exact model(x, t) -> eps of bytes whose pixels are independent, a rounded N(mean, std²).

    Knows its discrete bits/dim exactly; a density knows nothing of grey levels.
    """

    def __init__(self, process, mean: float, std: float) -> None:
        self.process, self.levels = process, torch.linspace(-1, 1, 256).double()
        edges = ((self.levels[:-1] + 1 / 255 - mean) / std).to(torch.float64)
        below = torch.special.ndtr(torch.cat([edges.new_tensor([-math.inf]), edges]))
        above = torch.special.ndtr(torch.cat([edges, edges.new_tensor([math.inf])]))
        self.logs = (above - below).log()

    def predict(self, x: torch.Tensor, t: torch.Tensor) -> Prediction:
        alpha, sigma = (spread(v, x).double() for v in self.process.marginal(t.double()))
        off = (x.double()[..., None] - alpha[..., None] * self.levels) / sigma[..., None]
        x0 = (self.logs - off.square() / 2).softmax(-1) @ self.levels
        return Prediction(x0.to(x), ((x - alpha * x0) / sigma).to(x))

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.predict(x, t).eps

    def bits(self, images: torch.Tensor) -> torch.Tensor:
        """Exact bits/dim of bytes (B, …): (B,)."""
        return -self.logs[images.long()].flatten(1).mean(1) / math.log(2)


class Gaussian:
    """N(mean, S) of dimension D, S any covariance (D, D), under a process; x is (B, D) float64."""

    def __init__(self, process, mean: torch.Tensor, covariance: torch.Tensor) -> None:
        self.process, self.mean, self.covariance = process, mean, covariance
        self.values, self.axes = torch.linalg.eigh(covariance)

    @classmethod
    def random(cls, process, dims: int, seed: int = 0, low: float = 0.2, high: float = 0.8):
        """Standard deviations from `low` to `high` along random axes, means about ±0.5."""
        generator = torch.Generator().manual_seed(seed)
        square = torch.randn(dims, dims, generator=generator, dtype=torch.float64)
        axes = torch.linalg.qr(square).Q
        values = torch.linspace(low, high, dims, dtype=torch.float64) ** 2
        mean = 0.5 * torch.randn(dims, generator=generator, dtype=torch.float64)
        return cls(process, mean, axes @ torch.diag(values) @ axes.T)

    def draw(self, count: int, seed: int = 0) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(count, len(self.mean), generator=generator, dtype=torch.float64)
        return self.mean + z * self.values.sqrt() @ self.axes.T

    def _at(self, t: torch.Tensor):
        alpha, sigma = (value[:, None] for value in self.process.marginal(t))
        return alpha, sigma, alpha**2 * self.values + sigma**2

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        alpha, sigma, variance = self._at(t)
        return sigma * ((x - alpha * self.mean) @ self.axes / variance) @ self.axes.T

    def logp(self, x: torch.Tensor, t: float) -> torch.Tensor:
        """log p_t(x) in nats, (B,)."""
        alpha, _, variance = self._at(torch.full((len(x),), t, dtype=x.dtype))
        square = ((x - alpha * self.mean) @ self.axes) ** 2 / variance
        return -0.5 * (square + (2 * math.pi * variance).log()).sum(1)

    def flow(self, x: torch.Tensor, s: float, t: float) -> torch.Tensor:
        """Where the probability-flow ODE takes x from time s to time t."""
        alpha_s, _, from_ = self._at(torch.full((1,), s, dtype=x.dtype))
        alpha_t, _, to = self._at(torch.full((1,), t, dtype=x.dtype))
        offset = (x - alpha_s * self.mean) @ self.axes * (to / from_).sqrt()
        return alpha_t * self.mean + offset @ self.axes.T


class GaussianPredictor(Gaussian):
    """The same, knowing x0 as well: it can start where alpha = 0."""

    def predict(self, x: torch.Tensor, t: torch.Tensor) -> Prediction:
        alpha, _, variance = self._at(t)
        offset = (x - alpha * self.mean) @ self.axes * alpha * self.values / variance
        return Prediction(self.mean + offset @ self.axes.T, self(x, t))


class Units(samplers.Noise):
    """Noise that is, at each draw, a single unit in one dimension of a few rows: see `moments`."""

    def __init__(self, rows: int, dims: int, process: Process) -> None:
        super().__init__(0, (rows, dims), process, dtype=torch.float64)
        self.drawn = 0

    def extra(self, stream: int = 0) -> torch.Tensor:
        self.drawn += 1
        noise = torch.zeros(self.shape, dtype=self.dtype)
        dims = self.shape[1]
        first = 1 + dims * self.drawn
        noise[first : first + dims] = torch.eye(dims, dtype=self.dtype)
        return noise

    def between(self, s, t) -> torch.Tensor:
        return self.extra()


def moments(model, sampler: str, steps: int, start: float = 1.0, **options):
    """Mean (D,) and covariance (D, D) of what a sampler draws from the prior, exactly.

    With a Gaussian's score every update is affine in x and in its noise, so one batch tells all:
    row 0 has no noise anywhere, and every other row a single unit of it, in one dimension of the
    prior or of one step's noise.
    """
    process, dims = model.process, len(model.mean)
    rows = 1 + dims * (steps + 1)
    x = torch.zeros(rows, dims, dtype=torch.float64)
    x[1 : 1 + dims] = process.prior_std * torch.eye(dims, dtype=torch.float64)
    noise = Units(rows, dims, process)
    *_, last = samplers.sample(model, process, x, sampler, steps, noise, start, **options)
    change = last.x[1:] - last.x[0]
    return last.x[0], change.T @ change
