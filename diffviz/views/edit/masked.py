"""What completing and restoring share: a mask on an image, and a film of what is drawn for it."""

import math
from functools import partial

import numpy as np
from PySide6.QtWidgets import QComboBox, QFileDialog, QPushButton, QSpinBox, QWidget

from diffviz.controls.fields import choose
from diffviz.shell.session import Session
from diffviz.views.edit import work
from diffviz.views.edit.tools import Tool, name_it
from diffviz.widgets.mask import MaskPainter
from diffviz.widgets.mosaic import Mosaic
from diffviz.widgets.timeline import Timeline
from trainer.ask import Ask, settings_of
from trainer.masks import MASKS, forgotten
from trainer.requests import Masked

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


class MaskedTool(Tool):
    """Makes the widgets; a subclass lays them out. Its ask is a Masked."""

    apart = ("mask",)
    timeline: Timeline
    empty = drawn = ""  # what is said before there is anything, and what it will be

    def __init__(self, session: Session, first: Ask, parent: QWidget | None = None) -> None:
        super().__init__(session, first, parent)
        self.frames: dict[int, work.Completing] = {}  # by the update they follow
        self.place = 1.0  # where the timeline is to stand once all is drawn
        self.forget = QComboBox(objectName=f"{self.key}MaskCombo")
        for key, text in FORGET.items():
            self.forget.addItem(text, key)
        name_it(
            self.forget, "Forget", "Which part is forgotten; or paint on the image with the mouse"
        )
        self.clear_button = QPushButton("Clear", objectName=f"{self.key}ClearButton")
        name_it(self.clear_button, "Clear the mask", "Take all paint away")
        self.brush = QSpinBox(objectName=f"{self.key}BrushSpin", minimum=1, maximum=64, value=5)
        self.brush.setSuffix(" px")
        name_it(self.brush, "Brush", "How many pixels across the brush is")
        self.painter = MaskPainter("The image appears here.")
        self.painter.setObjectName(f"{self.key}Painter")
        name_it(
            self.painter,
            "The image, and over it what is forgotten",
            "Paint with the left button, take paint away with the right one; or with the arrow "
            "keys, Enter and Backspace",
        )
        self.show_what = QComboBox(objectName=f"{self.key}ShowCombo")
        for choice in work.SHOWN:
            self.show_what.addItem(choice.title, choice.id)
        name_it(self.show_what, "Show", settings_of(work.Edit)["show"].tip)
        self.view = Mosaic(self.empty)
        self.view.setObjectName(f"{self.key}View")
        self.view.setAccessibleName(self.drawn.capitalize())
        self.timeline = Timeline()
        self.timeline.set_caption("")

        self.forget.activated.connect(self._choose)
        self.clear_button.clicked.connect(self.clear)
        self.brush.valueChanged.connect(partial(setattr, self.painter, "brush"))
        self.painter.painted.connect(self.painted_by_hand)
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
        self.painted_by_hand()

    def painted_by_hand(self) -> None:
        """What is painted is what is forgotten."""
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

    def current(self, of: dict[str, str]) -> Masked:
        asked: Masked = super().current(of)
        return asked.with_changes(mask=self.asked_mask())

    def wanted(self, of: dict[str, str]) -> Masked | None:
        return None if self.waiting or not self.painter.masked.any() else self.current(of)

    def begin(self, request: Masked) -> None:
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
            self.report = f"{count} {self.drawn}, {event.nfe} network evaluations each."
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

    def prepare(self, ask: Masked) -> None:
        super().prepare(ask)
        choose(self.forget, ask.mask if ask.mask in MASKS else "painted")
        self.waiting = "" if ask.mask in MASKS else ask.mask
        self.preset()
