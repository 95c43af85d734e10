"""What the runs view asks for, and its work: following runs, drawing from them, tidying up."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trainer.ask import Ask, Choice, setting
from trainer.events import line_of_metrics
from trainer.problems import Problem, file_problems
from trainer.requests import Drawing

MEASURES = (Choice("loss", "Loss"), Choice("bpd", "Bits/dim, held-out (bound)"))
POLL_SECONDS = 0.4
CHUNK_LINES = 4000
SMOOTHING = 50  # steps that the overlaid loss averages over


@dataclass(frozen=True)
class Runs(Ask):
    """Whose curves lie over each other."""

    ticked: tuple[str, ...] = setting((), "Ticked", "The runs whose curves are shown")
    measure: str = setting("loss", "Measure", "What the curves show", choices=MEASURES)
    log: bool = setting(False, "Log scale", "A logarithmic axis")
    ema: float | None = setting(
        None, "EMA length", "How long an average of the weights the stages draw with (sigma_rel, "
        "Karras et al. 2024); as trained unless given", least=0.02, most=0.25,
    )  # fmt: skip


def averaged(steps: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of runs of SMOOTHING losses, at their last steps; short curves as they are."""
    whole = len(losses) // SMOOTHING
    if whole < 20:
        return steps, losses
    kept = losses[: whole * SMOOTHING].reshape(whole, SMOOTHING).mean(axis=1)
    return steps[SMOOTHING - 1 : whole * SMOOTHING : SMOOTHING], kept


def spread(steps: tuple[int, ...], count: int) -> tuple[int, ...]:
    """At most `count` of the steps, evenly spread, the last among them."""
    if len(steps) <= count:
        return steps
    return tuple(steps[round((k + 1) * len(steps) / count) - 1] for k in range(count))


@dataclass(frozen=True)
class Grown:
    """New lines of a run's metrics: steps with losses, steps with bits/dim, both ascending.

    `by_time` is the newest loss over t, (n,) over n equal parts of [0, 1], or None. `anew` says
    that the file was begun anew, so that what came before no longer holds.
    """

    folder: Path
    steps: np.ndarray
    losses: np.ndarray
    bound_steps: np.ndarray
    bounds: np.ndarray
    by_time: np.ndarray | None
    checkpoints: tuple[int, ...]
    anew: bool = False


@dataclass
class _Reader:
    """How far a run's metrics file has been read."""

    folder: Path
    place: int = 0
    rest: bytes = field(default=b"", repr=False)
    checkpoints: tuple[int, ...] = ()

    def read(self) -> Iterator[Grown]:
        """What was written since the last time, in pieces."""
        path = self.folder / "metrics.jsonl"
        kept: list[Path] = []
        size = 0
        with suppress(OSError):  # there is none yet, or the run is deleted just now
            size = path.stat().st_size
        with suppress(OSError):
            kept = [Path(name) for name in os.listdir(self.folder / "checkpoints")]
        files = (p for p in kept if p.suffix == ".safetensors" and p.stem.isdecimal())
        checkpoints = tuple(sorted(int(p.stem) for p in files))
        anew = size < self.place
        if anew:
            self.place, self.rest = 0, b""
        if size == self.place:
            if checkpoints != self.checkpoints or anew:
                self.checkpoints = checkpoints
                yield self._grown([], anew)
            return
        with open(path, "rb") as stream:
            stream.seek(self.place)
            content = self.rest + stream.read()
            self.place = stream.tell()
        *lines, self.rest = content.split(b"\n")
        self.checkpoints = checkpoints
        for first in range(0, len(lines), CHUNK_LINES):
            yield self._grown(lines[first : first + CHUNK_LINES], anew and first == 0)

    def _grown(self, lines: list[bytes], anew: bool) -> Grown:
        steps: list[float] = []
        losses: list[float] = []
        bound_steps: list[float] = []
        bounds: list[float] = []
        by_time = None
        for line in lines:
            if (found := line_of_metrics(line)) is None:
                continue
            if "loss" in found:
                steps.append(found["step"])
                losses.append(found["loss"])
            if "bpd" in found:
                bound_steps.append(found["step"])
                bounds.append(found["bpd"])
            if "loss_by_time" in found:
                by_time = np.array(found["loss_by_time"], float)
        return Grown(
            self.folder, np.array(steps, float), np.array(losses, float),
            np.array(bound_steps, float), np.array(bounds, float), by_time, self.checkpoints, anew,
        )  # fmt: skip


def follow(folders: tuple[Path, ...]) -> Iterator[Grown | None]:
    """Read these runs' metrics, and go on reading what others write; None while nothing comes.

    Never ends by itself: a run may be written by another program or machine at any time.
    """
    readers = [_Reader(folder) for folder in folders]
    while True:
        for reader in readers:
            try:
                yield from reader.read()
            except OSError:
                continue  # being replaced just now: the next round reads it
        time.sleep(POLL_SECONDS)
        yield None


