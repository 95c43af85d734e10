"""The edit panel's tools that go through latents: encode and decode, interpolate."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QGridLayout, QLabel, QVBoxLayout, QWidget

from diffviz import work
from diffviz.controls.model import choose
from diffviz.views.edit import work as work_edit
from diffviz.views.edit.tools import Tool, name_it, row_of
from diffviz.views.edit.work import PATH, Originals
from diffviz.widgets.histogram import HistogramPlot
from diffviz.widgets.mosaic import BACKGROUND, Mosaic, compose

COUNTS = (9, 12, 16)
LEAST_TOP = 0.5  # of the histogram's axis
NOTHING_YET = "How far off the reconstruction is will stand here."


class EncodeTool(Tool):
    """Follow the probability-flow ODE from an image to its latent, and back."""

    key, title, verb = "encode", "Encode and decode", "Encode and decode"
    sentence = (
        "Without its randomness the process is an ODE: followed from an image to t = 1 it ends at "
        "the image's latent; followed back, at the image again."
    )
    lines = (("dx = [f − ½ g^2 ∇_x log p_t(x)] dt", "Song et al. 2021, eq. 13 and appendix D.4"),)
    work = staticmethod(work_edit.round_trip)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.there: list[np.ndarray] = []
        self.back: list[np.ndarray] = []
        image = self.image_spin("image", 0, "Test image", "Which image of the test set to encode")
        self.tolerance = self.tolerance_combo()
        self.view = Mosaic("The image, its latent and its reconstruction appear here.")
        self.view.setObjectName("encodeView")
        name_it(
            self.view, "Image, latent and reconstruction", "Left the image, in the middle its "
            "latent, right what decoding the latent gives",
        )  # fmt: skip
        self.path = Mosaic("The way there, and below it the way back, appear here.")
        self.path.setObjectName("encodePath")
        name_it(
            self.path, "The way from image to latent, and back", "Above from the image (t near 0) "
            "to the latent (t = 1); below the way back, the same times under each other",
        )  # fmt: skip
        centres = (work.BINS[:-1] + work.BINS[1:]) / 2
        normal = np.exp(-0.5 * centres**2) / math.sqrt(2 * math.pi)
        self.histogram = HistogramPlot(
            work.BINS, normal, LEAST_TOP, "encodeHistogram", "The latent's values against the prior"
        )
        self.histogram.setToolTip("The latent's pixel values; the line is the prior, N(0, 1)")
        self.facts = QLabel(objectName="encodeFacts", wordWrap=True)
        self.facts.setTextFormat(Qt.TextFormat.RichText)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addLayout(row_of("Image", image, "Tolerance", self.tolerance), 0, 0, 1, 2)
        grid.addWidget(QLabel("<b>Image, latent, reconstruction</b>"), 1, 0)
        grid.addWidget(QLabel("<b>The latent's values, and N(0, 1)</b>"), 1, 1)
        grid.addWidget(self.view, 2, 0, 2, 1)
        grid.addWidget(self.histogram, 2, 1)
        grid.addWidget(self.facts, 3, 1)
        grid.addWidget(QLabel("<b>From t near 0 to t = 1, and below it back</b>"), 4, 0, 1, 2)
        grid.addWidget(self.path, 5, 0, 1, 2)
        grid.setRowStretch(2, 2)
        grid.setRowStretch(5, 3)
        grid.setColumnStretch(0, 5)
        grid.setColumnStretch(1, 3)
        self.facts.setText(NOTHING_YET)

    def show_originals(self, found: Originals) -> None:
        super().show_originals(found)
        if self.request is None or self.request.image != found.numbers[0]:
            self.request, self.there, self.back = None, [found.images[0]], []
            self.share = 0.0
            self.facts.setText(NOTHING_YET)
            self.histogram.show_density(np.zeros(len(work.BINS) - 1))
            self._show()
        self.changed.emit()

    def wanted(self, folder: Path, checkpoint: str) -> work_edit.RoundTrip:
        number = self.images["image"].value()
        return work_edit.RoundTrip(folder, checkpoint, number, self.tolerance.currentData())

    def begin(self, request: work_edit.RoundTrip) -> None:
        super().begin(request)
        self.there, self.back = [], []

    def take(self, event: work_edit.Passing | work_edit.Returned) -> None:
        match event:
            case _ if self.request is None:  # another image is on view by now
                return
            case work_edit.Passing():
                (self.back if event.back else self.there).append(event.picture)
                # The report, which comes last, makes it whole.
                self.share = (len(self.there) + len(self.back) - 1) / (2 * PATH + 2)
                self._show()
            case work_edit.Returned():
                self.share = 1.0
                self.histogram.show_density(event.histogram)
                self._scale(float(event.histogram.max()))
                self.facts.setText(
                    f"The reconstruction is <b>{event.error:.2f}</b> of 255 grey levels off (root "
                    f"mean square), after {event.nfe} network evaluations.<br>Latent: mean "
                    f"<b>{event.mean:+.3f}</b>, standard deviation <b>{event.std:.3f}</b>. "
                    "Prior: 0 and 1. Images with a little noise, as the model knows them at the "
                    "ODE's start, would fill the prior; a clean one has none: its latent is tamer."
                )
                self.report = f"{event.nfe} network evaluations."

    def _scale(self, top: float) -> None:
        """Let the histogram's axis reach that density."""
        self.histogram.plot.getPlotItem().setYRange(0, max(LEAST_TOP, 1.1 * top), padding=0)

    def _show(self) -> None:
        """Show what there is of image, latent and reconstruction, and of the two ways."""
        if not self.there:
            return
        empty = np.full_like(self.there[0], BACKGROUND)

        def filled(pictures: list[np.ndarray]) -> list[np.ndarray]:
            return [*pictures, *[empty] * (PATH + 1 - len(pictures))]

        there, back = filled(self.there), filled(self.back)
        self.view.show_images(np.stack([there[0], there[-1], back[-1]]), 3)
        self.path.show_images(np.stack(there + back[::-1]), PATH + 1)

    def grid(self) -> np.ndarray | None:
        if not self.done or self.view.images is None:
            return None
        return compose(self.view.images, columns=3)[None]

    def settings(self) -> dict[str, Any]:
        found = self.request or self.wanted(Path(), "")
        return {"image": found.image, "tolerance": found.tolerance}

    def prepare(self, settings: dict[str, Any]) -> None:
        super().prepare(settings)
        choose(self.tolerance, settings.get("tolerance"))


