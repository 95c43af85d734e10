"""The gallery panel: many samples of one model, classified, selected, and compared with data."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from diffviz.controls.classes import ClassChoice
from diffviz.controls.model import (
    SAMPLER_TITLES,
    SEED_WIDTH,
    ModelChoice,
    choose,
    list_samplers,
    narrow,
)
from diffviz.jobs import Job
from diffviz.shell.session import Session
from diffviz.views import Panel
from diffviz.views.gallery import work as work_gallery
from diffviz.views.gallery.side import MOST_NEIGHBOURS, SURE, Side
from diffviz.views.gallery.work import Labelled, Nearest, Unlabelled
from diffviz.views.samplers.work import Draw, Drawn, Growing
from diffviz.widgets.formula import Formula
from diffviz.widgets.mosaic import BACKGROUND
from diffviz.widgets.picker import Note, Picker
from diffviz.work import ANY_CLASS, EACH_CLASS

LABELS_TO_COME = (
    "How sure a digit classifier is of the samples, and how often it sees each digit, will stand "
    "here."
)
UNSURE_FRAME = "#E69F00"
COUNTS = (16, 32, 64, 144, 256)  # whole batches
FIRST = ("ddim", 30)


class GalleryPanel(Panel):
    """Draws a request's images in batches; selects, labels and compares them."""

    title = "Gallery"
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
        self.job: Job | None = None
        self.searching: Job | None = None
        self.again = False
        self.request: Draw | None = None  # what the images on view are
        self.images = np.empty((0, 1, 1), np.uint8)
        self.known = 0  # so many of them are finished, the rest are guesses
        self.labels = np.empty(0, int)
        self.sureness = np.empty(0)
        self.neighbours: dict[int, Nearest] = {}
        self.unlabelled = ""  # why there are no labels, if something is wrong
        self.pending: list[int] = []  # to be selected once drawn

        self.view = Picker()
        self.view.setObjectName("galleryView")
        self.view.setAccessibleName("Samples")
        self.side = Side()
        self.side.nearest.clicked.connect(self.find_nearest)
        below = QHBoxLayout()
        below.addWidget(self.view, 1)
        below.addWidget(self.side)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 6, 9, 6)
        layout.addLayout(self._make_controls())
        layout.addLayout(self._make_actions())
        layout.addLayout(below, 1)
        layout.addWidget(
            Formula(
                "An orange frame marks what the classifier is less than 90 % sure of.",
                [
                    (
                        "confidence = max_k p(k | x)",
                        "k a digit: the shipped classifier",
                    )
                ],
                "galleryFormula",
            )
        )

        self.view.hovered.connect(self._show_hovered)
        self.view.selectionChanged.connect(self._show_selection)
        self.model.changed.connect(self._model_changed)
        self.asking.changed.connect(self._changed)
        for combo in (self.sampler, self.count):
            combo.currentIndexChanged.connect(self._changed)
        for spin in (self.steps, self.seed):
            spin.valueChanged.connect(self._changed)
        self._model_changed()
        self._show_summary()
        self._show_selection()

    def _make_controls(self) -> QHBoxLayout:
        self.model = ModelChoice(self.session, "gallery")
        self.sampler = narrow(QComboBox(objectName="gallerySamplerCombo"), 10)
        list_samplers(self.sampler, tuple(SAMPLER_TITLES))
        choose(self.sampler, FIRST[0])
        self.steps = QSpinBox(objectName="galleryStepsSpin", minimum=1, maximum=1000)
        self.steps.setValue(FIRST[1])
        self.count = QComboBox(objectName="galleryCountCombo")
        for n in COUNTS:
            self.count.addItem(f"{n}", n)
        self.count.setCurrentIndex(COUNTS.index(64))
        self.seed = QSpinBox(objectName="gallerySeedSpin", maximum=2**31 - 1)
        self.seed.setFixedWidth(SEED_WIDTH)
        self.asking = ClassChoice("gallery")
        controls = QHBoxLayout()
        rows: tuple[tuple[QWidget, str, str], ...] = (
            (self.model, "Model", ""),
            (self.sampler, "Sampler", "How the model's answers become steps from noise to image"),
            (self.steps, "Steps", "Updates from noise to image: fewer are quicker and coarser"),
            (self.count, "Images", "How many images; the first stay the same when there are more"),
            (self.seed, "Seed", "The noise that the images begin as: another one, other digits"),
        )
        for widget, name, tip in rows:
            controls.addWidget(QLabel(name))
            controls.addWidget(widget)
            if tip:
                widget.setAccessibleName(name)
                widget.setToolTip(tip)
        controls.addStretch(1)
        for spin in (self.steps, self.seed):
            spin.setKeyboardTracking(False)
        return controls

    def _make_actions(self) -> QHBoxLayout:
        self.status = QLabel(objectName="galleryStatus")
        self.stop_button = QPushButton("Stop", objectName="stopGalleryButton", enabled=False)
        self.stop_button.setToolTip("Draw no further; what is finished stays")
        self.sample_button = QPushButton("Draw samples", objectName="gallerySampleButton")
        self.sample_button.setProperty("primary", True)
        self.sample_button.setToolTip("Draw the images, a batch at a time")
        self.sample_button.clicked.connect(self.press)
        self.stop_button.clicked.connect(self.stop)
        row = QHBoxLayout()
        row.addWidget(self.asking)
        row.addWidget(self.status, 1)
        row.addWidget(self.stop_button)
        row.addWidget(self.sample_button)
        return row

    def offer_samplers(self, names: tuple[str, ...]) -> None:
        list_samplers(self.sampler, names)
        self._changed()

    def _model_changed(self) -> None:
        self.asking.offer(self.model.classes)

    def wanted(self) -> Draw | None:
        """What the controls ask for; None while no model is there to ask."""
        run = self.model.run
        if run is None:
            return None
        return Draw(
            run.folder, self.model.file, self.sampler.currentData(), self.steps.value(),
            self.count.currentData(), self.seed.value(), self.asking.label, self.asking.guidance,
        )  # fmt: skip

    def _changed(self) -> None:
        """A setting changed: what is being drawn may not be what is asked for any more."""
        if self.job is not None and self.wanted() != self.request:
            self.again = True
            self.job.stop()
        elif self.job is None and self.again and self.wanted() is not None:
            self.sample()
        self._show_status()

    def press(self) -> None:
        """Draw anew, with nothing selected."""
        self.pending = []
        self.sample()

    def sample(self) -> None:
        """Draw what the controls ask for; a drawing under way is given up for it."""
        request = self.wanted()
        self.again = self.job is not None or request is None
        if self.job is not None:
            self.job.stop()
        elif request is not None:
            self._forget()
            self.request = request
            make = partial(work_gallery.gallery, request)
            self.job = self.begin(make, self._take, self._ended)
        self._show_status()

    def stop(self) -> None:
        """Draw no further; whole batches that are finished stay."""
        self.again = False
        if self.job is not None:
            self.job.stop()

    def shutdown(self) -> None:
        self.again = False
        super().shutdown()

    def _forget(self) -> None:
        """Clear the view for other images."""
        self.drop(self.searching)
        self.request = None
        self.images, self.known = np.empty((0, 1, 1), np.uint8), 0
        self.labels, self.sureness = np.empty(0, int), np.empty(0)
        self.neighbours, self.unlabelled = {}, ""
        self.view.select(())
        self.view.show_notes([])
        self.view.show_images(None)
        self._show_summary()

    def _take(self, events: list[Any]) -> None:
        for event in events:
            match event:
                case Growing():
                    self.images, self.known = event.images, event.finished
                case Labelled():
                    self.labels = np.concatenate([self.labels[: event.first], event.labels])
                    self.sureness = np.concatenate([self.sureness[: event.first], event.sureness])
                case Unlabelled():
                    self.unlabelled = event.reason
                case Drawn():
                    self.images, self.known = event.images, len(event.images)
        self._show_images()
        self._show_status()

    def _ended(self) -> None:
        self.job = None
        if self.again:
            self.sample()
            return
        self.images = self.images[: self.known]
        if self.request is not None and self.known:
            self.request = replace(self.request, count=self.known)
        else:
            self.request = None
        self._show_images()
        self.view.select(self.pending)
        self._show_status()
        self._show_selection()

    def _show_images(self) -> None:
        """Put the images into the view, and what is seen in them; places to come stay empty."""
        shown, wanted = self.images, self.request.count if self.job and self.request else 0
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
        wanted = self.wanted()
        drawing = self.job is not None
        self.stop_button.setEnabled(drawing)
        self.sample_button.setEnabled(wanted is not None)
        if wanted is None:
            words = "Waiting for the models to be listed."
        elif drawing:
            words = f"Drawing: {self.known} of {self.request.count if self.request else 0} finished"
        elif self.request is None:
            words = ""
        elif wanted == self.request:
            words = f"{self.known} images. Click to select; Ctrl and Shift select more."
        else:
            words = "The settings changed: press Draw samples."
        self.status.setText(words)
        self.view.set_placeholder(
            f"Press Draw samples: {self.count.currentData()} images are drawn from noise in "
            "batches, and a digit classifier says what it sees in each."
        )

    def _asked(self) -> np.ndarray | None:
        """The class that each image was asked to be, where there was one."""
        request = self.request
        if request is None or request.label == ANY_CLASS:
            return None
        n = len(self.labels)
        each = np.arange(n) % max(1, self.model.classes)
        return each if request.label == EACH_CLASS else np.full(n, request.label)

    def _show_summary(self) -> None:
        if self.model.digits or self.model.run is None:
            why = self.unlabelled or LABELS_TO_COME
        else:
            why = "The classifier knows MNIST's digits only: other images get no labels."
        self.side.show_labels(self.labels, self.sureness, self._asked(), why)

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
        searching = self.searching is not None
        self.side.nearest.setEnabled(bool(chosen) and self.job is None and not searching)
        self.side.nearest.setText("Looking…" if searching else "Nearest training images")
        shown = chosen[:MOST_NEIGHBOURS]
        found = [self.neighbours[index] for index in shown if index in self.neighbours]
        self.side.show_pairs(self.images[shown], found)

    def find_nearest(self) -> None:
        """Look for the nearest training images of the selected ones."""
        lacking = [i for i in self.view.selected[:MOST_NEIGHBOURS] if i not in self.neighbours]
        if self.request is None or self.searching is not None or not lacking:
            return
        make = partial(
            work_gallery.nearest_images, self.request, {i: self.images[i] for i in lacking}
        )
        self.searching = self.begin(make, self._take_nearest, self._searched)
        self._show_selection()

    def _take_nearest(self, events: list[Nearest]) -> None:
        self.neighbours |= {near.index: near for near in events}
        self._show_selection()

    def _searched(self) -> None:
        self.searching = None
        self._show_selection()

    def settings(self) -> dict[str, Any]:
        request = self.request or self.wanted()
        if request is None:
            return {}
        return {
            "model": request.folder.name,
            "checkpoint": request.checkpoint,
            "sampler": request.sampler,
            "steps": request.steps,
            "count": request.count,
            "seed": request.seed,
            "class": request.label,
            "guidance": request.guidance,
            "selected": self.view.selected,
        }

    def prepare(self, settings: dict[str, Any]) -> None:
        if settings.get("model"):
            self.model.choose(str(settings["model"]), str(settings.get("checkpoint", "")))
        count = min(1024, max(1, int(settings.get("count", 64))))
        if self.count.findData(count) < 0:  # a drawing that was stopped
            self.count.addItem(f"{count}", count)
        choose(self.sampler, settings.get("sampler"))
        choose(self.count, count)
        self.steps.setValue(int(settings.get("steps", FIRST[1])))
        self.seed.setValue(int(settings.get("seed", 0)))
        self.asking.prepare(settings)

    def restore(self, settings: dict[str, Any]) -> None:
        self.prepare(settings)
        self.pending = [int(index) for index in settings.get("selected", [])]
        self.sample()

    def grid(self) -> np.ndarray | None:
        """The selected images, or all that are finished if none is selected."""
        images = self.images[: self.known]
        if self.view.selected:
            images = images[[index for index in self.view.selected if index < self.known]]
        return images if len(images) else None
