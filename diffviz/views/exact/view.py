"""Copy, Gaussian, or its own: a learnt denoiser beside the two that are known exactly, over t."""

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from diffviz.shell.session import Session
from diffviz.views.exact import work
from diffviz.views.levels import LevelsView
from diffviz.views.view import Guide
from diffviz.widgets.caption import Words
from diffviz.widgets.formula import Formula
from diffviz.widgets.lines import Legend, Line, LinesPlot
from diffviz.widgets.mosaic import Mosaic, compose
from trainer.truth import PAIRS, TIMES, apart, own

TITLES = {
    "noisy": "x<sub>t</sub>: images, noised",
    "learnt": "the learnt guess",
    "training-set": "the training set's guess",
    "gaussian": "its Gaussian's guess",
}
SERIES = (1, 0, 2)


class ExactView(LevelsView):
    """Holds every level as arrays, so that the slider only picks."""

    kind, compute, prefix = work.Exact, work.look, "exact"
    explanation = (
        "<h3>Copy, Gaussian, or its own?</h3>"
        "<p>A denoiser guesses the clean image in a noisy one. Two answers are known exactly. "
        "<b>The training set's</b> is the mean of its images, each weighted by how likely it is to "
        "be what was noised: it minimises the training loss, and all that it can draw are copies. "
        "<b>Its Gaussian's</b> knows no more than mean and covariance: a linear filter.</p>"
        "<p>At much noise the exact two agree (Wang and Vastola 2024, arXiv:2412.09726); how far "
        "the learnt model is from them there is plainly its error. At little noise the Gaussian "
        "blurs, and of an image that it has not seen the training set gives the nearest it has. A "
        "network that draws new images must leave both: where both lines of the learnt model are "
        "high it <b>generalises</b> (Kamb and Ganguli 2024, arXiv:2412.20292).</p>"
        "<p>Let the exact models know fewer images, or choose a model that learnt from few: one "
        "that memorises follows the training set down to t = 0.</p>"
    )

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, TIMES, parent)
        self.plot = LinesPlot(
            "exactPlot", "Distances of the guesses over t", "RMS distance of the guesses"
        )
        self.plot.set_placeholder("How far the guesses are apart will stand here.")
        self.plot.marked.connect(self.go)
        self.legend = Legend("exactLegend", dict(zip(PAIRS, SERIES, strict=True)))
        self.status = Words("exactStatus")
        self.views: dict[str, Mosaic] = {}
        grid = QGridLayout()
        for k, (name, words) in enumerate(TITLES.items()):
            row, column = divmod(k, 2)
            title = QLabel(words)
            title.setTextFormat(Qt.TextFormat.RichText)
            grid.addWidget(title, 2 * row, column, Qt.AlignmentFlag.AlignHCenter)
            view = Mosaic("Reading the images…")
            view.setObjectName(f"exact{name.title().replace('-', '')}View")
            view.setAccessibleName(words.replace("<sub>", "").replace("</sub>", ""))
            view.hovered.connect(self._mark_image)
            self.views[name] = view
            grid.addWidget(view, 2 * row + 1, column)
            grid.setRowStretch(2 * row + 1, 1)
        right = QVBoxLayout()
        right.addWidget(self.legend)
        right.addWidget(self.plot, 1)
        right.addWidget(self.status)
        middle = QHBoxLayout()
        middle.addLayout(grid, 5)
        middle.addLayout(right, 4)
        self.lay_out(
            self.form.row("model", "image", "count", "known", "seed"),
            middle,
            Formula(
                "Where the learnt guess is far from both exact ones, the network has made "
                "something of its own.",
                [("E[x_0 | x_t] = Σ_i softmax(−‖x_t − α x_i‖^2 / 2 σ^2)_i x_i",
                  "the training set: Kamb and Ganguli 2024"),
                 ("E[x_0 | x_t] = μ + α Σ (α^2 Σ + σ^2 I)^{−1} (x_t − α μ)",
                  "its Gaussian: Wang and Vastola 2024")],
                "exactFormula",
            )
        )  # fmt: skip
        self.show_status()

    def show_time(self) -> None:
        """Put the pictures nearest to the slider into the views, and say where they are."""
        at = self.level()
        for name, view in self.views.items():
            view.show_images(at.pictures.get(name) if at else None)
        self.plot.set_mark(at.t if at else self.time())
        words = f"t = {at.t if at else self.time():.3f}"
        for name in PAIRS if at and at.distances else ():
            assert at is not None
            words += f"   {name} {at.distances[name].mean():.3f}"
        self.timeline.set_caption(words)

    def _mark_image(self, index: int) -> None:
        for view in self.views.values():
            view.mark(index)

    def _lines(self) -> list[Line]:
        whole = [one for one in self.levels if one.distances][::-1]
        t = np.array([one.t for one in whole])
        return [
            Line(name, t, np.array([one.distances[name].mean() for one in whole]), series)
            for name, series in zip(PAIRS, SERIES, strict=True)
            if whole
        ]

    def show_levels(self) -> None:
        lines = self._lines()
        self.plot.set_placeholder("" if lines else "How far the guesses are apart comes here.")
        self.plot.show_lines(lines)

    def show_words(self, words: str) -> None:
        self.status.setText(words)

    def say(self) -> str:
        at = own(self.levels)
        if at is None:
            return "The exact models are worked out from the training images…"
        words = (
            f"All three are furthest apart at t = {at.t:.2f}: by {apart(at):.3f} and more, "
            "of pixels from −1 to 1."
        )
        if self.work.busy:
            words += f" {sum(bool(one.distances) for one in self.levels)} of {TIMES} t."
        return words

    def curves(self) -> dict[str, np.ndarray]:
        return {line.name: np.column_stack([line.x, line.y]) for line in self._lines()}

    def grid(self) -> np.ndarray | None:
        at = self.level()
        return np.concatenate(list(at.pictures.values())) if at else None

    def animation(self) -> list[np.ndarray]:
        """All four mosaics beside each other, from noise to image."""
        whole = [one for one in self.levels if one.distances]
        return [np.stack([compose(one.pictures[name]) for name in TITLES]) for one in whole]

    def visit(self, guide: Guide) -> None:
        self.form.set_values({"count": 4, "known": 2000})
        guide.wait(lambda: len(self.curves()) == len(PAIRS) and not self.work.busy,
                   "the exact models were compared")  # fmt: skip
        self.timeline.set_fraction(0.6)
