"""The edit view's tools: what each has to say of itself; and inpainting, the first of them."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QWidget,
)

from diffviz.controls.fields import choose
from diffviz.controls.form import Form
from diffviz.shell.session import Session
from diffviz.views.edit import work
from diffviz.widgets.mask import MaskPainter
from diffviz.widgets.mosaic import Mosaic
from diffviz.widgets.timeline import Timeline
from trainer.ask import Ask, settings_of
from trainer.masks import MASKS, forgotten
from trainer.requests import Inpainting

FORGET = {
    "centre": "the centre",
    "left": "the left half",
    "right": "the right half",
    "top": "the top half",
    "bottom": "the bottom half",
    "painted": "what is painted",
    "file": "what an image marks…",
}
MOST_BYTES = 48 * 2**20  # what the frames of a view may take; longer ones are thinned


class Tool(QWidget):
    """One thing to do with a model. The view runs `make` on `wanted` and hands back events."""

    changed = Signal()  # a control was changed
    key = title = verb = sentence = ""
    lines: tuple[tuple[str, str], ...] = ()
    kind: type[Ask]
    images_of: tuple[str, ...] = ("image",)  # the settings that name images
    apart: tuple[str, ...] = ()  # settings that have no field in the form either
    make: Callable[..., Iterator[Any]]
    timeline: Timeline | None = None
    waiting = ""  # a mask that waits for its image

    def __init__(self, session: Session, first: Ask, parent: QWidget | None = None) -> None:
        """`first` says what the controls show first."""
        super().__init__(parent)
        self.request: Any = None  # what the views show, or are about to
        self.share = 0.0  # of it that is done
        self.report = ""  # what is to be said of it
        begin = {name: getattr(first, name) for name in self.images_of}
        without = ("model", "checkpoint", *self.apart)
        self.form = Form(self.kind, self.key, session, self, begin, without)
        self.images = {name: self.form[name] for name in self.images_of}
        self.form.changed.connect(self.changed)

    @property
    def done(self) -> bool:
        """Whether the views show all of `request`."""
        return self.request is not None and self.share >= 1.0

    def head(self, *names: str) -> QHBoxLayout:
        """The images that are asked for, and these settings, in a row."""
        return self.form.row(*self.images_of, *names)

    def names(self) -> tuple[str, ...]:
        """The images that are wanted."""
        return tuple(field.value() for field in self.images.values())

    def show_originals(self, found: work.Originals) -> None:
        """Show the images that `names` asked for."""
        raise NotImplementedError

    def current(self, of: dict[str, str]) -> Any:
        """What the controls ask of a model `of` that name and checkpoint."""
        return self.form.ask(**of)

    def wanted(self, of: dict[str, str]) -> Any:
        """The same; None while something is missing."""
        return self.current(of)

    def begin(self, request: Any) -> None:
        """The views make room for what is asked for."""
        self.request, self.share, self.report = request, 0.0, ""

    def take(self, event: Any) -> None:
        """Show what a worker yields."""
        raise NotImplementedError

    def grid(self) -> np.ndarray | None:
        """As `View.grid`, once all is done."""
        return None

    def prepare(self, ask: Any) -> None:
        """Set the controls."""
        self.form.restore(ask)


def name_it(widget: Any, name: str, tip: str) -> Any:
    """Give a widget its accessible name and its tooltip."""
    widget.setAccessibleName(name)
    widget.setToolTip(tip)
    return widget


def row_of(*widgets: QWidget | QHBoxLayout | str) -> QHBoxLayout:
    """Widgets, and words before them, in a row that is filled from the left."""
    row = QHBoxLayout()
    for widget in widgets:
        if isinstance(widget, QHBoxLayout):
            row.addLayout(widget)
        else:
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
    kind = Inpainting
    apart = ("mask",)
    make = staticmethod(work.complete)
    timeline: Timeline

    def __init__(self, session: Session, first: Ask, parent: QWidget | None = None) -> None:
        super().__init__(session, first, parent)
        self.frames: dict[int, work.Completing] = {}  # by the update they follow
        self.place = 1.0  # where the timeline is to stand once all is drawn
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
        self.painter = MaskPainter("The image appears here.")
        self.painter.setObjectName("inpaintPainter")
        name_it(
            self.painter,
            "The image, and over it what is forgotten",
            "Paint with the left button, take paint away with the right one; or with the arrow "
            "keys, Enter and Backspace",
        )
        self.show_what = QComboBox(objectName="inpaintShowCombo")
        for choice in work.SHOWN:
            self.show_what.addItem(choice.title, choice.id)
        name_it(self.show_what, "Show", settings_of(work.Edit)["show"].tip)
        self.view = Mosaic("The completions appear here, each from other noise.")
        self.view.setObjectName("inpaintView")
        self.view.setAccessibleName("Completions")
        self.timeline = Timeline()
        self.timeline.set_caption("")

        form = self.form
        upper = form.row("sampler", "steps", "repeats", end=False)
        upper.addStretch(1)
        lower = form.row("seed", "count", end=False)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addLayout(row_of(form.row("image", end=False), "Forget", self.forget), 0, 0)
        grid.addLayout(row_of("Brush", self.brush, self.clear_button, form.more_button), 1, 0)
        grid.addLayout(upper, 0, 1)
        grid.addLayout(row_of(lower, "Show", self.show_what), 1, 1)
        grid.addLayout(row_of(form.row("classes", end=False)), 2, 1)  # of models that know any
        grid.addWidget(self.painter, 3, 0)
        grid.addWidget(self.view, 3, 1)
        grid.addWidget(self.timeline, 4, 0, 1, 2)
        grid.setRowStretch(3, 1)
        grid.setColumnStretch(0, 2)
        grid.setColumnStretch(1, 3)

        self.forget.activated.connect(self._choose)
        self.clear_button.clicked.connect(self.clear)
        self.brush.valueChanged.connect(partial(setattr, self.painter, "brush"))
        self.painter.painted.connect(self._painted)
        self.show_what.currentIndexChanged.connect(self.show_time)
        self.timeline.position_changed.connect(self.show_time)

    def _choose(self) -> None:
        """Forget the part that is chosen by name, or what an image file marks."""
        if self.forget.currentData() == "file":
            path, _ = QFileDialog.getOpenFileName(self, "An image that is white where to forget")
            self.waiting = path or self.waiting
            choose(self.forget, "painted")
        self.preset()

    def preset(self) -> None:
        """Forget the part that is chosen by name."""
        name, shape = self.forget.currentData(), self.painter.masked.shape
        if name in MASKS:
            self.waiting = ""
            if shape != (0, 0):
                self.painter.set_mask(forgotten(name, *shape))
        self.changed.emit()

    def clear(self) -> None:
        """Forget nothing."""
        self.painter.set_mask(np.zeros_like(self.painter.masked))
        self._painted()

    def _painted(self) -> None:
        choose(self.forget, "painted")
        self.changed.emit()

    def show_originals(self, found: work.Originals) -> None:
        shape = self.painter.masked.shape
        self.painter.show_image(found.images[0])
        waited, self.waiting = bool(self.waiting), ""
        if found.mask is not None:
            self.painter.set_mask(found.mask)
        elif waited or self.painter.masked.shape != shape:
            if self.forget.currentData() not in MASKS:
                choose(self.forget, "centre")
            self.preset()
        self.changed.emit()

    def asked_mask(self) -> str:
        """What is forgotten, as an ask says it."""
        if self.forget.currentData() in MASKS:
            return str(self.forget.currentData())
        return self.waiting or work.words(self.painter.masked) or "centre"

    def current(self, of: dict[str, str]) -> Inpainting:
        asked: Inpainting = super().current(of)
        return asked.with_changes(mask=self.asked_mask())

    def wanted(self, of: dict[str, str]) -> Inpainting | None:
        return None if self.waiting or not self.painter.masked.any() else self.current(of)

    def begin(self, request: Inpainting) -> None:
        super().begin(request)
        self.frames = {}
        self.timeline.pause()
        self.timeline.set_count(request.steps + 1)
        self.timeline.set_fraction(0.0)

    def take(self, event: work.Completing) -> None:
        steps, count = self.request.steps, self.request.count
        held = 2 * event.states[0].nbytes * count * (steps + 1)
        if event.index % math.ceil(held / MOST_BYTES) == 0 or event.index == steps:
            self.frames[event.index] = event.after(self.frames.get(event.index))
        done = len(event.states) * event.index / steps
        self.share = 1.0 if event.first + done >= count else (event.first + done) / count
        if self.done:
            self.report = f"{count} completions, {event.nfe} network evaluations each."
        if not self.timeline.slider.isSliderDown():
            self.timeline.set_fraction(self.place if self.done else event.index / steps)
        self.place = 1.0 if self.done else self.place
        self.show_time()

    def frame(self, fraction: float) -> work.Completing | None:
        """The frame that is nearest to that place of the timeline."""
        at = fraction * (self.request.steps if self.request else 1)
        return min(self.frames.values(), key=lambda frame: abs(frame.index - at), default=None)

    def shown(self, frame: work.Completing) -> np.ndarray:
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
        """As `View.animation`."""
        return [self.shown(frame) for frame in self.frames.values()] if self.done else []

    def prepare(self, ask: Inpainting) -> None:
        super().prepare(ask)
        choose(self.forget, ask.mask if ask.mask in MASKS else "painted")
        self.waiting = "" if ask.mask in MASKS else ask.mask
        self.preset()
