"""Choosing what draws: a run and one of its checkpoints, or an exact model and its settings."""

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QToolButton, QWidget

from diffviz.controls.fields import camel, narrow
from diffviz.shell.listing import RunInfo, exact_info
from diffviz.shell.session import Session
from trainer.ask import Setting
from trainer.catalogue import EXACT
from trainer.config import ExactConfig
from trainer.problems import Problem

NEWEST = ""


class ModelChoice(QWidget):
    """A list of the runs that can draw, and, where a run kept several, of its checkpoints.

    Below the runs stand the exact models: of the data and the process of the run that was chosen
    last, until their settings are set. What was chosen by name is kept until the session's list
    has it.
    """

    changed = Signal()

    def __init__(
        self, session: Session, prefix: str, setting: Setting, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.session, self.prefix = session, prefix
        self._wanted: tuple[str, str] = setting.default, NEWEST
        self._every = False
        self.exact = {kind: ExactConfig(kind) for kind in EXACT}
        self._set: set[str] = set()  # kinds of exact models that no longer follow the runs
        self._forms: dict[str, Any] = {}
        self.model = narrow(QComboBox(objectName=camel(prefix, "model", "Combo")), 11)
        self.model.setPlaceholderText("reading the runs…")
        self.model.setAccessibleName(setting.title)
        self.model.setToolTip(setting.tip)
        self.checkpoint = narrow(QComboBox(objectName=camel(prefix, "checkpoint", "Combo")), 6)
        self.checkpoint.setAccessibleName("Checkpoint")
        self.checkpoint.setToolTip("How far trained: earlier checkpoints draw worse digits")
        self.settings = QToolButton(objectName=camel(prefix, "exact", "Button"), text="…")
        self.settings.setAccessibleName("The exact model's settings")
        self.settings.clicked.connect(self.show_settings)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for widget in (self.model, self.checkpoint, self.settings):
            row.addWidget(widget)
        self.model.currentIndexChanged.connect(self._show_run)
        self.checkpoint.currentIndexChanged.connect(self._show_checkpoint)
        session.runsChanged.connect(self._list)
        self._list()

    @property
    def run(self) -> RunInfo | None:
        """The run, or exact model, that is chosen, once the session knows it."""
        name = self.model.currentData()
        if exact := self.chosen_exact:
            return exact_info(exact)
        return next((run for run in self.session.runs if run.name == name), None)

    @property
    def chosen_exact(self) -> ExactConfig | None:
        """The exact model that is chosen, if one is."""
        name = self.model.currentData()
        return next((exact for exact in self.exact.values() if exact.id == name), None)

    @property
    def file(self) -> str:
        """The name of the checkpoint's file; "" while no run is chosen, or an exact model is."""
        run = self.run
        if run is None or not run.checkpoints:
            return ""
        return self.checkpoint.currentData() or run.checkpoints[-1].name

    @property
    def classes(self) -> int | None:
        """How many classes the chosen model can be asked for; None until it is listed."""
        return None if self.run is None else self.run.config.classes

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
        try:
            if exact := ExactConfig.from_id(name):
                self.exact[exact.kind], name = exact, exact.id
                self._set.add(exact.kind)
        except Problem as problem:
            self.session.problem.emit(str(problem))
            return
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
            self.model.insertSeparator(self.model.count())
            for kind, exact in self.exact.items():
                self.model.addItem(EXACT[kind].title, exact.id)
                self.model.setItemData(self.model.count() - 1, EXACT[kind].tip, 3)
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
        exact = self.chosen_exact
        self.settings.setVisible(exact is not None)
        if exact is not None:
            self.settings.setToolTip(f"Process, number of images, class: {exact.id}")
        elif run is not None:
            config = run.config
            for kind in EXACT.keys() - self._set:
                self._keep(ExactConfig(
                    kind, config.dataset, config.process, config.process_parameters
                ))  # fmt: skip
        self._show_checkpoint()

    def _keep(self, exact: ExactConfig) -> None:
        """Let the list's entry of that kind mean this model."""
        place = self.model.findData(self.exact[exact.kind].id)
        self.exact[exact.kind] = exact
        if place >= 0:
            self.model.setItemData(place, exact.id)

    def show_settings(self) -> None:
        """The exact model's settings, in a dialog; they act at once."""
        from diffviz.controls.form import Form  # which has fields for models

        exact = self.chosen_exact
        assert exact is not None
        kind = exact.kind
        if kind not in self._forms:
            prefix = camel(self.prefix, "exact", "")
            made = Form(ExactConfig, prefix, self.session, self, without=("kind",))
            made.changed.connect(lambda: self._tuned(made.ask(kind=kind)))
            self._forms[kind] = made
        self._forms[kind].restore(exact)
        self._forms[kind].show_more()

    def _tuned(self, exact: ExactConfig) -> None:
        """Take an exact model with other settings."""
        if exact != self.exact[exact.kind]:
            self._set.add(exact.kind)
            self._keep(exact)
            self._show_run()

    def _show_checkpoint(self) -> None:
        if self.model.currentData() is not None:
            self._wanted = self.model.currentData(), self.checkpoint.currentData() or NEWEST
        self.changed.emit()
