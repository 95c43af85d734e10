"""Choosing what draws: a model and one of its checkpoints."""

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QWidget

from diffviz.controls.fields import camel, narrow
from diffviz.shell.listing import RunInfo
from diffviz.shell.session import Session
from trainer.ask import Setting

NEWEST = ""


class ModelChoice(QWidget):
    """A list of the runs that can draw, and, where a run kept several, of its checkpoints.

    What was chosen by name is kept until the session's list has it.
    """

    changed = Signal()

    def __init__(
        self, session: Session, prefix: str, setting: Setting, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.session = session
        self._wanted: tuple[str, str] = setting.default, NEWEST
        self._every = False
        self.model = narrow(QComboBox(objectName=camel(prefix, "model", "Combo")), 11)
        self.model.setPlaceholderText("reading the runs…")
        self.model.setAccessibleName(setting.title)
        self.model.setToolTip(setting.tip)
        self.checkpoint = narrow(QComboBox(objectName=camel(prefix, "checkpoint", "Combo")), 6)
        self.checkpoint.setAccessibleName("Checkpoint")
        self.checkpoint.setToolTip("How far trained: earlier checkpoints draw worse digits")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.model)
        row.addWidget(self.checkpoint)
        self.model.currentIndexChanged.connect(self._show_run)
        self.checkpoint.currentIndexChanged.connect(self._show_checkpoint)
        session.runsChanged.connect(self._list)
        self._list()

    @property
    def run(self) -> RunInfo | None:
        """The run that is chosen, once the session knows it."""
        name = self.model.currentData()
        return next((run for run in self.session.runs if run.name == name), None)

    @property
    def file(self) -> str:
        """The name of the checkpoint's file; "" while no run is chosen."""
        run = self.run
        if run is None:
            return ""
        return self.checkpoint.currentData() or run.checkpoints[-1].name

    @property
    def classes(self) -> int:
        """How many classes the chosen model can be asked for; 0 if it knows none."""
        return 0 if self.run is None else self.run.config.classes

    @property
    def digits(self) -> bool:
        """Whether the chosen model draws MNIST's digits."""
        return self.run is not None and self.run.config.dataset == "mnist"

    def take_every_checkpoint(self) -> None:
        """Let no checkpoint be chosen: who asks takes them all."""
        self._every = True
        self.checkpoint.hide()

    def values(self) -> dict[str, Any]:
        run = self.run
        if run is None:
            return {"model": self._wanted[0], "checkpoint": self._wanted[1]}
        return {"model": run.name, "checkpoint": self.file}

    def set_values(self, values: Mapping[str, Any]) -> None:
        if values.get("model"):
            self.choose(str(values["model"]), str(values.get("checkpoint", NEWEST)))

    def choose(self, name: str, checkpoint: str = NEWEST) -> None:
        """Choose the run of that name, and the checkpoint of that file name, now or once there."""
        self._wanted = name, checkpoint
        self._list()
        if self.session.runs and (self.run is None or self.run.name != name):
            self.session.problem.emit(
                f"There is no run '{name}' with a checkpoint here: another model is chosen."
            )

    def _list(self) -> None:
        """Take the session's runs; `changed` if that changes what is chosen."""
        before, wanted = (self.model.currentData(), self.file), self._wanted
        self.blockSignals(True)
        self.model.blockSignals(True)
        self.model.clear()
        for run in self.session.runs:
            if run.checkpoints:
                self.model.addItem(run.name, run.name)
        if self.model.count():
            self.model.setCurrentIndex(max(0, self.model.findData(wanted[0])))
        self.model.blockSignals(False)
        self._show_run()
        if (place := self.checkpoint.findData(wanted[1])) >= 0:
            self.checkpoint.setCurrentIndex(place)
        self.blockSignals(False)
        self._wanted = wanted
        if (self.model.currentData(), self.file) != before:
            self.changed.emit()

    def _show_run(self) -> None:
        run = self.run
        self.checkpoint.blockSignals(True)
        self.checkpoint.clear()
        self.checkpoint.addItem("newest", NEWEST)
        for path in run.checkpoints[::-1] if run else ():
            step = f"{int(path.stem):,}" if path.stem.isdecimal() else path.stem
            self.checkpoint.addItem(f"step {step}", path.name)
        self.checkpoint.blockSignals(False)
        several = run is not None and len(run.checkpoints) > 1
        self.checkpoint.setVisible(several and not self._every)
        self._show_checkpoint()

    def _show_checkpoint(self) -> None:
        if self.model.currentData() is not None:
            self._wanted = self.model.currentData(), self.checkpoint.currentData() or NEWEST
        self.changed.emit()
