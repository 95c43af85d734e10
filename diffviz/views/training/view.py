"""The training panel: settings, Train / Pause / Stop, live curves, samples from fixed noise."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from diffviz.views.training import work
from diffviz.jobs import Job
from diffviz.shell.session import Session, row_of
from diffviz.views.training.settings import TrainingSettings
from diffviz.widgets.curve import CurvePlot
from diffviz.widgets.mosaic import Mosaic
from trainer.config import DESCRIPTIONS, PRESETS, ExperimentConfig
from trainer.problems import Problem

if TYPE_CHECKING:
    from trainer.training import loop as training

PROCESS_NAMES = {
    "ddpm-linear": "DDPM, linear betas",
    "ddpm-cosine": "DDPM, cosine betas",
    "ddpm-sigmoid": "DDPM, sigmoid schedule",
    "ddpm-zero-snr": "DDPM, linear, zero terminal SNR",
    "vp": "VP SDE",
    "sub-vp": "sub-VP SDE",
    "ve": "VE SDE",
    "cosine": "cosine path",
    "flow": "rectified flow",
}
SAME_PARAMETERS = {"ddpm-linear", "ddpm-zero-snr"}


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss, or m:ss under an hour."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


def _named(field: QWidget, label: str, tip: str) -> QWidget:
    """The field, with a tooltip and a name for assistive technology."""
    field.setToolTip(tip)
    field.setAccessibleName(label.replace("&", ""))
    return field


class TrainingPanel(QWidget):
    """Trains one model at a time, in a run folder of its own."""

    samplesChanged = Signal()  # noqa: N815

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.job: Job | None = None
        self.started: training.Started | None = None
        self.where: work.TrainingIn | None = None
        self.unfinished: Path | None = None
        self.more: dict[str, Any] = {}  # what the dialog of further settings changed

        self.preset = QComboBox(objectName="presetCombo")
        for name, config in PRESETS.items():
            self.preset.addItem(config.preset, name)
            self.preset.setItemData(self.preset.count() - 1, DESCRIPTIONS[name], 3)
        self.dataset = QComboBox(objectName="datasetCombo")
        self.dataset.addItem("MNIST: 60,000 handwritten digits", "mnist")
        self.dataset.addItem("Other images, from a folder…", None)
        self.process = QComboBox(objectName="processCombo")
        for name, text in PROCESS_NAMES.items():
            self.process.addItem(text, name)
        self.epochs = QSpinBox(objectName="epochsSpin", minimum=1, maximum=100_000)
        self.batch = QSpinBox(objectName="batchSpin", minimum=2, maximum=4096)
        self.rate = QDoubleSpinBox(objectName="rateSpin", decimals=5, minimum=1e-5, maximum=1.0)
        self.rate.setSingleStep(1e-4)
        self.seed = QSpinBox(objectName="seedSpin", maximum=2**31 - 1)
        self.more_button = QPushButton("More…", objectName="moreSettingsButton")
        self.device = QLabel("loading torch…", objectName="deviceLabel")
        form = QFormLayout()
        for label, combo, tip in (
            ("&Preset", self.preset, "A named experiment: process, network and its settings"),
            ("&Dataset", self.dataset, "What it learns to draw: MNIST, IDX files or pictures"),
            ("P&rocess", self.process, "How noise is added; the model learns to undo it"),
        ):
            form.addRow(label, _named(combo, label, tip))
        for pair in (
            (
                ("&Epochs", self.epochs, "Passes over all training images"),
                ("&Seed", self.seed, "The same seed gives the same weights on the same machine"),
            ),
            (
                ("&Batch", self.batch, "Images an optimiser step learns from"),
                ("&Rate", self.rate, "Learning rate, the size of a step; too large, it diverges"),
            ),
        ):
            row = QHBoxLayout()
            for place, (label, field, tip) in enumerate(pair):
                if place:
                    beside = QLabel(label)
                    beside.setBuddy(field)
                    row.addWidget(beside)
                row.addWidget(_named(field, label, tip), 1)
            form.addRow(pair[0][0], row)
            caption = form.labelForField(row)
            assert isinstance(caption, QLabel)
            caption.setBuddy(pair[0][1])
        row = QHBoxLayout()
        row.addWidget(_named(self.device, "Device", "What computes"), 1)
        more = "Loss weighting, classes, EMA, precision and others"
        row.addWidget(_named(self.more_button, "More settings", more))
        form.addRow("Device", row)

        self.train_button = QPushButton(objectName="trainButton")
        self.train_button.setProperty("primary", True)
        self.pause_button = QPushButton("Pause", objectName="pauseButton", enabled=False)
        self.stop_button = QPushButton("Stop", objectName="stopButton", enabled=False)
        self.resume_button = QPushButton(objectName="resumeButton", visible=False)
        for button, tip in (
            (self.train_button, "Train in the background; every step is drawn below"),
            (self.pause_button, "Hold training where it is, and go on later"),
            (self.stop_button, "End training; a checkpoint is saved"),
            (self.resume_button, "Go on with the training that was stopped midway"),
        ):
            button.setToolTip(tip)
        buttons = QHBoxLayout()
        buttons.addWidget(self.train_button, 1)
        buttons.addWidget(self.pause_button)
        buttons.addWidget(self.stop_button)

        self.progress = QProgressBar(objectName="progressBar", textVisible=True)
        self.progress.setFormat("not training")
        self.progress.setValue(0)
        self.status = QLabel("Press Train to begin: digits appear below as it learns.")
        self.status.setObjectName("statusLabel")
        self.status.setWordWrap(True)
        self.loss = CurvePlot("Loss", "loss", "step", "lossPlot", smooth=True)
        self.bpd = CurvePlot("Bits/dim, held-out (bound)", "bits/dim", "step", "bpdPlot")
        self.log = QCheckBox("Log scale", objectName="logCheck")
        self.log.toggled.connect(self.loss.set_log)
        self.samples = Mosaic("Samples from fixed noise appear here while training.")
        self.samples.setObjectName("samplesView")
        self.samples.setMinimumHeight(90)
        self.loss.setMinimumHeight(130)
        self.bpd.setMinimumHeight(115)

        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addLayout(buttons)
        layout.addWidget(self.resume_button)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        layout.addWidget(self.loss, 3)
        layout.addWidget(self.log)
        layout.addWidget(self.bpd, 2)
        layout.addWidget(self.samples, 2)

        self.preset.currentIndexChanged.connect(self._show_preset)
        self.dataset.activated.connect(self._choose_dataset)
        self.more_button.clicked.connect(self.ask_more)
        self.epochs.valueChanged.connect(self._name_button)
        self.train_button.clicked.connect(self.train)
        self.pause_button.clicked.connect(self.toggle_pause)
        self.stop_button.clicked.connect(self.stop)
        self.resume_button.clicked.connect(self.resume)
        session.resumeAsked.connect(self.resume_run)
        self._show_preset()

    @property
    def training(self) -> bool:
        return self.job is not None

    def config(self) -> ExperimentConfig:
        """The preset on show with the fields' values.

        With a process that is not the preset's, the network predicts v, which every process
        allows, and the preview is drawn by DDIM.
        """
        preset = PRESETS[self.preset.currentData()]
        changes: dict[str, Any] = {
            "dataset": self.dataset.currentData(),
            "epochs": self.epochs.value(),
            "batch_size": self.batch.value(),
            "learning_rate": self.rate.value(),
            "seed": self.seed.value(),
        }
        process = self.process.currentData()
        if process != preset.process:
            alike = {process, preset.process} <= SAME_PARAMETERS
            changes |= {
                "process": process,
                "process_parameters": preset.process_parameters if alike else {},
                "prediction": "v",
                "preview_sampler": "ddim",
                "preview_steps": 20,
            }
        return preset.with_changes(**changes | self.more)

    def ask_more(self) -> None:
        """Show the further settings in a dialog of their own."""
        dialog = TrainingSettings(self.config(), self)
        dialog.accepted.connect(lambda: self._take_more(dialog.changes()))
        dialog.open()

    def _take_more(self, changes: dict[str, Any]) -> None:
        self.more |= changes
        count = len(self.more)
        self.more_button.setText(f"More… ({count} changed)" if count else "More…")

    def _choose_dataset(self) -> None:
        """Ask for the folder when other images are chosen."""
        if self.dataset.currentData() is not None:
            return
        folder = QFileDialog.getExistingDirectory(self, "A folder of pictures or of IDX files")
        if folder and self.dataset.findData(folder) < 0:
            self.dataset.insertItem(self.dataset.count() - 1, Path(folder).name, folder)
        self.dataset.setCurrentIndex(max(0, self.dataset.findData(folder or "mnist")))

    def offer_resume(self, folder: Path) -> None:
        self.unfinished = folder
        self.resume_button.setText(f"Resume {folder.name}")
        self.resume_button.setVisible(not self.training)

    def train(self) -> None:
        try:
            config = self.config()
        except Problem as problem:
            self.session.problem.emit(str(problem))
            return
        self._begin(partial(work.training, self.session.new_run_folder(config.preset), config))

    def resume(self) -> None:
        if self.unfinished is not None:
            self._begin(partial(work.training, self.unfinished, None))

    def resume_run(self, folder: Path) -> None:
        """Go on with the training in that run folder, unless one is under way."""
        if self.job is not None:
            self.session.problem.emit("A model is training: stop it first, then resume the other.")
            return
        self.offer_resume(folder)
        self.resume()

    def toggle_pause(self) -> None:
        if self.job is None:
            return
        if self.job.paused:
            self.job.resume()
        else:
            self.job.pause()
        self.pause_button.setText("Resume" if self.job.paused else "Pause")

    def stop(self) -> None:
        if self.job is not None:
            self.stop_button.setEnabled(False)
            self.progress.setFormat("saving a checkpoint…")
            self.job.stop()

    def _show_preset(self) -> None:
        config = PRESETS[self.preset.currentData()]
        self.preset.setToolTip(DESCRIPTIONS[config.preset])
        self.more = {}
        self._take_more({})
        if self.process.findData(config.process) < 0:
            self.process.addItem(config.process, config.process)
        self.process.setCurrentIndex(self.process.findData(config.process))
        self.epochs.setValue(300 if config.preset != "report-sde" else config.epochs)
        self.batch.setValue(config.batch_size)
        self.rate.setValue(config.learning_rate)
        self.seed.setValue(config.seed)
        self._name_button()

    def _name_button(self) -> None:
        count = self.epochs.value()
        self.train_button.setText(f"Train {count} epoch{'s' if count != 1 else ''}")

    def _begin(self, make: "partial[Iterator[object]]") -> None:
        if self.job is not None:
            return
        for plot in (self.loss, self.bpd):
            plot.clear()
        self.samples.show_images(None)
        self.started = self.where = None
        self.status.setText("Loading the images…")
        self.progress.setRange(0, 0)
        self.job = Job(make, self)
        self.job.produced.connect(self._show)
        self.job.failed.connect(self.session.problem)
        self.job.ended.connect(self._ended)
        self._set_busy(True)
        self.job.begin()

    def _set_busy(self, busy: bool) -> None:
        fields = (
            self.preset, self.dataset, self.process, self.epochs, self.batch, self.rate, self.seed,
            self.more_button,
        )  # fmt: skip
        for field in fields:
            field.setEnabled(not busy)
        self.train_button.setEnabled(not busy)
        self.pause_button.setEnabled(busy)
        self.stop_button.setEnabled(busy)
        self.pause_button.setText("Pause")
        self.resume_button.setVisible(not busy and self.unfinished is not None)

    def _show(self, events: list[Any]) -> None:
        steps = []
        for event in events:
            match type(event).__name__:
                case "TrainingIn":
                    self.where = event
                case "Started":
                    self.started = event
                    self.progress.setRange(0, event.steps)
                    self.progress.setFormat("%p %")
                case "Step":
                    steps.append(event)
                case "Evaluated":
                    self.bpd.append([event.step], [event.bits_per_dim])
                    pictures = event.samples.transpose(0, 2, 3, 1)
                    grey = pictures.shape[3] == 1
                    self.samples.show_images(
                        np.ascontiguousarray(pictures[..., 0] if grey else pictures)
                    )
                    self.samplesChanged.emit()
                case "Warned":
                    self.session.message.emit(event.message)
                case "Finished":
                    self.status.setText(f"Finished after {event.step} steps.")
        if steps and self.started is not None:
            self.loss.append([s.step for s in steps], [s.loss for s in steps])
            last, total = steps[-1], self.started.steps
            self.progress.setValue(last.step)
            done = last.step - self.started.step
            left = last.elapsed / max(done, 1) * (total - last.step)
            self.status.setText(
                f"Epoch {last.epoch} of {self.started.epochs}, step {last.step:,} of {total:,} · "
                f"loss {last.loss:.4f} · {last.images_per_second:.0f} images/s · "
                f"{clock(last.elapsed)} elapsed, {clock(left)} left"
            )

    def _ended(self) -> None:
        self.job = None
        if self.progress.maximum() == 0:
            self.progress.setRange(0, 1)
        if self.started is None:
            self.progress.setFormat("not training")
            self.status.setText("Training did not begin.")
        elif self.where is not None:
            whole = self.progress.value() >= self.started.steps
            self.progress.setFormat("%p % · " + ("finished" if whole else "stopped and saved"))
            self.unfinished = None if whole else self.where.folder
            if self.unfinished is not None:
                self.offer_resume(self.unfinished)
            if self.loss.points()[0].size:
                self.session.refresh_runs()
                self.session.open_model(row_of(self.where.config.process), self.where.folder)
        self._set_busy(False)
