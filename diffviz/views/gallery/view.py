"""The gallery: many samples of one model, classified, selected, and compared with data."""

from functools import partial
from typing import Any

import numpy as np
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from diffviz.controls.beginning import BeginningChoice
from diffviz.controls.form import Form
from diffviz.shell.session import Session
from diffviz.views.gallery import work
from diffviz.views.gallery.side import MOST_NEIGHBOURS, SURE, Side
from diffviz.views.growing import Drawn, Growing
from diffviz.views.view import Guide, View
from diffviz.widgets.formula import Formula
from diffviz.widgets.mosaic import BACKGROUND
from diffviz.widgets.picker import Note, Picker

LABELS_TO_COME = (
    "How sure a digit classifier is of the samples, and how often it sees each digit, will stand "
    "here."
)
UNSURE_FRAME = "#E69F00"


class GalleryView(View):
    """Draws an ask's images in batches; selects, labels and compares them."""

    kind = work.Gallery
    explanation = (
        "<h3>Many samples at once</h3>"
        "<p>Each image begins as its own noise, x<sub>1</sub> ~ N(0, I), and the sampler turns it "
        "into one draw from what the model has learned. The small figures are a digit "
        "classifier's answer and how sure it is; images under 90 % have an orange frame: often "
        "they lie between two digits. A good model draws every class about equally often.</p>"
        "<p><b>Memorised or made?</b> Select images and look for the nearest training image, "
        "min<sub>i</sub> ‖x − x<sub>i</sub>‖<sub>2</sub> over all pixels. A copy would be much "
        "nearer than real test images are to theirs (Meehan et al. 2020).</p>"
    )

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.drawing = self.latest(self._take, self._ended)
        self.searching = self.latest(self._take_nearest, self._show_selection)
        self.asked: work.Gallery | None = None  # what the images on view are
        self.images = np.empty((0, 1, 1), np.uint8)
        self.known = 0  # so many of them are finished, the rest are guesses
        self.labels = np.empty(0, int)
        self.sureness = np.empty(0)
        self.neighbours: dict[int, work.Nearest] = {}
        self.unlabelled = ""  # why there are no labels, if something is wrong
        self.spent = ""  # what the drawing took
        self.pending: tuple[int, ...] = ()  # to be selected once drawn
        self.awaited = False  # to be drawn as soon as the models are listed

        self.form = Form(self.kind, "gallery", session, self, without=("selected",))
        self.view = Picker()
        self.view.setObjectName("galleryView")
        self.view.setAccessibleName("Samples")
        self.view.setToolTip("Click to select; Ctrl and Shift select more")
        self.side = Side()
        self.side.nearest.clicked.connect(self.find_nearest)
        below = QHBoxLayout()
        below.addWidget(self.view, 1)
        below.addWidget(self.side)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 6, 9, 6)
        layout.addLayout(self.form.row("model", "sampler", "steps", "count", "seed"))
        layout.addLayout(self._make_actions())
        layout.addLayout(below, 1)
        layout.addWidget(
            Formula(
                "An orange frame marks what the classifier is less than 90 % sure of.",
                [("confidence = max_k p(k | x)", "k a digit: the shipped classifier")],
                "galleryFormula",
            )
        )
        self.view.hovered.connect(self._show_hovered)
        self.view.selectionChanged.connect(self._show_selection)
        self.form.changed.connect(self._changed)
        self._show_summary()
        self._show_selection()
        self._show_status()

    def _make_actions(self) -> QHBoxLayout:
        self.status = QLabel(objectName="galleryStatus")
        # Else as wide as its words, and so the window.
        self.status.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.stop_button = QPushButton("Stop", objectName="stopGalleryButton", enabled=False)
        self.stop_button.setToolTip("Draw no further; what is finished stays")
        self.sample_button = QPushButton("Draw samples", objectName="gallerySampleButton")
        self.sample_button.setProperty("primary", True)
        self.sample_button.setToolTip("Draw the images, a batch at a time")
        self.sample_button.clicked.connect(self.press)
        self.stop_button.clicked.connect(self.stop)
        row = self.form.row("classes", end=False)
        row.addLayout(BeginningChoice(self.form))
        row.addWidget(self.status, 1)
        row.addWidget(self.stop_button)
        row.addWidget(self.sample_button)
        return row

    @property
    def model(self) -> Any:
        """The chooser of the model."""
        return self.form["model"]

    def wanted(self) -> work.Gallery | None:
        """What the controls ask for; None while no model is there to ask."""
        return self.form.ask() if self.model.run is not None else None

    def _changed(self) -> None:
        """A setting changed: what is being drawn may not be what is asked for any more."""
        if self.awaited or (self.drawing.busy and self.wanted() != self.asked):
            self.sample()
        self._show_status()

    def press(self) -> None:
        """Draw anew, with nothing selected."""
        self.pending = ()
        self.sample()

    def sample(self) -> None:
        """Draw what the controls ask for; a drawing under way is given up for it."""
        ask = self.wanted()
        self.awaited = ask is None
        if ask is not None:
            self._forget()
            self.asked = ask
            self.drawing.ask(partial(work.gallery, ask, self.session.places))
        self._show_status()

    def stop(self) -> None:
        """Draw no further; whole batches that are finished stay."""
        self.awaited = False
        self.drawing.stop()

    def _forget(self) -> None:
        """Clear the view for other images."""
        self.searching.drop()
        self.asked = None
        self.images, self.known = np.empty((0, 1, 1), np.uint8), 0
        self.labels, self.sureness = np.empty(0, int), np.empty(0)
        self.neighbours, self.unlabelled, self.spent = {}, "", ""
        self.view.select(())
        self.view.show_notes([])
        self.view.show_images(None)
        self._show_summary()

    def _take(self, events: list[Any]) -> None:
        for event in events:
            match event:
                case Growing():
                    self.images, self.known = event.images, event.finished
                case work.Labelled():
                    self.labels = np.concatenate([self.labels[: event.first], event.labels])
                    self.sureness = np.concatenate([self.sureness[: event.first], event.sureness])
                case work.Unlabelled():
                    self.unlabelled = event.reason
                case Drawn():
                    self.images, self.known = event.images, len(event.images)
                    self.spent = f"{event.nfe} NFE, {event.seconds:.2f} s in {event.precision}. "
        self._show_images()
        self._show_status()

    def _ended(self) -> None:
        self.images = self.images[: self.known]
        if self.asked is not None and self.known:
            self.asked = self.asked.with_changes(count=self.known)
        else:
            self.asked = None
        self._show_images()
        self.view.select(self.pending)
        self._show_status()
        self._show_selection()

    def _show_images(self) -> None:
        """Put the images into the view, and what is seen in them; places to come stay empty."""
        shown = self.images
        wanted = self.asked.count if self.drawing.busy and self.asked else 0
        if 0 < len(shown) < wanted:
            empty = np.full((wanted - len(shown), *shown.shape[1:]), BACKGROUND, np.uint8)
            shown = np.concatenate([shown, empty])
        self.view.show_images(shown)
        self.view.show_notes(
            [
                Note(f"{label} {int(100 * sure)}", UNSURE_FRAME if sure < SURE else "")
                for label, sure in zip(self.labels, self.sureness, strict=True)
            ]
        )
        self._show_summary()

    def _show_status(self) -> None:
        wanted, drawing = self.wanted(), self.drawing.busy
        self.stop_button.setEnabled(drawing)
        self.sample_button.setEnabled(wanted is not None)
        if wanted is None:
            words = "Waiting for the models to be listed."
        elif drawing:
            words = f"Drawing: {self.known} of {self.asked.count if self.asked else 0} finished"
        elif self.asked is None:
            words = ""
        elif wanted == self.asked:
            words = f"{self.known} images, {self.spent}".rstrip(" ,")
        else:
            words = "The settings changed: press Draw samples."
        self.status.setText(words)
        count = self.form["count"].value()
        self.view.set_placeholder(
            f"Press Draw samples: {count} images are drawn from noise in batches, and a digit "
            "classifier says what it sees in each."
        )

    def _asked_for(self) -> np.ndarray | None:
        """The class that each image was asked to be, where there was one."""
        labels = self.asked.labels(self.model.classes) if self.asked and self.model.classes else ()
        return np.resize(labels, len(self.labels)) if labels else None

    def _show_summary(self) -> None:
        if self.model.digits or self.model.run is None:
            why = self.unlabelled or LABELS_TO_COME
        else:
            why = "The classifier knows MNIST's digits only: other images get no labels."
        self.side.show_labels(self.labels, self.sureness, self._asked_for(), why)

    def _say(self, index: int) -> str:
        """What is known of one image."""
        text = f"<b>No. {index}</b>"
        if index < len(self.labels):
            text += f": {self.labels[index]}, {100 * self.sureness[index]:.1f} % sure"
        return text

    def _show_hovered(self, index: int) -> None:
        if index < 0:
            self._show_selection()
        else:
            self.side.about.setText(self._say(index))

    def _show_selection(self) -> None:
        """The selected images, beside each its nearest training image, once that is known."""
        chosen = self.view.selected
        if not chosen:
            text = "No image is selected."
        else:
            text = self._say(chosen[0]) if len(chosen) == 1 else f"<b>{len(chosen)} selected</b>"
        self.side.about.setText(text)
        searching = self.searching.busy
        self.side.nearest.setEnabled(bool(chosen) and not self.drawing.busy and not searching)
        self.side.nearest.setText("Looking…" if searching else "Nearest training images")
        shown = chosen[:MOST_NEIGHBOURS]
        found = [self.neighbours[index] for index in shown if index in self.neighbours]
        self.side.show_pairs(self.images[shown], found)

    def find_nearest(self) -> None:
        """Look for the nearest training images of the selected ones."""
        lacking = [i for i in self.view.selected[:MOST_NEIGHBOURS] if i not in self.neighbours]
        if self.asked is None or self.searching.busy or not lacking:
            return
        chosen = {i: self.images[i] for i in lacking}
        self.searching.ask(partial(work.nearest_images, self.asked, self.session.places, chosen))
        self._show_selection()

    def _take_nearest(self, events: list[work.Nearest]) -> None:
        self.neighbours |= {near.index: near for near in events}
        self._show_selection()

    def ask(self) -> work.Gallery:
        return (self.asked or self.form.ask()).with_changes(selected=tuple(self.view.selected))

    def prepare(self, ask: work.Gallery) -> None:
        self.form.restore(ask)

    def restore(self, ask: work.Gallery) -> None:
        self.prepare(ask)
        self.pending = ask.selected
        self.sample()

    def grid(self) -> np.ndarray | None:
        """The selected images, or all that are finished if none is selected."""
        images = self.images[: self.known]
        if self.view.selected:
            images = images[[index for index in self.view.selected if index < self.known]]
        return images if len(images) else None

    def visit(self, guide: Guide) -> None:
        self.form.set_values({"count": 16, "steps": 10})
        self.sample_button.click()
        guide.wait(lambda: not self.drawing.busy, "the gallery was drawn")
