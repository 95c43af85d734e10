"""What is open now: the one source of truth that the views share."""

import os
import sys
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from assets import ASSETS
from diffviz.jobs import Job
from diffviz.shell.listing import RunInfo, list_runs
from trainer.catalogue import PROCESSES
from trainer.config import ExactConfig
from trainer.problems import Problem, at_home

ROWS = ("ddpm", "sde")
SHIPPED = ASSETS / "models"


def default_home() -> Path:
    """Where runs and exports go unless said otherwise: DIFFVIZ_HOME, or DiffViz in the home."""
    if named := os.environ.get("DIFFVIZ_HOME"):
        return Path(at_home(named))
    try:
        return Path.home() / "DiffViz"
    except RuntimeError as error:
        raise Problem(
            "There is no home folder to keep runs in: name one by --home, or by DIFFVIZ_HOME."
        ) from error


def row_of(process: str) -> str:
    """The row of views that a process belongs to, by its name in PROCESSES."""
    return "ddpm" if process in PROCESSES and PROCESSES[process].chain else "sde"


class Session(QObject):
    """The runs that can be opened, which of them each row draws from, and where new ones go."""

    runsChanged = Signal()  # noqa: N815 - `runs` is another list now
    modelChanged = Signal(str)  # noqa: N815 - the row whose model is another now
    drawingAsked = Signal(str, dict)  # noqa: N815 - a row shall draw by these settings of Sampling
    timeChanged = Signal(float)  # noqa: N815 - the trajectories' timeline stands at another t
    resumeAsked = Signal(Path)  # noqa: N815 - this run's training shall go on
    problem = Signal(str)
    message = Signal(str)

    def __init__(self, home: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.home = home
        self.runs: list[RunInfo] = []
        self.models = {"ddpm": "modern", "sde": "modern-sde"}  # by name, or an exact model's id
        self._listing: Job | None = None

    @property
    def places(self) -> tuple[Path, ...]:
        """Where a model's name is looked up: among one's own runs, then those that ship."""
        return self.home / "runs", SHIPPED

    def open_model(self, row: str, name: str) -> None:
        """Let `row` draw from the model of that name."""
        if self.models[row] != name:
            self.models[row] = name
            self.modelChanged.emit(row)

    def has(self, model: str) -> bool:
        """Whether there is a run of that name, or it is an exact model's id."""
        runs = (place / model / "config.json" for place in self.places)
        return ExactConfig.from_id(model) is not None or any(run.exists() for run in runs)

    def refresh_runs(self) -> None:
        """Read anew, on a worker, which runs there are; `runsChanged` says when that is done."""
        if self._listing is not None:
            return
        self._listing = Job(partial(list_runs, SHIPPED, self.home / "runs"), self)
        self._listing.produced.connect(self._take_runs)
        self._listing.failed.connect(self.problem)
        self._listing.ended.connect(self._listed)
        self._listing.begin()

    def _take_runs(self, lists: list[list[RunInfo]]) -> None:
        if lists[-1] != self.runs:
            self.runs = lists[-1]
            self.runsChanged.emit()

    def _listed(self) -> None:
        self._listing = None

    def shutdown(self) -> None:
        if self._listing is not None:
            self._listing.shutdown()

    def new_run_folder(self, preset: str) -> Path:
        """A run folder that does not exist yet."""
        number = 1
        while (folder := self.home / "runs" / f"{preset}-{number:03d}").exists():
            number += 1
        return folder


def frozen() -> bool:
    """Whether this is the packaged app."""
    return bool(getattr(sys, "frozen", False))
