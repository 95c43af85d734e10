"""The plane through three images, a field in it, and the potential that the field is the slope of.

A plane has coordinates (a, b) in [-1, 1]², point(a, b) = centre + reach (a u + b v), with u and v
orthonormal. With x = alpha point + sigma noise, noise at right angles to the plane, the slope of
log p_t(x) in (a, b) is alpha reach (score·u, score·v). Importing this needs no torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.ask import setting
from trainer.catalogue import EXACT
from trainer.config import MOST_SEED
from trainer.images import pictures
from trainer.problems import Problem
from trainer.requests import OfModel, picture
from trainer.spectrum import coarse_first

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.drawing import Opened

LEAST_TIME, MOST_TIME, TIMES = 0.05, 0.95, 19
HEAT = 121  # pixels a side
CORNERS = ("first", "second", "third")
MARGIN = 1.3  # how much further than the corners the plane is looked at


@dataclass(frozen=True)
class Slicing(OfModel):
    """The plane through three images, noised to each t, and what two models know there."""

    # fmt: off
    model: str = setting("modern-sde", "Model", "The trained model whose score is drawn")
    first: str = picture("train:0", "Images")
    second: str = picture("train:1", "Second image")
    third: str = picture("train:2", "Third image")
    beside: str = setting(
        "training-set", "Beside", "The exact model of the same data that it is compared with",
        choices=EXACT,
    )
    known: int | None = setting(
        None, "Exact model knows", "Only the first so many training images; as many as the model "
        "learnt from, unless given", least=1, more=True,
    )
    points: int = setting(
        15, "Points", "So many points a side: more are finer and slower", least=3, most=41,
        suggested=(11, 15, 21), more=True,
    )
    noise: bool = setting(
        True, "Noise beside the plane", "Noise at right angles to the plane is added, as every "
        "noised image has it; without, the points are cleaner than t says, as no network has seen "
        "them", more=True,
    )
    seed: int = setting(0, "Seed", "Of that noise", least=0, most=MOST_SEED, more=True)
    # fmt: on


@dataclass(frozen=True)
class Plane:
    """The plane through three images: centre (D,), axes u and v as columns (D, 2), and reach."""

    centre: "Tensor"
    axes: "Tensor"
    reach: float
    shape: tuple[int, ...]

    @classmethod
    def through(cls, images: "Tensor") -> "Plane":
        """The plane through images (3, …), u along the first to the second; float64.

        Raises Problem where two of them are the same, or all three lie on a line.
        """
        import torch

        points = images.flatten(1).double()
        first, second = points[1] - points[0], points[2] - points[0]
        u = first / first.norm()
        across = second - (second @ u) * u
        if not bool(first.norm() > 1e-3) or not bool(across.norm() > 1e-3):
            raise Problem("Three images span a plane only if they differ: choose other ones.")
        axes, centre = torch.stack([u, across / across.norm()], 1), points.mean(0)
        reach = MARGIN * float((points - centre).norm(dim=1).max())
        return cls(centre, axes, reach, tuple(images.shape[1:]))

    def places(self, images: "Tensor") -> "Tensor":
        """Where images (B, …) lie, or what of them lies in the plane: (B, 2)."""
        return (images.flatten(1).double() - self.centre) @ self.axes / self.reach

    def points(self, places: "Tensor") -> "Tensor":
        """The images (B, …) at places (B, 2)."""
        flat = self.centre + self.reach * places.double() @ self.axes.T
        return flat.view(-1, *self.shape)

    def beside(self, noise: "Tensor") -> "Tensor":
        """What of noise (B, …) is at right angles to the plane."""
        flat = noise.flatten(1).double()
        return (flat - flat @ self.axes @ self.axes.T).view_as(noise)


def grid(count: int) -> "Tensor":
    """The places (count², 2) of a square grid over [-1, 1]², the first coordinate slowest."""
    import torch

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


@dataclass(frozen=True)
class Known:
    """What one model knows in the plane, on n x n points.

    `arrows` (n, n, 2) lead to where its guess lies, in the plane's coordinates: they are the score
    times sigma² / alpha. `logp` (n, n) is log p_t in nats, of mean 0: of the learnt model
    integrated from its score, of which `rough` is the share that no density has; of the exact one
    its density, of which `rough` is the share by which the same integration is off. `heat` is logp
    as uint8 (HEAT, HEAT), on one scale for both; `guesses` the guesses of x0, uint8 (n², H, W).
    """

    arrows: np.ndarray = field(repr=False)
    logp: np.ndarray = field(repr=False)
    rough: float
    heat: np.ndarray = field(repr=False)
    guesses: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Level:
    """One t: both models, and the points themselves, uint8 (n², H, W[, 3]).

    `corners` (3, 2) are where the three images lie, `images` they themselves. `apart` is the root
    mean square of the difference of both models' arrows over that of the exact ones.
    """

    t: float
    learnt: Known
    exact: Known
    points: np.ndarray = field(repr=False)
    corners: np.ndarray
    images: np.ndarray = field(repr=False)
    apart: float


def slices(ask: Slicing, opened: "Opened") -> Iterator[Level]:
    """Every t, coarse first."""
    import torch
    from scipy.ndimage import zoom

    from trainer.denoiser import predict
    from trainer.drawing import seeds
    from trainer.samplers import Noise

    process = opened.model.process
    images = torch.cat([opened.image(getattr(ask, name)) for name in CORNERS]).cpu()
    plane, n = Plane.through(images), ask.points
    exact = opened.exact(ask.beside, ask.known)
    density: Any = exact.network.log_density
    noise = plane.beside(Noise(seeds(ask.seed, range(1)), opened.shape, process).start().double())
    points = plane.points(grid(n))
    times = np.linspace(MOST_TIME, LEAST_TIME, TIMES)
    for k in coarse_first(TIMES):
        t = process.on_grid(torch.full((n * n,), float(times[k])))
        alpha, sigma = (float(v[0]) for v in process.marginal(t.double()))
        x = (alpha * points + (sigma * noise if ask.noise else 0)).float().to(opened.device)
        slope = (alpha * plane.reach / sigma) ** 2  # of log p_t, for an arrow of length 1
        found: list[Known] = []
        for model in (exact, opened.model):
            with torch.no_grad():
                guess = predict(model, process, x, t.to(x)).x0.cpu()
            arrows = (plane.places(guess) - grid(n)).numpy().reshape(n, n, 2)
            logp, rough = integrated(slope * arrows)
            if not found:
                told = density(x, t.to(x)).cpu().double().numpy().reshape(n, n)
                told = told - told.mean()
                rough = float(np.sqrt(np.square(logp - told).mean() / np.square(told).mean()))
                logp, ends = told, (told.min(), told.max())
            # Between the points by cubic splines.
            fine = (zoom(logp, HEAT / n, order=3) - ends[0]) / max(ends[1] - ends[0], 1e-12)
            heat = (255 * fine).clip(0, 255).astype(np.uint8)
            found.append(Known(arrows, logp, rough, heat, pictures(guess)))
        known, learnt = found
        apart = np.square(learnt.arrows - known.arrows).sum() / np.square(known.arrows).sum()
        shrink = max(1.0, (alpha**2 + sigma**2) ** 0.5)
        yield Level(
            float(t[0]), learnt, known, pictures(x / shrink), plane.places(images).numpy(),
            pictures(images), float(np.sqrt(apart)),
        )  # fmt: skip
