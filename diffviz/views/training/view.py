"""The training view: what to train and its settings, the controls, and what is seen live."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from diffviz.controls.fields import choose
from diffviz.controls.form import Form
from diffviz.shell.session import Session, row_of
from diffviz.views.training import work
from diffviz.views.view import Guide, View
from diffviz.widgets.curve import CurvePlot
from diffviz.widgets.mosaic import Mosaic
from trainer.config import DESCRIPTIONS, PRESETS, ExperimentConfig
from trainer.events import Evaluated, Finished, Started, Step, Warned
from trainer.problems import Problem

EPOCHS = 300  # what a press of Train is for, unless the preset counts in steps
OTHER_PROCESS = {"prediction": "v", "preview_sampler": "ddim", "preview_steps": 20}


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss, or m:ss under an hour."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


class TrainingView(View):
    """Trains one model at a time, in a run folder of its own."""

    kind = ExperimentConfig
    explanation = (
        "<h3>Training</h3>"
        "<p>Images are noised to random times t, and the network learns to tell the noise: its "
        "<b>loss</b> is the mean squared error. <b>Bits/dim</b> bounds what storing a held-out "
        "image costs with this model; lower is better.</p>"
    )
    samplesChanged = Signal()  # noqa: N815

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.work = self.latest(self._show, self._ended)
        self.looking = self.latest(self._show_facts)
        self.started: Started | None = None
        self.where: work.TrainingIn | None = None
        self.unfinished: Path | None = None
        self.trained: Path | None = None  # to be opened once it is listed

        self.form = Form(
            self.kind, "", session, self, without=("preset", "dataset"),
            called={"batch_size": "batch", "learning_rate": "rate"},
        )  # fmt: skip
        self.more_button = self.form.more_button
        self.more_button.setObjectName("moreSettingsButton")
        self.more_button.setToolTip("Loss weighting, classes, EMA, precision and others")
        self.preset = QComboBox(objectName="presetCombo")
        for name in PRESETS:
            self.preset.addItem(name, name)
            self.preset.setItemData(self.preset.count() - 1, DESCRIPTIONS[name], 3)
        self.dataset = QComboBox(objectName="datasetCombo")
        self.dataset.addItem("MNIST: 60,000 handwritten digits", "mnist")
        self.dataset.addItem("Other images, from a folder…", None)
        self.process, self.network = self.form["process"], self.form["network"]
        self.epochs, self.seed = self.form["epochs"], self.form["seed"]
        self.batch, self.rate = self.form["batch_size"], self.form["learning_rate"]
        self.device = QLabel("loading torch…", objectName="deviceLabel")
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
        layout.addLayout(self._make_form())
        layout.addLayout(buttons)
        layout.addWidget(self.resume_button)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        layout.addWidget(self.loss, 5)
        layout.addWidget(self.log)
        layout.addWidget(self.bpd, 5)
        layout.addWidget(self.samples, 3)

        self.preset.currentIndexChanged.connect(self._show_preset)
        self.dataset.activated.connect(self._choose_dataset)
        self.process.changed.connect(self._process_changed)
        self.epochs.changed.connect(self._name_button)
        self.train_button.clicked.connect(self.train)
        self.pause_button.clicked.connect(self.toggle_pause)
        self.stop_button.clicked.connect(self.stop)
        self.resume_button.clicked.connect(self.resume)
        session.resumeAsked.connect(self.resume_run)
        session.runsChanged.connect(self._open_trained)
        self._show_preset()

    def _make_form(self) -> QFormLayout:
        form = QFormLayout()
        for label, field, tip in (
            ("&Preset", self.preset, "A named experiment: process, network and its settings"),
            ("&Dataset", self.dataset, "What it learns to draw: MNIST, IDX files or pictures"),
            ("P&rocess", self.process, self.process.toolTip()),
            ("&Network", self.network, self.network.toolTip()),
        ):
            field.setAccessibleName(label.replace("&", ""))
            field.setToolTip(tip)
            form.addRow(label, field)
        for (left, first), (right, second) in (
            (("&Epochs", self.epochs), ("&Seed", self.seed)),
            (("&Batch", self.batch), ("R&ate", self.rate)),
        ):
            row = QHBoxLayout()
            row.addWidget(first, 1)
            beside = QLabel(right)
            beside.setBuddy(second)
            row.addWidget(beside)
            row.addWidget(second, 1)
            form.addRow(left, row)
            caption = form.labelForField(row)
            assert isinstance(caption, QLabel)
            caption.setBuddy(first)
        self.form.placed |= {
            "process", "network", "epochs", "seed", "batch_size", "learning_rate"
        }  # fmt: skip
        row = QHBoxLayout()
        self.device.setAccessibleName("Device")
        self.device.setToolTip("What computes, and in which precision by default")
        row.addWidget(self.device, 1)
        row.addWidget(self.more_button)
        form.addRow("Device", row)
        return form

    @property
    def training(self) -> bool:
        return self.work.busy

    def config(self) -> ExperimentConfig:
        """The experiment that the fields ask for; a Problem where they do not go together."""
        return self.form.ask(
            preset=self.preset.currentData(), dataset=self.dataset.currentData() or "mnist"
        )

    def ask(self) -> ExperimentConfig:
        return self.config()

    def prepare(self, ask: ExperimentConfig) -> None:
        if ask.preset in PRESETS:
            choose(self.preset, ask.preset)
        self._offer_dataset(ask.dataset)
        self.form.restore(ask)

    def _process_changed(self) -> None:
        """With a process that is not the preset's, the network predicts v, which every process
        allows, and the preview is drawn by DDIM."""
        preset = PRESETS[self.preset.currentData()]
        own = self.process.value() == preset.process
        self.form.set_values(
            {n: getattr(preset, n) for n in OTHER_PROCESS} if own else OTHER_PROCESS
        )

    def _choose_dataset(self) -> None:
        """Ask for the folder when other images are chosen; show what is in it."""
        if self.dataset.currentData() is None:
            folder = QFileDialog.getExistingDirectory(self, "A folder of pictures or of IDX files")
            self._offer_dataset(folder or "mnist")
        self.status.setText("Looking at the images…")
        self.looking.ask(partial(work.facts, self.dataset.currentData()))

    def _show_facts(self, found: list[work.Facts]) -> None:
        if not self.training:
            self.status.setText(found[-1].words)
            self.samples.show_images(found[-1].images)

    def _offer_dataset(self, name: str) -> None:
        if self.dataset.findData(name) < 0:
            self.dataset.insertItem(self.dataset.count() - 1, Path(name).name, name)
        choose(self.dataset, name)

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
        self._begin(self.session.new_run_folder(config.preset), config)

    def resume(self) -> None:
        if self.unfinished is not None:
            self._begin(self.unfinished, None)

    def resume_run(self, folder: Path) -> None:
        """Go on with the training in that run folder, unless one is under way."""
        if self.training:
            self.session.problem.emit("A model is training: stop it first, then resume the other.")
            return
        self.offer_resume(folder)
        self.resume()

    def toggle_pause(self) -> None:
        if self.work.paused:
            self.work.resume()
        else:
            self.work.pause()
        self.pause_button.setText("Resume" if self.work.paused else "Pause")

    def stop(self) -> None:
        if self.training:
            self.stop_button.setEnabled(False)
            self.progress.setFormat("saving a checkpoint…")
            self.work.stop()

    def _show_preset(self) -> None:
        config = PRESETS[self.preset.currentData()]
        self.preset.setToolTip(DESCRIPTIONS[config.preset])
        epochs = config.epochs if config.preset == "report-sde" else EPOCHS
        self.form.begin(config.with_changes(epochs=epochs))
        self._name_button()

    def _name_button(self) -> None:
        count = self.epochs.value()
        self.train_button.setText(f"Train {count} epoch{'s' if count != 1 else ''}")

    def _begin(self, folder: Path, config: ExperimentConfig | None) -> None:
        if self.training:
            return
        for plot in (self.loss, self.bpd):
            plot.clear()
        self.samples.show_images(None)
        self.started = self.where = None
        self.status.setText("Loading the images…")
        self.progress.setRange(0, 0)
        self.work.ask(partial(work.training, folder, config))
        self._set_busy(True)

    def _set_busy(self, busy: bool) -> None:
        fields = [self.form[name] for name in self.form.fields]
        for field in (self.preset, self.dataset, *fields):
            field.setEnabled(not busy)
        self.train_button.setEnabled(not busy)
        self.pause_button.setEnabled(busy)
        self.stop_button.setEnabled(busy)
        self.pause_button.setText("Pause")
        self.resume_button.setVisible(not busy and self.unfinished is not None)

    def _show(self, events: list[Any]) -> None:
        steps: list[Step] = []
        for event in events:
            match event:
                case work.TrainingIn():
                    self.where = event
                case Started():
                    self.started = event
                    self.progress.setRange(0, event.steps)
                    self.progress.setFormat("%p %")
                case Step():
                    steps.append(event)
                case Evaluated():
                    self.bpd.append([event.step], [event.bits_per_dim])
                    pictures = event.samples.transpose(0, 2, 3, 1)
                    grey = pictures.shape[3] == 1
                    self.samples.show_images(
                        np.ascontiguousarray(pictures[..., 0] if grey else pictures)
                    )
                    self.samplesChanged.emit()
                case Warned():
                    self.session.message.emit(event.message)
                case Finished():
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
                self.trained = self.where.folder
                self.session.refresh_runs()
        self._set_busy(False)

    def _open_trained(self) -> None:
        """Let a row draw from what was trained, once it is listed."""
        for run in self.session.runs:
            if run.folder == self.trained and run.checkpoints:
                self.trained = None
                self.session.open_model(row_of(run.config.process), run.folder)

    def curves(self) -> dict[str, np.ndarray]:
        plots = {"loss": self.loss, "bits_per_dim": self.bpd}
        return {name: np.column_stack(plot.points()) for name, plot in plots.items()}

    def visit(self, guide: Guide) -> None:
        """Train a moment, pause, go on, stop; the run and its curves are kept."""
        self.train_button.click()
        guide.wait(lambda: self.loss.points()[0].size >= 10, "training made 10 steps")
        guide.look("learning")
        self.pause_button.click()
        guide.rest(0.3)
        self.pause_button.click()
        guide.wait(lambda: self.loss.points()[0].size >= 16, "training went on after a pause")
        self.stop_button.click()
        guide.wait(lambda: not self.training, "training stopped and saved")
