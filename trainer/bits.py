"""How likely a picture is: its bits taken apart, and those of whole sets that were made of images.

A blank image is likelier than any digit, under a model that draws nothing but digits: likelihood is
no measure of what belongs to the data (Nalisnick et al. 2019, arXiv:1810.09136). Importing this
needs no torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from trainer.ask import Choice, setting
from trainer.images import channels_last, to_bytes
from trainer.problems import Problem
from trainer.requests import Likelihood, picture

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from trainer.drawing import Opened

LEVELS = 24  # of log-SNR that costs are told of
HOT = np.array([255.0, 176.0, 0.0])  # the colour of pixels that cost most
# Images of a set judged together, by what they are judged by: the histograms grow by so many, and
# who stops waits for so many.
TOGETHER = {"bound": 16, "exact": 4}

CHANGES = (
    Choice("none", "as it is"),
    Choice("turned", "upside down"),
    Choice("inverted", "inverted", "Black for white"),
    Choice("blank", "blank", "All black"),
    Choice("noise", "noise", "Every byte is as likely"),
)
SETS = {
    "none": "digits", "turned": "upside down", "inverted": "inverted", "blank": "blank",
    "noise": "noise",
}  # fmt: skip


@dataclass(frozen=True)
class Bits(Likelihood):
    """One picture judged and taken apart; and test images ranked, beside what was made of them."""

    # fmt: off
    model: str = setting("modern-likelihood", "Model", "The model that judges")
    image: str = picture("0", "Picture")
    change: str = setting("none", "Judged", "What is made of the picture before it is judged",
                          choices=CHANGES)
    count: int = setting(
        128, "Test images", "How many test images are ranked, spread evenly over all", least=1,
        most=10_000, suggested=(32, 128, 512, 10_000),
    )
    by: str = setting(
        "bound", "Ranked by", "What the test images and the other sets are judged by", choices=(
            Choice("bound", "the bound", "Quick"),
            Choice("exact", "the exact value", "Some sixty evaluations an image"),
        ),
    )
    draws: int = setting(
        8, "Draws", "How often the picture is noised anew: more make its errors smaller", least=2,
        most=1000, suggested=(4, 8, 32), more=True,
    )
    evaluations: int = setting(
        24, "Bound's evaluations", "At so many levels of noise the bound is taken, for each draw",
        least=1, most=10_000, suggested=(24, 96), more=True,
    )
    # fmt: on


@dataclass(frozen=True)
class Figure:
    """The picture, uint8 (H, W) or (H, W, 3), that is judged."""

    image: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Taken:
    """The picture's bound and where its bits are: `costs` (n + 2,) in bits/dim of the decoder, of
    log-SNR between `edges` (n + 1,) and of the prior; `heat` (n + 2, H, W) of each pixel, whose
    mean over pixels the costs are.
    """

    bound: float
    error: float
    edges: np.ndarray = field(repr=False)
    costs: np.ndarray = field(repr=False)
    heat: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Exactly:
    """The picture's exact bits/dim, its random error and the solver's, NFE; or `why` it has none"""

    value: float
    error: float = 0.0
    solver: float = 0.0
    nfe: float = 0.0
    why: str = ""


@dataclass(frozen=True)
class Several:
    """More of a set in SETS: made of the test images `numbers` (n,), images uint8 (n, H, W[, 3]),
    bits/dim (n,), and the mean costs (as Taken's)."""

    name: str
    numbers: np.ndarray = field(repr=False)
    images: np.ndarray = field(repr=False)
    bits: np.ndarray = field(repr=False)
    costs: np.ndarray = field(repr=False)


def changed(images: "Tensor", how: str, generator: "torch.Generator") -> "Tensor":
    """uint8 images (N, C, H, W) as one of CHANGES makes them."""
    import torch

    if how == "turned":
        return images.flip(2, 3)
    if how == "inverted":
        return 255 - images
    if how == "blank":
        return torch.zeros_like(images)
    if how == "noise":
        drawn = torch.randint(0, 256, images.shape, generator=generator, dtype=torch.uint8)
        return drawn.to(images.device)
    return images


def seeded(ask: Bits, place: int) -> "torch.Generator":
    """The random draws of what comes at that place."""
    import torch

    from trainer.samplers.noise import nth

    return torch.Generator().manual_seed(nth(ask.seed, place))


def judged(ask: Bits, opened: "Opened") -> Iterator[Figure | Taken | Exactly]:
    """The picture, where its bits are by the bound, and its exact value."""
    from trainer.likelihood import exact_bits, taken_apart

    model, process = opened.model, opened.model.process
    image = changed(to_bytes(opened.image(ask.image)), ask.change, seeded(ask, 0))
    yield Figure(channels_last(image.cpu().numpy())[0])
    copies = image.repeat(ask.draws, 1, 1, 1)
    apart = taken_apart(model, process, copies, seeded(ask, 1), ask.evaluations, LEVELS)
    values = apart.values.double()
    yield Taken(
        float(values.mean()), float(values.std() / ask.draws**0.5), apart.edges.double().numpy(),
        apart.by_level().cpu().numpy(), apart.bits.mean(1).cpu().numpy(),
    )  # fmt: skip
    try:
        exact = exact_bits(
            model, process, copies, seeded(ask, 2), ask.tolerance, how=ask.dequantisation
        )
    except Problem as problem:
        yield Exactly(float("nan"), why=str(problem))
        return
    drawn = exact.value.double()
    error = float(drawn.std() / ask.draws**0.5)
    yield Exactly(float(drawn.mean()), error, float(exact.solver.mean()), exact.nfe)


def several(ask: Bits, opened: "Opened") -> Iterator[Several]:
    """All sets, a few images of each in turn."""
    import torch

    from trainer.likelihood import exact_bits, taken_apart
    from trainer.likelihood.judge import each
    from trainer.metrics import spread_out

    model, process, test = opened.model, opened.model.process, opened.data.test
    numbers = spread_out(np.arange(len(test)), ask.count)

    def job(name: str, images: "Tensor", first: int) -> Several:
        these, place = changed(images, name, seeded(ask, first + 3)), first + 4
        found = taken_apart(model, process, these, seeded(ask, place), ask.evaluations, LEVELS)
        bits, generator = found.values, seeded(ask, place)
        if ask.by == "exact":
            how = ask.dequantisation
            bits = exact_bits(model, process, these, generator, ask.tolerance, how=how).value
        return Several(
            name, numbers[first : first + len(images)], channels_last(these.cpu().numpy()),
            bits.double().cpu().numpy(), found.by_level().cpu().numpy(),
        )  # fmt: skip

    tests = torch.from_numpy(test[numbers]).to(opened.device)
    together = TOGETHER[ask.by]
    jobs = [
        partial(job, name, tests[first : first + together], first)
        for first in range(0, len(tests), together)
        for name in SETS
    ]
    yield from each(jobs, opened.device)


def coloured(image: np.ndarray) -> np.ndarray:
    """A picture (H, W) or (H, W, 3) as (H, W, 3)."""
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, 2)


def heated(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The picture (H, W[, 3]) darkened, and over it in HOT what its pixels cost, heat (H, W)."""
    most = np.quantile(heat, 0.995)
    share = (heat / most if most > 0 else np.zeros_like(heat)).clip(0, 1)[..., None] ** 0.7
    found: np.ndarray = 0.35 * coloured(image) * (1 - share) + HOT * share
    return found.round().astype(np.uint8)
