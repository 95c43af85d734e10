"""The only place that draws and seeds: equal asks give equal pixels, wherever they come from."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainer.ask import Ask
from trainer.catalogue import SAMPLERS
from trainer.config import ExactConfig
from trainer.data import ImageSet, load
from trainer.data.pictures import in_channels, read_image
from trainer.degrade import Canvas, operator
from trainer.denoiser import Denoiser, Model
from trainer.devices import best_device
from trainer.guidance import Guided
from trainer.images import to_bytes, to_signed
from trainer.masks import MASKS, forgotten
from trainer.picture import numbered, pixels
from trainer.problems import Problem
from trainer.requests import Drawing, Inpainting, OfClasses, OfModel, Restoring, Sampling
from trainer.restore import Downhill, Informed, Measured
from trainer.runs.averages import averaged
from trainer.runs.checkpoints import load_weights
from trainer.runs.exact import run_named
from trainer.runs.folder import SHIPPED, Run
from trainer.samplers import Frame, Known, Noise, sample
from trainer.samplers.noise import mixed

__all__ = ["Opened", "Stage", "draw", "drawn_images", "measure", "open_model"]

MEASURED = 101  # a stream of noise that no image's seed meets


@dataclass(frozen=True)
class Opened:
    """A model that an ask names, and its guide if it has one, ready to be asked, on its device."""

    run: Run
    model: Denoiser
    device: str
    guide: Denoiser | None = None

    @cached_property
    def data(self) -> ImageSet:
        """The images that it was trained on."""
        return load(self.run.config.dataset)

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of what it draws."""
        return self.run.image_shape()

    def images(self, asked: str, count: int) -> Tensor:
        """`count` images, float (count, C, H, W) in [-1, 1], on the device: from that number on,
        and from the first again after the last; or one picture in every place."""
        if found := numbered(asked):
            part, first = found
            pixels(asked, self.shape, lambda: self.data)  # a Problem where there is none
            images = self.data.train if part == "train" else self.data.test
            several = images[np.arange(first, first + count) % len(images)]
        else:
            several = pixels(asked, self.shape, lambda: self.data)[None].repeat(count, 0)
        return to_signed(torch.from_numpy(several)).to(self.device)

    def image(self, asked: str) -> Tensor:
        """The image that `asked` means (`trainer.picture.pixels`), float (1, C, H, W)."""
        return self.images(asked, 1)

    def exact(self, kind: str, known: int | None = None) -> Denoiser:
        """The exact model of that kind (trainer.catalogue.EXACT), under the same process: of the
        images that this one learnt from, or only of the first `known` of them."""
        config = self.run.config
        one = ExactConfig(
            kind, config.dataset, config.process, config.process_parameters,
            known or config.limit_images, first=config.first_image,
        )  # fmt: skip
        return run_named(one.id).model(device=self.device)

    def asking(self, ask: Sampling, places: range) -> Model:
        """The model, asked for the classes that `ask` names in turn, at those images' places, and
        guided: by the guide, asked for the same if it knows as many classes, or else, where a
        class is asked for, by the model itself, asked for none."""
        known = getattr(self.model.network, "classes", 0)
        good, bad = self.model, self.guide
        if labels := ask.labels(known):
            chosen = torch.tensor([labels[k % len(labels)] for k in places], device=self.device)
            good = self.model.conditioned(chosen)
            if bad is None:
                bad = self.model
            elif getattr(bad.network, "classes", 0) == known:
                bad = bad.conditioned(chosen)
        if bad is None or ask.guidance == 1:
            return good
        most = math.inf if ask.guidance_to is None else ask.guidance_to
        return Guided(good, bad, good.process, ask.guidance, ask.guidance_from, most)


