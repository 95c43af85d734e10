"""Every figure and table of the report, from runs: PNG, SVG and one HTML page.

Each figure is a generator that yields the share it has done and returns a Figure; `figures` runs
them all and yields what happens. What takes long is in trainer.runs.measures, and cached there.
"""

import dataclasses
import importlib.metadata
import shlex
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from assets import ASSETS
from trainer.catalogue import PROCESSES
from trainer.data import ImageSet, load
from trainer.devices import machine
from trainer.figures import backend, curves, pictures, schema, theory  # noqa: F401 - it first
from trainer.figures.draw import Figure
from trainer.figures.page import page
from trainer.figures.tables import comparison, terminal
from trainer.problems import Problem, file_problems, write_file
from trainer.runs import Run
from trainer.runs.cards import cards
from trainer.runs.measures import measure_likelihood, measure_samples, measures, own_sampler

__all__ = ["NUMBERS", "Finished", "Made", "Missing", "Working", "figures", "open_runs"]

NUMBERS = tuple(str(k) for k in range(1, 12))
FIRST_DDPM = ("report-ddpm", "report-ddpm-mended", "modern", "modern-unconditional")
FIRST_SDE = ("report-sde", "modern-sde", "modern-sub-vp", "modern-ve", "modern-flow")


@dataclass(frozen=True)
class Working:
    """`what` is under way; `done` of `total` tasks, a fraction of the present one included."""

    what: str
    done: float
    total: int


@dataclass(frozen=True)
class Made:
    """A figure is drawn, and its files are written."""

    figure: Figure
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class Missing:
    """A figure or measure could not be made, and why."""

    what: str
    why: str


@dataclass(frozen=True)
class Finished:
    """The page is written."""

    page: Path


Event = Working | Made | Missing | Finished


def open_runs(folders: Sequence[Path]) -> tuple[list[Run], list[Missing]]:
    """The runs with a checkpoint in those folders, each a run or a folder of runs.

    Of a folder of runs, one that cannot be opened is named and left out.
    """
    found: list[Run] = []
    damaged: list[Missing] = []
    for folder in folders:
        if (folder / "config.json").exists():
            found.append(Run.open(folder))
            continue
        inside = sorted(path.parent for path in folder.glob("[!.]*/config.json"))
        if not inside:
            raise Problem(
                f"{folder} is neither a run nor a folder of runs: name another with --runs."
            )
        for path in inside:
            try:
                found.append(Run.open(path))
            except Problem as problem:
                damaged.append(Missing(f"The run {path.name}", str(problem)))
    return [run for run in found if run.checkpoints()], damaged


def _kind(run: Run) -> str:
    return "ddpm" if PROCESSES.named(run.config.process).chain else "sde"


def of_kind(runs: list[Run], kind: str) -> list[Run]:
    """The runs of a "ddpm" or an "sde" process, the report's own presets first.

    Of one preset, those that learnt from a part of the images come after those that had them all.
    """
    order = FIRST_DDPM if kind == "ddpm" else FIRST_SDE
    matching = [run for run in runs if _kind(run) == kind]

    def rank(run: Run) -> tuple[int, bool]:
        known = run.config.preset in order
        place = order.index(run.config.preset) if known else len(order)
        return place, run.config.limit_images is not None

    return sorted(matching, key=rank)


def _first(runs: list[Run], kind: str) -> Run:
    """The run that the report's figures of that kind are drawn from."""
    if not (found := of_kind(runs, kind)):
        preset = (FIRST_DDPM if kind == "ddpm" else FIRST_SDE)[0]
        raise Problem(
            f"there is no run with {'a DDPM chain' if kind == 'ddpm' else 'an SDE'} here. Train "
            f"one with python -m trainer train --preset {preset} --run {preset}"
        )
    return found[0]


def _with_curves(runs: list[Run], kind: str, key: str) -> list[Run]:
    """Up to four runs of that kind whose metrics hold `key`, of as many presets as there are."""
    _first(runs, kind)
    found = [r for r in of_kind(runs, kind) if any(key in line for line in r.metrics())]
    if not found:
        raise Problem(f"no run of that kind has a metrics.jsonl with {key} in it.")
    presets = [run.config.preset for run in found]
    before = [presets[:k].count(preset) for k, preset in enumerate(presets)]
    return [found[k] for k in sorted(range(len(found)), key=before.__getitem__)][:4]


def _draw(number: str, runs: list[Run], data: ImageSet, seed: int) -> pictures.Drawing:
    """The figure of that number, yielding the share that is done."""
    match number:
        case "1":
            return (yield from pictures.forward(_first(runs, "ddpm"), data, seed))
        case "2":
            return (yield from pictures.backward(_first(runs, "ddpm"), seed))
        case "3":
            return (yield from schema.schema(_first(runs, "ddpm")))
        case "4":
            return curves.loss(
                _with_curves(runs, "ddpm", "loss"), "4", "DDPM",
                "The report trained for 300 epochs, 13,122 s on its GPU.",
            )  # fmt: skip
        case "5":
            return (yield from pictures.denoising(_first(runs, "ddpm"), data, seed))
        case "6":
            _first(runs, "ddpm")
            several = [r for r in of_kind(runs, "ddpm") if len(r.checkpoints()) > 1]
            chosen = (several or of_kind(runs, "ddpm"))[0]
            return (yield from pictures.stages(chosen, seed))
        case "7":
            return (yield from theory.sde_overview(seed))
        case "8":
            return curves.loss(
                _with_curves(runs, "sde", "loss"), "8", "SDE model",
                "The report trained this model for 5,500 steps in 11 minutes, 10,000 in all.",
            )  # fmt: skip
        case "9":
            return curves.bits(_with_curves(runs, "sde", "bpd"))
        case "10":
            return (yield from pictures.digits(_first(runs, "sde"), data, seed))
        case _:
            return (yield from theory.schedules(data))


