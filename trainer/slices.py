"""The plane through three images, a field in it, and the potential that the field is the slope of.

A plane has coordinates (a, b) in [-1, 1]², point(a, b) = centre + reach (a u + b v), with u and v
orthonormal. With x = alpha point + sigma noise, noise at right angles to the plane, the slope of
log p_t(x) in (a, b) is alpha reach (score·u, score·v).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.problems import Problem

MARGIN = 1.3  # how much further than the corners the plane is looked at


@dataclass(frozen=True)
class Plane:
    """The plane through three images: centre (D,), axes u and v as columns (D, 2), and reach."""

    centre: Tensor
    axes: Tensor
    reach: float
    shape: tuple[int, ...]

    @classmethod
    def through(cls, images: Tensor) -> "Plane":
        """The plane through images (3, …), u along the first to the second; float64.

        Raises Problem where two of them are the same, or all three lie on a line.
        """
        points = images.flatten(1).double()
        first, second = points[1] - points[0], points[2] - points[0]
        u = first / first.norm()
        across = second - (second @ u) * u
        if not bool(first.norm() > 1e-3) or not bool(across.norm() > 1e-3):
            raise Problem("Three images span a plane only if they differ: choose other ones.")
        axes, centre = torch.stack([u, across / across.norm()], 1), points.mean(0)
        reach = MARGIN * float((points - centre).norm(dim=1).max())
        return cls(centre, axes, reach, tuple(images.shape[1:]))

    def places(self, images: Tensor) -> Tensor:
        """Where images (B, …) lie, or what of them lies in the plane: (B, 2)."""
        return (images.flatten(1).double() - self.centre) @ self.axes / self.reach

    def points(self, places: Tensor) -> Tensor:
        """The images (B, …) at places (B, 2)."""
        flat = self.centre + self.reach * places.double() @ self.axes.T
        return flat.view(-1, *self.shape)

    def beside(self, noise: Tensor) -> Tensor:
        """What of noise (B, …) is at right angles to the plane."""
        flat = noise.flatten(1).double()
        return (flat - flat @ self.axes @ self.axes.T).view_as(noise)


def grid(count: int) -> Tensor:
    """The places (count², 2) of a square grid over [-1, 1]², the first coordinate slowest."""
    axis = torch.linspace(-1, 1, count, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis)


def integrated(slopes: np.ndarray) -> tuple[np.ndarray, float]:
    """The potential (n, n), of mean 0, whose slopes are nearest to `slopes` (n, n, 2) over
    [-1, 1]², and what share of them, by root mean squares, no potential has.

    Along each edge of the grid a potential rises by its length times the mean of both ends' slopes,
    which is exact where slopes are linear. Least squares over all edges is Poisson's equation,
    which cosines solve (the discrete cosine transform diagonalises it).
    """
    from scipy.fft import dctn, idctn

    count = len(slopes)
    step = 2 / (count - 1)
    along = step * (slopes[:-1, :, 0] + slopes[1:, :, 0]) / 2
    across = step * (slopes[:, :-1, 1] + slopes[:, 1:, 1]) / 2
    divergence = np.zeros((count, count))
    divergence[1:] += along
    divergence[:-1] -= along
    divergence[:, 1:] += across
    divergence[:, :-1] -= across
    waves = 2 - 2 * np.cos(np.pi * np.arange(count) / count)
    scale = waves[:, None] + waves
    scale[0, 0] = 1  # a constant has no slope
    modes = dctn(divergence, norm="ortho") / scale
    modes[0, 0] = 0
    found = idctn(modes, norm="ortho")
    left = np.square(np.diff(found, axis=0) - along).sum()
    left += np.square(np.diff(found, axis=1) - across).sum()
    whole = np.square(along).sum() + np.square(across).sum()
    return found, float(np.sqrt(left / whole)) if whole > 0 else 0.0