@dataclass(frozen=True)
class Stage:
    """What a checkpoint draws from fixed noise: uint8 (N, H, W) or (N, H, W, 3).

    `ema` is the length of the average that drew, None as trained; `averages` says whether the run
    keeps what other lengths are solved from.
    """

    folder: Path
    step: int
    images: np.ndarray
    ema: float | None = None
    averages: bool = False


def stages(
    folder: Path, steps: tuple[int, ...], count: int, seed: int, ema: float | None = None
) -> Iterator[Stage | None]:
    """Draw `count` images from each of these checkpoints of a run, all from the same noise.

    By weights averaged to the length `ema`, if it is given and the run keeps averages.

    Classes, if it knows any, are asked for in turn and plainly, as its training's previews are.
    None comes after each sampling step, so that stopping never waits for long.
    """
    from trainer.drawing import draw, open_model
    from trainer.images import pictures
    from trainer.runs import Run
    from trainer.runs.averages import averages_of

    config = Run.open(folder).config
    for step in steps:
        name = f"{step:08d}.safetensors"
        averages = averages_of(folder / "checkpoints" / name).exists()
        length = ema if averages else None
        ask = Drawing(
            str(folder), name, ema=length, sampler=config.preview_sampler,
            steps=config.preview_steps, guidance=1.0, precision=config.precision, count=count,
            seed=seed, batch=count,
        )  # fmt: skip
        last = None
        for stage in draw(ask, open_model(ask)):
            last = stage.frame
            yield None
        assert last is not None
        yield Stage(folder, step, pictures(last.x), length, averages)


def card_of(folder: Path) -> Iterator[str]:
    """The run's card as plain text: what it is, what was measured, how to repeat it."""
    from trainer.runs import Run
    from trainer.runs.cards import card, card_text

    yield card_text(card(Run.open(folder)))


def measure(folder: Path, kind: str, count: int) -> Iterator[float]:
    """Measure a run's newest checkpoint, and keep what was found; yields the share done.

    `kind` "fid" takes `count` samples of the run's own sampler, "likelihood" so many test images.
    """
    from trainer.data import load
    from trainer.devices import best_device
    from trainer.runs import Run
    from trainer.runs.measures import measure_likelihood, measure_samples, own_sampler

    run, device = Run.open(folder), best_device()
    data = load(run.config.dataset)
    if kind == "fid":
        yield from measure_samples(run, data, (count,), *own_sampler(run), device=device)
    else:
        yield from measure_likelihood(run, data, count, device=device)


@dataclass(frozen=True)
class Reported:
    """How far the report's page is, 0…1, on what; `page` when it is written."""

    what: str
    share: float
    page: Path | None = None


def report(out: Path, shipped: Path, own: Path) -> Iterator[Reported]:
    """Write the page of the report's figures, from all runs; what is not measured stays out."""
    from trainer.figures import Finished, Working, figures

    folders = [folder for folder in (shipped, own) if any(folder.glob("*/config.json"))]
    for event in figures(out, folders, samples=(), likelihood_images=0):
        if isinstance(event, Working):
            yield Reported(event.what, event.done / event.total)
        elif isinstance(event, Finished):
            yield Reported("The page", 1.0, event.page)


def rename(folder: Path, name: str) -> Iterator[Path]:
    """Give a run's folder another name, beside where it is."""
    if not name.strip() or any(sign in name for sign in '/\\:*?"<>|') or name.startswith("."):
        raise Problem(
            f"'{name}' cannot be a run's name: take letters, digits, spaces, - and _ only."
        )
    target = folder.with_name(name.strip())
    if target.exists():
        raise Problem(f"There is a run named '{target.name}' already: choose another name.")
    with file_problems("rename the run", folder):
        folder.rename(target)
    yield target


def repoint(folder: Path, images: str) -> Iterator[Path]:
    """Let a run's training go on with its images from the folder where they lie by now."""
    from trainer.events import outcome
    from trainer.runs import Run
    from trainer.training import resuming

    was = Run.open(folder).config.dataset
    side = was[was.rindex(":") :] if was.rpartition(":")[2].isdecimal() else ""
    outcome(resuming(folder, images + side))
    yield folder


def delete(folder: Path) -> Iterator[Path]:
    """Delete a run's folder, and nothing that is not a run."""
    if not (folder / "config.json").is_file():
        raise Problem(f"{folder} is not a run folder: nothing was deleted.")
    with file_problems("delete the run", folder):
        shutil.rmtree(folder)
    yield folder
