"""What can be asked of a trained model: the asks that window, command line and scripts share.

Importing this needs no torch.
"""

from dataclasses import dataclass
from typing import Any

from trainer.ask import Ask, setting
from trainer.catalogue import (
    DEGRADATIONS,
    DEQUANTISATIONS,
    FEATURES,
    PRECISIONS,
    RESTORERS,
    SAMPLERS,
    SPACINGS,
)
from trainer.config import MOST_SEED
from trainer.masks import MASKS
from trainer.problems import Problem

EACH, ANY = "each", "any"  # what `classes` may say besides numbers
GUIDED = ("guidance", "guide", "guidance_from", "guidance_to")  # the settings of guidance
HOW = ("spacing", "options", "ema")  # what else decides how samples that are measured are drawn
# Of modern's samples 98.8 % are of the class asked for at guidance 1.3 and 100 % at 2; their FID of
# 1,024, by dpm-solver++ in 20 steps, is 0.38 and 1.48, that of as many test images 0.38 (python -m
# trainer measure --run modern --sampler dpm-solver++ --steps 20 --guidance 1.3).
GUIDANCE = 1.3
IMAGE_TIP = "The number of a test image, counted from 0 (train:4: of a training image), or a file"


def picture(default: str, title: str, more_tip: str = "", **more: Any) -> Any:
    """A setting that names a picture, as trainer.picture.pixels reads it."""
    return setting(default, title, IMAGE_TIP + more_tip, picture=True, **more)


def classes_of_version_1(values: dict[str, Any]) -> dict[str, Any]:
    """What the window's views stored before version 2: a class as a number, -1 any, -2 each."""
    found = {name: value for name, value in values.items() if name not in ("class", "label")}
    number = values.get("class", values.get("label"))
    if isinstance(number, int):
        found["classes"] = {-1: ANY, -2: EACH}.get(number, str(number))
    return found


@dataclass(frozen=True)
class OfModel(Ask):
    """Something asked of one checkpoint of one run: `model` is its name, or its folder's path.

    Or an exact model's id (trainer.config.ExactConfig), which has no checkpoints.
    """

    # fmt: off
    model: str = setting("modern", "Model", "The trained model that is asked, or an exact one, "
                         "such as training-set:mnist or 'gaussian:mnist process=vp images=1000'")
    checkpoint: str = setting(
        "", "Checkpoint", "A file of the run's checkpoints (the newest unless given): earlier "
        "ones draw worse digits",
    )
    ema: float | None = setting(
        None, "EMA length", "Over which part of the training, up to that checkpoint, its weights "
        "are averaged (sigma_rel, Karras et al. 2024): long is smooth, short is recent; as trained "
        "unless given", least=0.02, most=0.25, more=True,
    )
    # fmt: on

    def check(self) -> None:
        if not self.model.strip():
            raise Problem("Model (model) must be a run's name or folder: it is empty.")


@dataclass(frozen=True)
class OfClass(OfModel):
    """Something asked of a model that may know classes, and then of one or several of these."""

    # fmt: off
    classes: str = setting(
        EACH, "Class", "Which class a model that knows classes is asked to draw: each in turn, "
        "any, a number, or several in turn",
    )
    # fmt: on

    def check(self) -> None:
        super().check()
        if self.classes not in (EACH, ANY) and not (
            self.classes.split() and all(word.isdecimal() for word in self.classes.split())
        ):
            raise Problem(
                f"Class (classes) must be each, any, or numbers from 0 on, not '{self.classes}'."
            )

    def labels(self, known: int) -> tuple[int, ...]:
        """The classes asked for in turn of a model that knows classes 0…known - 1; () for none.

        Raises Problem for a class that it does not know.
        """
        if self.classes in (EACH, ANY):
            return tuple(range(known)) if self.classes == EACH else ()
        wanted = tuple(int(word) for word in self.classes.split())
        if not known:
            raise Problem("This model was trained without classes: it cannot be asked for one.")
        if max(wanted) >= known:
            raise Problem(f"The classes of this model are 0 to {known - 1}.")
        return wanted


