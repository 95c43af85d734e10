"""Draws laid side by side: what they cost, how far each is from a finer one, and their FID.

Importing this needs no torch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.ask import Choice, options_of, settings_of
from trainer.catalogue import PROCESSES, SAMPLERS
from trainer.config import ExperimentConfig
from trainer.problems import Problem
from trainer.requests import Drawing, Solver

if TYPE_CHECKING:
    from trainer.data import ImageSet
    from trainer.drawing import Opened, Stage
    from trainer.metrics import Moments
    from trainer.metrics.features import Features

DIGIT_SHAPE = (1, 28, 28)
FINER = 8  # times a random sampler's steps are its own reference
MOST_STEPS = 1000  # of such a reference
REFERENCES = (
    Choice("", "none"),
    Choice("ddim 200", "DDIM, 200"),
    Choice("ddim 1000", "DDIM, 1000"),
    Choice("heun 100", "Heun, 100"),
    Choice("dpm-solver++ 100", "DPM-Solver++, 100"),
)
Piece = tuple[str, Drawing]  # "draw" or "judge", and what


def how(ask: Solver) -> str:
    """The spacing and the sampler's options in words, as far as they are not the usual ones."""
    known = options_of(ask, "options", ask.sampler)
    words = []
    for name, value in ask.options.items():
        title = known[name].title
        if value != known[name].default:
            number = value if isinstance(value, str) else f"{value:g}"
            words.append(f"{title[0].lower()}{title[1:]} {number}")
    if ask.spacing != settings_of(Solver)["spacing"].default:
        words.append(settings_of(Solver)["spacing"].entries()[ask.spacing].title)
    return ", ".join(words)


def titled(ask: Solver) -> str:
    """What draws, in words, whatever its steps: what one curve is of."""
    return ", ".join(filter(None, (SAMPLERS[ask.sampler].title, how(ask))))


@dataclass(frozen=True)
class Drawn:
    """All images: as pictures, and `final`, the floats (N, C, H, W) that they round.

    `images` are uint8 (N, H, W) or (N, H, W, 3); `nfe` passes of the network an image, `seconds`
    spent sampling, `precision` that it ran in; `random`: the sampler took fresh noise on its way.
    """

    images: np.ndarray = field(repr=False)
    final: np.ndarray = field(repr=False)
    nfe: int
    seconds: float
    precision: str
    random: bool = False


def drawing(ask: Drawing, opened: "Opened") -> Iterator["Stage | Drawn"]:
    """Draw what is asked, stage by stage; at the end what it came to."""
    from trainer.drawing import draw
    from trainer.images import channels_last

    images: list[np.ndarray] = []
    finals: list[np.ndarray] = []
    seconds, nfe = 0.0, 0
    for stage in draw(ask, opened):
        if stage.last:
            images.append(channels_last(stage.images()))
            finals.append(stage.frame.x.float().cpu().numpy())
            seconds, nfe = seconds + stage.seconds, stage.frame.nfe
        yield stage
    precision = str(opened.model.precision).removeprefix("torch.")
    random = SAMPLERS.named(ask.sampler).make(**ask.options).random
    yield Drawn(np.concatenate(images), np.concatenate(finals), nfe, seconds, precision, random)


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


@lru_cache(maxsize=2)
def _standard(dataset: str) -> "tuple[Features, Moments, ImageSet]":
    """The digit features, the training set's moments in them, and the images."""
    from trainer.data import load
    from trainer.metrics import training_moments
    from trainer.metrics.features import feature_set

    data, chosen = load(dataset), feature_set("digits")
    return chosen, training_moments(data.train, chosen), data


def judge(ask: Drawing, opened: "Opened") -> Iterator[Judging | Judged]:
    """Draw an ask's images only to measure their FID in digit features."""
    from trainer.drawing import draw
    from trainer.metrics import frechet_distance, limits, moments, refuse, spread_out

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


def rms(a: np.ndarray, b: np.ndarray) -> float:
    """The root-mean-square difference of two sets of images, pixels in [-1, 1]."""
    return float(np.sqrt(np.square(a.astype(np.float64) - b).mean()))


def fine_solver(reference: str) -> dict[str, Any] | None:
    """The changes that make a draw the fine one that REFERENCES names; None for none."""
    if not reference:
        return None
    sampler, steps = reference.split()
    one = Solver(sampler=sampler, steps=int(steps))
    return {name: getattr(one, name) for name in settings_of(Solver)}


def most_steps(config: ExperimentConfig) -> int:
    """How many steps a reference may take at most: of a chain no more than it has."""
    if PROCESSES[config.process].chain:
        return int(config.filled("process_parameters")["steps"])
    return MOST_STEPS