def _stand_in(figure: Figure, runs: list[Run]) -> str:
    """A sentence if no run of the report's own preset is in the figure, or nothing."""
    names = figure.settings.get("runs", [figure.settings.get("run")])
    shown = [run for run in runs if run.folder.name in names]
    if not shown:
        return ""
    kind = _kind(shown[0])
    wanted = (FIRST_DDPM if kind == "ddpm" else FIRST_SDE)[0]
    if any(run.config.preset == wanted for run in shown):
        return ""
    there = any(run.config.preset == wanted for run in runs)
    why = "lacks what this needs" if there else "is not here"
    return f"Drawn from {' and '.join(names)}: a run of the report's own preset {wanted} {why}."


def _measure(
    run: Run,
    data: ImageSet,
    samples: tuple[int, ...],
    likelihood_images: int,
    seed: int,
    device: str,
    recompute: bool,
) -> Generator[float, None, None]:
    """See that the run has the measures asked for, by its own sampler where it has none by another.

    More test images than asked for will do.
    """
    drawn = {m.settings["count"] for m in measures(run) if m.kind == "samples"}
    counts = samples if recompute else tuple(n for n in samples if n not in drawn)
    if counts:
        sampler, steps = own_sampler(run)
        for share in measure_samples(run, data, counts, sampler, steps, seed, device, recompute):
            yield 0.7 * share
    judged = [m.values["images"] for m in measures(run) if m.kind == "likelihood"]
    if likelihood_images and (recompute or max(judged, default=0) < likelihood_images):
        count = likelihood_images
        for share in measure_likelihood(run, data, count, seed, device, recompute):
            yield 0.7 + 0.3 * share


def _version() -> str:
    try:
        return importlib.metadata.version("diffviz")
    except importlib.metadata.PackageNotFoundError:  # a checkout, or the packaged app
        return ""


def figures(
    out: Path,
    folders: Sequence[Path] | None = None,
    only: Sequence[str] | None = None,
    samples: tuple[int, ...] = (1024,),
    likelihood_images: int = 16,
    seed: int = 0,
    device: str = "cpu",
    recompute: bool = False,
) -> Iterator[Event]:
    """Write the figures numbered in `only` (all) and the page with the tables into `out`.

    `folders` are runs or folders of runs (the shipped models unless given). Runs are measured with
    `samples` counts of images and `likelihood_images` test images where that is not known yet;
    without any, only what is known is shown. What cannot be made is said, and the rest is made.
    Raises Problem where there is no run at all, or `out` cannot be written.
    """
    folders = list(folders or [ASSETS / "models"])
    only = only or NUMBERS
    if unknown := [number for number in only if number not in NUMBERS]:
        raise Problem(f"There is no figure {', '.join(unknown)}: they are 1 to {NUMBERS[-1]}.")
    runs, missing = open_runs(folders)
    yield from missing
    with file_problems("make the folder", out):
        out.mkdir(parents=True, exist_ok=True)
    sets: dict[str, ImageSet] = {}

    def data_of(run: Run | None) -> ImageSet:
        name = run.config.dataset if run is not None else "mnist"
        if name not in sets:
            sets[name] = load(name)
        return sets[name]

    measuring = [r for r in runs if samples or likelihood_images]
    # A run of another image set takes part in tables; the report's figures are MNIST's.
    of_report = [run for run in runs if run.config.dataset == "mnist"] or runs
    data = data_of(of_report[0] if of_report else None)
    total, done = len(measuring) + len(only), 0
    drawn: list[Figure] = []

    for run in measuring:
        what = f"Measuring {run.folder.name}"
        yield Working(what, done, total)
        try:
            for share in _measure(
                run, data_of(run), samples, likelihood_images, seed, device, recompute
            ):
                yield Working(what, done + share, total)
        except Problem as problem:
            missing.append(Missing(f"Measures of {run.folder.name}", str(problem)))
            yield missing[-1]
        done += 1

    for number in only:
        what = f"Figure {number}"
        yield Working(what, done, total)
        work = _draw(number, of_report, data, seed)
        try:
            while True:
                yield Working(what, done + next(work), total)
        except StopIteration as end:
            figure: Figure = end.value
            if sentence := _stand_in(figure, runs):
                figure = dataclasses.replace(figure, text=(*figure.text, sentence))
            drawn.append(figure)
            yield Made(figure, tuple(figure.save(out)))
        except Problem as problem:
            missing.append(Missing(what, str(problem)))
            yield missing[-1]
        done += 1

    path = out / "index.html"
    found = cards(runs)
    tables = [comparison(found), terminal(data, found)]

    def command(*options: str) -> str:
        words = ["python", "-m", "trainer", "figures", *options, "--out", str(out)]
        return shlex.join([*words, "--runs", *map(str, folders)])

    about = {
        "version": _version(),
        "torch": torch.__version__,
        "machine": machine(device),
        "date": f"{time.localtime().tm_mday} {time.strftime('%B %Y')}",
    }
    gaps = [(entry.what, entry.why) for entry in missing]
    text = page(
        drawn, tables, found, gaps, command(), lambda number: command("--only", number), about
    )
    write_file(path, text.encode())
    yield Finished(path)
