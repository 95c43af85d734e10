"""Restoring an image from y = A x_0 + noise with a model that was never trained for it.

Both ways take y for known through the model's guess x̂_0(x_t), and differentiate through it:

    ΠGDM  score of y:  (∂x̂_0/∂x_t)ᵀ Aᵀ (r² A Aᵀ + σ_y² I)^-1 (y − A x̂_0),  r² = σ² / (α² + σ²)
    DPS   after each update:  x ← x − ζ / |y − A x̂_0| · ∇ |y − A x̂_0|²

Beside them stands what would be exact if the training set were the whole truth: p(x_i | y).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from trainer.degrade import Operator
from trainer.denoiser import Model, Prediction, passes, predict
from trainer.images import to_signed
from trainer.problems import Problem
from trainer.processes import Process, spread
from trainer.samplers.base import Sampler, Step

FARTHEST = 2.0  # from black to white, times the root of how many values an image has
AT_ONCE = 5000  # training images weighed together


@dataclass(frozen=True)
class Measured:
    """What is known of an image: `y`, (1, C, …), = `operator` of `image` + noise N(0, `noise`²)."""

    operator: Operator
    image: Tensor
    y: Tensor
    noise: float

    def gap(self, x: Tensor) -> Tensor:
        """y - A x, like y, for images (B, C, H, W)."""
        return self.y.to(x) - self.operator(x)

    def residual(self, x: Tensor) -> Tensor:
        """How far A x is from y, (B,): the root mean square, of about `noise` for the truth."""
        return self.gap(x).flatten(1).square().mean(1).sqrt()


class Informed:
    """A model that also knows y: by ΠGDM's score of it (Song et al. 2023, "Pseudoinverse-guided
    diffusion models for inverse problems", equation 7). It draws as any model does.

    Exact for data N(m, I), for which x_0 given x_t is N(x̂_0, r² I). Near alpha = 0, where a
    network's derivative is mostly rounding, x_0 is pulled no farther than images lie apart.
    """

    knows_x0 = False  # where alpha = 0 y says nothing of x_t: sampling starts just below

    def __init__(self, model: Model, process: Process, measured: Measured) -> None:
        self.model, self.process, self.measured = model, process, measured

    def passes(self, t: Tensor) -> int:
        """How many passes of networks an evaluation at t (B,) takes."""
        return passes(self.model, t)

    def predict(self, x: Tensor, t: Tensor) -> Prediction:
        """x0 and eps at x (B, …), t (B,), given y."""
        operator, alpha_sigma = self.measured.operator, self.process.marginal(t)
        alpha, sigma = (spread(value, x) for value in alpha_sigma)
        r2 = sigma**2 / (alpha**2 + sigma**2)
        with torch.enable_grad():
            free = x.detach().requires_grad_()
            found = predict(self.model, self.process, free, t)
            gap = self.measured.gap(found.x0.detach())
            pull = operator.adjoint(operator.solve(gap, self.measured.noise**2 / r2)) / r2
            (score,) = torch.autograd.grad(found.x0, free, pull)
        length = (sigma**2 / alpha * score).flatten(1).norm(dim=1).clamp_min(1e-12)
        score = score * spread((FARTHEST * x[0].numel() ** 0.5 / length).clamp_max(1), x)
        shift = sigma**2 / alpha * score
        return Prediction(found.x0.detach() + shift, found.eps.detach() - sigma * score)

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        return self.predict(x, t).eps


class Downhill(Sampler):
    """A sampler whose every update is followed by DPS's step towards y (Chung et al. 2022,
    arXiv:2209.14687, algorithm 1): x - zeta / |y - A x0| grad |y - A x0|², of the update's start.
    """

    def __init__(self, inner: Sampler, measured: Measured, zeta: float) -> None:
        self.inner, self.measured, self.zeta = inner, measured, zeta
        self.order, self.random, self.adaptive = inner.order, inner.random, inner.adaptive
        self.leaves_noise = inner.leaves_noise

    def refuse(self, process: Process, times: Tensor) -> None:
        if self.adaptive:
            raise Problem(
                "DPS steps after each update: a sampler that chooses its own steps has none. Take "
                "another one, such as ddpm, or ΠGDM."
            )
        self.inner.refuse(process, times)

    def lift(self, step: Step) -> None:
        self.inner.lift(step)

    def believe(self, step: Step) -> Prediction:
        with torch.enable_grad():
            step.x = step.x.detach().requires_grad_()
            found = self.inner.believe(step)
            gap = self.measured.gap(found.x0)
            (slope,) = torch.autograd.grad(gap.square().sum(), step.x)
        step.x = step.x.detach()
        length = spread(gap.detach().flatten(1).norm(dim=1).clamp_min(1e-12), slope)
        self._move = self.zeta / length * slope
        return Prediction(found.x0.detach(), found.eps.detach())

    def step(self, at: Step) -> Tensor:
        return self.inner.step(at) - self._move


@dataclass(frozen=True)
class Posterior:
    """The training images given y: weights (N,), which add up to 1; mean and std (C, H, W)."""

    weights: Tensor
    mean: Tensor
    std: Tensor

    @cached_property
    def effective(self) -> float:
        """How many images share the weight: 1 / sum w² (Kong 1992), from 1 to N."""
        return float(1 / self.weights.square().sum())

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """The indices (count,) of as many independent draws."""
        return torch.multinomial(self.weights, count, replacement=True, generator=generator)


def _signed(images: Tensor, measured: Measured) -> Iterator[tuple[slice, Tensor]]:
    for first in range(0, len(images), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        yield part, to_signed(images[part]).to(measured.y.device)


def posterior(measured: Measured, images: Tensor) -> Posterior:
    """What is known of x given y, were each of the training images, uint8 (N, C, H, W), as likely
    as any other beforehand, and nothing else possible: p(x_i | y) ∝ N(y; A x_i, noise² I).
    """
    logs = torch.cat(
        [measured.gap(x).flatten(1).square().sum(1).double() for _, x in _signed(images, measured)]
    )
    weights = (-logs / (2 * measured.noise**2)).softmax(0)
    mean, square = torch.zeros(2, *images.shape[1:], dtype=torch.float64, device=weights.device)
    for part, x in _signed(images, measured):
        held = weights[part] > 0
        if bool(held.any()):
            kept, w = x[held].double(), weights[part][held]
            mean += torch.tensordot(w, kept, 1)
            square += torch.tensordot(w, kept.square(), 1)
    return Posterior(weights.cpu(), mean, (square - mean**2).clamp_min(0).sqrt())


@dataclass(frozen=True)
class Summary:
    """What images that may have been are like, as root mean squares over pixels in [-1, 1]: `error`
    is their mean's to the original, `spread` their standard deviation, `residual` A x - y."""

    error: float
    spread: float
    residual: float


def summary(measured: Measured, mean: Tensor, std: Tensor, some: Tensor) -> Summary:
    """Of images with that mean and deviation, (C, H, W), and of `some` of them, (B, C, H, W)."""
    error, residual = mean - measured.image.to(mean), measured.residual(some.to(measured.y.device))
    return Summary(*(float(x.square().mean().sqrt()) for x in (error, std, residual)))
