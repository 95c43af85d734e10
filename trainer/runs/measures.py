"""Measures of a run that are dear to make: made once, kept beside the run, shown wherever needed.

measures.json in the run folder is a list of Measure; where that folder may not be written, or ships
with DiffViz, the user's cache folder takes a file named after the checkpoint. A measure belongs to
the checkpoint whose checksum it carries: trained on, a run has none until it is measured again.
"""

import dataclasses
import json
import math
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from assets import ASSETS
from trainer.ask import options_of, settings_of
from trainer.data import ImageSet
from trainer.devices import machine
from trainer.drawing import draw, open_model
from trainer.likelihood.bound import Estimate
from trainer.likelihood.judge import Judged, judge, summary
from trainer.problems import Problem, as_json, cache_folders, write_file
from trainer.requests import GUIDED, HOW, Drawing, Likelihood
from trainer.runs import Run
from trainer.runs.checkpoints import checkpoint_facts
from trainer.runs.folder import SHIPPED
from trainer.training.distributed import team, united

BATCH = 64
BATCH_JUDGED = 8
AS_DATA = "as in the data"
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Measure:
    """What was found (`values`) of the checkpoint with that SHA-256, how, and on what machine.

    `kind` is "samples" (FID and its company, NFE, seconds) or "likelihood" (bits/dim).
    """

    kind: str
    checkpoint: str
    settings: dict[str, Any]
    values: dict[str, Any]
    machine: str


# What a measure of a kind must tell in numbers, of its values and of its settings.
NEEDED = {
    "samples": (("fid", "floor", "nfe", "seconds"), ("count", "steps")),
    "likelihood": (("images",), ()),
}
# What it may tell in numbers, or have left open; and what is a number where it is told at all.
MAY = (
    "sure", "sure_of_real", "copying", "exact", "exact_error", "bound", "bound_error",
    "solver_error",
)  # fmt: skip
MAY_SETTINGS = ("ema", "guidance_from", "guidance_to")
TOLD = ("asked", "floor_images", "nfe")
WORDS = ("classes", "dequantisation", "features", "guide", "sampler", "spacing")  # of its settings


def _cached(checkpoint: str) -> list[Path]:
    return [folder / f"measures-{checkpoint[:16]}.json" for folder in cache_folders()]


def _sound(one: Measure) -> bool:
    """Whether a measure out of a file says what its readers count on."""
    if not isinstance(one.values, dict) or not isinstance(one.settings, dict):
        return False
    if one.kind not in ("samples", "likelihood"):
        return False
    if one.kind == "samples" and not isinstance(one.settings.get("sampler"), str):
        return False
    values, settings = NEEDED[one.kind]
    told = [one.values.get(name) for name in values] + [one.settings.get(name) for name in settings]
    told += [one.values[name] for name in TOLD if name in one.values]
    told += [one.settings.get("guidance", 1)]
    may = [one.values.get(name) for name in MAY] + [one.settings.get(n) for n in MAY_SETTINGS]
    told += [number for number in may if number is not None]
    if one.values.get("solver_error") is not None:
        told.append(one.values.get("nfe"))
    classes, options = one.values.get("classes") or [], one.settings.get("options", {})
    if not isinstance(options, dict):
        return False
    told += [value for value in options.values() if not isinstance(value, str)]
    if not isinstance(classes, list) or not isinstance(one.values.get("limits", ""), str):
        return False
    if not all(isinstance(one.settings.get(name), str | None) for name in WORDS):
        return False
    return all(isinstance(n, int | float) and abs(n) < 1e15 for n in [*told, *classes])


def _read(path: Path) -> list[Measure]:
    """The measures in that file; what is damaged is left out: it can be measured again."""
    try:
        found = [Measure(**entry) for entry in json.loads(path.read_text("utf-8"))]
    except (OSError, ValueError, TypeError, RecursionError):
        return []
    return [one for one in found if _sound(one)]


def measures(run: Run) -> list[Measure]:
    """What has been measured of the run's newest checkpoint, the latest last."""
    checkpoint, _ = checkpoint_facts(run.newest())
    places = [*_cached(checkpoint), run.folder / "measures.json"]
    return [one for path in places for one in _read(path) if one.checkpoint == checkpoint]


def best(found: list[Measure]) -> Measure | None:
    """Of these measures that of samples with the least FID, among those of the most samples."""
    drawn = [one for one in found if one.kind == "samples"]
    most = max((one.settings["count"] for one in drawn), default=0)
    alike = [one for one in drawn if one.settings["count"] == most]
    return min(alike, key=lambda one: one.values["fid"], default=None)


