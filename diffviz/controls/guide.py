"""Choosing which worse model the chosen one is led away from (autoguidance)."""

from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QWidget

from diffviz.controls.fields import camel, narrow
from diffviz.controls.model import ModelChoice
from diffviz.shell.listing import RunInfo
from trainer.ask import Setting

EARLY = 3  # checkpoints of another run that are offered: a guide is to be worse


def _kind(run: RunInfo) -> tuple[Any, ...]:
    """What two runs must have in common for one to guide the other."""
    config = run.config
    return config.dataset, config.process, config.filled("process_parameters")


class GuideChoice(QComboBox):
    """None, a checkpoint of the chosen model's run, or another run of its data and process, now or
    early in its training.

    What was chosen is kept until another model is: its checkpoints are other ones.
    """

    changed = Signal()

    def __init__(self, prefix: str, setting: Setting, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(camel(prefix, "guide", "Combo"))
        self.setAccessibleName(setting.title)
        self.setToolTip(setting.tip)
        narrow(self, 11)
        self._wanted: str = setting.default
        self._model = ""
        self._show([])
        self.currentIndexChanged.connect(self._choose)

    def value(self) -> str:
        return self._wanted

    def set_value(self, value: str) -> None:
        self._wanted = value
        self._show([(self.itemText(k), self.itemData(k)) for k in range(1, self.count())])
        self.changed.emit()

    def offer(self, model: ModelChoice) -> None:
        """Offer what can guide the model that is chosen there."""
        if (run := model.run) is None:
            return
        if self._model not in ("", run.name):
            self._wanted = ""
        self._model = run.name
        found = [
            (f"step {int(path.stem):,}" if path.stem.isdecimal() else path.stem, path.name)
            for path in run.checkpoints
            if path.name != model.file
        ]
        like = _kind(run)
        for other in model.session.runs:
            if other.name != run.name and other.checkpoints and _kind(other) == like:
                found.append((other.name, other.name))
                steps = [int(path.stem) for path in other.checkpoints[:-1]][:EARLY]
                found += [(f"{other.name}, step {k:,}", f"{other.name}/{k}") for k in steps]
        self._show(found)
        self.changed.emit()

    def _show(self, entries: list[tuple[str, str]]) -> None:
        self.blockSignals(True)
        self.clear()
        self.addItem("none", "")
        for title, name in entries:
            self.addItem(title, name)
        if self.findData(self._wanted) < 0:  # a path, as a script names one
            self.addItem(self._wanted, self._wanted)
        self.setCurrentIndex(self.findData(self._wanted))
        self.blockSignals(False)

    def _choose(self) -> None:
        self._wanted = self.currentData()
        self.changed.emit()
