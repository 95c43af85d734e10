"""How a run learnt to draw: the same noise by each of its checkpoints. Importing needs no torch."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trainer.ask import setting
from trainer.images import pictures
from trainer.problems import Problem
from trainer.requests import Drawing

MOST_CHECKPOINTS = 40


@dataclass(frozen=True)
class Learnt(Drawing):
    """The same images, drawn by each of a run's checkpoints."""

    # fmt: off
    steps: int = setting(20, "Steps", "Updates from noise to image", least=1, most=200)
    count: int = setting(16, "Images", "How many images each checkpoint draws", least=1, most=64,
                         suggested=(4, 9, 16, 36))
    # fmt: on


@dataclass(frozen=True)
class Course:
    """The checkpoints that will draw: their optimiser steps and the images they had seen."""

    steps: tuple[int, ...]
    seen: tuple[int, ...]


@dataclass(frozen=True)
class Drawn:
    """What checkpoint `index` draws: its guesses at each t, uint8 (T, n, H, W[, 3]), the last of
    them the images themselves; `times` (T,) fall from 1 to 0."""

    index: int
    times: np.ndarray = field(repr=False)
    guesses: np.ndarray = field(repr=False)


def from_the_ends(count: int) -> list[int]:
    """0…count - 1, the last first, then the first, then what lies between, ever finer."""
    found: list[int] = [count - 1, 0]
    gap = count
    while gap > 1:
        gap = (gap + 1) // 2
        found += range(gap, count, gap)
    return list(dict.fromkeys(k for k in found if k < count))


def spread(paths: list[Path]) -> list[Path]:
    """At most MOST_CHECKPOINTS of them, the first and the last among them."""
    if len(paths) <= MOST_CHECKPOINTS:
        return paths
    places = np.linspace(0, len(paths) - 1, MOST_CHECKPOINTS).round().astype(int)
    return [paths[k] for k in places]


def learn(
    ask: Learnt, places: tuple[Path, ...], device: str | None = None
) -> Iterator[Course | Drawn]:
    """Let every checkpoint of the run that `ask` names draw: the last first."""
    from trainer.drawing import draw, open_model
    from trainer.runs.checkpoints import checkpoint_facts
    from trainer.runs.exact import run_named

    paths = spread(run_named(ask.model, places).checkpoints())
    if not paths:
        raise Problem("An exact model has learnt nothing: choose a trained one.")
    facts = [checkpoint_facts(path)[1] for path in paths]
    yield Course(
        tuple(fact.get("step", int(path.stem)) for path, fact in zip(paths, facts, strict=True)),
        tuple(fact.get("images_seen") or 0 for fact in facts),
    )
    for index in from_the_ends(len(paths)):
        asked = ask.with_changes(checkpoint=paths[index].name, batch=ask.count)
        times, guesses = [], []
        for stage in draw(asked, open_model(asked, places, device)):
            times.append(stage.frame.t)
            guesses.append(pictures(stage.frame.x if stage.last else stage.frame.x0))
        yield Drawn(index, np.array(times), np.stack(guesses))


def distances(images: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The root mean square difference of each image of `images` (n, …) from that of `last`, (n,),
    in levels' range: 0 equal, 1 black against white."""
    difference = (images.astype(np.float32) - last) / 255
    found: np.ndarray = np.sqrt((difference**2).reshape(len(images), -1).mean(1))
    return found
