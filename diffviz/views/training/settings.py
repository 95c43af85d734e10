"""The settings of a training that the panel itself has no room for."""

from typing import Any

from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QSpinBox,
    QWidget,
)

from trainer.config import PRECISIONS, WEIGHTINGS, ExperimentConfig

CHOICES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "prediction": ("Network predicts", ("eps", "x0", "v", "score"),
                   "The noise, the clean image, v = α ε − σ x0, or the score"),
    "loss_weighting": ("Loss weighting", WEIGHTINGS,
                       "simple: all times alike; log-normal: more of the noise at which images "
                       "take shape (Karras et al. 2022); min-snr: easy noise counts less "
                       "(Hang et al. 2023); likelihood: what bits/dim asks for"),
    "precision": ("Precision", PRECISIONS, "auto takes bfloat16 where the hardware has it"),
}  # fmt: skip
COUNTS: dict[str, tuple[str, int, int, str]] = {
    "classes": ("Classes", 0, 1000, "Tell the network each image's class, of so many; 0: do not"),
    "accumulation": ("Accumulation", 1, 64, "Parts of a batch taken one after the other: less "
                     "memory, the same step"),
    "warmup_steps": ("Warm-up steps", 0, 100_000, "The learning rate rises over so many steps"),
    "keep_every": ("Checkpoint every", 1, 10_000, "Epochs between two checkpoints that are kept"),
    "preview_steps": ("Preview steps", 1, 1000, "Sampler steps of the pictures while training"),
}  # fmt: skip
NUMBERS: dict[str, tuple[str, float, float, int, str]] = {
    "min_snr_gamma": ("Min-SNR gamma", 0.1, 100, 1, "Where min-snr cuts the weights"),
    "label_dropout": ("Label dropout", 0, 1, 2, "Share of images whose class is hidden, which is "
                      "what guidance compares with"),
    "weight_decay": ("Weight decay", 0, 1, 3, "Pulls the weights towards 0"),
    "gradient_clip": ("Gradient clip", 0.01, 1000, 2, "Longest gradient that is taken as it is"),
    "ema": ("EMA", 0, 1, 4, "Weight of the past in the average of the weights that samples"),
    "decay_fraction": ("Decay over the last", 0, 1, 2, "Share of training in which the learning "
                       "rate falls to 0"),
    "evaluate_every": ("Evaluate every", 0.05, 1000, 2, "Epochs between two evaluations"),
}  # fmt: skip


class TrainingSettings(QDialog):
    """Shows one experiment's further settings; `changes` are those that differ from it."""

    def __init__(self, config: ExperimentConfig, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("trainingSettingsDialog")
        self.setWindowTitle("More training settings")
        self.config = config
        self.fields: dict[str, QComboBox | QSpinBox | QDoubleSpinBox] = {}
        form = QFormLayout(self)
        form.addRow(QLabel("What training reads besides the panel's own fields."))
        for name, (text, choices, tip) in CHOICES.items():
            combo = QComboBox()
            combo.addItems(choices)
            combo.setCurrentText(getattr(config, name))
            self._add(form, name, text, combo, tip)
        for name, (text, least, most, tip) in COUNTS.items():
            count = QSpinBox(minimum=least, maximum=most, value=getattr(config, name))
            self._add(form, name, text, count, tip)
        for name, (text, low, high, decimals, tip) in NUMBERS.items():
            number = QDoubleSpinBox(minimum=low, maximum=high, decimals=decimals)
            number.setSingleStep(10.0 ** -min(decimals, 2))
            number.setValue(getattr(config, name))
            self._add(form, name, text, number, tip)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        form.addRow(buttons)

    def _add(
        self,
        form: QFormLayout,
        name: str,
        text: str,
        field: QComboBox | QSpinBox | QDoubleSpinBox,
        tip: str,
    ) -> None:
        field.setObjectName(f"{name}Field")
        field.setAccessibleName(text)
        field.setToolTip(tip)
        self.fields[name] = field
        form.addRow(text, field)

    def changes(self) -> dict[str, Any]:
        """The settings that were set to something else."""
        found: dict[str, Any] = {}
        for name, field in self.fields.items():
            value = field.currentText() if isinstance(field, QComboBox) else field.value()
            before = getattr(self.config, name)
            if isinstance(before, float):
                decimals = NUMBERS[name][3]
                if round(before, decimals) == round(float(value), decimals):
                    continue
            if value != before:
                found[name] = value
        return found
