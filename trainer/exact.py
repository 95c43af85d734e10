"""Models known in closed form.

A mixture of isotropic Gaussians, diffused by a process, stays one,
    p_t(x) = sum_k w_k N(x; alpha m_k, (alpha² s_k² + sigma²) I),
so its density, score and the best possible denoiser are known exactly at every t.
"""

import math

import torch
from torch import Tensor

from trainer.denoiser import Prediction
from trainer.problems import Problem
from trainer.processes import Process


class Mixture:
    """sum_k weights_k N(means_k, stds_k² I): means (K, D), stds (K,) > 0, weights (K,) >= 0.

    Weights need not add up to 1; they are divided by their sum.
    """

    def __init__(self, means: Tensor, stds: Tensor, weights: Tensor | None = None) -> None:
        weights = torch.ones(len(means)).to(means) if weights is None else weights
        if means.dim() != 2 or not len(means) == stds.numel() == weights.numel() > 0:
            raise Problem("A mixture needs means (K, D) with one width and one weight for each.")
        if not bool((stds > 0).all()):
            raise Problem("Every mode of a mixture needs a width above 0.")
        if not bool((weights >= 0).all()) or not float(weights.sum()) > 0:
            raise Problem("A mixture's weights must not be negative, and not all 0.")
        self.means, self.stds, self.weights = means, stds, weights / weights.sum()
        self.equal = bool((stds == stds[0]).all())

    @property
    def dims(self) -> int:
        return self.means.shape[1]

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """`count` independent draws (count, D)."""
        k = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        noise = torch.randn(count, self.dims, generator=generator, dtype=self.means.dtype)
        return self.means[k] + self.stds[k, None] * noise

    def mean(self) -> Tensor:
        """(D,)."""
        return self.weights @ self.means

    def covariance(self) -> Tensor:
        """(D, D)."""
        centred = self.means - self.mean()
        within = (self.weights @ self.stds**2) * torch.eye(self.dims).to(self.means)
        return (self.weights[:, None] * centred).T @ centred + within


class MixtureModel:
    """The exact model(x, t) -> eps of a mixture under a process. x (B, D), t (B,) in [0, 1]."""

    def __init__(self, mixture: Mixture, process: Process) -> None:
        self.mixture, self.process = mixture, process

    def _parts(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """alpha and sigma (B, 1), the modes' variances at t (B, K), or (B, 1) if they are equal,
        and log(w_k N(x; …)) (B, K)."""
        alpha, sigma = (value[:, None] for value in self.process.marginal(t))
        means, stds = self.mixture.means.to(x), self.mixture.stds.to(x)
        if self.mixture.equal:
            stds = stds[:1]
        variance = alpha**2 * stds**2 + sigma**2
        # -|x - alpha m|² / 2v multiplied out, so that the only pass over (B, K, D) is a product.
        joint = (alpha * x) @ means.T - alpha**2 / 2 * means.square().sum(1)
        joint = (joint - x.square().sum(1, keepdim=True) / 2) / variance
        constant = self.mixture.weights.to(x).log()
        joint = joint + constant - x.shape[1] / 2 * (2 * math.pi * variance).log()
        return alpha, sigma, variance, joint

    def log_density(self, x: Tensor, t: Tensor) -> Tensor:
        """log p_t(x) in nats, (B,)."""
        return self._parts(x, t)[3].logsumexp(1)

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """grad log p_t(x), like x: the modes' own scores, weighted by p(mode | x)."""
        alpha, _, variance, joint = self._parts(x, t)
        pull = joint.softmax(1) / variance
        return alpha * (pull @ self.mixture.means.to(x)) - pull.sum(1, keepdim=True) * x

    def predict(self, x: Tensor, t: Tensor) -> Prediction:
        """E[x_0 | x_t = x] and E[eps | x_t = x] = -sigma score; each like x. Also at alpha = 0."""
        alpha, sigma, variance, joint = self._parts(x, t)
        means, stds = self.mixture.means.to(x), self.mixture.stds.to(x)
        pull = joint.softmax(1) / variance
        towards = pull @ means
        eps = sigma * (pull.sum(1, keepdim=True) * x - alpha * towards)
        # By mode: m + alpha s² / v (x - alpha m) = (sigma² m + alpha s² x) / v.
        return Prediction(sigma**2 * towards + alpha * (pull @ stds**2)[:, None] * x, eps)

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        return self.predict(x, t).eps

    def density_on_grid(self, axis: Tensor, t: float) -> Tensor:
        """p_t on the square grid of `axis` (G,) with itself, for D = 2: (G, G), first index x_1.

        An isotropic Gaussian is a product over the axes, so this is one (G, K) by (K, G) product.
        """
        alpha, sigma = (float(v) for v in self.process.marginal(torch.tensor([t]).double()))
        means, stds = self.mixture.means.to(axis), self.mixture.stds.to(axis)
        variance = alpha**2 * stds**2 + sigma**2
        bumps = torch.exp(
            -((axis[:, None, None] - alpha * means) ** 2) / (2 * variance[:, None])
        )  # (G, K, 2)
        scale = self.mixture.weights.to(axis) / (2 * math.pi * variance)
        return (bumps[:, :, 0] * scale) @ bumps[:, :, 1].T


def kernel(points: Tensor, bandwidth: float) -> Mixture:
    """Equal Gaussians of that width at points (N, D): the smoothed empirical distribution."""
    return Mixture(points, torch.full((len(points),), bandwidth).to(points))
