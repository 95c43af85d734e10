"""Which runs there are to open. Reads settings and measures only, on a worker."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainer.config import ExactConfig, ExperimentConfig
from trainer.problems import Problem


@dataclass(frozen=True)
class RunInfo:
    """A run that can be opened: its folder, settings, kept checkpoints and last measures.

    `fid` is the newest checkpoint's, of `fid_samples` samples; `resumable` says that the state of
    a training is there to go on from. An `exact` model has no folder, and nothing of the rest.
    """

    folder: Path
    config: ExperimentConfig
    checkpoints: tuple[Path, ...]
    shipped: bool
    resumable: bool
    step: int
    epoch: int
    loss: float | None
    bits_per_dim: float | None
    fid: float | None
    fid_samples: int
    exact: ExactConfig | None = None

    @property
    def name(self) -> str:
        return self.exact.id if self.exact else self.folder.name


def exact_info(exact: ExactConfig) -> RunInfo:
    """An exact model, as what can be chosen beside the runs."""
    nothing = (), False, False, 0, 0, None, None, None, 0
    return RunInfo(Path(exact.id), exact.config(), *nothing, exact)


def _last_measures(path: Path) -> dict[str, float]:
    """The last step, loss and bits/dim in a metrics file, from its last 64 KiB."""
    found: dict[str, float] = {}
    try:
        with open(path, "rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - 65_536))
            lines = stream.read().split(b"\n")
    except OSError:
        return found
    for line in lines:
        try:
            found |= json.loads(line)
        except ValueError:
            continue
    return found


def _fid_of(folder: Path, config: ExperimentConfig) -> tuple[float | None, int]:
    """The FID measured of the run's newest checkpoint with the most samples, and their number."""
    from trainer.runs import Run
    from trainer.runs.measures import measures

    try:
        found = [m for m in measures(Run(folder, config)) if m.kind == "samples"]
        best = max(found, key=lambda m: m.settings["count"])
        return float(best.values["fid"]), int(best.settings["count"])
    except (Problem, ValueError, KeyError, TypeError):
        return None, 0


def list_runs(shipped: Path, own: Path) -> Iterator[list[RunInfo]]:
    """One list: the shipped models, then the user's runs, the newest first; damaged ones left out.

    Reads settings and measures only, not weights.
    """
    own_folders = [path.parent for path in own.glob("*/config.json")] if own.is_dir() else []
    own_folders.sort(key=lambda folder: (folder / "config.json").stat().st_mtime, reverse=True)
    shipped_folders = sorted(path.parent for path in shipped.glob("*/config.json"))
    found = []
    for folder in [*shipped_folders, *own_folders]:
        try:
            config = ExperimentConfig.from_json((folder / "config.json").read_text())
        except (Problem, OSError, UnicodeDecodeError):
            continue
        measures = _last_measures(folder / "metrics.jsonl")
        found.append(
            RunInfo(
                folder,
                config,
                tuple(sorted((folder / "checkpoints").glob("*.safetensors"))),
                folder.parent == shipped,
                folder.parent != shipped and (folder / "state.safetensors").exists(),
                int(measures.get("step", 0)),
                int(measures.get("epoch", 0)),
                measures.get("loss"),
                measures.get("bpd"),
                *_fid_of(folder, config),
            )
        )
    yield found
