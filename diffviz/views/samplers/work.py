"""What the samplers view asks for, and how samples are judged on workers."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from trainer.ask import Choice, options_of, setting, settings_of
from trainer.catalogue import SAMPLERS
from trainer.config import MOST_SEED
from trainer.problems import Problem
from trainer.requests import Drawing, OfClasses, Solver, classes_of_version_1

if TYPE_CHECKING:
    from trainer.data import ImageSet
    from trainer.metrics import Moments
    from trainer.metrics.features import Features

DIGIT_SHAPE = (1, 28, 28)
REFERENCES = (
    Choice("", "none"),
    Choice("ddim 200", "DDIM, 200"),
    Choice("ddim 1000", "DDIM, 1000"),
    Choice("heun 100", "Heun, 100"),
    Choice("dpm-solver++ 100", "DPM-Solver++, 100"),
)
PLOTS = (Choice("error", "error (RMS)"), Choice("fid", "FID"))
MOST_COLUMNS = 16


@dataclass(frozen=True)
class Column(Solver):
    """One column: a sampler and its steps."""


FIRST = (Column("ddim", 10), Column("ddim", 40), Column("ddpm", 50), Column("euler-maruyama", 100))


# fmt: off
@dataclass(frozen=True)
class Samplers(OfClasses):
    """A comparison: columns that share model, noise and number of images."""

    version: ClassVar[int] = 2
    model: str = setting("modern-sde", "Model", "The trained model that all columns ask")
    count: int = setting(16, "Images", "How many images each column shows", least=1, most=1024,
                         suggested=(4, 9, 16, 36, 64))
    seed: int = setting(
        0, "Seed", "The noise that all columns start from: another one, other digits", least=0,
        most=MOST_SEED,
    )
    reference: str = setting(
        "ddim 200", "Error to", "The fine solution of the ODE, from the same noise, that samplers "
        "without noise are measured against; those with noise against themselves at many more "
        "steps", choices=REFERENCES,
    )
    judged: int = setting(
        0, "FID", "Draw this many samples a column and measure their distance to the training set: "
        "it takes a while on a CPU, and fewer samples bias it upwards; 0: none", least=0,
        most=10_000, suggested=(0, 256, 512, 1024),
    )
    plot: str = setting(
        "error", "Plot", "What the plot below shows over the network evaluations", choices=PLOTS
    )
    columns: tuple[Column, ...] = setting(FIRST, "Columns", "The samplers side by side")

    def drawing(self, column: Column) -> Drawing:
        """What that column draws."""
        shared = (*settings_of(OfClasses), "count", "seed")
        values = {name: getattr(self, name) for name in shared}
        return Drawing(**values, **{name: getattr(column, name) for name in settings_of(Column)})

    def fine(self) -> Drawing | None:
        """The reference's drawing; None where no error is wanted."""
        if not self.reference:
            return None
        sampler, steps = self.reference.split()
        return self.drawing(Column(sampler, int(steps)))

    def check(self) -> None:
        super().check()
        if not 1 <= len(self.columns) <= MOST_COLUMNS:
            raise Problem(f"A comparison has 1 to {MOST_COLUMNS} columns.")

    @classmethod
    def migrate(cls, values: dict[str, Any], version: int) -> dict[str, Any]:
        if version > 1:
            return values
        found = classes_of_version_1(values)
        sampler, steps = found.pop("reference", ["ddim", 200])
        found["reference"] = f"{sampler} {steps}" if sampler else ""
        pairs = found.pop("columns", [])
        if pairs:
            found["columns"] = [{"sampler": s, "steps": n} for s, n in pairs[:MOST_COLUMNS]]
        return found


# fmt: on


def how(ask: Column | Drawing) -> str:
    """The spacing and the sampler's options in words, as far as they are not the usual ones."""
    known = options_of(ask, "options", ask.sampler)
    words = []
    for name, value in ask.options.items():
        title = known[name].title
        if value != known[name].default:
            number = value if isinstance(value, str) else f"{value:g}"
            words.append(f"{title[0].lower()}{title[1:]} {number}")
    if ask.spacing != settings_of(Column)["spacing"].default:
        words.append(settings_of(Column)["spacing"].entries()[ask.spacing].title)
    return ", ".join(words)


def titled(ask: Column | Drawing) -> str:
    """What draws, in words, whatever its steps: what one curve is of."""
    return ", ".join(filter(None, (SAMPLERS[ask.sampler].title, how(ask))))


@dataclass(frozen=True)
class Judging:
    """The share of the drawing that is done, 0…1."""

    share: float


@dataclass(frozen=True)
class Judged:
    """FID of an ask's images to the training set, and `floor`, that of as many test images.

    `limits` says what it cannot tell in these features; "" where they fit.
    """

    fid: float
    floor: float
    features: str
    limits: str = ""


def rms(a: np.ndarray, b: np.ndarray) -> float:
    """The root-mean-square difference of two sets of images, pixels in [-1, 1]."""
    return float(np.sqrt(np.square(a.astype(np.float64) - b).mean()))


@lru_cache(maxsize=2)
def _standard(dataset: str) -> "tuple[Features, Moments, ImageSet]":
    """The digit features, the training set's moments in them, and the images."""
    from trainer.data import load
    from trainer.metrics import training_moments
    from trainer.metrics.features import feature_set

    data, chosen = load(dataset), feature_set("digits")
    return chosen, training_moments(data.train, chosen), data


def judge(ask: Drawing, places: tuple[Path, ...]) -> Iterator[Judging | Judged]:
    """Draw an ask's images only to measure their FID in digit features."""
    from trainer.drawing import draw, open_model
    from trainer.metrics import frechet_distance, limits, moments, refuse, spread_out

    opened = open_model(ask, places)
    if opened.shape != DIGIT_SHAPE:
        raise Problem("FID is measured in digit features here, of 28 x 28 grey images only.")
    chosen, training, data = _standard(opened.run.config.dataset)
    refuse(ask.count, opened.shape, data)
    if len(data.test) < ask.count:
        raise Problem(f"There are only {len(data.test)} test images to compare with: take fewer.")
    images = []
    for stage in draw(ask, opened):
        if stage.last:
            images.append(stage.images())
        yield Judging((stage.first + stage.count * stage.frame.index / ask.steps) / ask.count)
    fid, floor = (
        frechet_distance(moments(chosen(group)), training)
        for group in (np.concatenate(images), spread_out(data.test, ask.count))
    )
    yield Judged(fid, floor, chosen.name, limits(data, chosen, ask.count))
