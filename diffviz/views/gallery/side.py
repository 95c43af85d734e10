"""The gallery's side: how sure the classifier is, the classes' balance, nearest training images."""

import math

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from diffviz.views.gallery.work import Nearest
from diffviz.widgets.histogram import HistogramPlot
from diffviz.widgets.mosaic import Mosaic

SURE = 0.9
WIDTH = 232
MOST_NEIGHBOURS = 12
DIGITS = np.arange(11) - 0.5
LEAST_TOP = 0.3  # of the balance's axis, in shares


class Side(QWidget):
    """Shows what it is given; the panel decides what that is."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedWidth(WIDTH)
        self.summary = QLabel(objectName="gallerySummary", wordWrap=True)
        words = "How often each digit was seen, against equally often"
        self.balance = HistogramPlot(DIGITS, np.full(10, 0.1), LEAST_TOP, "balancePlot", words)
        self.balance.setToolTip("The share of each digit; the line is a tenth")
        self.balance.setFixedHeight(110)
        self.balance.plot.getPlotItem().getAxis("bottom").setTicks(
            [[(digit, str(digit)) for digit in range(10)], []]
        )
        self.about = QLabel(objectName="aboutSelection", wordWrap=True)
        self.about.setTextFormat(Qt.TextFormat.RichText)
        self.nearest = QPushButton("Nearest training images", objectName="nearestButton")
        self.nearest.setToolTip(
            "Look through the whole training set for the image that is nearest to each selected "
            f"one (the first {MOST_NEIGHBOURS})"
        )
        self.pairs = Mosaic("Each selected image appears here; its nearest training image beside.")
        self.pairs.setObjectName("pairsView")
        self.pairs.setAccessibleName("Selected images and their nearest training images")
        self.distances = QLabel(objectName="distancesLabel", wordWrap=True)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.summary, self.balance, self.about, self.nearest):
            column.addWidget(widget)
        column.addWidget(self.pairs, 1)
        column.addWidget(self.distances)

    def show_labels(
        self, labels: np.ndarray, sureness: np.ndarray, asked: np.ndarray | None, why: str
    ) -> None:
        """How sure the classifier is, and how often it sees each digit: labels, sureness (n,).

        `asked` (n,) are the classes that were asked for, if any were; `why` is said where there
        are no labels.
        """
        n = len(labels)
        self.balance.setVisible(n > 0)
        if n == 0:
            self.summary.setText(why)
            return
        shares = np.bincount(labels, minlength=10) / n
        self.balance.show_density(shares)
        self.balance.plot.getPlotItem().setYRange(0, max(LEAST_TOP, 1.1 * shares.max()), padding=0)
        sure = int((sureness >= SURE).sum())
        text = f"<b>{sure} of {n}</b> ({100 * sure / n:.0f} %) are surely a digit: at least 90 %."
        if asked is not None:
            text += f"<br><b>{int((asked == labels).sum())} of {n}</b> are the class asked for."
        self.summary.setText(text)

    def show_pairs(self, samples: np.ndarray, found: list[Nearest]) -> None:
        """Samples (n, H, W[, 3]); beside each its nearest training image once all are `found`."""
        n = len(samples)
        self.distances.setVisible(0 < n == len(found))
        if not 0 < n == len(found):
            self.pairs.show_images(samples, math.ceil(math.sqrt(n)) or None)
            return
        both = np.stack([samples, np.stack([near.image for near in found])], axis=1)
        columns = 2 * math.ceil(math.sqrt(n / 2))
        self.pairs.show_images(both.reshape(-1, *both.shape[2:]), columns)
        lines = ["Left the sample, right the training image."]
        lines += [
            f"No. {near.index}: {near.distance:.2f} from training image {near.number:,}; "
            f"{100 * near.usual:.0f} % of test images are nearer to theirs."
            for near in found[:2]
        ]
        if n > 2:
            distances = [near.distance for near in found]
            lines.append(f"All {n}: {min(distances):.2f} to {max(distances):.2f}.")
        self.distances.setText("\n".join(lines))