@dataclass
class Comparison:
    """Draws; what they are measured against; and results by ask.

    `reference` holds the changes that make a draw the fine solution of the ODE from the same noise.
    Samplers without fresh noise are measured against that; one with noise against itself at FINER
    times the steps, `most` at most by model (and with those changes that are not the sampler's):
    noise belongs to the interval, so that both follow one path. Without a reference there are no
    errors.

    `judged_count` samples a draw give its FID; 0: none is wanted. A result is kept for as long as
    the comparison: a setting that is changed back finds it again. `refused` holds a sentence for
    each piece that could not be computed.
    """

    draws: list[Drawing] = field(default_factory=list)
    reference: Mapping[str, Any] | None = None
    judged_count: int = 0
    most: Mapping[str, int] = field(default_factory=dict)
    drawn: dict[Drawing, Drawn] = field(default_factory=dict)
    judged: dict[Drawing, Judged] = field(default_factory=dict)
    refused: dict[Piece, str] = field(default_factory=dict)

    def take(self, piece: Piece, event: object) -> None:
        """Keep what the work on that piece gave, if it is a result."""
        if isinstance(event, Drawn):
            self.drawn[piece[1]] = event
        elif isinstance(event, Judged):
            self.judged[piece[1]] = event

    def judgement(self, draw: Drawing) -> Piece | None:
        """The piece that gives that draw's FID, if one is wanted."""
        return ("judge", draw.with_changes(count=self.judged_count)) if self.judged_count else None

    def pieces(self) -> list[Piece]:
        """All that is asked for, in the order in which to compute it: pictures before figures.

        What is not drawn yet is taken for one without fresh noise.
        """
        found: list[Piece] = [("draw", draw) for draw in self.draws]
        there = [draw for draw in self.draws if ("draw", draw) not in self.refused]
        fine = [self.reference_of(d) if d in self.drawn else self.fine(d) for d in there]
        found += [("draw", draw) for draw in fine if draw is not None]
        for draw in sorted(there, key=lambda draw: draw.steps):
            if (judgement := self.judgement(draw)) is not None:
                found.append(judgement)
        return list(dict.fromkeys(found))

    def missing(self) -> list[Piece]:
        """The pieces that are neither computed nor refused."""
        computed = {("draw", draw) for draw in self.drawn} | {("judge", d) for d in self.judged}
        return [p for p in self.pieces() if p not in computed and p not in self.refused]

    def fine(self, draw: Drawing) -> Drawing | None:
        """The fine solution of the ODE from that draw's noise, if errors are wanted."""
        return None if self.reference is None else draw.with_changes(**self.reference)

    def reference_of(self, draw: Drawing) -> Drawing | None:
        """What a draw is measured against, as far as it is known already; None if against none."""
        result, fine = self.drawn.get(draw), self.fine(draw)
        if result is None or draw == fine or not result.random:
            return None if result is None or draw == fine else fine
        steps = min(self.most.get(draw.model, MOST_STEPS), FINER * draw.steps)
        if self.reference is None or steps <= draw.steps:
            return None
        others = {n: v for n, v in self.reference.items() if n not in settings_of(Solver)}
        return draw.with_changes(steps=steps, **others)

    def error(self, draw: Drawing) -> float | None:
        """RMS distance of a draw to its reference; None where it is not there or makes no sense."""
        fine = self.reference_of(draw)
        mine, theirs = self.drawn.get(draw), self.drawn.get(fine) if fine else None
        return None if mine is None or theirs is None else rms(mine.final, theirs.final)

    def fid(self, draw: Drawing) -> Judged | None:
        """What was measured of that draw's samples, if it was."""
        judgement = self.judgement(draw)
        return None if judgement is None else self.judged.get(judgement[1])

    def figures(self, draw: Drawing) -> dict[str, float]:
        """What is known of a draw: "seconds", "nfe", "error", "fid", "floor"."""
        result, judged, error = self.drawn.get(draw), self.fid(draw), self.error(draw)
        found: dict[str, float] = {}
        if result is not None:
            found |= {"seconds": result.seconds, "nfe": result.nfe}
        if error is not None:
            found["error"] = error
        if judged is not None:
            found |= {"fid": judged.fid, "floor": judged.floor}
        return found

    def values(self, key: str) -> dict[str, list[tuple[int, float]]]:
        """By what draws, in the order of the draws, (NFE, "error" or "fid") points, ascending."""
        found: dict[str, dict[int, float]] = {}
        for draw in self.draws:
            figures = self.figures(draw)
            if figures.get(key, 0) > 0 and "nfe" in figures:
                found.setdefault(titled(draw), {})[int(figures["nfe"])] = figures[key]
        return {name: sorted(points.items()) for name, points in found.items()}


def compute(piece: Piece, places: tuple[Path, ...], device: str | None = None) -> Iterator[Any]:
    """What a piece asks for, of a model that is looked up in `places`, as it comes."""
    from trainer.drawing import open_model

    opened = open_model(piece[1], places, device)
    yield from (drawing if piece[0] == "draw" else judge)(piece[1], opened)