@dataclass(frozen=True)
class OfClasses(OfClass):
    """The same, and how strongly: guidance."""

    # fmt: off
    guidance: float = setting(
        GUIDANCE, "Guidance", "How strongly a class is asked for: 1 plainly, more gives clearer "
        "and less varied images (Ho and Salimans 2022), or how far from its guide the model is "
        "led; it takes two passes of the network", least=0, most=100,
    )
    guide: str = setting(
        "", "Guide", "A worse model to be led away from, asked for the same class: an earlier "
        "checkpoint of this run, or another run of the same process, or its checkpoint as RUN/STEP "
        "(autoguidance, Karras et al. 2024); unless given, this model asked for no class, where "
        "one is asked for", more=True,
    )
    guidance_from: float = setting(
        0.0, "Guidance from", "The least σ/α at which guidance counts; below it one pass is enough "
        "(Kynkäänniemi et al. 2024)", least=0, more=True,
    )
    guidance_to: float | None = setting(
        None, "Guidance to", "The largest σ/α at which guidance counts: at the strongest noise it "
        "costs variety; at any unless given", above=0, more=True,
    )
    precision: str = setting(
        "auto", "Precision", "What convolutions and products run in: auto takes bfloat16 where "
        "the hardware has it, and float32 for solvers that choose their own steps",
        choices=PRECISIONS, more=True,
    )
    # fmt: on

    def check(self) -> None:
        super().check()
        if self.guidance_to is not None and self.guidance_to < self.guidance_from:
            raise Problem(
                f"Guidance to (guidance_to) must be at least where it begins, "
                f"{self.guidance_from:g}, not {self.guidance_to:g}."
            )


@dataclass(frozen=True)
class Solver(Ask):
    """A sampler and its steps: how a model's answers become images."""

    # fmt: off
    sampler: str = setting(
        "ddim", "Sampler", "How the model's answers become steps from noise to image",
        choices=SAMPLERS,
    )
    steps: int = setting(
        50, "Steps", "Updates from noise to image: fewer are quicker and coarser", least=1,
        most=100_000,
    )
    spacing: str = setting(
        "time", "Spacing", "How the steps are spread over t", choices=SPACINGS, more=True,
    )
    options: dict[str, Any] = setting(
        {}, "Sampler's options", "What the sampler takes", of="sampler", more=True,
    )
    # fmt: on


@dataclass(frozen=True)
class Sampling(Solver, OfClasses):
    """Who draws, and how."""


@dataclass(frozen=True)
class Beginning(Ask):
    """Where drawing begins: with `start` below 1 at that time, from `image` with noise added
    (SDEdit, Meng et al. 2022, arXiv:2108.01073), instead of from the prior."""

    # fmt: off
    image: str = picture("", "Image", ", to start from instead of noise", more=True)
    start: float = setting(
        1.0, "Start at t", "How far that image is noised first: 1 is all noise", above=0, most=1,
        more=True,
    )
    # fmt: on

    def check(self) -> None:
        super().check()
        if self.start < 1 and not self.image.strip():
            raise Problem("Start at t (start) needs an image to start from: name one.")


@dataclass(frozen=True)
class Drawing(Beginning, Sampling):
    """Images to draw. Image k begins as the same noise whatever their number."""

    # fmt: off
    count: int = setting(
        64, "Images", "How many images; the first stay the same when there are more", least=1,
        most=10_000_000, suggested=(16, 64, 256, 1024),
    )
    seed: int = setting(
        0, "Seed", "The noise that the images begin as: another one, other digits", least=0,
        most=MOST_SEED,
    )
    batch: int = setting(
        64, "At a time", "Images drawn together: more are faster, and take more memory", least=1,
        most=100_000, more=True,
    )
    # fmt: on


@dataclass(frozen=True)
class Masked(Drawing):
    """Completions of `image`, of which `mask` is forgotten."""

    # fmt: off
    sampler: str = setting(
        "ddpm", "Sampler", "How the model's answers become steps from noise to image",
        choices=SAMPLERS,
    )
    classes: str = setting(
        ANY, "Class", "Which class the completions are asked to be: any, each in turn, a number, "
        "or several in turn, of a model that knows classes",
    )
    image: str = picture("0", "Image")
    mask: str = setting(
        "centre", "Forget",
        f"What is drawn anew: {', '.join(MASKS)}, an image file that is white there, or rows of 0 "
        "and 1",
    )
    count: int = setting(
        16, "Images", "How many completions, each from other noise", least=1, most=100_000,
        suggested=(4, 16, 36, 64),
    )
    # fmt: on