def drawn_by(measure: Measure) -> dict[str, Any]:
    """The settings of trainer.requests.Drawing that say how a measure's samples were drawn; as
    usual where it does not tell, but without guidance."""
    usual = {name: one.default for name, one in settings_of(Drawing).items()} | {"guidance": 1.0}
    names = ("sampler", "steps", *GUIDED, *HOW)
    return {name: measure.settings.get(name, usual[name]) for name in names}


def find(run: Run, kind: str, settings: dict[str, Any]) -> Measure | None:
    """The measure of that kind with exactly these settings, if it was made already."""
    matching = (m for m in measures(run) if m.kind == kind and m.settings == settings)
    return next(matching, None)


def keep(run: Run, made: Measure) -> None:
    """Write a measure beside the run, or to the cache folder; it replaces one of like settings.

    The models that ship stay as they are.
    """
    places = [run.folder / "measures.json", *_cached(made.checkpoint)]
    if ASSETS in run.folder.resolve().parents:
        del places[0]
    for path in places:
        others = [
            m
            for m in _read(path)
            if (m.kind, m.checkpoint, m.settings) != (made.kind, made.checkpoint, made.settings)
        ]
        content = as_json([dataclasses.asdict(m) for m in [*others, made]], indent=1) + "\n"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, content.encode())
            return
        except (OSError, Problem):
            continue  # it is only slower without


def _machine(device: str) -> str:
    """What has measured: the machine, and how many processes of it if several."""
    size = team().size
    return machine(device) + (f", {size} processes" if size > 1 else "")


def own_sampler(run: Run) -> tuple[str, int]:
    """The sampler and number of steps that the run's settings name for its previews."""
    return run.config.preview_sampler, run.config.preview_steps


def classes_of(labels: np.ndarray, count: int) -> np.ndarray:
    """Classes (count,) as often as they are in `labels` (N,), and so are any first ones of them.

    The share of a class is a part of what FID compares: 10,000 training images with a tenth of each
    digit score 0.09 where 10,000 as they come (9.0 % fives, 11.2 % ones) score 0.035. Places
    in the sorted labels go by the golden ratio, which spreads any number of them evenly.
    """
    places = (np.arange(count) + 0.5) * GOLDEN % 1
    found: np.ndarray = np.sort(labels)[(places * len(labels)).astype(int)]
    return found


