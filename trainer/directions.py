"""The first directions of a denoiser's Jacobian at x_t: what can still change in its guess.

Of the best denoiser x̂_0(x_t) = E[x_0 | x_t] the Jacobian is the covariance of what the image may
be, Cov[x_0 | x_t] = σ² / α ∂x̂_0/∂x_t, so that its directions are the principal axes of the
posterior (Manor and Michaeli 2024, arXiv:2309.13598, theorem 1 and algorithm 1); a network's first
directions in x_t span what Park et al. (2023, arXiv:2307.12868, section 3.2) edit images by.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

MOST_ROUNDS = 30
SPARE = 2  # directions more than are asked for: the last ones are the last to settle


@dataclass(frozen=True)
class Directions:
    """The k largest singular values (k,), falling, with their vectors, each (k, *x.shape).

    Moving x along `right` moves the guess along `left`, `values` times as far. `rounds` of
    iterating; `change` is what the last one still changed, as a share of the largest.
    """

    values: Tensor
    left: Tensor
    right: Tensor
    rounds: int
    change: float

    def stds(self, alpha: float, sigma: float) -> Tensor:
        """The standard deviations of what the image may be along them, (k,): σ √(value / α)."""
        return sigma * (self.values / alpha).clamp_min(0).sqrt()

    @property
    def symmetry(self) -> float:
        """The mean of left · right: 1 where the Jacobian is symmetric, as that of every score."""
        return float((self.left * self.right).flatten(1).sum(1).mean())


def directions(
    guess: Callable[[Tensor], Tensor],
    x: Tensor,
    count: int,
    generator: torch.Generator,
    start: Tensor | None = None,
    close: float = 3e-3,
) -> Directions:
    """By subspace iteration on JᵀJ, J = ∂guess/∂x at one x (…), guess (B, …) -> (B, …).

    A round is one product of J and one of Jᵀ with each direction; neither is ever built. `start`
    are `right` ones of a problem like this. It ends once no value changes by more than `close`
    of the largest.
    """
    size = min(count + SPARE, x.numel())
    points = x.expand(size, *x.shape).contiguous()
    right = torch.randn(size, x.numel(), generator=generator).to(x)
    if start is not None:
        right[: len(start)] = start.flatten(1)
    right = _orthonormal(right)
    values, change, rounds = torch.zeros(count).to(x), float("inf"), 0
    # torch's fused attentions have no derivative forwards.
    with sdpa_kernel(SDPBackend.MATH):
        pull: Any = torch.func.vjp(guess, points)[1]
        while change > close and rounds < MOST_ROUNDS:
            rounds += 1
            moved: Any = torch.func.jvp(guess, (points,), (right.view_as(points),))[1]
            left = _orthonormal(moved.flatten(1))
            back = pull(left.view_as(points))[0].flatten(1)  # (size, D): leftᵀ J
            u, found, right = torch.linalg.svd(back, full_matrices=False)
            left = u.T @ left
            before, values = values, found[:count]
            change = float((values - before).abs().max() / values[0].clamp_min(1e-30))
    shape = (min(count, size), *x.shape)
    return Directions(
        values, left[:count].reshape(shape), right[:count].reshape(shape), rounds, change
    )


def _orthonormal(rows: Tensor) -> Tensor:
    """Orthonormal rows that span the same."""
    found: Tensor = torch.linalg.qr(rows.T)[0].T.contiguous()
    return found
