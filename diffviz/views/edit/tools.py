"""The edit panel's tools: what each has to say of itself; and inpainting, the first of them."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QWidget,
)

from diffviz import work
from diffviz.controls.classes import ClassChoice
from diffviz.controls.model import SAMPLER_TITLES, SEED_WIDTH, choose, list_samplers, narrow
from diffviz.views.edit import work as work_edit
from diffviz.views.edit.work import Originals
from diffviz.widgets.mask import MaskPainter
from diffviz.widgets.mosaic import Mosaic
from diffviz.widgets.timeline import Timeline
from trainer.masks import forgotten

FORGET = {
    "centre": "the centre",
    "left": "the left half",
    "right": "the right half",
    "top": "the top half",
    "bottom": "the bottom half",
    "painted": "what is painted",
}
TOLERANCES = {1e-2: "coarse, 0.01", 1e-3: "0.001", 1e-4: "fine, 0.0001"}
LAST_IMAGE = 9_999  # until it is known how many there are


class Tool(QWidget):
    """One thing to do with a model. The panel runs `work` on `wanted()` and hands back events."""

    changed = Signal()  # a control was changed
    key = title = verb = sentence = ""
    lines: tuple[tuple[str, str], ...] = ()
    work: Callable[[Any], Iterator[Any]]
    timeline: Timeline | None = None

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.request: Any = None  # what the views show, or are about to
        self.share = 0.0  # of it that is done
        self.report = ""  # what is to be said of it
        self.images: dict[str, QSpinBox] = {}

    @property
    def done(self) -> bool:
        """Whether the views show all of `request`."""
        return self.request is not None and self.share >= 1.0

    def image_spin(self, key: str, number: int, name: str, tip: str) -> QSpinBox:
        """A box for the number of a test image, which the panel looks up."""
        spin = QSpinBox(objectName=f"{self.key}{key.title()}Spin", maximum=LAST_IMAGE, value=number)
        spin.setPrefix("no. ")
        spin.setKeyboardTracking(False)
        spin.valueChanged.connect(self.changed)
        name_it(spin, name, tip)
        self.images[key] = spin
        return spin

    def tolerance_combo(self) -> QComboBox:
        """How exactly the ODE is solved."""
        combo = QComboBox(objectName=f"{self.key}ToleranceCombo")
        for value, text in TOLERANCES.items():
            combo.addItem(text, value)
        combo.setCurrentIndex(1)
        combo.currentIndexChanged.connect(self.changed)
        return name_it(
            combo,
            "Tolerance",
            "How far off each of the ODE solver's steps may be: less is slower and more exact",
        )

    def numbers(self) -> tuple[int, ...]:
        """The test images that are wanted."""
        return tuple(spin.value() for spin in self.images.values())

    def show_originals(self, found: Originals) -> None:
        """Show the test images that `numbers` asked for."""
        for spin in self.images.values():
            spin.setMaximum(found.total - 1)

    def wanted(self, folder: Path, checkpoint: str) -> Any:
        """What the controls ask for; None while something is missing."""
        raise NotImplementedError

    def begin(self, request: Any) -> None:
        """The views make room for what is asked for."""
        self.request, self.share, self.report = request, 0.0, ""

    def take(self, event: Any) -> None:
        """Show what a worker yields."""
        raise NotImplementedError

    def grid(self) -> np.ndarray | None:
        """As `Panel.grid`, once all is done."""
        return None

    def settings(self) -> dict[str, Any]:
        """What the controls asked for when the views were made."""
        raise NotImplementedError

    def prepare(self, settings: dict[str, Any]) -> None:
        """Set the controls."""
        for key, spin in self.images.items():
            spin.setMaximum(max(spin.maximum(), int(settings.get(key, 0))))
            spin.setValue(int(settings.get(key, spin.value())))


def name_it(widget: Any, name: str, tip: str) -> Any:
    """Give a widget its accessible name and its tooltip."""
    widget.setAccessibleName(name)
    widget.setToolTip(tip)
    return widget


def row_of(*widgets: QWidget | str) -> QHBoxLayout:
    """Widgets, and words before them, in a row that is filled from the left."""
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(QLabel(widget) if isinstance(widget, str) else widget)
    row.addStretch(1)
    return row


class InpaintTool(Tool):
    """Paint over a part of a real image; the model completes it, many times."""

    key, title, verb = "inpaint", "Inpaint", "Complete"
    sentence = (
        "What is painted over is drawn anew; after every update the rest is set to the real image, "
        "noised to the same level. Repeats noise and update again, so that both parts agree."
    )
    lines = (
        ('x_t ← m (α(t) x_0 + σ(t) ε) + (1 − m) x_t,   m = 1 "where known"',
         "Song et al. 2021, appendix I.2; repeats: Lugmayr et al. 2022 (RePaint)"),
    )  # fmt: skip
    work = staticmethod(work_edit.complete)
    timeline: Timeline

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.frames: list[work_edit.Completing] = []
        self.place = 1.0  # where the timeline is to stand once all is drawn
        self.words: tuple[str, ...] = ()  # a painted mask that waits for its image
        image = self.image_spin("image", 4, "Test image", "Which image of the test set to paint on")
        self.forget = QComboBox(objectName="inpaintMaskCombo")
        for key, text in FORGET.items():
            self.forget.addItem(text, key)
        name_it(
            self.forget, "Forget", "Which part is forgotten; or paint on the image with the mouse"
        )
        self.clear_button = QPushButton("Clear", objectName="inpaintClearButton")
        name_it(self.clear_button, "Clear the mask", "Take all paint away")
        self.brush = QSpinBox(objectName="inpaintBrushSpin", minimum=1, maximum=64, value=5)
        self.brush.setSuffix(" px")
        name_it(self.brush, "Brush", "How many pixels across the brush is")
        self.painter = MaskPainter("The test image appears here.")
        self.painter.setObjectName("inpaintPainter")
        name_it(
            self.painter,
            "The image, and over it what is forgotten",
            "Paint with the left button, take paint away with the right one; or with the arrow "
            "keys, Enter and Backspace",
        )
        self.sampler = narrow(QComboBox(objectName="inpaintSamplerCombo"), 12)
        list_samplers(self.sampler, tuple(SAMPLER_TITLES))
        choose(self.sampler, "ddpm")
        name_it(self.sampler, "Sampler", "How the model's answers become steps")
        self.steps = QSpinBox(objectName="inpaintStepsSpin", minimum=1, maximum=1000, value=50)
        name_it(self.steps, "Steps", "Updates from noise to image: more are finer and slower")
        self.repeats = QSpinBox(objectName="inpaintRepeatsSpin", minimum=1, maximum=50)
        name_it(self.repeats, "Repeats", "How often each update is made: more fit better, slower")
        self.seed = QSpinBox(objectName="inpaintSeedSpin", maximum=2**31 - 1)
        self.seed.setFixedWidth(SEED_WIDTH)
        name_it(self.seed, "Seed", "The noise that the completions start from")
        self.asking = ClassChoice("inpaint", work.ANY_CLASS, labelled=False)
        self.show_what = QComboBox(objectName="inpaintShowCombo")
        self.show_what.addItem("guess x0", "guess")
        self.show_what.addItem("state x_t", "state")
        name_it(self.show_what, "Show", "What the model takes the image to be, or the noisy state")
        self.view = Mosaic("Sixteen completions appear here, each from other noise.")
        self.view.setObjectName("inpaintView")
        self.view.setAccessibleName("Completions")
        self.timeline = Timeline()
        self.timeline.set_caption("")

        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addLayout(row_of(image, "Forget", self.forget), 0, 0)
        grid.addLayout(row_of("Sampler", self.sampler, "Steps", self.steps, "Repeats",
                              self.repeats), 0, 1)  # fmt: skip
        grid.addLayout(row_of("Brush", self.brush, self.clear_button), 1, 0)
        grid.addLayout(row_of("Seed", self.seed, self.asking, "Show", self.show_what), 1, 1)
        grid.addWidget(self.painter, 2, 0)
        grid.addWidget(self.view, 2, 1)
        grid.addWidget(self.timeline, 3, 0, 1, 2)
        grid.setRowStretch(2, 1)
        grid.setColumnStretch(0, 2)
        grid.setColumnStretch(1, 3)

        self.forget.activated.connect(self.preset)
        self.clear_button.clicked.connect(self.clear)
        self.brush.valueChanged.connect(lambda value: setattr(self.painter, "brush", value))
        self.painter.painted.connect(self._painted)
        self.sampler.currentIndexChanged.connect(self.changed)
        self.asking.changed.connect(self.changed)
        self.show_what.currentIndexChanged.connect(self.show_time)
        self.timeline.position_changed.connect(self.show_time)
        for spin in (self.steps, self.repeats, self.seed):
            spin.setKeyboardTracking(False)
            spin.valueChanged.connect(self.changed)

    def preset(self) -> None:
        """Forget the part that is chosen by name."""
        name, shape = self.forget.currentData(), self.painter.masked.shape
        if name != "painted" and shape != (0, 0):
            self.painter.set_mask(forgotten(name, *shape))
        self.changed.emit()

    def clear(self) -> None:
        """Forget nothing."""
        self.painter.set_mask(np.zeros_like(self.painter.masked))
        self._painted()

    def _painted(self) -> None:
        choose(self.forget, "painted")
        self.changed.emit()

    def show_originals(self, found: Originals) -> None:
        super().show_originals(found)
        shape = self.painter.masked.shape
        self.painter.show_image(found.images[0])
        mask, self.words = work_edit.from_words(self.words), ()
        if mask.size and mask.shape == self.painter.masked.shape:
            self.painter.set_mask(mask)
        elif self.painter.masked.shape != shape:
            self.preset()
        self.changed.emit()

    def wanted(self, folder: Path, checkpoint: str) -> work_edit.Completion | None:
        if self.words or not self.painter.masked.any():
            return None
        return work_edit.Completion(
            folder, checkpoint, self.images["image"].value(), work_edit.words(self.painter.masked),
            self.sampler.currentData(), self.steps.value(), self.repeats.value(), self.seed.value(),
            label=self.asking.label, guidance=self.asking.guidance,
        )  # fmt: skip

    def begin(self, request: work_edit.Completion) -> None:
        super().begin(request)
        self.frames = []
        self.timeline.pause()
        self.timeline.set_count(request.steps + 1)
        self.timeline.set_fraction(0.0)

    def take(self, event: work_edit.Completing) -> None:
        steps = self.request.steps
        held = 2 * event.states.nbytes * (steps + 1)
        last = event.index == steps
        if event.index % math.ceil(held / work.VIEW_BYTES) == 0 or last:
            self.frames.append(event)
        self.share = event.index / steps
        if last:
            self.report = f"16 completions, {event.nfe} network evaluations each."
        if not self.timeline.slider.isSliderDown():
            self.timeline.set_fraction(self.place if last else self.share)
        self.place = 1.0 if last else self.place
        self.show_time()

    def frame(self, fraction: float) -> work_edit.Completing | None:
        """The frame that is nearest to that place of the timeline."""
        at = fraction * (self.request.steps if self.request else 1)
        return min(self.frames, key=lambda frame: abs(frame.index - at), default=None)

    def shown(self, frame: work_edit.Completing) -> np.ndarray:
        """The pictures of a frame that the Show switch asks for."""
        return frame.guesses if self.show_what.currentData() == "guess" else frame.states

    def show_time(self) -> None:
        """Put the frame at the timeline's place into the view."""
        frame = self.frame(self.timeline.fraction())
        if frame is not None:
            self.view.show_images(self.shown(frame))
            self.timeline.set_caption(f"t = {frame.t:.3f}")

    def grid(self) -> np.ndarray | None:
        frame = self.frame(self.timeline.fraction()) if self.done else None
        return None if frame is None else self.shown(frame)

    def animation(self) -> list[np.ndarray]:
        """As `Panel.animation`."""
        return [self.shown(frame) for frame in self.frames] if self.done else []

    def settings(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "image": self.images["image"].value(),
            "forget": self.forget.currentData(),
            "mask": list(self.words or work_edit.words(self.painter.masked)),
            "sampler": self.sampler.currentData(),
            "steps": self.steps.value(),
            "repeats": self.repeats.value(),
            "seed": self.seed.value(),
            "class": self.asking.label,
            "guidance": self.asking.guidance,
        }
        if self.request is not None:
            names = ("image", "sampler", "steps", "repeats", "seed", "guidance")
            found |= {name: getattr(self.request, name) for name in names}
            found |= {"class": self.request.label}
            found |= {"mask": list(self.request.mask)}
        fraction = self.timeline.fraction() if self.done else 1.0
        return found | {"show": self.show_what.currentData(), "fraction": fraction}

    def prepare(self, settings: dict[str, Any]) -> None:
        mask = work_edit.from_words([str(word) for word in settings.get("mask", [])])
        super().prepare(settings)
        choose(self.forget, settings.get("forget"))
        choose(self.sampler, settings.get("sampler"))
        choose(self.show_what, settings.get("show"))
        self.steps.setValue(int(settings.get("steps", 50)))
        self.repeats.setValue(int(settings.get("repeats", 1)))
        self.seed.setValue(int(settings.get("seed", 0)))
        self.asking.prepare(settings)
        self.place = float(settings.get("fraction", 1.0))
        if mask.size and mask.shape == self.painter.masked.shape:
            self.painter.set_mask(mask)
        elif mask.size:
            self.words = work_edit.words(mask)