@dataclass(frozen=True)
class Stage:
    """A frame of the images from `first` on, drawn together; `last` when they are finished.

    `seconds` spent on them so far.
    """

    first: int
    frame: Frame
    last: bool
    seconds: float

    @property
    def count(self) -> int:
        return len(self.frame.x)

    def images(self) -> np.ndarray:
        """The images, uint8 (B, C, H, W); before the last frame the model's guesses."""
        return to_bytes(self.frame.x if self.last else self.frame.x0).cpu().numpy()


def precision_for(ask: Ask) -> str:
    """The precision that an ask means: to a sampler that chooses its own steps auto is float32.

    bfloat16's rounding would look to it like roughness of the model.
    """
    asked = str(getattr(ask, "precision", "float32"))
    sampler = getattr(ask, "sampler", None)
    adaptive = sampler is not None and SAMPLERS.named(sampler).find().adaptive
    return "float32" if asked == "auto" and adaptive else asked


def open_model(
    ask: OfModel, places: tuple[Path, ...] = (SHIPPED,), device: str | None = None
) -> Opened:
    """The run and the weights that an ask names; a name is looked up in `places`.

    Raises Problem where there is no such run or checkpoint, or no averages for the EMA asked for.
    """
    run, device = run_named(ask.model, places), device or best_device()
    path = checkpoint_of(run, ask.checkpoint) if ask.checkpoint else None
    if ask.checkpoint and path is None:
        raise Problem(
            f"{run.folder.name} keeps no checkpoint {Path(ask.checkpoint).stem}. Choose another "
            "one."
        )
    precision, guide = precision_for(ask), None
    model = run.model(path, device, precision)
    if ask.ema is not None:
        path = path or run.newest()
        load_weights(model.network, averaged(run, path, ask.ema), path)
    if isinstance(ask, OfClasses) and ask.guide:
        other, its = guide_of(ask.guide, run, places)
        guide = other.model(its, device, precision)
    return Opened(run, model, device, guide)


def checkpoint_of(run: Run, named: str) -> Path | None:
    """The run's checkpoint that a step, a file's name or a path means; None where there is none."""
    step = f"{int(named):08d}" if named.isdecimal() else named.removesuffix(".safetensors")
    kept = run.folder / "checkpoints" / f"{step}.safetensors"
    return next((path for path in (Path(named), kept) if path.is_file()), None)


def guide_of(named: str, run: Run, places: tuple[Path, ...]) -> tuple[Run, Path | None]:
    """The run and the checkpoint that guide `run`: one of its own, another's, by its file or as
    RUN/STEP, or another run's newest (None). Raises Problem where there is none, or one that
    cannot guide it."""
    other, path = run, checkpoint_of(run, named)
    if path is None:
        name, _, step = named.rpartition("/")
        try:
            other = run_named(named, places)
        except Problem as problem:
            if name and step.isdecimal():
                other = run_named(name, places)
                path = checkpoint_of(other, step)
            if path is None:
                steps = ", ".join(path.stem for path in other.checkpoints()) or "none are kept"
                raise Problem(
                    f"{problem} Or name a checkpoint of {other.folder.name} ({steps}) as the guide."
                ) from problem
    elif path.parent.resolve() != (run.folder / "checkpoints").resolve():
        other = Run.open(path.absolute().parents[1])
    if other.image_shape() != run.image_shape():
        raise Problem(f"{other.folder.name} draws images of another shape: it cannot be the guide.")
    both = [one.config for one in (run, other)]
    mine, its = ((one.process, one.filled("process_parameters")) for one in both)
    if mine != its:
        raise Problem(
            f"{other.folder.name} learnt to undo another process ({other.config.process}) than "
            f"{run.folder.name} ({run.config.process}): it cannot be the guide."
        )
    return other, path


