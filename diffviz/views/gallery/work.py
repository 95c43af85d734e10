"""What the gallery asks workers to do: draw, classify, and look for the nearest training image."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from diffviz.views.growing import Drawn, Growing, grow
from trainer.ask import setting
from trainer.problems import Problem
from trainer.requests import Drawing, classes_of_version_1

if TYPE_CHECKING:
    from trainer.data import ImageSet

COMPARED = 200  # test images whose distances say what is usual


@dataclass(frozen=True)
class Gallery(Drawing):
    """Images to draw, and which of them are selected."""

    version: ClassVar[int] = 2
    model: str = setting("modern-sde", "Model", "The trained model that draws")
    selected: tuple[int, ...] = setting((), "Selected", "The images that are selected", least=0)

    @classmethod
    def migrate(cls, values: dict[str, Any], version: int) -> dict[str, Any]:
        return classes_of_version_1(values) if version < 2 else values


@dataclass(frozen=True)
class Labelled:
    """What the digit classifier sees in the images from `first` on: digit (n,), sureness (n,)."""

    first: int
    labels: np.ndarray = field(repr=False)
    sureness: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Nearest:
    """The training image nearest to image `index` of the gallery, by pixels in [0, 1].

    `usual` is the share of test images that lie nearer to their own nearest training image.
    """

    index: int
    number: int
    image: np.ndarray = field(repr=False)
    distance: float
    usual: float


@dataclass(frozen=True)
class Unlabelled:
    """The images get no labels, and why: a sentence."""

    reason: str


def gallery(
    ask: Drawing, places: tuple[Path, ...]
) -> Iterator[Growing | Labelled | Unlabelled | Drawn]:
    """Draw what is asked; images of a model of MNIST are classified as they are finished."""
    from trainer.metrics import classify
    from trainer.runs.exact import run_named

    digits = run_named(ask.model, places).config.dataset == "mnist"
    known = 0
    for event in grow(ask, places):
        if digits and isinstance(event, Growing) and event.finished > known:
            try:
                labels, sureness = classify(event.images[known : event.finished, None])
                yield Labelled(known, labels, sureness)
            except Problem as problem:
                digits = False
                yield Unlabelled(str(problem))
            known = event.finished
        yield event


@lru_cache(maxsize=1)
def _training(dataset: str) -> "tuple[ImageSet, np.ndarray]":
    """The image set, and the distances of test images to their nearest training images, sorted."""
    from trainer.data import load
    from trainer.metrics import nearest

    data = load(dataset)
    return data, np.sort(nearest(data.test[:COMPARED].copy(), data.train)[1])


def nearest_images(
    ask: Drawing, places: tuple[Path, ...], chosen: dict[int, np.ndarray]
) -> Iterator[Nearest]:
    """For each of the `chosen` images, by its index, uint8 (H, W[, 3]): its Nearest."""
    from trainer.metrics import nearest
    from trainer.runs.exact import run_named

    data, usual = _training(run_named(ask.model, places).config.dataset)
    for index, image in chosen.items():
        planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
        if planes.shape != data.shape:
            raise Problem(
                f"The samples are {planes.shape}, the images of {data.name} {data.shape}: "
                "they cannot be compared."
            )
        (number,), (distance,) = nearest(planes[None], data.train)
        found = data.train[number]
        picture = found[0] if len(found) == 1 else found.transpose(1, 2, 0)
        share = float(np.searchsorted(usual, distance) / len(usual))
        yield Nearest(index, int(number), picture.copy(), float(distance), share)
