"""The decision view: noise an image to t, let it come back, and see which digit it is then."""

from typing import Any

import numpy as np
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from diffviz.shell.session import Session
from diffviz.views.decision import work
from diffviz.views.levels import LevelsView
from diffviz.views.view import Guide
from diffviz.widgets.caption import Words
from diffviz.widgets.formula import Formula
from diffviz.widgets.heat import HeatPlot
from diffviz.widgets.lines import FallingPlot, Legend, Line
from diffviz.widgets.mosaic import Mosaic
from diffviz.widgets.picker import Note, Picker
from trainer.decision import DIGITS, Told

OTHER = "#E69F00"  # the frame of a continuation that is another digit than the image
BITS = (0.0, 3.5)
LINES = {"this image": 1, "mean of all": 0, "theory: the largest variance stands out": 6}


class DigitMap(HeatPlot):
    """Values over t and the ten digits."""

    def build(self, item: Any) -> None:
        super().build(item)
        item.getAxis("left").setTicks([[(digit, str(digit)) for digit in range(DIGITS)], []])


class DecisionView(LevelsView):
    """Holds what came back from every t as arrays, so that the slider only picks."""

    kind, compute, prefix = work.Deciding, work.decide, "decision"
    explanation = (
        "<h3>When does it become a 7?</h3>"
        "<p>An image is noised to t, and from there the model comes back several times, each time "
        "with other noise: a <b>U-turn</b>. Near t = 0 all come back as the same digit, near t = 1 "
        "none remembers it. A classifier says what each is; orange frames are other digits. "
        "Between lies a narrow window in which the digit is <b>decided</b>: before it the same "
        "point can still become anything, after it only strokes and edges change (Raya and "
        "Ambrogioni 2023, arXiv:2305.19693; Sclocchi et al. 2024, arXiv:2402.16991).</p>"
        "<p>What comes back are draws of p(x<sub>0</sub> | x<sub>t</sub>), so the classes are "
        "draws of p(class | x<sub>t</sub>). Their <b>entropy</b> is what is still open: log₂ 10 = "
        "3.3 bits at most, and of 8 continuations 3.</p>"
        "<p>The dotted line is a theory's guess, from the data's covariance alone: there the "
        "direction in which the training images vary most stands above the noise (Biroli et al. "
        "2024, arXiv:2402.18491). Choose <b>From: noise</b> to watch images that the model draws. "
        "Of these some are decided late: they pass between two digits.</p>"
    )

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, self.kind().times, parent, without=("chosen",))
        self.chosen = 0
        self.told: Told | None = None
        self.turn = Mosaic("The image and its noised state will stand here.")
        self.ends = Picker("What comes back from t will stand here.")
        self.images = Picker("All images will stand here.")
        for view, name, words in (
            (self.turn, "decisionTurnView", "The image, and the same noised to t"),
            (self.ends, "decisionEndsView", "What comes back from t, and what a classifier sees"),
            (self.images, "decisionImagesView", "All images: their class, and the t from which on "
             "it is decided. Click one to see what comes back of it"),
        ):  # fmt: skip
            view.setObjectName(name)
            view.setAccessibleName(words)
            view.setToolTip(words)
        self.entropies = FallingPlot("decisionEntropyPlot", "Entropy of the class over t",
                                     "entropy of the class (bits)", BITS)  # fmt: skip
        self.agreements = FallingPlot("decisionAgreementPlot", "Share of the same digit over t",
                                      "come back as the same digit", (0, 1.02))  # fmt: skip
        self.classes = DigitMap("decisionClassMap", "What comes back, by digit", "digit")
        self.histogram = DigitMap("decisionTimeMap", "Images decided at t, by digit", "digit")
        for plot, words in ((self.entropies, "How open the class still is"),
                            (self.agreements, "How many keep their digit"),
                            (self.classes, "Which digits come back"),
                            (self.histogram, "When each digit is decided")):  # fmt: skip
            plot.set_placeholder(f"{words} at every t comes here.")
            plot.marked.connect(self.go)
        self.legend = Legend("decisionLegend", LINES)
        self.status = Words("decisionStatus")
        self._build()
        self.images.selectionChanged.connect(self._choose)
        self.form["image"].taken.connect(lambda: self.form["begin"].set_value("image"))
        self.show_levels()
        self.show_time()
        self.show_status()

    def _build(self) -> None:
        left = QVBoxLayout()
        for words, view, stretch in (
            ("The image, and noised to t", self.turn, 2),
            ("What comes back", self.ends, 3), ("All images", self.images, 4),
        ):  # fmt: skip
            left.addWidget(QLabel(words))
            left.addWidget(view, stretch)
        grid = QGridLayout()
        for place, plot in enumerate(
            (self.entropies, self.agreements, self.classes, self.histogram)
        ):
            grid.addWidget(plot, *divmod(place, 2))
        right = QVBoxLayout()
        right.addWidget(self.legend)
        right.addLayout(grid, 1)
        right.addWidget(self.status)
        middle = QHBoxLayout()
        middle.addLayout(left, 3)
        middle.addLayout(right, 5)
        self.lay_out(
            self.form.row("model", "begin", "image", "count", "continuations"),
            middle,
            Formula(
                "Until the window every digit is possible, after it one is: the class's entropy "
                "falls from log 10 to 0.",
                [("H(t) = −Σ_c p(c | x_t) log p(c | x_t),   p(c | x_t) = E[1\"{class of \"x_0\" = "
                  "\"c\"}\" | x_t]", "Raya and Ambrogioni 2023"),
                 ("α^2 Λ = σ^2", "speciation: Λ the data's largest variance; Biroli et al. 2024")],
                "decisionFormula",
            )
        )  # fmt: skip

    def _choose(self) -> None:
        """Another image is looked at."""
        if self.images.selected and self.images.selected[0] != self.chosen:
            self.chosen = self.images.selected[0]
            self.show_levels()
            self.show_time()
            self.show_status()

    def _place(self, count: int) -> int:
        """The chosen image's index among `count`: the first while that is not there yet."""
        return self.chosen if self.chosen < count else 0

    def show_time(self) -> None:
        """Put what came back from the slider's t into the views, and say what it is."""
        at, plots = self.level(), (self.entropies, self.agreements, self.classes, self.histogram)
        t = at.t if at else self.time()
        for plot in plots:
            plot.set_mark(t)
        if at is None:
            for view in (self.turn, self.ends):
                view.show_images(None)
            self.timeline.set_caption(f"t = {t:.3f}")
            return
        k = self._place(len(at.labels))
        whole = self.levels[-1]
        start = whole.states[k] if whole.t == 0 and k < len(whole.states) else at.states[k]
        self.turn.show_images(np.stack([start, at.states[k]]), 2)
        labels, sureness = at.labels[k], at.sureness[k]
        self.ends.show_images(at.ends[k], 4 if len(labels) <= 8 else 8)
        own = whole.labels[k, 0] if whole.t == 0 and k < len(whole.labels) else -1
        self.ends.show_notes([
            Note(f"{label} {int(100 * sure)}", OTHER if own not in (label, -1) else "")
            for label, sure in zip(labels, sureness, strict=True)
        ])  # fmt: skip
        words = f"t = {t:.3f}"
        if own >= 0:
            words += f"   {int((labels == own).sum())} of {len(labels)} come back as a {own}"
        self.timeline.set_caption(words)

    def show_levels(self) -> None:
        self.timeline.set_count(self.form["times"].value())
        self.told = told = work.tell(self.levels, self.form["agreed"].value())
        if told is None:
            self.images.show_images(None)
            for plot in (self.entropies, self.agreements):
                plot.show_lines([])
            return
        count, k = len(told.own), self._place(len(told.own))
        self.images.show_images(self.levels[-1].states[:count])
        self.images.show_notes([
            Note(f"{c} {told.times[i]:.2f}")
            for c, i in zip(told.own, told.decided, strict=True)
        ])  # fmt: skip
        self.images.mark(k)
        for plot in (self.entropies, self.agreements):
            plot.show_lines(self._lines(plot is self.entropies))
        levels = (0.0, max(1.0, told.histogram().max()))
        self.classes.show_values(
            told.shares[:, k], (0, 1), f"what comes back of this {told.own[k]}"
        )
        self.histogram.show_values(told.histogram(), levels, "images decided at t")

    def _lines(self, entropy: bool) -> list[Line]:
        told = self.told
        if told is None:
            return []
        values, k = told.entropy if entropy else told.agreement, self._place(len(told.own))
        x, y = told.times[::-1], values[::-1]
        found = [(x, y[:, k]), (x, y.mean(1))]
        if (t := self.levels[0].speciation) is not None:
            found.append((np.array([t, t]), np.array([0, BITS[1] if entropy else 1.0])))
        return [
            Line(name, *points, series, "dot" if len(points[0]) == 2 else "solid")
            for points, (name, series) in zip(found, LINES.items(), strict=False)
        ]

    def say(self) -> str:
        told = self.told
        if told is None:
            return "The first image is noised, and comes back from every t…"
        k, times = self._place(len(told.own)), told.times
        words = (
            f"This {told.own[k]} is decided from t = {times[told.decided[k]]:.2f} on; of all "
            f"{len(told.own)} images the median is {np.median(times[told.decided]):.2f}."
        )
        early = {c: times[told.decided[told.own == c]].mean() for c in set(told.own.tolist())}
        if len(early) == DIGITS:
            first, last = max(early, key=early.__getitem__), min(early, key=early.__getitem__)
            words += (
                f" First a {first} (on average {early[first]:.2f}), last a {last} "
                f"({early[last]:.2f})."
            )
        if self.work.busy:
            words += f" {len(told.own)} of {self.form['count'].value()} images."
        return words

    def show_words(self, words: str) -> None:
        self.status.setText(words)

    def ask(self) -> Any:
        return super().ask().with_changes(chosen=self.chosen)

    def prepare(self, ask: work.Deciding) -> None:
        self.chosen = ask.chosen
        super().prepare(ask)

    def grid(self) -> np.ndarray | None:
        """The continuations of the chosen image at every t, noise first."""
        k = self._place(min((len(one.ends) for one in self.levels), default=0))
        return np.concatenate([one.ends[k] for one in self.levels]) if self.levels else None

    def animation(self) -> list[np.ndarray]:
        """What comes back, from noise to image."""
        if not self.levels:
            return []
        k = self._place(min(len(one.ends) for one in self.levels))
        return [one.ends[k] for one in self.levels]

    def curves(self) -> dict[str, np.ndarray]:
        told = self.told
        if told is None:
            return {}
        found = {}
        for name, entropy in (("entropy, bits", True), ("agreement", False)):
            for line in self._lines(entropy)[:2]:
                found[f"{name}: {line.name}"] = np.column_stack([line.x, line.y])
        for digit, counts in enumerate(told.histogram().T):
            found[f"decided: {digit}"] = np.column_stack([told.times[::-1], counts[::-1]])
        return found

    def visit(self, guide: Guide) -> None:
        self.form.set_values({"count": 20, "times": 9})
        guide.wait(lambda: self.told is not None and not self.work.busy, "images came back")
        self.go(0.75)