def drawn(
    run: Run, device: str, count: int, sampler: str, steps: int, seed: int, **asked: Any
) -> Generator[float, None, tuple[np.ndarray, list[float], int]]:
    """Samples as uint8 (count, C, H, W), seconds after each batch of 64, NFE of one image.

    Yields the share done. At guidance 1, each class in turn, unless `asked` says (settings of
    trainer.requests.Drawing). In float32, so that machines can be compared.
    Of several processes each draws some batches, and has them all in the end.
    """
    ask = Drawing(
        model=str(run.folder), sampler=sampler, steps=steps, count=count, seed=seed, batch=BATCH,
        precision="float32", **{"guidance": 1.0} | asked,
    )  # fmt: skip
    opened, ours = open_model(ask, (Path(), SHIPPED), device), team()  # a guide may ship
    parts: dict[int, np.ndarray] = {}
    seconds, nfe = torch.zeros(math.ceil(count / BATCH), dtype=torch.float64), 0
    for stage in draw(ask, opened, ours.rank, ours.size):
        yield (stage.first + stage.count * stage.frame.index / steps) / count
        if stage.last:
            parts[stage.first] = stage.images()
            seconds[stage.first // BATCH] = stage.seconds
            nfe = stage.frame.nfe
    images = united(parts, (count, *opened.shape))
    return images, (ours.total(seconds).cumsum(0) / ours.size).tolist(), nfe


def measure_samples(
    run: Run,
    data: ImageSet,
    counts: tuple[int, ...],
    sampler: str,
    steps: int,
    seed: int = 0,
    device: str = "cpu",
    recompute: bool = False,
    **asked: Any,
) -> Generator[float, None, list[Measure]]:
    """FID and its company of the first so many samples, for each of `counts`; cached.

    The largest set that is not known yet is drawn once. Yields the share done, returns a Measure
    for each count, in order. `asked` are more settings of the drawing (trainer.requests.GUIDED and
    HOW), as usual unless given, but guidance at scale 1. A model with classes is asked for each as
    often as the data have it; "asked" is the share of samples in which the classifier sees the
    class that was asked for.
    """
    from trainer.metrics import classify, evaluate, refuse
    from trainer.metrics.features import feature_set

    classes, scale = run.config.classes, asked.get("guidance", 1.0)
    leads = bool(classes or asked.get("guide"))
    wanted = classes_of(data.train_labels, max(counts)) if classes else np.empty(0, int)
    if scale != 1 and not leads:
        raise Problem(
            f"{run.folder.name} knows no classes: guidance needs a model that does, or a guide."
        )

    usual = {name: one.default for name, one in settings_of(Drawing).items()}
    options = Drawing(sampler=sampler, options=asked.get("options", {})).options
    known_by = options_of(Drawing, "options", sampler)
    asked["options"] = {n: value for n, value in options.items() if value != known_by[n].default}

    def settings(count: int) -> dict[str, Any]:
        found = {
            "sampler": sampler,
            "steps": steps,
            "count": count,
            "seed": seed,
            "features": feature_set("digits").name,
        }
        found |= {"guidance": scale} if leads else {}
        for name, value in asked.items():
            if name != "guidance" and value != usual[name] and (leads or name not in GUIDED):
                found[name] = value
        return found | ({"classes": AS_DATA} if classes else {})

    known = {count: find(run, "samples", settings(count)) for count in counts}
    missing = sorted(count for count in counts if recompute or known[count] is None)
    if missing:
        refuse(missing[0], run.image_shape(), data)
        checkpoint, _ = checkpoint_facts(run.newest())
        if classes:
            asked["classes"] = " ".join(map(str, wanted))
        images, seconds, nfe = yield from drawn(
            run, device, missing[-1], sampler, steps, seed, **asked
        )
        for count in missing if team().leads else ():
            report = evaluate(images[:count], data)
            # A count that is no multiple of the batch ends inside one: its share of the time.
            whole, rest = divmod(count, BATCH)
            before = seconds[whole - 1] if whole else 0.0
            spent = before + (seconds[whole] - before) * rest / BATCH if rest else before
            if count == missing[-1]:
                spent = seconds[-1]
            values = {
                "fid": report.samples.fid,
                "floor": report.real.fid,
                "floor_images": report.real.count,
                "limits": report.limits,
                "precision": report.samples.precision,
                "recall": report.samples.recall,
                "sure": report.samples.sure,
                "sure_of_real": report.real.sure,
                "classes": list(report.samples.classes or ()),
                "copying": report.copying,
                "nfe": nfe,
                "seconds": spent,
            }
            if classes and report.samples.sure is not None:
                seen, _ = classify(images[:count])
                values["asked"] = float((seen == wanted[:count]).mean())
            made = Measure("samples", checkpoint, settings(count), values, _machine(device))
            keep(run, made)
            known[count] = made
    return [found for count in counts if (found := known[count]) is not None]


def _shared(judged: list[Judged], count: int) -> list[Judged]:
    """What all processes have judged of `count` images, batch by batch."""
    found = torch.zeros(4, count, dtype=torch.float64)
    for one in judged:
        rows = slice(one.first, one.first + one.count)
        found[0, rows] = one.bound.value.cpu().double()
        found[1:, rows] = math.nan
        if one.exact is not None:
            found[1, rows] = one.exact.value.cpu().double()
            found[2, rows] = one.exact.solver.cpu().double()
            found[3, rows] = one.exact.nfe
    why = next((one.why for one in judged if one.why), "")
    batches = []
    for place, part in enumerate(team().total(found).split(BATCH_JUDGED, dim=1)):
        bound, value, solver, nfe = part
        exact = Estimate(value, torch.zeros_like(value), float(nfe[0]), solver)
        told = None if bool(nfe.isnan().any()) else exact
        said = "" if told else why or "another process could not tell it."
        first = place * BATCH_JUDGED
        batches.append(Judged(first, told, Estimate(bound, bound * 0, 0.0, bound * 0), said))
    return batches


def measure_likelihood(
    run: Run,
    data: ImageSet,
    count: int,
    seed: int = 0,
    device: str = "cpu",
    recompute: bool = False,
) -> Generator[float, None, Measure]:
    """Bits/dim of `count` test images, spread evenly over the set: the bound and exact; cached.

    In float32, so that machines can be compared. Where the process has no finite probability-flow
    ODE the exact value is None, and "why" says so.
    """
    from trainer.metrics import spread_out

    ask = Likelihood(
        model=str(run.folder), count=count, seed=seed, batch=BATCH_JUDGED, precision="float32"
    )
    told = ("dequantisation", "tolerance")
    settings: dict[str, Any] = {"images": count, "seed": seed, "spread": True}
    settings |= {
        "bound_evaluations": ask.evaluations,
        **{name: getattr(ask, name) for name in told},
    }
    known = None if recompute else find(run, "likelihood", settings)
    if known is not None:
        return known
    checkpoint, _ = checkpoint_facts(run.newest())
    opened, ours = open_model(ask, (Path(),), device), team()
    images = torch.from_numpy(spread_out(data.test, count).copy())
    judged = []
    for one in judge(ask, opened, images, ours.rank, ours.size):
        judged.append(one)
        yield (one.first + one.count) / len(images)
    values = summary(_shared(judged, len(images)))
    made = Measure("likelihood", checkpoint, settings, values, _machine(device))
    if ours.leads:
        keep(run, made)
    return made
