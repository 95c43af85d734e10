"""Copy or create: models that learnt from few images, many, or others, on the same noise."""

from typing import Any

import numpy as np
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QWidget

from diffviz.shell.session import Session
from diffviz.views.copies import work
from diffviz.views.levels import LevelsView
from diffviz.views.view import Guide
from diffviz.widgets.caption import Words
from diffviz.widgets.formula import Formula
from diffviz.widgets.lines import BarePlot, Legend, Line, LinesPlot
from diffviz.widgets.mosaic import compose
from diffviz.widgets.picker import Note, Picker
from trainer.copying import Drawn

COPY = "#E69F00"
SIZES = ("1", "10", "100", "1k", "10k", "100k", "1M")
HALVES = ("first", "second")
LONELY = (
    "No model of this kind has learnt from as many other images. Train one: in Training, More…, "
    "set Images at most to {size:,} and First image to {size:,}. Or choose the training set as "
    "the model: it is exact for any number of images."
)
NONE = "It learnt from more than half of all images: there is no other half of as many."


class SizesPlot(BarePlot):
    """Lines over the logarithm of the number of training images."""

    def build(self, item: Any) -> None:
        super().build(item)
        item.getAxis("bottom").setTicks([list(enumerate(SIZES)), []])


class CopiesView(LevelsView):
    """Holds what every model drew, so that the slider only picks."""

    kind, compute, prefix = work.Copies, work.compare, "copies"
    explanation = (
        "<h3>Copy or create?</h3>"
        "<p>The training loss has an exact minimum: the denoiser that knows the training images "
        "and nothing else, and it draws <b>copies</b>. A network that saw ten images comes close "
        "to it. Move the slider to more images: at some number the copies end, though the loss is "
        "the same.</p>"
        "<p>Beside each sample stands the nearest image of those that its model learnt from. A "
        "sample is a copy (orange) if it is three times as near to one as to any other (Yoon et "
        "al. 2023). Near alone says little: among 60,000 images even a new digit has a near one. "
        "So beside the samples' distances stand those of <b>test images</b>, which no model has "
        "seen.</p>"
        "<p>The two halves share <b>no image</b>, and begin with the same noise. Models of few "
        "images draw different things. Those of many draw the <b>same</b>: then what they draw "
        "follows from the noise and from what digits are, not from the images they saw (Kadkhodaie "
        "et al. 2024, arXiv:2310.02557).</p>"
    )

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, 1, parent, without=("image", "start", "batch"))
        self.form["model"].take_every_checkpoint()
        self.seen: work.Level | None = None  # what is on view
        self.views: dict[tuple[str, str], Picker] = {}
        self.titles: dict[str, Words] = {}
        grid = QGridLayout()
        for row, half in enumerate(HALVES):
            self.titles[half] = Words(f"copiesTitle{half.title()}")
            grid.addWidget(self.titles[half], 2 * row, 0, 1, 2)
            for column, (what, words) in enumerate(
                (("samples", "Samples of the model of the {} half"),
                 ("nearest", "Their nearest training images, of the {} half"))
            ):  # fmt: skip
                view = Picker("Drawing…")
                view.setObjectName(f"copies{half.title()}{what.title()}View")
                view.setAccessibleName(words.format(half))
                view.setToolTip(words.format(half))
                view.hovered.connect(self._mark_image)
                self.views[half, what] = view
                grid.addWidget(view, 2 * row + 1, column)
            grid.setRowStretch(2 * row + 1, 1)
        across = "training images"
        self.plot = SizesPlot("copiesPlot", "Distances over the number of training images",
                              "distance (median)", across=across)  # fmt: skip
        self.share = SizesPlot("copiedPlot", "Share of copies over the number of training images",
                               "share of copies", (-0.02, 1.02), across=across)  # fmt: skip
        self.spread = LinesPlot("copiesSpreadPlot", "How many are nearer than that",
                                "share nearer", (0, 1.02), across="distance")  # fmt: skip
        for plot, words in ((self.plot, "How far samples are from their nearest training image"),
                            (self.share, "How many samples are copies"),
                            (self.spread, "How near samples and test images are")):  # fmt: skip
            plot.set_placeholder(f"{words} comes here.")
        self.legend = Legend("copiesLegend", dict(work.LINES.values()))
        self.status = Words("copiesStatus")
        right = QGridLayout()
        right.addWidget(self.legend, 0, 0, 1, 2)
        right.addWidget(self.plot, 1, 0, 1, 2)
        right.addWidget(self.share, 2, 0)
        right.addWidget(self.spread, 2, 1)
        right.addWidget(self.status, 3, 0, 1, 2)
        for k, stretch in ((1, 5), (2, 4)):
            right.setRowStretch(k, stretch)
        middle = QHBoxLayout()
        middle.addLayout(grid, 6)
        middle.addLayout(right, 5)
        self.lay_out(
            self.form.row("model", "classes", "count", "seed"),
            middle,
            Formula(
                "A copy is far nearer to one training image than to any other.",
                [("\"copy\" ⇔ ‖x − x_{(1)}‖ < ‖x − x_{(2)}‖ / 3", "(k): the k-th nearest training "
                  "image; Yoon et al. 2023, Gu et al. 2023"),
                 ("x_θ(z; D_1) ≈ x_θ(z; D_2) \"  though \" D_1 ∩ D_2 = ∅",
                  "two halves, the same noise z; Kadkhodaie et al. 2024")],
                "copiesFormula",
            )
        )  # fmt: skip
        self.show_time()
        self.show_status()

    def show_time(self) -> None:
        """Put what the models of the slider's size drew into the views, and say how many it is."""
        at = self.level()
        if at is not None and at is self.seen:
            return  # between two sizes
        self.seen, rung = at, at.rung if at else None
        for k, half in enumerate(HALVES):
            drawn = rung.drawn[k] if rung and k < len(rung.drawn) else None
            self._show_half(half, drawn)
        if at is None or rung is None:
            self.timeline.set_caption("")
            self.spread.show_lines([])
            return
        self.timeline.set_caption(f"{rung.size:,} training images")
        self._show_spread(rung.drawn)
        self.show_status()

    def _show_half(self, half: str, drawn: Drawn | None) -> None:
        samples, nearest = (self.views[half, what] for what in ("samples", "nearest"))
        samples.show_images(drawn.samples if drawn else None)
        nearest.show_images(drawn.nearest if drawn else None)
        if drawn is None:
            self.titles[half].setText("")
            return
        frames = [COPY if copied else "" for copied in drawn.copied]
        samples.show_notes([Note("", frame) for frame in frames])
        nearest.show_notes([Note(f"{d:.1f}", frame) for d, frame in
                            zip(drawn.distances[:, 0], frames, strict=True)])  # fmt: skip
        self.titles[half].setText(
            f"{drawn.name}, of images {drawn.known.start:,} to {drawn.known.stop - 1:,}; "
            "right the nearest of these"
        )

    def _show_spread(self, drawn: tuple[Drawn, ...]) -> None:
        both = (np.sort(np.concatenate([d.distances[:, 0] for d in drawn])),
                np.sort(np.concatenate([d.usual for d in drawn])))  # fmt: skip
        self.spread.show_lines([
            Line(name, values, np.arange(1, len(values) + 1) / len(values), series)
            for values, (name, series) in zip(both, (("samples", 1), ("test images", 0)),
                                              strict=True)
        ])  # fmt: skip

    def _mark_image(self, index: int) -> None:
        for view in self.views.values():
            view.mark(index)

    def _lines(self) -> list[Line]:
        up = sorted(self.levels, key=lambda one: one.rung.size)
        found = []
        for key, (name, series) in {**work.LINES, "copied": ("share of copies", 1)}.items():
            points = [
                (one.rung.size, one.rung.figures[key]) for one in up if key in one.rung.figures
            ]
            if points:
                sizes, values = np.array(points, float).T
                found.append(Line(name, np.log10(sizes), values, series))
        return found

    def show_levels(self) -> None:
        lines = self._lines()
        if not lines:
            self.plot.show_lines([])
            self.share.show_lines([])
            return
        self.timeline.set_count(self.levels[0].rung.count)
        sizes = [one.rung.size for one in self.levels]
        x = (min(0.9, np.log10(min(sizes)) - 0.1), np.log10(max(sizes)) + 0.1)
        top = 1.1 * max(float(line.y.max()) for line in lines[:-1])
        self.plot.set_ranges(x, (0, top))
        far = max(float(max(d.distances[:, 0].max(), d.usual[-1]))
                  for one in self.levels for d in one.rung.drawn)  # fmt: skip
        self.spread.set_ranges((0, 1.05 * far), (0, 1.02))
        self.share.set_ranges(x, (-0.02, 1.02))
        self.plot.show_lines(lines[:-1])
        self.share.show_lines(lines[-1:])

    def show_words(self, words: str) -> None:
        self.status.setText(words)
        at = self.level()
        missing = (
            NONE if at and not at.rung.others else LONELY.format(size=at.rung.size if at else 0)
        )
        said = self.wrong or ("Drawing…" if self.work.busy or at is None else missing)
        for half in HALVES:
            self.views[half, "samples"].set_placeholder(said)
            self.views[half, "nearest"].set_placeholder("")

    def say(self) -> str:
        at = self.level()
        if at is None:
            return "The models that learnt as this one draw from the same noise…"
        found = at.rung.figures
        words = (
            f"{found['copied']:.0%} are copies; the median sample is {found['samples']:.2f} from "
            f"its nearest training image, the median test image {found['test']:.2f}."
        )
        if "apart" in found and "chance" in found:
            words += (
                f" From the same noise the two halves draw images {found['apart']:.2f} apart, from "
                f"other noise {found['chance']:.2f}."
            )
        if self.work.busy:
            words += f" {len(self.levels)} of {at.rung.count} sizes."
        elif at.rung.count == 1:
            words += (
                " No model of this kind has learnt from fewer images: train some by Training, "
                "More…, Images at most; or choose the training set, or its Gaussian, which are "
                "exact for any number."
            )
        return words

    def grid(self) -> np.ndarray | None:
        """The samples, then their nearest training images, of each model."""
        at = self.level()
        parts = [part for one in at.rung.drawn for part in (one.samples, one.nearest)] if at else []
        return np.concatenate(parts) if parts else None

    def animation(self) -> list[np.ndarray]:
        """From the fewest images to the most: both halves' samples and their nearest."""
        whole = [one for one in self.levels
                 if len(one.rung.drawn) == max(len(o.rung.drawn) for o in self.levels)]  # fmt: skip
        return [
            np.stack([compose(part) for d in one.rung.drawn for part in (d.samples, d.nearest)])
            for one in whole
        ]

    def curves(self) -> dict[str, np.ndarray]:
        """Over the number of training images."""
        return {line.name: np.column_stack([10**line.x, line.y]) for line in self._lines()}

    def visit(self, guide: Guide) -> None:
        self.form.set_values({"model": "training-set:mnist images=1000", "count": 16, "steps": 10})
        guide.wait(lambda: len(self.levels) == 4 and not self.work.busy, "models drew")
        self.timeline.set_fraction(0.35)
