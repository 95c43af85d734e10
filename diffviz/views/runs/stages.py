"""What checkpoints of one run draw, side by side, and the length of EMA that they draw with."""

from pathlib import Path

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QSlider, QWidget

from diffviz.views.runs.work import Runs, Stage
from diffviz.widgets.mosaic import Mosaic
from trainer.ask import settings_of

STAGES = 3
LENGTHS = 24  # that the slider tells apart, evenly in their logarithm
KEPT = "How long an average of the weights draws (sigma_rel): short is recent, long is smooth"
NOT_KEPT = "This run keeps no averages of its weights: those that ship do not, nor older ones"


class Averaging(QWidget):
    """A slider for the EMA's length: as trained at its left end, then from short to long."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        setting = settings_of(Runs)["ema"]
        assert setting.least is not None
        assert setting.most is not None
        self.lengths = np.geomspace(setting.least, setting.most, LENGTHS)
        self.slider = QSlider(Qt.Orientation.Horizontal, objectName="emaSlider", maximum=LENGTHS)
        self.slider.setAccessibleName(setting.title)
        self.words = QLabel()
        self.words.setMinimumWidth(self.words.fontMetrics().horizontalAdvance("EMA as trained  "))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addStretch(1)
        layout.addWidget(self.words)
        layout.addWidget(self.slider, 2)
        layout.addStretch(1)
        self.slider.valueChanged.connect(self._moved)
        self._moved()

    def value(self) -> float | None:
        """sigma_rel; None as trained."""
        place = self.slider.value()
        return float(self.lengths[place - 1]) if place else None

    def set_value(self, length: float | None) -> None:
        """The nearest that the slider tells apart."""
        off = None if length is None else np.abs(np.log(self.lengths / length))
        self.slider.setValue(0 if off is None else 1 + int(off.argmin()))

    def offer(self, kept: bool) -> None:
        """Whether the run that draws keeps averages."""
        self.setEnabled(kept)
        self.setToolTip(KEPT if kept else NOT_KEPT)

    def _moved(self) -> None:
        length = self.value()
        self.words.setText("EMA as trained" if length is None else f"EMA length {length:.3f}")
        self.changed.emit()


class Stages(QWidget):
    """Up to STAGES checkpoints' images. `lengthened` asks for them again, by another EMA."""

    lengthened = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.folder: Path | None = None
        self.steps: tuple[int, ...] = ()
        self.views = [Mosaic("What the checkpoint draws appears here.") for _ in range(STAGES)]
        self.titles = [QLabel() for _ in range(STAGES)]
        self.averaging = Averaging()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.averaging, 0, 0, 1, STAGES)
        for k, (view, words) in enumerate(zip(self.views, self.titles, strict=True)):
            view.setObjectName(f"stage{k}View")
            view.setAccessibleName(f"Stage {k + 1}")
            words.setAlignment(Qt.AlignmentFlag.AlignCenter)
            grid.addWidget(words, 1, k)
            grid.addWidget(view, 2, k)
        grid.setRowStretch(2, 1)
        self.averaging.changed.connect(self.lengthened)
        self._make_room()

    def begin(self, folder: Path, steps: tuple[int, ...]) -> None:
        """Places for what these checkpoints will draw; what they draw again stays until then."""
        if (folder, steps) != (self.folder, self.steps):
            for view in self.views:
                view.show_images(None)
        self.folder, self.steps = folder, steps
        self._make_room()
        for k, step in enumerate(steps):
            self.titles[k].setText(f"{folder.name}, step {step:,}: drawing…")

    def show_stage(self, stage: Stage) -> None:
        k = self.steps.index(stage.step)
        self.views[k].show_images(stage.images)
        length = "" if stage.ema is None else f", EMA length {stage.ema:.3f}"
        self.titles[k].setText(f"{stage.folder.name}, step {stage.step:,}{length}")
        self.averaging.offer(stage.averages)

    def _make_room(self) -> None:
        """Places for the checkpoints that draw; the table and the curves take what is left."""
        for k, (view, words) in enumerate(zip(self.views, self.titles, strict=True)):
            view.setVisible(k < len(self.steps))
            words.setVisible(k < len(self.steps))
        self.averaging.setVisible(bool(self.steps))
