"""Choosing what draws: a model, one of its checkpoints, a sampler."""

from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QWidget

from diffviz import work
from diffviz.shell.session import Session

SAMPLER_TITLES = {
    "ddpm": "DDPM ancestral",
    "ddim": "DDIM",
    "euler-maruyama": "Euler-Maruyama (SDE)",
    "reverse-diffusion": "Reverse diffusion (SDE)",
    "predictor-corrector": "Predictor-corrector (SDE)",
    "probability-flow": "Probability flow (ODE, Euler)",
    "heun": "Heun (ODE)",
    "rk45": "RK45 (ODE, adaptive)",
    "dpm-solver++": "DPM-Solver++ 2M",
    "edm-heun": "EDM stochastic Heun",
}
NEWEST = ""
SEED_WIDTH = 84  # what fits in the row; seeds are rarely long


def sampler_title(name: str) -> str:
    """What people call the sampler of that name."""
    return SAMPLER_TITLES.get(name, name)


def choose(combo: QComboBox, value: Any) -> None:
    """Set the list to the entry of that value, if it has one."""
    if (index := combo.findData(value)) >= 0:
        combo.setCurrentIndex(index)


def list_samplers(combo: QComboBox, names: tuple[str, ...]) -> None:
    """Fill `combo` with these samplers, keeping the one chosen."""
    chosen = combo.currentData()
    combo.blockSignals(True)
    combo.clear()
    for name in names:
        combo.addItem(sampler_title(name), name)
    combo.setCurrentIndex(max(0, combo.findData(chosen)))
    combo.blockSignals(False)


def narrow(combo: QComboBox, letters: int) -> QComboBox:
    """Let a list be narrower than its longest entry, which its popup shows in full."""
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(letters)
    return combo


class ModelChoice(QWidget):
    """A list of the runs that can draw, and, where a run kept several, of its checkpoints.

    What was chosen by name is kept until the session's list has it.
    """

    changed = Signal()

    def __init__(self, session: Session, name: str, parent: QWidget | None = None) -> None:
        """`name` begins the object names, as in "galleryModelCombo"."""
        super().__init__(parent)
        self.session = session
        self._wanted: tuple[str, str] = session.models["sde"].name, NEWEST
        self.model = narrow(QComboBox(objectName=f"{name}ModelCombo"), 11)
        self.model.setPlaceholderText("reading the runs…")
        self.model.setAccessibleName("Model")
        self.model.setToolTip("The trained model whose answers the sampler follows")
        self.checkpoint = narrow(QComboBox(objectName=f"{name}CheckpointCombo"), 6)
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
    def run(self) -> work.RunInfo | None:
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
        self.checkpoint.setVisible(run is not None and len(run.checkpoints) > 1)
        self._show_checkpoint()

    def _show_checkpoint(self) -> None:
        if self.model.currentData() is not None:
            self._wanted = self.model.currentData(), self.checkpoint.currentData() or NEWEST
        self.changed.emit()
