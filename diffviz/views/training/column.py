"""The column at the left: what to train and its settings, the buttons, how far it is."""

from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from diffviz.controls.fields import choose, make_field
from diffviz.controls.form import Form
from diffviz.shell.session import Session
from diffviz.widgets.mosaic import Mosaic
from trainer.config import DESCRIPTIONS, PRESETS, ExperimentConfig

EPOCHS = 300  # what a press of Train is for, unless the preset counts in steps
OTHER_PROCESS = {"prediction": "v", "preview_sampler": "ddim", "preview_steps": 20}


class Column(QWidget):
    """Controls only: what they ask for is `config`; `changed` says that it is another now.

    `chosen` names a data set that was just chosen.
    """

    changed = Signal()
    chosen = Signal(str)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.form = Form(
            ExperimentConfig, "", session, self, without=("preset", "dataset"),
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
        self.resume_button = QPushButton(objectName="resumeButton")
        # A run's long name must not widen the column.
        self.resume_button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.resume_epochs = make_field(self.form.settings["epochs"], "resume")
        self.resume_epochs.setPrefix("to epoch ")
        self.resume_epochs.setToolTip(
            "How many epochs the run shall have in all. With another number the learning rate "
            "follows the schedule of that many from where the run stands"
        )
        for button, tip in (
            (self.train_button, "Train in the background; the Training view shows every step"),
            (self.pause_button, "Hold training where it is, and go on later"),
            (self.stop_button, "End training; a checkpoint is saved"),
            (self.resume_button, "Go on with the training that was stopped midway"),
        ):
            button.setToolTip(tip)
        buttons = QHBoxLayout()
        buttons.addWidget(self.train_button, 1)
        buttons.addWidget(self.pause_button)
        buttons.addWidget(self.stop_button)
        self.resume_row = QWidget(visible=False)
        resuming = QHBoxLayout(self.resume_row)
        resuming.setContentsMargins(0, 0, 0, 0)
        resuming.addWidget(self.resume_button, 1)
        resuming.addWidget(self.resume_epochs)
        self.progress = QProgressBar(objectName="progressBar", textVisible=True)
        self.progress.setFormat("not training")
        self.progress.setValue(0)
        self.status = QLabel("Press Train to begin: digits appear below as it learns.")
        self.status.setObjectName("statusLabel")
        self.status.setWordWrap(True)
        self.samples = Mosaic("Samples from fixed noise appear here while training.")
        self.samples.setObjectName("samplesView")

        layout = QVBoxLayout(self)
        layout.addLayout(self._make_form())
        layout.addLayout(buttons)
        layout.addWidget(self.resume_row)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        layout.addWidget(self.samples, 1)
        self.preset.currentIndexChanged.connect(self._show_preset)
        self.dataset.activated.connect(self._choose_dataset)
        self.process.changed.connect(self._process_changed)
        self.form.changed.connect(self.changed)
        self.epochs.changed.connect(self._name_button)
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

    def config(self) -> ExperimentConfig:
        """The experiment that the fields ask for; a Problem where they do not go together."""
        return self.form.ask(
            preset=self.preset.currentData(), dataset=self.dataset.currentData() or "mnist"
        )

    def show_config(self, config: ExperimentConfig) -> None:
        """Set the fields to that experiment."""
        if config.preset in PRESETS:
            choose(self.preset, config.preset)
        self._offer_dataset(config.dataset)
        self.form.restore(config)

    def _show_preset(self) -> None:
        config = PRESETS[self.preset.currentData()]
        self.preset.setToolTip(DESCRIPTIONS[config.preset])
        epochs = config.epochs if config.preset == "report-sde" else EPOCHS
        self.form.begin(config.with_changes(epochs=epochs))
        self._name_button()

    def _process_changed(self) -> None:
        """With a process that is not the preset's, the network predicts v, which every process
        allows, and the preview is drawn by DDIM."""
        preset = PRESETS[self.preset.currentData()]
        own = self.process.value() == preset.process
        self.form.set_values(
            {n: getattr(preset, n) for n in OTHER_PROCESS} if own else OTHER_PROCESS
        )

    def _choose_dataset(self) -> None:
        """Ask for the folder when other images are chosen."""
        if self.dataset.currentData() is None:
            folder = QFileDialog.getExistingDirectory(self, "A folder of pictures or of IDX files")
            self._offer_dataset(folder or "mnist")
        self.chosen.emit(self.dataset.currentData())
        self.changed.emit()

    def _offer_dataset(self, name: str) -> None:
        if self.dataset.findData(name) < 0:
            self.dataset.insertItem(self.dataset.count() - 1, Path(name).name, name)
        choose(self.dataset, name)

    def _name_button(self) -> None:
        count = self.epochs.value()
        self.train_button.setText(f"Train {count} epoch{'s' if count != 1 else ''}")

    def set_busy(self, busy: bool, resumable: bool) -> None:
        """Whether a training is under way: until it ends its settings stand still."""
        for field in (self.preset, self.dataset, *self.form.fields.values()):
            field.setEnabled(not busy)
        self.train_button.setEnabled(not busy)
        self.pause_button.setEnabled(busy)
        self.stop_button.setEnabled(busy)
        self.pause_button.setText("Pause")
        self.resume_row.setVisible(not busy and resumable)
