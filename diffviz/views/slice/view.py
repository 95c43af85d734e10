"""The score field of images: a plane through three of them, learnt beside exact, t on a slider."""

from typing import Any

import numpy as np
from PySide6.QtCore import QPointF, Qt, Signal
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from diffviz.shell.session import Session
from diffviz.views.levels import LevelsView
from diffviz.views.slice import work
from diffviz.views.view import Guide
from diffviz.widgets.caption import Words
from diffviz.widgets.field import FieldPlot
from diffviz.widgets.formula import Formula
from diffviz.widgets.mosaic import Mosaic
from diffviz.widgets.themed import picture
from trainer.catalogue import EXACT
from trainer.slices import TIMES, Known

LETTERS = "ABC"
LONGER = 3.0  # arrows are drawn so much longer than the way to the guess, before they are shortened
HEIGHT = 60  # of the images below


class SlicePlot(FieldPlot):
    """A field in the plane, with the three images' places in it; tells where the pointer is."""

    pointed = Signal(object)  # a QPointF in the scene

    def build(self, item: Any) -> None:
        from pyqtgraph import TextItem

        super().build(item)
        self.letters = [TextItem(letter, anchor=(0.5, 1.1)) for letter in LETTERS]
        for letter in self.letters:
            item.addItem(letter)
        item.scene().sigMouseMoved.connect(self.pointed.emit)

    def redraw(self) -> None:
        super().redraw()
        for letter in self.letters:
            letter.setVisible(self.heat is not None)
        if self.places is not None:
            for letter, place in zip(self.letters, self.places, strict=False):
                letter.setPos(*place)

    def recolour(self, palette: QPalette) -> None:
        super().recolour(palette)
        for letter in self.letters:
            letter.setColor(palette.color(QPalette.ColorRole.Text))

    def show_known(self, known: Known | None, corners: np.ndarray) -> None:
        """Show what a model knows in the plane, and the corners (3, 2); None: nothing."""
        self.heat = None if known is None else known.heat
        self.axis = np.linspace(-1, 1, 0 if known is None else len(known.arrows))
        self.field = LONGER * known.arrows if known else np.zeros((0, 0, 2))
        self.places = corners
        if self.made:
            self.redraw()


