"""Linear ways of losing a part of an image, y = A x + noise, each with its adjoint and inverse.

An operator maps images (B, C, H, W) to measurements; every one is built of matrices over the
pixels of one channel, so that (A Aᵀ + r I)^-1, which restoring needs, is exact and costs nothing.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainer.catalogue import DEGRADATIONS
from trainer.problems import Problem

NOTHING = 1e-6  # a singular value below so much of the largest is taken for 0


@dataclass(frozen=True)
class Canvas:
    """What a degradation may need to know: the images' height and width, which pixels an own mask
    keeps, bool (H, W), and the generator of what it draws."""

    height: int
    width: int
    known: Tensor | None
    generator: torch.Generator


class Operator(ABC):
    """A linear map A of images (B, C, H, W) in the type and on the device of what it is given."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """A x, the measurement without noise: (B, C, …)."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """Aᵀ y, (B, C, H, W): <A x, y> = <x, Aᵀ y>."""

    @abstractmethod
    def solve(self, y: Tensor, ridge: Tensor | float) -> Tensor:
        """(A Aᵀ + ridge I)^-1 y, like y; ridge >= 0, a number or (B,); at 0 the pseudo-inverse."""

    def inverse(self, y: Tensor) -> Tensor:
        """A⁺ y = Aᵀ (A Aᵀ)⁺ y, (B, C, H, W): of all images that explain y best, the smallest."""
        return self.adjoint(self.solve(y, 0.0))

    def picture(self, y: Tensor) -> Tensor:
        """y as images (B, C, h, w) to be looked at."""
        return y


def _column(ridge: Tensor | float, y: Tensor) -> Tensor:
    """A number, or one for each of a batch, to broadcast over y."""
    return torch.as_tensor(ridge).to(y).reshape(-1, *[1] * (y.dim() - 1))


class Selection(Operator):
    """Keeps the pixels where `known`, bool (H, W), as (B, C, K): A Aᵀ = I."""

    def __init__(self, known: Tensor) -> None:
        if not bool(known.any()):
            raise Problem("Nothing of the image is known: leave some pixels.")
        self.known = known

    def __call__(self, x: Tensor) -> Tensor:
        return x[..., self.known.to(x.device)]

    def adjoint(self, y: Tensor) -> Tensor:
        x = y.new_zeros((*y.shape[:-1], *self.known.shape))
        x[..., self.known.to(y.device)] = y
        return x

    def solve(self, y: Tensor, ridge: Tensor | float) -> Tensor:
        return y / (1 + _column(ridge, y))

    def picture(self, y: Tensor) -> Tensor:
        return self.adjoint(y)  # unknown pixels are 0, the grey between black and white


class Separable(Operator):
    """y = R x Cᵀ, (B, C, h, w), with R (h, H) over rows and C (w, W) over columns.

    The singular values of A are the products of R's and C's.
    """

    def __init__(self, rows: Tensor, columns: Tensor) -> None:
        self.rows, self.columns = rows.double(), columns.double()
        self._left, self._down, _ = torch.linalg.svd(self.rows)
        self._right, self._across, _ = torch.linalg.svd(self.columns)

    def __call__(self, x: Tensor) -> Tensor:
        return self.rows.to(x) @ x @ self.columns.to(x).T

    def adjoint(self, y: Tensor) -> Tensor:
        return self.rows.to(y).T @ y @ self.columns.to(y)

    def solve(self, y: Tensor, ridge: Tensor | float) -> Tensor:
        left, right = self._left.to(y), self._right.to(y)
        values = (self._down[:, None] * self._across).to(y)
        kept = values > NOTHING * values.max()
        weight = values.square().where(kept, 0.0) + _column(ridge, y)
        inside = left.T @ y @ right / weight.where(weight > 0, 1.0)
        found: Tensor = left @ inside.where(weight > 0, 0.0) @ right.T
        return found


def _blurring(size: int, width: float) -> Tensor:
    """The rows of a Gaussian blur (size, size), each of sum 1, so that even grey stays as it is."""
    at = torch.arange(size, dtype=torch.float64)
    weights = torch.exp(-((at[:, None] - at) ** 2) / (2 * width**2))
    return weights / weights.sum(1, keepdim=True)


def blur(canvas: Canvas, width: float) -> Operator:
    """A Gaussian blur of that standard deviation, in pixels."""
    return Separable(_blurring(canvas.height, width), _blurring(canvas.width, width))


def _averaging(size: int, factor: int) -> Tensor:
    """Means of `factor` neighbours, (ceil(size / factor), size); the last of what is left."""
    cell = torch.arange(size) // factor
    inside = (cell == torch.arange(int(cell[-1]) + 1)[:, None]).double()
    return inside / inside.sum(1, keepdim=True)


def smaller(canvas: Canvas, factor: int) -> Operator:
    """Each square of factor x factor pixels becomes their mean."""
    return Separable(_averaging(canvas.height, factor), _averaging(canvas.width, factor))


def pixels(canvas: Canvas, share: float) -> Operator:
    """A share of the pixels, chosen at random; at least one."""
    count = canvas.height * canvas.width
    order = torch.randperm(count, generator=canvas.generator)
    known = torch.zeros(count, dtype=torch.bool)
    known[order[: max(1, round(share * count))]] = True
    return Selection(known.view(canvas.height, canvas.width))


def everything(canvas: Canvas) -> Operator:
    """All pixels: only noise is added."""
    return Selection(torch.ones(canvas.height, canvas.width, dtype=torch.bool))


def masked(canvas: Canvas) -> Operator:
    """What the mask keeps."""
    if canvas.known is None:
        raise Problem("Restoring what a mask forgets needs a mask: name or paint one.")
    return Selection(canvas.known)


def operator(name: str, canvas: Canvas, options: dict[str, Any]) -> Operator:
    """The degradation of that id in catalogue.DEGRADATIONS for images of that size."""
    found: Operator = DEGRADATIONS.named(name).find()(canvas, **options)
    return found
