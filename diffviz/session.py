"""What is open now: the one source of truth that the panels share."""

import os
import sys
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from assets import ASSETS

ROWS = ("ddpm", "sde")


def default_home() -> Path:
    """Where runs and exports go unless said otherwise: DIFFVIZ_HOME, or DiffViz in the home."""
    return Path(os.environ.get("DIFFVIZ_HOME") or Path.home() / "DiffViz")


def row_of(process: str) -> str:
    """The row of views that a process belongs to, by its name in PROCESSES."""
    return "ddpm" if process.startswith("ddpm") else "sde"


class Session(QObject):
    """Which run each row of the trajectories draws from, and where new runs go."""

    modelChanged = Signal(str)  # noqa: N815 - the row whose model is another now
    problem = Signal(str)
    message = Signal(str)

    def __init__(self, home: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.home = home
        models = ASSETS / "models"
        self.models: dict[str, Path] = {"ddpm": models / "modern", "sde": models / "modern-sde"}

    def open_model(self, row: str, folder: Path) -> None:
        self.models[row] = folder
        self.modelChanged.emit(row)

    def new_run_folder(self, preset: str) -> Path:
        """A run folder that does not exist yet."""
        number = 1
        while (folder := self.home / "runs" / f"{preset}-{number:03d}").exists():
            number += 1
        return folder


def frozen() -> bool:
    """Whether this is the packaged app."""
    return bool(getattr(sys, "frozen", False))