class SliceView(LevelsView):
    """Holds every level as arrays, so that the slider only picks."""

    kind, compute, prefix = work.Slice, work.look, "slice"
    explanation = (
        "<h3>The score field of images</h3>"
        "<p>Every image is a point with as many coordinates as pixels. The square is a part of the "
        "plane through three images, A, B and C, shrunk by α(t) and with noise at right angles to "
        "it, as every noised image has. Arrows are the <b>score</b> ∇ log p<sub>t</sub>(x) in the "
        "plane, times σ²/α: they point at where the guess of the clean image lies (Tweedie's "
        "formula). Colour is log p<sub>t</sub>, on one scale for both pictures.</p>"
        "<p>Right, the exact model of the data: its density is known. Left, the learnt one, whose "
        "density is found by integrating its score over the plane, by least squares. A score is "
        "the slope of a density; a network is free to answer what is none's, and how much of its "
        "answer that is is said below.</p>"
        "<p>At late t all arrows lead to the mean of all images. Earlier the training set's plane "
        "falls apart into one basin for each image, with ridges between: each image pulls what is "
        "nearest to it. The learnt field is smoother there: between the images it leads to others, "
        "that nobody has drawn. Move the pointer to see them.</p>"
    )

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, TIMES, parent)
        self.at = -1  # the point under the pointer; -1: the middle
        self.plots: dict[str, SlicePlot] = {}
        self.titles: dict[str, QLabel] = {}
        grid = QGridLayout()
        for column, (name, words) in enumerate(
            (("learnt", "The learnt score and its density"), ("exact", "The exact one"))
        ):
            plot = SlicePlot(1.0, f"slice{name.title()}Plot", words)
            plot.pointed.connect(lambda place, plot=plot: self._point(plot, place))
            title = QLabel(words)
            grid.addWidget(title, 0, column, Qt.AlignmentFlag.AlignHCenter)
            grid.addWidget(plot, 1, column)
            grid.setColumnStretch(column, 1)
            self.plots[name], self.titles[name] = plot, title
        grid.setRowStretch(1, 1)
        self.corners = Mosaic("A, B and C will stand here.")
        self.corners.setObjectName("sliceCorners")
        self.corners.setAccessibleName("The three images")
        self.pointed = Mosaic("What is under the pointer will stand here.")
        self.pointed.setObjectName("slicePointed")
        self.pointed.setAccessibleName("The point under the pointer, and both guesses there")
        self.status = Words("sliceStatus")
        below = QHBoxLayout()  # beside would be where the two squares have their room
        heads = ("A, B, C", "Under the pointer: x<sub>t</sub>, learnt and exact guess")
        for words, widget in zip(heads, (self.corners, self.pointed), strict=True):
            label = QLabel(words)
            label.setTextFormat(Qt.TextFormat.RichText)
            widget.setFixedHeight(HEIGHT)
            headed = QVBoxLayout()
            headed.addWidget(label)
            headed.addWidget(widget)
            below.addLayout(headed, 1)
        below.addWidget(self.status, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 6, 9, 6)
        row = self.form.row("model", "first", end=False)
        row.addLayout(self.form.row("second", "third", end=False, labelled=False))
        row.addLayout(self.form.row("beside"))
        layout.addLayout(row)
        layout.addLayout(grid, 1)
        layout.addLayout(below)
        layout.addWidget(self.timeline)
        layout.addWidget(
            Formula(
                "Arrows lead to the guess; the learnt density is what their slopes add up to.",
                [("∇ log p_t(x) = (α E[x_0 | x_t = x] − x) / σ^2", "Tweedie; Efron 2011"),
                 ("log p = argmin_φ ‖∇φ − s‖^2", "over the plane, up to a constant")],
                "sliceFormula",
            )
        )  # fmt: skip
        self.show_time()
        self.show_status()

    def _point(self, plot: SlicePlot, place: QPointF) -> None:
        """The pointer is at that place of the scene: show the nearest point."""
        at = self.level()
        if at is None:
            return
        seen = plot.plot.getPlotItem().vb.mapSceneToView(place)
        n = len(at.learnt.arrows)
        row, column = (
            round((min(1.0, max(-1.0, value)) + 1) / 2 * (n - 1)) for value in (seen.x(), seen.y())
        )
        self.at = row * n + column
        self._show_pointed()

    def _show_pointed(self) -> None:
        at = self.level()
        if at is None:
            self.pointed.show_images(None)
            return
        count = len(at.points)
        k = self.at if 0 <= self.at < count else count // 2
        self.pointed.show_images(
            np.stack([at.points[k], at.learnt.guesses[k], at.exact.guesses[k]]), 3
        )

    def show_time(self) -> None:
        """Put the fields nearest to the slider into the plots, and say where they are."""
        at = self.level()
        nowhere = np.zeros((0, 2))
        for name, plot in self.plots.items():
            known = getattr(at, name) if at else None
            plot.show_known(known, at.corners if at else nowhere)
            plot.show_note("" if at else "Computing…" if self.asked else "Choose a model.")
        chosen = EXACT[self.form["beside"].value()].title
        self.titles["exact"].setText(f"The exact score and density of {chosen}")
        self.corners.show_images(at.images if at else None, 3)
        self._show_pointed()
        words = f"t = {at.t if at else self.time():.3f}"
        if at:
            span = np.ptp(at.exact.logp)
            words += f"   log p over {span:,.0f} nats   arrows differ by {100 * at.apart:.0f} %"
        self.timeline.set_caption(words)
        if at and self.levels:
            self.show_status()

    def show_words(self, words: str) -> None:
        self.status.setText(words)

    def say(self) -> str:
        at = self.level()
        if at is None:
            return "The plane is computed at a late, a middle and an early t first, then between."
        gap = float(np.sqrt(np.square(at.learnt.logp - at.exact.logp).mean()))
        words = (
            f"{100 * at.learnt.rough:.0f} % of the learnt score in the plane is no density's "
            f"slope. Its log-density is {gap:,.0f} nats (RMS) from the exact one; integrating the "
            f"exact score alike would miss {100 * at.exact.rough:.0f} %."
        )
        if self.work.busy:
            words += f" {len(self.levels)} of {TIMES} t."
        return words

    def grid(self) -> np.ndarray | None:
        return picture(self) if self.levels else None

    def animation(self) -> list[np.ndarray]:
        """Both fields in time, as they are seen."""
        before, frames = self.timeline.fraction(), []
        for level in self.levels:
            self.go(level.t)
            frames.append(np.concatenate([picture(plot) for plot in self.plots.values()], 2))
        self.timeline.set_fraction(before)
        return frames

    def curves(self) -> dict[str, np.ndarray]:
        """Over t: how far the arrows are apart, and what of the learnt score is no slope."""
        if not self.levels:
            return {}
        up = self.levels[::-1]
        return {
            "arrows apart": np.array([(one.t, one.apart) for one in up]),
            "no density's slope": np.array([(one.t, one.learnt.rough) for one in up]),
        }

    def visit(self, guide: Guide) -> None:
        self.form.set_values({"points": 9, "known": 2000})
        guide.wait(lambda: len(self.levels) == TIMES and not self.work.busy,
                   "the plane was computed")  # fmt: skip
        self.go(0.3)
