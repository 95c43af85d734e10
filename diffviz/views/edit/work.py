"""What the edit view asks workers to do: complete, restore, encode and decode, interpolate."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from diffviz.views.bins import BINS
from trainer.ask import Ask, Choice, setting
from trainer.images import pictures
from trainer.masks import MASKS
from trainer.problems import Problem
from trainer.requests import (
    Encoding,
    Inpainting,
    Interpolation,
    Masked,
    OfModel,
    Restoring,
    classes_of_version_1,
)

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.denoiser import Denoiser
    from trainer.drawing import Opened, Stage
    from trainer.samplers import Frame

TOOLS = (
    Choice("inpaint", "Inpaint"),
    Choice("restore", "Restore"),
    Choice("encode", "Encode and decode"),
    Choice("interpolate", "Interpolate"),
)
FRAMES = 8  # of an ODE's path that are shown each way, besides its start
SHOWN = (Choice("guess", "guess x0"), Choice("state", "state x_t"))


@dataclass(frozen=True)
class Edit(Ask):
    """What each tool shows or would show, which one is on view, and where its timeline stands."""

    version: ClassVar[int] = 2
    tool: str = setting("inpaint", "Tool", "What is done with the model", choices=TOOLS)
    inpaint: Inpainting = setting(Inpainting(image="4"), "Inpaint", "The completions")
    restore: Restoring = setting(Restoring(), "Restore", "What a degraded image may have been")
    encode: Encoding = setting(Encoding(), "Encode and decode", "The way to a latent, and back")
    interpolate: Interpolation = setting(Interpolation(), "Interpolate", "Images between two")
    show: str = setting(
        "guess", "Show", "What the model takes the image to be, or the noisy state", choices=SHOWN
    )
    fraction: float = setting(1.0, "Place", "Where the timeline stands", least=0, most=1)

    @classmethod
    def migrate(cls, values: dict[str, Any], version: int) -> dict[str, Any]:
        if version >= 2:
            return values
        of = {name: values.pop(name) for name in ("model", "checkpoint") if name in values}
        for tool in ("inpaint", "encode", "interpolate"):
            mine = classes_of_version_1(values.get(tool, {}))
            for name in ("image", "first", "second"):
                if name in mine:
                    mine[name] = str(int(mine[name]))
            rows, name = " ".join(mine.pop("mask", ())), mine.pop("forget", "painted")
            if name in MASKS or rows:
                mine["mask"] = name if name in MASKS else rows
            values |= {key: mine.pop(key) for key in ("show", "fraction") if key in mine}
            values[tool] = {"image": "4", **of, **mine} if tool == "inpaint" else of | mine
        return values


@dataclass(frozen=True)
class Originals:
    """Images as pictures, uint8 (n, H, W) or (n, H, W, 3), and the mask that was asked for.

    `mask` bool (H, W), true where to forget; None where none was asked for, or `why` none fits.
    """

    images: np.ndarray = field(repr=False)
    mask: np.ndarray | None = field(repr=False)
    why: str = ""


@dataclass(frozen=True)
class Completing:
    """After update `index` of the images from `first` on: states at t, guesses, (n, H, W[, 3])."""

    first: int
    index: int
    t: float
    states: np.ndarray = field(repr=False)
    guesses: np.ndarray = field(repr=False)
    nfe: int

    def after(self, before: "Completing | None") -> "Completing":
        """These images and, before them, those of earlier batches at the same update."""
        if before is None:
            return self
        states = np.concatenate([before.states[: self.first], self.states])
        guesses = np.concatenate([before.guesses[: self.first], self.guesses])
        return Completing(0, self.index, self.t, states, guesses, self.nfe)


@dataclass(frozen=True)
class Passing:
    """States on the way, uint8 (n, H, W[, 3]): frame `index` (0 to FRAMES) there, or `back`."""

    index: int
    back: bool
    share: float
    states: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Returned:
    """The way is gone: how far off the images are, and what the latents' values are like.

    `error` is the root mean square over pixels, in grey levels of 255. `mean` and `std` of the
    latents are in units of the prior's standard deviation; `histogram` is their density over BINS.
    """

    error: float
    mean: float
    std: float
    histogram: np.ndarray = field(repr=False)
    nfe: int


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


@dataclass(frozen=True)
class Left:
    """What is left of an image: uint8 (1, h, w[, 3])."""

    measured: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Summed:
    """What images may have been, in short: `mean` and `spread`, uint8 (1, H, W[, 3]), the latter
    white for a standard deviation of 1.

    `error`: of the mean to the original; `spreads`: the standard deviation; `residual`: of the
    images to what is measured; each the root mean square over pixels in [-1, 1].
    """

    mean: np.ndarray = field(repr=False)
    spread: np.ndarray = field(repr=False)
    error: float
    spreads: float
    residual: float


@dataclass(frozen=True)
class Weighed(Summed):
    """The training set's exact posterior: `draws` uint8 (n, H, W[, 3]) of its `known` images, of
    which as many as `effective` share it."""

    draws: np.ndarray = field(repr=False)
    effective: float
    known: int


def words(mask: np.ndarray) -> str:
    """A mask, bool (H, W), as rows of 0 and 1: what an ask holds."""
    return " ".join("".join("01"[int(value)] for value in row) for row in mask)


def originals(
    of: OfModel, places: tuple[Path, ...], names: tuple[str, ...], mask: str
) -> Iterator[Originals]:
    """The images of these names as the model draws, and the mask, if one is asked for."""
    import torch

    from trainer.drawing import mask_of, open_model

    opened = open_model(of, places)
    images = pictures(torch.cat([opened.image(name) for name in names]))
    found, why = None, ""
    try:
        found = mask_of(mask, *opened.shape[1:]) if mask else None
    except Problem as problem:
        why = str(problem)
    yield Originals(images, found, why)


def complete(ask: Inpainting, places: tuple[Path, ...]) -> Iterator[Completing]:
    """Draw the completions, a frame an update, batch by batch."""
    from trainer.drawing import open_model

    for _, completing in _completing(ask, open_model(ask, places)):
        yield completing


def _completing(ask: Masked, opened: "Opened") -> Iterator[tuple["Stage", Completing]]:
    """Each stage of the drawing, and what is shown of it."""
    from trainer.drawing import draw

    for stage in draw(ask, opened):
        frame = stage.frame
        states, guesses = _shown(frame, opened.model), frame.x if stage.last else frame.x0
        shown = pictures(guesses)
        yield stage, Completing(stage.first, frame.index, frame.t, states, shown, frame.nfe)


def restore(
    ask: Restoring, places: tuple[Path, ...]
) -> Iterator[Left | Weighed | Completing | Summed]:
    """Measure and weigh the training images, then draw as `complete`, then sum up."""
    import torch

    from trainer.drawing import measure, open_model
    from trainer.images import to_signed
    from trainer.restore import posterior, summary
    from trainer.runs.folder import training_images

    opened = open_model(ask, places)
    measured, training = measure(ask, opened), training_images(opened.data, opened.run.config)
    yield Left(pictures(measured.operator.picture(measured.y)))

    def summed(mean: "Tensor", std: "Tensor", some: "Tensor") -> dict[str, Any]:
        found = summary(measured, mean, std, some)
        return {
            "mean": pictures(mean[None]), "spread": pictures(2 * std[None] - 1),
            "error": found.error, "spreads": found.spread, "residual": found.residual,
        }  # fmt: skip

    exact = posterior(measured, training)
    draws = to_signed(training[exact.draw(ask.count, torch.Generator().manual_seed(ask.seed))])
    yield Weighed(
        **summed(exact.mean, exact.std, draws), draws=pictures(draws), effective=exact.effective,
        known=len(training),
    )  # fmt: skip
    finals = []
    for stage, completing in _completing(ask, opened):
        finals += [stage.frame.x.float()] if stage.last else []
        yield completing
    x = torch.cat(finals)
    yield Summed(**summed(x.mean(0), x.std(0, correction=0), x))


def _shown(frame: "Frame", model: "Denoiser") -> np.ndarray:
    """The states as pictures, made smaller where noise makes them larger than data are.

    By sqrt(alpha² + sigma²): how large the states of unit variance data are at t.
    """
    import torch

    alpha, sigma = (float(value[0]) for value in model.process.marginal(torch.tensor([frame.t])))
    return pictures(frame.x / max(1.0, (alpha**2 + sigma**2) ** 0.5))


def round_trip(ask: Encoding, places: tuple[Path, ...]) -> Iterator[Passing | Returned]:
    """Encode, then decode, with FRAMES frames each way."""
    from trainer.drawing import open_model
    from trainer.latents import follow, images_of

    opened = open_model(ask, places)
    x0, latents = images_of(ask, opened), None
    for way in follow(ask, opened, FRAMES):
        index = FRAMES - way.frame.index if way.back else way.frame.index
        # The report, which comes last, makes it whole.
        share = (way.frame.index + (FRAMES + 1) * way.back) / (2 * FRAMES + 2)
        yield Passing(index, way.back, share, _shown(way.frame, opened.model))
        latents = latents if way.back else way.frame.x
    assert latents is not None
    error = 127.5 * float((way.frame.x - x0).square().mean().sqrt())
    unit = (latents / opened.model.process.prior_std).float().cpu().numpy()
    density, _ = np.histogram(unit, bins=BINS, density=True)
    yield Returned(error, float(unit.mean()), float(unit.std()), density, way.nfe)


def interpolate(ask: Interpolation, places: tuple[Path, ...]) -> Iterator[Between]:
    """Encode both images, go from latent to latent along the great circle, decode all at once."""
    import torch

    from trainer.drawing import open_model
    from trainer.latents import angle, follow, images_of

    opened, between = open_model(ask, places), None
    x0 = images_of(ask, opened)
    weights = torch.linspace(0, 1, ask.count, device=x0.device)
    blends = pictures(torch.lerp(x0[:1], x0[1:], weights.view(-1, 1, 1, 1)))
    for way in follow(ask, opened, FRAMES):
        share = way.frame.index / (2 * FRAMES) + way.back / 2
        if not way.back:
            between = angle(way.frame.x)
            yield Between(share, blends[:0], blends, None, way.nfe)
        else:
            yield Between(share, _shown(way.frame, opened.model), blends, between, way.nfe)