class InterpolateTool(Tool):
    """Go from one image to another through their latents, and through their pixels."""

    key, title, verb = "interpolate", "Interpolate", "Interpolate"
    sentence = (
        "Between two latents, along the great circle, lie latents of about the same norm, which "
        "decode to digits (above); between two images lies a double exposure (below)."
    )
    lines = (("z(w) = [sin((1 − w) θ) z_A + sin(w θ) z_B] / sin θ", "Shoemake 1985; White 2016"),)
    work = staticmethod(work_edit.interpolate)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        first = self.image_spin("first", 0, "From", "The test image at the left end")
        second = self.image_spin("second", 1, "To", "The test image at the right end")
        self.count = QComboBox(objectName="interpolateCountCombo")
        for n in COUNTS:
            self.count.addItem(f"{n}", n)
        name_it(self.count, "Images", "How many images, both ends among them")
        self.tolerance = self.tolerance_combo()
        self.ends = Mosaic("The two test images appear here.")
        self.ends.setObjectName("interpolateEnds")
        name_it(self.ends, "The two test images", "The test images at both ends")
        self.decoded = Mosaic("Press Interpolate: images decoded from latents appear here.")
        self.decoded.setObjectName("interpolateDecoded")
        name_it(self.decoded, "Images decoded from latents in between", "Decoded from latents")
        self.blends = Mosaic("For contrast, plain blends of the pixels appear here.")
        self.blends.setObjectName("interpolateBlends")
        name_it(self.blends, "Blends of the pixels", "(1 − w) A + w B, pixel by pixel")
        self.count.currentIndexChanged.connect(self.changed)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row_of("From", first, "to", second, "Images", self.count, "Tolerance",
                                self.tolerance))  # fmt: skip
        column.addWidget(self.ends, 2)
        column.addWidget(QLabel("<b>Through the latents</b>"))
        column.addWidget(self.decoded, 2)
        column.addWidget(QLabel("<b>Through the pixels</b>"))
        column.addWidget(self.blends, 2)

    def show_originals(self, found: Originals) -> None:
        super().show_originals(found)
        self.ends.show_images(found.images, 2)
        self.changed.emit()

    def wanted(self, folder: Path, checkpoint: str) -> work_edit.Interpolation:
        first, second = self.numbers()
        return work_edit.Interpolation(
            folder, checkpoint, first, second, self.count.currentData(),
            self.tolerance.currentData(),
        )  # fmt: skip

    def begin(self, request: work_edit.Interpolation) -> None:
        super().begin(request)
        self.decoded.show_images(None)

    def take(self, event: work_edit.Between) -> None:
        self.share = event.share
        self.decoded.show_images(event.decoded, self.request.count)
        self.blends.show_images(event.blends, self.request.count)
        if event.share >= 1.0:
            self.report = f"The latents are {event.angle:.1f}° apart; {event.nfe} NFE."

    def grid(self) -> np.ndarray | None:
        rows = self.decoded.images, self.blends.images
        if not self.done or rows[0] is None or rows[1] is None:
            return None
        return compose(np.concatenate([rows[0], rows[1]]), columns=len(rows[0]))[None]

    def settings(self) -> dict[str, Any]:
        found = self.request or self.wanted(Path(), "")
        return {name: getattr(found, name) for name in ("first", "second", "count", "tolerance")}

    def prepare(self, settings: dict[str, Any]) -> None:
        super().prepare(settings)
        choose(self.count, settings.get("count"))
        choose(self.tolerance, settings.get("tolerance"))
