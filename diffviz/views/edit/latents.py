"""The edit view's tools that go through latents: encode and decode, interpolate."""

import math
from typing import Any

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from diffviz.shell.session import Session
from diffviz.views.bins import BINS
from diffviz.views.edit import work
from diffviz.views.edit.tools import Tool, name_it
from diffviz.widgets.histogram import HistogramPlot
from diffviz.widgets.mosaic import BACKGROUND, Mosaic, compose
from trainer.ask import Ask
from trainer.requests import Encoding, Interpolation

LEAST_TOP = 0.5  # of the histogram's axis
NOTHING_YET = "How far off the reconstruction is will stand here."


class EncodeTool(Tool):
    """Follow the probability-flow ODE from images to their latents, and back."""

    key, title, verb = "encode", "Encode and decode", "Encode and decode"
    sentence = (
        "Without its randomness the process is an ODE: followed from an image to t = 1 it ends at "
        "the image's latent; followed back, at the image again."
    )
    lines = (("dx = [f − ½ g^2 ∇_x log p_t(x)] dt", "Song et al. 2021, eq. 13 and appendix D.4"),)
    kind = Encoding
    make = staticmethod(work.round_trip)

    def __init__(self, session: Session, first: Ask, parent: QWidget | None = None) -> None:
        super().__init__(session, first, parent)
        self.there: list[np.ndarray] = []  # the states, each (n, H, W[, 3])
        self.back: list[np.ndarray] = []
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
        centres = (BINS[:-1] + BINS[1:]) / 2
        normal = np.exp(-0.5 * centres**2) / math.sqrt(2 * math.pi)
        self.histogram = HistogramPlot(
            BINS, normal, LEAST_TOP, "encodeHistogram", "The latent's values against the prior"
        )
        self.histogram.setToolTip("The latent's pixel values; the line is the prior, N(0, 1)")
        self.facts = QLabel(NOTHING_YET, objectName="encodeFacts", wordWrap=True)
        self.facts.setTextFormat(Qt.TextFormat.RichText)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addLayout(self.head("tolerance"), 0, 0, 1, 2)
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

    def show_originals(self, found: work.Originals) -> None:
        if self.request is None or self.request.image != self.images["image"].value():
            self.request, self.there, self.back = None, [found.images], []
            self.share = 0.0
            self.facts.setText(NOTHING_YET)
            self.histogram.show_density(np.zeros(len(BINS) - 1))
            self._show()
        self.changed.emit()

    def begin(self, request: Encoding) -> None:
        super().begin(request)
        self.there, self.back = [], []

    def take(self, event: work.Passing | work.Returned) -> None:
        match event:
            case _ if self.request is None:  # another image is on view by now
                return
            case work.Passing():
                (self.back if event.back else self.there).append(event.states)
                self.share = event.share
                self._show()
            case work.Returned():
                self.share = 1.0
                self.histogram.show_density(event.histogram)
                top = max(LEAST_TOP, 1.1 * float(event.histogram.max()))
                self.histogram.plot.getPlotItem().setYRange(0, top, padding=0)
                self.facts.setText(
                    f"The reconstruction is <b>{event.error:.2f}</b> of 255 grey levels off (root "
                    f"mean square), after {event.nfe} network evaluations.<br>Latent: mean "
                    f"<b>{event.mean:+.3f}</b>, standard deviation <b>{event.std:.3f}</b>. "
                    "Prior: 0 and 1. Images with a little noise, as the model knows them at the "
                    "ODE's start, would fill the prior; a clean one has none: its latent is tamer."
                )
                self.report = f"{event.nfe} network evaluations."

    def _show(self) -> None:
        """Show what there is of images, latents and reconstructions; of the first the two ways."""
        if not self.there:
            return
        empty = np.full_like(self.there[0], BACKGROUND)
        there, back = (
            [*states, *[empty] * (work.FRAMES + 1 - len(states))]
            for states in (self.there, self.back)
        )
        rows = np.stack([there[0], there[-1], back[-1]], axis=1)
        self.view.show_images(rows.reshape(-1, *rows.shape[2:]), 3)
        self.path.show_images(np.stack([x[0] for x in there + back[::-1]]), work.FRAMES + 1)

    def grid(self) -> np.ndarray | None:
        if not self.done or self.view.images is None:
            return None
        return compose(self.view.images, columns=3)[None]


class InterpolateTool(Tool):
    """Go from one image to another through their latents, and through their pixels."""

    key, title, verb = "interpolate", "Interpolate", "Interpolate"
    sentence = (
        "Between two latents, along the great circle, lie latents of about the same norm, which "
        "decode to digits (above); between two images lies a double exposure (below)."
    )
    lines = (("z(w) = [sin((1 − w) θ) z_A + sin(w θ) z_B] / sin θ", "Shoemake 1985; White 2016"),)
    kind = Interpolation
    images_of = ("first", "second")
    make = staticmethod(work.interpolate)

    def __init__(self, session: Session, first: Ask, parent: QWidget | None = None) -> None:
        super().__init__(session, first, parent)
        self.ends = Mosaic("The two images appear here.")
        self.ends.setObjectName("interpolateEnds")
        name_it(self.ends, "The two images", "The images at both ends")
        self.decoded = Mosaic("Press Interpolate: images decoded from latents appear here.")
        self.decoded.setObjectName("interpolateDecoded")
        name_it(self.decoded, "Images decoded from latents in between", "Decoded from latents")
        self.blends = Mosaic("For contrast, plain blends of the pixels appear here.")
        self.blends.setObjectName("interpolateBlends")
        name_it(self.blends, "Blends of the pixels", "(1 − w) A + w B, pixel by pixel")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(self.head("count", "tolerance"))
        column.addWidget(self.ends, 2)
        column.addWidget(QLabel("<b>Through the latents</b>"))
        column.addWidget(self.decoded, 2)
        column.addWidget(QLabel("<b>Through the pixels</b>"))
        column.addWidget(self.blends, 2)

    def show_originals(self, found: work.Originals) -> None:
        self.ends.show_images(found.images, 2)
        self.changed.emit()

    def begin(self, request: Interpolation) -> None:
        super().begin(request)
        self.decoded.show_images(None)

    def take(self, event: work.Between) -> None:
        self.share = event.share
        self.decoded.show_images(event.decoded, self.request.count)
        self.blends.show_images(event.blends, self.request.count)
        if event.share >= 1.0:
            self.report = f"The latents are {event.angle:.1f}° apart; {event.nfe} NFE."

    def grid(self) -> np.ndarray | None:
        rows: tuple[Any, Any] = self.decoded.images, self.blends.images
        if not self.done or rows[0] is None or rows[1] is None:
            return None
        return compose(np.concatenate(rows), columns=len(rows[0]))[None]
