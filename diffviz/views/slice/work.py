"""Scores and log-densities in the plane through three images, learnt beside exact, over t."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from diffviz.views.levels import coarse_first
from trainer.ask import setting
from trainer.catalogue import EXACT
from trainer.config import MOST_SEED, ExactConfig
from trainer.requests import OfModel, picture

LEAST_TIME, MOST_TIME, TIMES = 0.05, 0.95, 19
HEAT = 121  # pixels a side
CORNERS = ("first", "second", "third")


@dataclass(frozen=True)
class Slice(OfModel):
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
    place: float = setting(0.5, "Place", "Where the slider stands", least=0, most=1)
    # fmt: on


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


def slices(ask: Slice, places: tuple[Path, ...]) -> Iterator[Level]:
    """Every t, coarse first."""
    import torch
    from scipy.ndimage import zoom

    from diffviz.views.pictures import pictures
    from trainer.denoiser import predict
    from trainer.drawing import open_model, seeds
    from trainer.runs.exact import run_named
    from trainer.samplers import Noise
    from trainer.slices import Plane, grid, integrated

    opened = open_model(ask, places)
    process, config = opened.model.process, opened.run.config
    images = torch.cat([opened.image(getattr(ask, name)) for name in CORNERS]).cpu()
    plane, n = Plane.through(images), ask.points
    beside = ExactConfig(
        ask.beside, config.dataset, config.process, config.process_parameters,
        ask.known or config.limit_images, first=config.first_image,
    )  # fmt: skip
    exact = run_named(beside.id).model(device=opened.device)
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
