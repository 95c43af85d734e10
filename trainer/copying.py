"""Copies or creations: what models draw that learnt from few images, or from many, or from others.

A denoiser that has seen too few images gives them back: what it draws are copies. Two that learnt
from halves which share no image draw the same from the same noise once both halves are large, and
then none of it is in either (Kadkhodaie et al. 2024, arXiv:2310.02557). Importing this needs no
torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.ask import setting
from trainer.catalogue import SAMPLERS
from trainer.config import ExactConfig, ExperimentConfig
from trainer.problems import Problem
from trainer.requests import Drawing

if TYPE_CHECKING:
    from trainer.runs import Run

SIZES = (10, 100, 1000, 10_000)  # of an exact model's images, besides as many as it has
COPIED = 1 / 3  # of the distance to the second nearest image: a sample nearer to one is its copy
COMPARED = 300  # test images whose distances say what is usual
# What two models must share to differ by nothing but the images that they learnt from.
KIN = ("dataset", "process", "network", "prediction", "classes")


@dataclass(frozen=True)
class Copying(Drawing):
    """The same noise, drawn by models of one kind that learnt from other images."""

    # fmt: off
    model: str = setting("modern", "Model", "One of the models; with it draw all of its kind that "
                         "learnt from fewer images, or from others")
    also: str = setting("", "Also", "More runs' names or folders, or exact models, to draw too: "
                        "separated by semicolons", more=True)
    sampler: str = setting(
        "dpm-solver++", "Sampler", "How the models' answers become steps from noise to image: one "
        "without noise of its own, so that the noise it begins with decides all", choices=SAMPLERS,
        more=True,
    )
    steps: int = setting(20, "Steps", "Updates from noise to image", least=1, most=1000, more=True)
    guidance: float = setting(
        1.0, "Guidance", "How strongly a class is asked for: 1 as it was learnt", least=0, most=100,
    )
    count: int = setting(36, "Images", "How many images each model draws", least=1, most=1000,
                         suggested=(16, 36, 64, 100))
    # fmt: on


@dataclass(frozen=True)
class Drawn:
    """What one model drew, and the nearest of the images that it learnt from.

    `samples` and `nearest` are uint8 (n, H, W) or (n, H, W, 3); `numbers` (n,) are the nearest
    ones' places among all training images, `distances` (n, 2) those of the two nearest, by pixels
    in [0, 1]; `usual` (m,) those of test images to the nearest of the same images, sorted.
    `known` are the images it learnt from.
    """

    name: str
    known: slice
    samples: np.ndarray = field(repr=False)
    nearest: np.ndarray = field(repr=False)
    numbers: np.ndarray = field(repr=False)
    distances: np.ndarray = field(repr=False)
    usual: np.ndarray = field(repr=False)

    @property
    def copied(self) -> np.ndarray:
        """Which samples are copies, (n,): nearer than COPIED times as near to one training image
        as to any other (Yoon et al. 2023; Gu et al. 2023, arXiv:2310.02664)."""
        found: np.ndarray = self.distances[:, 0] < COPIED * self.distances[:, -1]
        return found if self.distances.shape[1] > 1 else np.ones(len(found), bool)


@dataclass(frozen=True)
class Rung:
    """Models that learnt from `size` images each: one, or two of images that they do not share.

    Number `index` of `count` sizes; `others` says whether there are as many other images. `apart`
    (n,) is how far both models' images from the same noise are from each other, `chance` (m,) from
    other noise of the same class.
    """

    index: int
    count: int
    size: int
    others: bool
    drawn: tuple[Drawn, ...]
    apart: np.ndarray | None = None
    chance: np.ndarray | None = None

    @property
    def figures(self) -> dict[str, float]:
        """Medians of distances, of both models together where there are two: of "samples" and of
        "test" images to the nearest training image, "apart" and "chance"; and "copied", the share
        of samples that are copies."""
        drawn = self.drawn
        found = {
            "samples": float(np.median(np.concatenate([d.distances[:, 0] for d in drawn]))),
            "test": float(np.median(np.concatenate([d.usual for d in drawn]))),
            "copied": float(np.concatenate([d.copied for d in drawn]).mean()),
        }
        for name, values in (("apart", self.apart), ("chance", self.chance)):
            if values is not None and len(values):
                found[name] = float(np.median(values))
        return found


def kin(config: ExperimentConfig) -> tuple[Any, ...]:
    """What is equal of two models that differ by nothing but their images."""
    parameters = (config.filled(f"{name}_parameters") for name in ("process", "network"))
    return (*(getattr(config, name) for name in KIN), *map(str, parameters))


def family(ask: Copying, places: tuple[Path, ...]) -> "list[Run]":
    """The runs in `places` that are of the model's kind, or, of an exact model, itself with other
    numbers of images; itself first, then what it is asked to compare also."""
    from trainer.runs import Run
    from trainer.runs.exact import ExactRun, run_named

    own = run_named(ask.model, places)
    found = [own]
    if isinstance(own, ExactRun):
        for size in SIZES:
            for first in (0, size):
                one = own.exact.with_changes(images=size, first=first)
                found.append(run_named(one.id))
    else:
        beside = (own.folder.parent, *places)
        folders = {path.parent.resolve() for place in beside for path in place.glob("[!.]*/*.json")
                   if path.name == "config.json"}  # fmt: skip
        for folder in sorted(folders):
            try:
                run = Run.open(folder)
            except Problem:
                continue  # the list of runs leaves it out too
            if run.checkpoints() and kin(run.config) == kin(own.config):
                found.append(run)
    return found + [run_named(name.strip(), places) for name in ask.also.split(";") if name.strip()]


def rungs(runs: "list[Run]", images: int) -> "dict[int, list[tuple[Run, slice]]]":
    """By how many of so many training images they know, ascending: the first run, and the first
    other one that shares no image with it."""
    found: dict[int, list[tuple[Run, slice]]] = {}
    for run in runs:
        known = run.config.chosen(images)
        if isinstance(exact := getattr(run, "exact", None), ExactConfig):
            end = exact.first + (exact.images or images)
            known = slice(min(exact.first, images), min(end, images))
        size = known.stop - known.start
        pair = found.setdefault(size, [])
        if size and (not pair or (len(pair) == 1 and _disjoint(pair[0][1], known))):
            pair.append((run, known))
    return {size: sorted(pair, key=lambda one: one[1].start)
            for size, pair in sorted(found.items()) if pair}  # fmt: skip


def _disjoint(a: slice, b: slice) -> bool:
    return bool(a.stop <= b.start or b.stop <= a.start)


def copying(ask: Copying, places: tuple[Path, ...], device: str | None = None) -> Iterator[Rung]:
    """Every size, the smallest first, each anew with every model that has drawn.

    Raises Problem where a model draws images of another shape.
    """
    from trainer.drawing import draw, open_model
    from trainer.images import channels_last
    from trainer.metrics import neighbours, spread_out

    runs = family(ask, places)
    data = open_model(ask.with_changes(checkpoint=""), places, device).data
    ladder = rungs(runs, len(data.train))
    test = spread_out(data.test, COMPARED)
    for index, (size, pair) in enumerate(ladder.items()):
        rung = Rung(index, len(ladder), size, 2 * size <= len(data.train), ())
        for run, known in pair:
            exact = getattr(run, "exact", None)
            name = exact.id if exact else str(run.folder)
            opened = open_model(ask.with_changes(model=name, checkpoint=""), places, device)
            if opened.shape != data.shape:
                raise Problem(
                    f"{name} draws images {opened.shape}, the others {data.shape}: they cannot be "
                    "compared."
                )
            samples = np.concatenate([s.images() for s in draw(ask, opened) if s.last])
            train = data.train[known]
            numbers, distances = neighbours(np.concatenate([samples, test]), train, 2)
            usual = np.sort(distances[len(samples) :, 0])
            numbers, distances = numbers[: len(samples)], distances[: len(samples)]
            drawn = Drawn(
                exact.id if exact else run.folder.name, known, channels_last(samples),
                channels_last(np.ascontiguousarray(train[numbers[:, 0]])),
                numbers[:, 0] + known.start, distances, usual,
            )  # fmt: skip
            rung = replace(rung, drawn=(*rung.drawn, drawn))
            if len(rung.drawn) == 2:
                rung = replace(rung, **_compared(rung.drawn, len(ask.labels(run.config.classes))))
            yield rung


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The Euclidean distance of pixels in [0, 1] between images (n, …), uint8: (n,)."""
    gap = (a.astype(np.float64) - b) / 255
    found: np.ndarray = np.sqrt(np.square(gap).reshape(len(gap), -1).sum(1))
    return found


def _compared(pair: tuple[Drawn, ...], classes: int) -> dict[str, Any]:
    """How far both models' images are apart: from the same noise, and from the next noise that
    was asked for the same class."""
    (a, b), shift = (one.samples for one in pair), max(1, classes)
    return {"apart": distance(a, b), "chance": distance(a[shift:], b[:-shift])}