def mask_of(asked: str, height: int, width: int) -> np.ndarray:
    """The mask that `asked` means, bool (height, width), true where to forget: a name in MASKS,
    rows of 0 and 1, or an image file that is white there. A Problem where nothing is forgotten.
    """
    rows = asked.split()
    if asked in MASKS:
        return forgotten(asked, height, width)
    if rows and all(set(row) <= {"0", "1"} for row in rows):
        if len(rows) != height or any(len(row) != width for row in rows):
            raise Problem(
                f"The mask is {len(rows)} x {len(rows[0])}, the image {height} x {width}: paint "
                "it anew."
            )
        found = np.array([[digit == "1" for digit in row] for row in rows], bool)
    elif Path(asked).is_file():
        found = in_channels(read_image(Path(asked), height, width), 1)[0] > 127
    else:
        raise Problem(
            f"There is no mask '{asked}': name {', '.join(MASKS)}, or an image file that is white "
            "where to forget."
        )
    if not found.any():
        raise Problem(f"The mask {asked[:40]} forgets nothing: make it white where to forget.")
    return found


def measure(ask: Restoring, opened: Opened) -> Measured:
    """The image that is asked for, degraded: equal asks measure the same."""
    generator = torch.Generator().manual_seed(mixed(ask.seed, MEASURED))
    height, width = opened.shape[1:]
    known = None
    if ask.degradation == "mask":
        known = torch.from_numpy(~mask_of(ask.mask, height, width))
    canvas, image = Canvas(height, width, known, generator), opened.image(ask.image)
    chosen = operator(ask.degradation, canvas, ask.filled("how"))
    y = chosen(image)
    noise = torch.randn(y.shape, generator=generator).to(y)
    return Measured(chosen, image, y + ask.noise * noise, ask.noise)


def seeds(seed: int, places: range) -> list[int]:
    """The seed of each image's own noise: image k's follows from `seed` and k alone."""
    return [mixed(seed, place) for place in places]


def draw(ask: Drawing, opened: Opened, rank: int = 0, ranks: int = 1) -> Iterator[Stage]:
    """Draw what is asked, batch by batch; of several `ranks` each draws every so-manieth batch.

    Every image has noise of its own, seeded by (seed, its place): it depends neither on how many
    are drawn nor on the batch, but for rounding.
    """
    process, options = opened.model.process, ask.filled("options")
    sampler = SAMPLERS.named(ask.sampler).make(**options)
    image = opened.image(ask.image) if ask.image else None
    known = measured = None
    if isinstance(ask, Restoring):
        measured = measure(ask, opened)
        if ask.method == "dps":
            sampler = Downhill(sampler, measured, ask.zeta)
    if isinstance(ask, Inpainting):
        assert image is not None
        mask = torch.from_numpy(~mask_of(ask.mask, *opened.shape[1:])).to(opened.device)
        known = Known(image, mask, ask.repeats)
    for first in range(rank * ask.batch, ask.count, ranks * ask.batch):
        places = range(first, min(ask.count, first + ask.batch))
        noise = Noise(seeds(ask.seed, places), opened.shape, process, opened.device)
        x = process.prior_std * noise.start()
        if ask.start < 1 and image is not None:
            t = torch.full((len(x),), ask.start, device=x.device)
            x = process.diffuse(image.expand_as(x), t, noise.start())
        model: Model = opened.asking(ask, places)
        if measured and isinstance(ask, Restoring) and ask.method == "pigdm":
            model = Informed(model, process, measured)
        frames = sample(model, process, x, sampler, ask.steps, noise, ask.start, ask.spacing, known)
        seconds = 0.0
        while True:
            began = time.perf_counter()
            frame = next(frames, None)
            seconds += time.perf_counter() - began
            if frame is None:
                break
            last = frame.index == ask.steps
            if last and not bool(frame.x.isfinite().all()):
                raise Problem(
                    f"{ask.sampler} in {ask.steps} steps left pictures that are not finite. Take "
                    "more steps, another sampler, or float32."
                )
            yield Stage(first, frame, last, seconds)


def drawn_images(ask: Drawing, opened: Opened | None = None) -> np.ndarray:
    """All the images of an ask, uint8 (N, C, H, W): what a script wants."""
    opened = opened or open_model(ask)
    return np.concatenate([stage.images() for stage in draw(ask, opened) if stage.last])
