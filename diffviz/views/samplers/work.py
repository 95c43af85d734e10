"""Drawing and judging samples on workers: one sampler, one step count, one seed at a time."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from diffviz.work import ANY_CLASS, asked, pictures
from trainer.problems import Problem

if TYPE_CHECKING:
    from trainer.denoiser import Denoiser
    from trainer.metrics import Moments
    from trainer.metrics.features import Features
    from trainer.runs import Run
    from trainer.samplers import Frame

BATCH = 16  # images drawn together: few, so that the first are soon there
JUDGED_BATCH = 64
DIGIT_SHAPE = (1, 28, 28)
FRESH_NOISE = 2**31  # past every seed that can be asked for: x_T's noise must not come again


@dataclass(frozen=True)
class Draw:
    """`count` images from one model by one sampler. Equal requests give equal images.

    `checkpoint` is a file's name in the run's checkpoints, "" the newest. Image i starts from the
    same noise whatever `count`, the sampler and its steps. `label` is a class, ANY_CLASS, or
    EACH_CLASS for all classes in turn; `guidance` its scale.
    """

    folder: Path
    checkpoint: str
    sampler: str
    steps: int
    count: int
    seed: int
    label: int = ANY_CLASS
    guidance: float = 1.0

    @property
    def work(self) -> int:
        """How much there is to do, in updates of one image."""
        return self.steps * self.count


@dataclass(frozen=True)
class Growing:
    """The images so far: `finished` ones, then the model's present guesses of a batch under way.

    uint8 (n, H, W) or (n, H, W, 3); `done` is the part of the request's `work`.
    """

    images: np.ndarray = field(repr=False)
    finished: int
    done: int


@dataclass(frozen=True)
class Drawn:
    """All images of a request: as pictures, and `final`, the floats (N, C, H, W) they round.

    `nfe` network evaluations an image, `seconds` spent sampling; `random`: the sampler drew fresh
    noise on its way, so that x_T alone does not decide the image.
    """

    images: np.ndarray = field(repr=False)
    final: np.ndarray = field(repr=False)
    nfe: int
    seconds: float
    random: bool


@dataclass(frozen=True)
class Judging:
    """The part of the request's `work` that is done."""

    done: int


@dataclass(frozen=True)
class Judged:
    """FID of a request's images to the training set, and `floor`, that of as many test images."""

    fid: float
    floor: float
    features: str


def rms(a: np.ndarray, b: np.ndarray) -> float:
    """The root-mean-square difference of two sets of images, pixels in [-1, 1]."""
    return float(np.sqrt(np.square(a.astype(np.float64) - b).mean()))


@dataclass(frozen=True)
class _Place:
    """A frame of the batch that begins at image `first`; `last` of its trajectory or not."""

    first: int
    frame: "Frame"
    last: bool
    random: bool
    seconds: float


class Weights(Protocol):
    """What names a model: its run's folder, and a checkpoint's file name ("" the newest)."""

    @property
    def folder(self) -> Path: ...
    @property
    def checkpoint(self) -> str: ...


def open_model(request: Weights) -> "tuple[Run, Denoiser]":
    """The run that a request names, and the weights it asks for."""
    from trainer.devices import best_device
    from trainer.runs import Run

    run = Run.open(request.folder)
    checkpoint = None
    if request.checkpoint:
        checkpoint = run.folder / "checkpoints" / request.checkpoint
        if not checkpoint.is_file():
            raise Problem(
                f"{run.folder.name} no longer keeps its checkpoint {checkpoint.stem}. "
                "Choose another one."
            )
    return run, run.model(checkpoint, device=best_device())


def _frames(request: Draw, batch: int) -> Iterator[_Place]:
    """Every frame of every batch. The same request and batch give the same bits."""
    import torch

    from trainer.samplers import sample

    run, model = open_model(request)
    shape, device = run.image_shape(), next(model.parameters()).device
    noise = torch.Generator().manual_seed(request.seed)
    fresh = torch.Generator().manual_seed(request.seed + FRESH_NOISE)
    for first in range(0, request.count, batch):
        n = min(batch, request.count - first)
        # Whole batches are drawn, so that fewer images are the first of more.
        x = torch.randn((batch, *shape), generator=noise)[:n].to(device)
        answers = asked(model, request.label, request.guidance, first, n)
        process, before, spent = model.process, fresh.get_state(), 0.0
        frames = sample(
            answers, process, process.prior_std * x, request.sampler, request.steps, fresh
        )
        while True:
            began = time.perf_counter()
            frame = next(frames, None)
            spent += time.perf_counter() - began
            if frame is None:
                break
            last = frame.index == request.steps
            random = last and not torch.equal(before, fresh.get_state())
            yield _Place(first, frame, last, random, spent)


def draw(request: Draw) -> Iterator[Growing | Drawn]:
    """Draw a request's images in batches, with the guesses along the way."""
    done: list[np.ndarray] = []
    finals: list[np.ndarray] = []
    nfe, seconds, random = 0, 0.0, False
    for place in _frames(request, BATCH):
        frame = place.frame
        now = pictures(frame.x if place.last else frame.x0)
        progress = place.first * request.steps + len(now) * frame.index
        if place.last:
            done.append(now)
            finals.append(frame.x.float().cpu().numpy())
            nfe, random = frame.nfe, random or place.random
            seconds += place.seconds
            yield Growing(np.concatenate(done), place.first + len(now), progress)
        else:
            yield Growing(np.concatenate([*done, now]), place.first, progress)
    yield Drawn(np.concatenate(done), np.concatenate(finals), nfe, seconds, random)


@lru_cache(maxsize=2)
def _standard(dataset: str) -> "tuple[Features, Moments, np.ndarray]":
    """The digit features, the training set's moments in them, and test images for the floor."""
    from trainer.data import load
    from trainer.metrics import training_moments
    from trainer.metrics.features import feature_set

    data, chosen = load(dataset), feature_set("digits")
    return chosen, training_moments(data.train, chosen), data.test[:1024].copy()


def judge(request: Draw) -> Iterator[Judging | Judged]:
    """Draw a request's images only to measure their FID in digit features."""
    from trainer.images import to_bytes
    from trainer.metrics import frechet_distance, moments
    from trainer.runs import Run

    run = Run.open(request.folder)
    if run.image_shape() != DIGIT_SHAPE:
        raise Problem("FID is measured in digit features here, of 28 x 28 grey images only.")
    images = []
    for place in _frames(request, JUDGED_BATCH):
        if place.last:
            images.append(to_bytes(place.frame.x).cpu().numpy())
        n = len(place.frame.x)
        yield Judging(place.first * request.steps + n * place.frame.index)
    chosen, training, test = _standard(run.config.dataset)
    if len(test) < request.count:
        raise Problem(f"There are only {len(test)} test images to compare with: take fewer.")
    fid, floor = (
        frechet_distance(moments(chosen(group)), training)
        for group in (np.concatenate(images), test[: request.count])
    )
    yield Judged(fid, floor, chosen.name)
