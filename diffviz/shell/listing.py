"""Which runs there are to open. Reads settings and measures only, on a worker."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.config import ExactConfig, ExperimentConfig
from trainer.problems import Problem


@dataclass(frozen=True)
class RunInfo:
    """A run that can be opened: its folder, settings, kept checkpoints and last measures.

    `fid` is the newest checkpoint's, `fid_about` what it was taken of and in, `drawn` the
    settings of a Drawing that drew those samples; `resumable` says that the state of a training is
    there to go on from, `finished` that all its epochs are done.
    An `exact` model has no folder, and nothing of the rest.
    """

    folder: Path
    config: ExperimentConfig
    checkpoints: tuple[Path, ...]
    shipped: bool
    resumable: bool
    finished: bool
    step: int
    epoch: int
    loss: float | None
    bits_per_dim: float | None
    fid: float | None
    fid_about: str
    drawn: dict[str, Any]
    exact: ExactConfig | None = None

    @property
    def name(self) -> str:
        return self.exact.id if self.exact else self.folder.name


def exact_info(exact: ExactConfig) -> RunInfo:
    """An exact model, as what can be chosen beside the runs."""
    nothing: tuple[Any, ...] = (), False, False, False, 0, 0, None, None, None, "", {}
    return RunInfo(Path(exact.id), exact.config(), *nothing, exact)


def _last_measures(path: Path) -> dict[str, Any]:
    """The last step, loss and bits/dim in a metrics file, from its last 64 KiB."""
    found: dict[str, Any] = {}
    try:
        with open(path, "rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - 65_536))
            lines = stream.read().split(b"\n")
    except OSError:
        return found
    for line in lines:
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(said, dict):
            # A damaged file may say anything: no number that is none, or too large for the table.
            found |= {k: n for k, n in said.items() if isinstance(n, int | float) and abs(n) < 1e15}
    return found


def _best(folder: Path, config: ExperimentConfig) -> tuple[float | None, str, dict[str, Any]]:
    """The best FID measured of the run's newest checkpoint with the most samples, what it is of,
    and the settings that drew these."""
    from trainer.runs import Run
    from trainer.runs.cards import guidance_of, sampler_of
    from trainer.runs.measures import best, drawn_by, measures

    nothing: tuple[None, str, dict[str, Any]] = None, "", {}
    try:
        if (found := best(measures(Run(folder, config)))) is None:
            return nothing
        said = found.settings
        how = f"{sampler_of(said)} in {said['steps']} steps"
        how += f", {words}" if (words := guidance_of(said)) else ""
        about = f"Of {said['count']:,} samples by {how}, in {said.get('features')}."
        limits = str(found.values.get("limits") or "")
        return float(found.values["fid"]), f"{about} {limits}".strip(), drawn_by(found)
    except (Problem, ValueError, KeyError, TypeError):
        return nothing


def _standing(folder: Path, config: ExperimentConfig) -> tuple[bool, bool]:
    """Whether there is a state to go on from, and whether all epochs are done in it."""
    from trainer.runs import Run

    run = Run(folder, config)
    if not run.state_path.exists():
        return False, False
    try:
        facts = run.standing()
    except Problem:
        return False, False
    epochs = facts.get("epochs")
    whole = not isinstance(epochs, int) or epochs >= config.epochs
    return True, facts["step"] >= facts["steps"] and whole


def _made(folder: Path) -> float:
    """When the settings in a folder were written; long ago where they are gone by now."""
    try:
        return (folder / "config.json").stat().st_mtime
    except OSError:
        return 0.0


def list_runs(shipped: Path, own: Path) -> Iterator[list[RunInfo]]:
    """One list: the shipped models, then the user's runs, the newest first; damaged ones left out.

    Reads settings, measures and headers only, not weights.
    """
    from trainer.runs import Run

    own_folders = [path.parent for path in own.glob("[!.]*/config.json")] if own.is_dir() else []
    own_folders.sort(key=_made, reverse=True)
    shipped_folders = sorted(path.parent for path in shipped.glob("*/config.json"))
    found = []
    for folder in [*shipped_folders, *own_folders]:
        try:
            config = ExperimentConfig.from_json((folder / "config.json").read_text("utf-8"))
            checkpoints = tuple(Run(folder, config).checkpoints())
        except (Problem, OSError, UnicodeDecodeError):
            continue
        measures = _last_measures(folder / "metrics.jsonl")
        fid, fid_about, drawn = _best(folder, config)
        found.append(
            RunInfo(
                folder,
                config,
                checkpoints,
                folder.parent == shipped,
                *((False, False) if folder.parent == shipped else _standing(folder, config)),
                int(measures.get("step", 0)),
                int(measures.get("epoch", 0)),
                measures.get("loss"),
                measures.get("bpd"),
                fid,
                fid_about,
                drawn,
            )
        )
    yield found