@dataclass(frozen=True)
class Inpainting(Masked):
    """Completions by replacement.

    The known part is kept: at every step it is set to the image noised to the same level (Song et
    al. 2021, appendix I.2).
    """

    # fmt: off
    repeats: int = setting(
        1, "Repeats", "How often each update is made: more let both parts agree better (RePaint, "
        "Lugmayr et al. 2022)", least=1, most=1000,
    )
    # fmt: on


@dataclass(frozen=True)
class Restoring(Masked):
    """Images that a degraded `image` may have been, y = A x + noise, found through the model's
    own guess (trainer.restore)."""

    # fmt: off
    image: str = picture("4", "Image")
    degradation: str = setting(
        "blur", "Degradation", "What is lost of the image", choices=DEGRADATIONS,
    )
    how: dict[str, Any] = setting(
        {}, "Degradation's options", "What the degradation takes", of="degradation", more=True,
    )
    noise: float = setting(
        0.1, "Noise", "The standard deviation of the noise that is added to what is left, where "
        "black is -1 and white 1", least=1e-3, most=100,
    )
    method: str = setting(
        "pigdm", "Method", "How what is left steers the model", choices=RESTORERS,
    )
    zeta: float = setting(
        1.0, "DPS's ζ", "How far each of DPS's steps goes towards what is left", above=0,
        most=1000, more=True,
    )
    # fmt: on


@dataclass(frozen=True)
class OfPath(OfModel):
    """Something that follows the probability-flow ODE, solved adaptively."""

    # fmt: off
    tolerance: float = setting(
        1e-3, "Tolerance", "How far off each of the ODE solver's steps may be, relatively: less "
        "is slower and more exact", above=0, most=1, suggested=(1e-2, 1e-3, 1e-4),
    )
    precision: str = setting(
        "float32", "Precision", "What convolutions and products run in: to a solver that chooses "
        "its own steps, bfloat16's rounding looks like roughness", choices=PRECISIONS, more=True,
    )
    # fmt: on


@dataclass(frozen=True)
class Encoding(OfPath):
    """Images turned into latents, and back."""

    # fmt: off
    image: str = picture("0", "Image")
    count: int = setting(1, "Images", "How many test images from that one on", least=1, most=10_000)
    # fmt: on


@dataclass(frozen=True)
class Interpolation(OfPath):
    """Images between two, by their latents (spherical interpolation) and by their pixels."""

    # fmt: off
    first: str = picture("0", "From")
    second: str = picture("1", "To")
    count: int = setting(
        9, "Images", "How many images, both ends among them", least=2, most=1000,
        suggested=(5, 7, 9, 11),
    )
    # fmt: on


@dataclass(frozen=True)
class Likelihood(OfPath):
    """Exact bits/dim of images by the probability-flow ODE, the variational bound beside."""

    # fmt: off
    count: int = setting(
        16, "Test images", "How many test images, spread evenly over all", least=1,
        suggested=(16, 64, 256, 10_000),
    )
    dequantisation: str = setting(
        "normal", "Dequantisation", "The noise that turns bytes into numbers that have a density",
        choices=DEQUANTISATIONS, more=True,
    )
    tolerance: float = setting(
        5e-3, "Tolerance", "How far off each of the ODE solver's steps may be, in deviations of "
        "the noise: less is slower and more exact", above=0, most=1,
        suggested=(2e-2, 5e-3, 1e-3, 1e-4), more=True,
    )
    precision: str = setting(
        "auto", "Precision", "What convolutions and products run in: auto takes bfloat16 where "
        "the hardware has it", choices=PRECISIONS, more=True,
    )
    draws: int = setting(
        1, "Draws", "How often an image is dequantised anew: several tell an error for each image",
        least=1, most=1000, suggested=(1, 4, 16), more=True,
    )
    evaluations: int = setting(
        64, "Bound's evaluations", "At so many levels of noise the bound is taken, for each draw",
        least=1, most=100_000, suggested=(16, 64, 256), more=True,
    )
    seed: int = setting(0, "Seed", "Of all random draws", least=0, most=MOST_SEED, more=True)
    batch: int = setting(
        64, "At a time", "Images judged together: more are faster", least=1, more=True
    )
    # fmt: on


@dataclass(frozen=True)
class Evaluation(Drawing):
    """Samples measured: FID, precision, recall, classes, copying."""

    # fmt: off
    count: int = setting(1024, "Images", "How many to draw", least=4, most=10_000_000)
    features: str = setting(
        "digits", "Features", "What the FID is taken in; inception needs diffviz[inception] and "
        "its weights", choices=FEATURES,
    )
    # fmt: on
