"""How far a learnt denoiser is from the training set's own and from its Gaussian's, over t.

Near the training set's own a denoiser gives copies back (Kamb and Ganguli 2024, arXiv:2412.20292);
near the Gaussian's it knows the mean and the covariance, and no more (Wang and Vastola 2024,
arXiv:2412.09726); where it leaves both, it generalises. Importing this needs no torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from trainer.ask import setting
from trainer.catalogue import EXACT
from trainer.config import MOST_SEED
from trainer.images import pictures
from trainer.requests import OfModel, picture
from trainer.spectrum import coarse_first

if TYPE_CHECKING:
    from trainer.drawing import Opened

LEAST_TIME, TIMES = 0.02, 25
PAIRS = {
    "learnt to training set": ("learnt", "training-set"),
    "learnt to Gaussian": ("learnt", "gaussian"),
    "between both": ("training-set", "gaussian"),
}


@dataclass(frozen=True)
class Truth(OfModel):
    """Images, noised to each t and guessed by the learnt model and by both exact ones."""

    # fmt: off
    model: str = setting("modern-sde", "Model", "The trained model that is compared")
    image: str = picture(
        "0", "Image", ": the first of those compared, or one picture under other noise each",
    )
    count: int = setting(
        16, "Images", "How many are noised and guessed: more make a steadier "
        "curve", least=1, most=256, suggested=(4, 16, 36, 64),
    )
    known: int | None = setting(
        None, "Exact models know", "Only the first so many training images; as many as the model "
        "learnt from, unless given", least=1,
    )
    seed: int = setting(0, "Seed", "The noise, the same at every t", least=0, most=MOST_SEED)
    # fmt: on


@dataclass(frozen=True)
class Level:
    """One t: the pictures there, uint8 (n, H, W[, 3]), and how far the guesses are apart.

    `pictures` holds "noisy" x_t and the guesses of x0 that are there yet: "learnt",
    "training-set", "gaussian". `distances` by the names in PAIRS: the root mean square over
    pixels in [-1, 1], of each image (n,).
    """

    t: float
    pictures: dict[str, np.ndarray] = field(repr=False)
    distances: dict[str, np.ndarray] = field(repr=False)


def compare(ask: Truth, opened: "Opened") -> Iterator[Level]:
    """Every t, coarse first; at the very first the learnt guess comes alone, ere the others."""
    import torch

    from trainer.denoiser import Denoiser, latest_time, predict
    from trainer.drawing import seeds
    from trainer.samplers import Noise

    process = opened.model.process
    images = opened.images(ask.image, ask.count)
    noise = Noise(seeds(ask.seed, range(len(images))), opened.shape, process, opened.device).start()
    models: dict[str, Denoiser] = {}
    times = np.linspace(latest_time(opened.model, process), LEAST_TIME, TIMES)
    for k in coarse_first(TIMES):
        t = process.on_grid(torch.full((len(images),), float(times[k])).to(images))
        x = process.diffuse(images, t, noise)
        shrink = max(1.0, float(sum(v[0] ** 2 for v in process.marginal(t)) ** 0.5))
        with torch.no_grad():
            guesses = {"learnt": predict(opened.model, process, x, t).x0}
            shown = {"noisy": pictures(x / shrink), "learnt": pictures(guesses["learnt"])}
            if not models:
                yield Level(float(t[0]), shown, {})
                models = {kind: opened.exact(kind, ask.known) for kind in EXACT}
            for kind, model in models.items():
                guesses[kind] = predict(model, process, x, t).x0
                shown[kind] = pictures(guesses[kind])
        apart = {
            name: (guesses[a] - guesses[b]).flatten(1).square().mean(1).sqrt().cpu().numpy()
            for name, (a, b) in PAIRS.items()
        }
        yield Level(float(t[0]), shown, apart)


def apart(level: Level) -> float:
    """How far all three guesses are from each other: the smallest of their mean distances."""
    return min(float(values.mean()) for values in level.distances.values())


def own(levels: list[Level]) -> Level | None:
    """The level at which the learnt guess is furthest from both exact ones, and they differ too."""
    return max((level for level in levels if level.distances), key=apart, default=None)
