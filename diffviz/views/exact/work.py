"""How far a learnt denoiser is from the training set's own and from its Gaussian's, over t."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from diffviz.views.levels import coarse_first
from trainer.ask import setting
from trainer.catalogue import EXACT
from trainer.config import MOST_SEED, ExactConfig
from trainer.requests import OfModel, picture

LEAST_TIME, TIMES = 0.02, 25
PAIRS = {
    "learnt to training set": ("learnt", "training-set"),
    "learnt to Gaussian": ("learnt", "gaussian"),
    "between both": ("training-set", "gaussian"),
}


@dataclass(frozen=True)
class Exact(OfModel):
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
    place: float = setting(0.75, "Place", "Where the slider stands", least=0, most=1)
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


def compare(ask: Exact, places: tuple[Path, ...]) -> Iterator[Level]:
    """Every t, coarse first; at the very first the learnt guess comes alone, ere the others."""
    import torch

    from diffviz.views.pictures import pictures
    from trainer.denoiser import Denoiser, latest_time, predict
    from trainer.drawing import open_model, seeds
    from trainer.runs.exact import run_named
    from trainer.samplers import Noise

    opened = open_model(ask, places)
    process, config = opened.model.process, opened.run.config
    images = opened.images(ask.image, ask.count)
    noise = Noise(seeds(ask.seed, range(len(images))), opened.shape, process, opened.device).start()
    known = ask.known or config.limit_images
    exact = {
        kind: ExactConfig(
            kind,
            config.dataset,
            config.process,
            config.process_parameters,
            known,
            first=config.first_image,
        ).id
        for kind in EXACT
    }
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
                models = {
                    kind: run_named(one).model(device=opened.device) for kind, one in exact.items()
                }
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
