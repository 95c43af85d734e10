"""What the edit panel asks workers to do: complete, encode and decode, interpolate."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diffviz.views.samplers.work import open_model
from diffviz.work import ANY_CLASS, BINS, asked, pictures
from trainer.problems import Problem

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.denoiser import Denoiser

PATH = 8  # the frames of an ODE's path that are shown, besides its start


@dataclass(frozen=True)
class Originals:
    """Test images as pictures, uint8 (n, H, W) or (n, H, W, 3), of `total` that there are."""

    numbers: tuple[int, ...]
    images: np.ndarray = field(repr=False)
    total: int


@dataclass(frozen=True)
class Completion:
    """`count` completions of test image `image` where `mask` is "1": a word of 0s and 1s a row.

    `checkpoint`, `label` and `guidance` are as a Draw's. Equal requests give equal images.
    """

    folder: Path
    checkpoint: str
    image: int
    mask: tuple[str, ...] = field(repr=False)
    sampler: str
    steps: int
    repeats: int
    seed: int
    count: int = 16
    label: int = ANY_CLASS
    guidance: float = 1.0


@dataclass(frozen=True)
class Completing:
    """After update `index`: the states at t and the guesses, uint8 (N, H, W[, 3])."""

    index: int
    t: float
    states: np.ndarray = field(repr=False)
    guesses: np.ndarray = field(repr=False)
    nfe: int


@dataclass(frozen=True)
class RoundTrip:
    """Test image `image` to its latent and back, the ODE solved to that tolerance."""

    folder: Path
    checkpoint: str
    image: int
    tolerance: float


@dataclass(frozen=True)
class Passing:
    """A state on the way: frame `index` (0 to PATH) there, or `back` (PATH to 0)."""

    index: int
    back: bool
    t: float
    picture: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Returned:
    """The way is gone: how far off the image is, and what the latent's values are like.

    `error` is the root mean square over pixels, in grey levels of 255. `mean` and `std` of the
    latent are in units of the prior's standard deviation; `histogram` is their density over BINS.
    """

    error: float
    mean: float
    std: float
    histogram: np.ndarray = field(repr=False)
    nfe: int


@dataclass(frozen=True)
class Interpolation:
    """`count` images from test image `first` to `second`, both ends among them."""

    folder: Path
    checkpoint: str
    first: int
    second: int
    count: int
    tolerance: float


@dataclass(frozen=True)
class Between:
    """The images so far, uint8 (K, H, W[, 3]): `decoded` from latents, `blends` of the pixels.

    `share` of the work is done. `angle` in degrees between the latents, once known.
    """

    share: float
    decoded: np.ndarray = field(repr=False)
    blends: np.ndarray = field(repr=False)
    angle: float | None
    nfe: int


def words(mask: np.ndarray) -> tuple[str, ...]:
    """A mask, bool (H, W), as a word of 0s and 1s a row: what settings hold."""
    return tuple("".join("01"[int(value)] for value in row) for row in mask)


def from_words(rows: tuple[str, ...] | list[str]) -> np.ndarray:
    """The mask, bool (H, W), of such words; ValueError if they are of different lengths."""
    return np.array([[digit == "1" for digit in row] for row in rows], bool)


@lru_cache(maxsize=2)
def _test_images(dataset: str) -> np.ndarray:
    from trainer.data import load

    return load(dataset).test.copy()


def _signed(dataset: str, numbers: tuple[int, ...]) -> "Tensor":
    """Those test images, (n, C, H, W) in [-1, 1]."""
    import torch

    from trainer.images import to_signed

    test = _test_images(dataset)
    if max(numbers) >= len(test):
        raise Problem(f"There are {len(test):,} test images: choose one before no. {len(test)}.")
    return to_signed(torch.from_numpy(test[list(numbers)]))


def originals(dataset: str, numbers: tuple[int, ...]) -> Iterator[Originals]:
    """The test images of these numbers."""
    total = len(_test_images(dataset))
    numbers = tuple(min(number, total - 1) for number in numbers)
    yield Originals(numbers, pictures(_signed(dataset, numbers)), total)


def _begin(
    request: Completion | RoundTrip | Interpolation, numbers: tuple[int, ...]
) -> "tuple[Denoiser, Tensor]":
    """The model that a request asks for, and test images on its device."""
    run, model = open_model(request)
    x0 = _signed(run.config.dataset, numbers)
    if x0.shape[1:] != run.image_shape():
        raise Problem(
            f"The model draws images {run.image_shape()}, the test images are "
            f"{tuple(x0.shape[1:])}: they do not fit."
        )
    return model, x0.to(next(model.parameters()).device)


def complete(request: Completion) -> Iterator[Completing]:
    """Draw the completions, a frame an update."""
    import torch

    from trainer.steer import inpaint

    forgotten = from_words(request.mask)
    if not forgotten.any():
        raise Problem("Nothing is forgotten: paint over what shall be drawn anew.")
    model, image = _begin(request, (request.image,))
    process = model.process
    if forgotten.shape != image.shape[2:]:
        raise Problem(
            f"The mask is {forgotten.shape}, the image {tuple(image.shape[2:])}: paint it anew."
        )
    known = torch.from_numpy(~forgotten).to(image.device)
    # Seeded as `python -m trainer inpaint` seeds its first batch.
    generator = torch.Generator().manual_seed(request.seed * 1_000_003)
    x_T = process.prior_sample((request.count, *image.shape[1:]), generator).to(image)
    answers = asked(model, request.label, request.guidance, 0, request.count)
    how = (request.sampler, request.steps, generator, request.repeats)
    for frame in inpaint(answers, process, x_T, image[0], known, *how):
        shrink = max(1.0, _scale(model, frame.t))
        yield Completing(
            frame.index, frame.t, pictures(frame.x / shrink), pictures(frame.x0), frame.nfe
        )


def _scale(model: "Denoiser", t: float) -> float:
    """sqrt(alpha² + sigma²): how large the states of unit variance data are at t."""
    import torch

    alpha, sigma = (float(value[0]) for value in model.process.marginal(torch.tensor([t])))
    return (alpha**2 + sigma**2) ** 0.5


def round_trip(request: RoundTrip) -> Iterator[Passing | Returned]:
    """Encode, then decode, with PATH frames each way."""
    from trainer.steer import decode, encode

    model, x0 = _begin(request, (request.image,))
    process, nfe = model.process, 0
    latent = back = x0
    for frame in encode(model, process, x0, PATH, request.tolerance):
        latent = frame.x
        shown = latent / max(1.0, _scale(model, frame.t))
        yield Passing(frame.index, False, frame.t, pictures(shown)[0])
    nfe += frame.nfe
    for frame in decode(model, process, latent, PATH, request.tolerance):
        back = frame.x
        shown = back / max(1.0, _scale(model, frame.t))
        yield Passing(PATH - frame.index, True, frame.t, pictures(shown)[0])
    nfe += frame.nfe
    error = 127.5 * float((back - x0).square().mean().sqrt())
    unit = (latent / process.prior_std).float().cpu().numpy()
    density, _ = np.histogram(unit, bins=BINS, density=True)
    yield Returned(error, float(unit.mean()), float(unit.std()), density, nfe)


def interpolate(request: Interpolation) -> Iterator[Between]:
    """Encode both images, go from latent to latent along the great circle, decode all at once."""
    import torch

    from trainer.steer import decode, encode, slerp

    model, x0 = _begin(request, (request.first, request.second))
    weights = torch.linspace(0, 1, request.count, device=x0.device)
    blends = pictures(torch.lerp(x0[:1], x0[1:], weights.view(-1, 1, 1, 1)))
    empty = blends[:0]
    for frame in encode(model, model.process, x0, PATH, request.tolerance):
        ends = frame.x
        yield Between(frame.index / (2 * PATH), empty, blends, None, frame.nfe)
    spent = frame.nfe
    cosine = torch.cosine_similarity(ends[0].flatten(), ends[1].flatten(), dim=0)
    angle = float(cosine.clamp(-1, 1).acos().rad2deg())
    latents = slerp(ends[:1], ends[1:], weights)[:, 0]
    for frame in decode(model, model.process, latents, PATH, request.tolerance):
        shown = pictures(frame.x / max(1.0, _scale(model, frame.t)))
        share = 0.5 + frame.index / (2 * PATH)
        yield Between(share, shown, blends, angle, spent + frame.nfe)
