"""The likelihood view: how many bits a picture takes, where they are, and beside which others."""

from functools import partial
from typing import Any

import numpy as np
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from diffviz.controls.form import Form
from diffviz.shell.session import Session
from diffviz.views.likelihood import work
from diffviz.views.likelihood.work import LEVELS, SETS
from diffviz.views.view import Guide, View
from diffviz.widgets.formula import Formula
from diffviz.widgets.lines import Line, LinesPlot, legend
from diffviz.widgets.mosaic import Mosaic
from diffviz.widgets.picker import Note, Picker
from diffviz.widgets.timeline import Timeline

HOT = np.array([255.0, 176.0, 0.0])  # the colour of pixels that cost most
MOST_SHOWN = 200  # ranked images: of more the first and the last half
LEAST, MOST, BIN = -7.0, 5.0, 1 / 6  # of log2 bits/dim in the histograms
LINES = {
    "costs": {"mean test image": 0, "this picture": 1, "the map's": 6},
    "sets": {title: series for series, title in enumerate(SETS.values())} | {"this picture": 6},
}
STOPS = LEVELS + 3  # of the slider: all; the prior, from noise to image, the decoder


class NoisePlot(LinesPlot):
    """Lines over log-SNR, which rises to the right as time does in sampling; named elsewhere."""

    def build(self, item: Any) -> None:
        super().build(item)
        self._legend.clear()
        self._legend.setVisible(False)


class BitsPlot(NoisePlot):
    """Lines over bits/dim, of which each tick is twice the one before."""

    def build(self, item: Any) -> None:
        super().build(item)
        ticks = [(power, f"{2.0**power:g}") for power in range(int(LEAST), int(MOST) + 1)]
        item.getAxis("bottom").setTicks([ticks, []])


def heated(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The picture (H, W[, 3]) darkened, and over it in HOT what its pixels cost, heat (H, W)."""
    grey = (
        image.astype(float) if image.ndim == 3 else np.repeat(image[..., None].astype(float), 3, 2)
    )
    most = np.quantile(heat, 0.995)
    share = (heat / most if most > 0 else np.zeros_like(heat)).clip(0, 1)[..., None] ** 0.7
    found: np.ndarray = (0.35 * grey * (1 - share) + HOT * share).round().astype(np.uint8)
    return found


class LikelihoodView(View):
    """Judges a picture as soon as it is chosen, and test images and what is made of them beside."""

    kind = work.Likely
    timeline: Timeline
    explanation = (
        "<h3>How likely is this picture? And nonsense?</h3>"
        "<p>A diffusion model is a density: it says how likely any picture is, in bits for each "
        "value that the best code would take. 8 is what bytes take that nobody knows anything of. "
        "The <b>exact</b> value follows the probability-flow ODE from the picture to noise; the "
        "<b>bound</b> adds up what the model misses of the noise at each level: so it can be taken "
        "apart. The curve says which levels of noise cost what: at the left whole shapes, at the "
        "right single grey levels. The map says which pixels; drag the slider for one level's."
        "</p>"
        "<p>Rank the test images: the likeliest are the plainest, not the best. And judge what no "
        "digit is. A <b>blank</b> image is likelier than any digit, though the model would never "
        "draw one: likelihood counts surprises pixel by pixel, and a black picture holds none "
        "(Nalisnick et al. 2018, arXiv:1810.09136). Most of what makes a digit is decided in very "
        "few bits, at the left of the curve.</p>"
        "<p>Bytes have no density, so noise is added first; which, changes the value: More…, "
        "Dequantisation.</p>"
    )

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.one = self.latest(self._take, self._rest, self._fail)
        self.all = self.latest(self._take, self.show_status, self._fail)
        self.asked: work.Likely | None = None  # what the picture is judged by
        self.found: dict[type, Any] = {}  # of the picture, by what it is
        self.sets: dict[str, list[work.Several]] = {}
        self.ranked = np.zeros(0, int)  # numbers of the test images on view
        self.wrong = ""
        self.form: Form[work.Likely] = Form(
            work.Likely, "likely", session, self, without=("place",)
        )
        self.pair = Mosaic("The picture will stand here.")
        self.pair.setObjectName("likelyPictureView")
        self.pair.setAccessibleName("The picture, and which of its pixels cost most")
        self.value = QLabel(objectName="likelyValue", wordWrap=True)
        self.value.setTextFormat(Qt.TextFormat.RichText)
        self.costs = NoisePlot(
            "likelyCostPlot", "Bits over log-SNR", "bits/dim for each unit", across="log-SNR"
        )
        self.ranking = Picker("The test images will stand here, the likeliest first.")
        self.ranking.setObjectName("likelyRankView")
        self.ranking.setAccessibleName("Test images from the likeliest to the least")
        self.ranking.setToolTip("Click one to judge it by itself")
        self.histogram = BitsPlot(
            "likelySetsPlot", "Bits/dim of several sets", "share", across="bits/dim"
        )
        for plot, words in ((self.costs, "What each level of noise costs"),
                            (self.histogram, "How likely digits and nonsense are")):  # fmt: skip
            plot.set_placeholder(f"{words} comes here.")
        self.legends = {name: QLabel(objectName=f"likely{name.title()}Legend") for name in LINES}
        for label in self.legends.values():
            label.setTextFormat(Qt.TextFormat.RichText)
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.status = QLabel(objectName="likelyStatus", wordWrap=True)
        self.timeline = Timeline()
        self.timeline.set_count(STOPS)
        self._build()
        self.form.changed.connect(self._changed)
        self.timeline.position_changed.connect(self.show_level)
        self.ranking.selectionChanged.connect(self._chosen)
        self._show_legends()
        self.show_level()
        self.show_status()

    def _build(self) -> None:
        left, right, middle = QVBoxLayout(), QVBoxLayout(), QHBoxLayout()
        left.addWidget(QLabel("The picture, and where its bits are"))
        left.addWidget(self.pair, 5)
        left.addWidget(self.value)
        left.addWidget(self.legends["costs"])
        left.addWidget(self.costs, 4)
        right.addWidget(QLabel("Test images, from the likeliest to the least"))
        right.addWidget(self.ranking, 5)
        right.addWidget(self.status)
        right.addWidget(self.legends["sets"])
        right.addWidget(self.histogram, 4)
        middle.addLayout(left, 1)
        middle.addLayout(right, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 6, 9, 6)
        layout.addLayout(self.form.row("model", "image", "change", "count", "by"))
        layout.addLayout(middle, 1)
        layout.addWidget(self.timeline)
        layout.addWidget(
            Formula(
                "The bound adds up what the model misses of the noise; the exact value, how the "
                "ODE stretches space.",
                [("−log_2 P(x) ≤ ½ ∫ E‖ε − ε_θ(x_λ)‖^2 dλ / ln 2 + \"prior + decoder\"",
                  "Kingma et al. 2021"),
                 ("log p_0(x_0) = log p_1(x_1) + ∫ ∇·(dx/dt) dt", "Song et al. 2021")],
                "likelyFormula",
            )
        )  # fmt: skip

    def _show_legends(self) -> None:
        for name, label in self.legends.items():
            label.setText(legend(LINES[name], self.palette()))

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "legends"):
            self._show_legends()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._changed()

    def _changed(self) -> None:
        """A setting changed, or somebody looks: judge what is not judged yet, the picture first."""
        if self.form["model"].run is not None and self.isVisible():
            ask, before = self.form.ask(), self.asked
            if ask != before:
                self.asked, self.found, self.wrong = ask, {}, ""
                if before is None or _of_sets(ask) != _of_sets(before):
                    self.sets = {}
                    self.all.ask(partial(work.several, ask, self.session.places))
                self.all.pause()
                self.one.ask(partial(work.judged, ask, self.session.places))
                self._show()
        self.show_status()

    def _rest(self) -> None:
        """The picture is judged: let the others go on."""
        self.all.resume()
        self.show_status()

    def _take(self, events: list[Any]) -> None:
        for event in events:
            if isinstance(event, work.Several):
                self.sets.setdefault(event.name, []).append(event)
            else:
                self.found[type(event)] = event
        self._show()
        self.show_status()

    def _fail(self, why: str) -> None:
        self.wrong = why
        self.all.resume()
        self.show_status()

    def _chosen(self) -> None:
        """A ranked image was clicked: it becomes the picture."""
        if self.ranking.selected:
            number = self.ranked[self.ranking.selected[0]]
            self.form.set_values({"image": str(number), "change": "none"})

    def _show(self) -> None:
        self.show_level()
        self._show_ranking()
        self._show_histogram()

    def bits(self, name: str) -> np.ndarray:
        """Bits/dim of what is judged of that set so far, (n,)."""
        return np.concatenate([np.zeros(0), *(one.bits for one in self.sets.get(name, []))])

    def band(self) -> int:
        """Which part the slider stands at: -1 all, else a place in `Taken.costs`."""
        stop = round(self.timeline.fraction() * (STOPS - 1))
        return -1 if stop == 0 else STOPS - 1 - stop

    def show_level(self) -> None:
        """Show the map of the slider's level, and say what it costs."""
        figure, taken, band = self.found.get(work.Figure), self.found.get(work.Taken), self.band()
        if figure is None:
            self.pair.show_images(None)
        else:
            plain = (
                figure.image if figure.image.ndim == 3 else np.repeat(figure.image[..., None], 3, 2)
            )
            heat = np.zeros(plain.shape[:2]) if taken is None else self._heat(taken, band)
            self.pair.show_images(np.stack([plain, heated(figure.image, heat)]), 2)
        words = "all parts together"
        if taken is not None:
            words = f"{self._name(taken, band)}: {self._cost(taken, band):.4f} bits/dim"
        self.timeline.set_caption(words)
        self.costs.show_lines(self._cost_lines())
        if taken is not None:
            self.costs.set_ranges((taken.edges[-1], taken.edges[0]), None)
        self._show_value()

    @staticmethod
    def _heat(taken: work.Taken, band: int) -> np.ndarray:
        found: np.ndarray = taken.heat.sum(0) if band < 0 else taken.heat[band]
        return found

    @staticmethod
    def _cost(taken: work.Taken, band: int) -> float:
        return float(taken.costs.sum() if band < 0 else taken.costs[band])

    @staticmethod
    def _name(taken: work.Taken, band: int) -> str:
        if band < 0:
            return "all parts together"
        if band in (0, LEVELS + 1):
            return "decoder" if band == 0 else "prior"
        return f"log-SNR {taken.edges[band]:.1f} to {taken.edges[band - 1]:.1f}"

    def _cost_lines(self) -> list[Line]:
        """Bits/dim for each unit of log-SNR, as steps: of the picture, and of the mean digit."""
        taken, band, lines = self.found.get(work.Taken), self.band(), []
        if taken is None:
            return []
        width = float(taken.edges[0] - taken.edges[1])
        x = np.repeat(taken.edges[::-1], 2)[1:-1]
        digits = self.sets.get("none", [])
        if digits:
            counts = [len(one.bits) for one in digits]
            mean = np.average([one.costs for one in digits], 0, counts)
            lines.append(Line("mean test image", x, np.repeat(mean[LEVELS:0:-1], 2) / width, 0))
        mine = np.repeat(taken.costs[LEVELS:0:-1], 2) / width
        lines.append(Line("this picture", x, mine, 1))
        if 0 < band <= LEVELS:
            middle = (taken.edges[band - 1] + taken.edges[band]) / 2
            lines.append(Line("the map's", np.full(2, middle), np.array([0, mine.max()]), 6, "dot"))
        return lines

    def _show_value(self) -> None:
        taken, exact = self.found.get(work.Taken), self.found.get(work.Exactly)
        if taken is None:
            self.value.setText("")
            return
        words = f"at most {taken.bound:.3f} ± {taken.error:.3f} by the bound"
        if exact is None:
            words = f"{words}; the exact value is being integrated…"
        elif exact.why:
            words = f"{words}; no exact value: {exact.why}"
        else:
            words = (
                f"<b>{exact.value:.3f}</b> ± {exact.error:.3f} bits/dim exactly ({exact.nfe:.0f} "
                f"NFE, the solver's error {exact.solver:.3f}), {words}"
            )
        self.value.setText(words)

    def _show_ranking(self) -> None:
        digits = self.sets.get("none", [])
        if not digits:
            self.ranking.show_images(None)
            return
        bits = self.bits("none")
        order = np.argsort(bits, kind="stable")
        if len(order) > MOST_SHOWN:
            order = np.concatenate([order[: MOST_SHOWN // 2], order[-MOST_SHOWN // 2 :]])
        images = np.concatenate([one.images for one in digits])[order]
        self.ranked = np.concatenate([one.numbers for one in digits])[order]
        self.ranking.select(())
        self.ranking.show_images(images)
        self.ranking.show_notes([Note(f"{value:.2f}") for value in bits[order]])

    def _show_histogram(self) -> None:
        lines = self._set_lines()
        self.histogram.show_lines(lines)
        if lines:
            low = min(float(line.x[np.nonzero(line.y)[0][0]]) for line in lines)
            high = max(float(line.x[np.nonzero(line.y)[0][-1]]) for line in lines)
            self.histogram.set_ranges((low - BIN, high + BIN), (0, 1.02))

    def _set_lines(self) -> list[Line]:
        edges, lines = np.arange(LEAST, MOST + BIN / 2, BIN), []
        x = np.repeat(edges, 2)
        for series, (name, title) in enumerate(SETS.items()):
            if len(bits := self.bits(name)):
                levels = np.log2(bits.clip(2.0**LEAST, None)).clip(LEAST, MOST - BIN / 2)
                share = np.histogram(levels, edges)[0] / len(bits)
                y = np.concatenate([[0.0], np.repeat(share, 2), [0.0]])
                lines.append(Line(title, x, y, series))
        value = self.picture_bits()
        if value is not None and lines:
            at = float(np.clip(np.log2(max(value, 2.0**LEAST)), LEAST, MOST))
            lines.append(Line("this picture", np.full(2, at), np.array([0.0, 1.0]), 6, "dot"))
        return lines

    def picture_bits(self) -> float | None:
        """The picture's bits/dim, judged as the sets are; None while it is not."""
        taken, exact = self.found.get(work.Taken), self.found.get(work.Exactly)
        if self.asked is not None and self.asked.by == "exact":
            return None if exact is None or exact.why else float(exact.value)
        return None if taken is None else float(taken.bound)

    def show_status(self) -> None:
        """Say how things stand."""
        if self.form["model"].run is None:
            self.status.setText("Waiting for the models to be listed.")
        else:
            self.status.setText(self.wrong or self._say())

    def _say(self) -> str:
        digits = self.bits("none")
        if not len(digits):
            return "Test images, the same upside down and inverted, blanks and noise come next…"
        found = []
        if (value := self.picture_bits()) is not None:
            found.append(
                f"The picture is likelier than {np.mean(digits > value):.0%} of the digits."
            )
        means = [f"{title} {self.bits(name).mean():.2f}" for name, title in SETS.items()
                 if len(self.bits(name))]  # fmt: skip
        blank = self.bits("blank")
        found.append(f"Mean bits/dim: {', '.join(means)}.")
        if len(blank):
            likelier = "Blank is likelier than" if blank.mean() < digits.min() else "Of the digits"
            words = " every digit." if blank.mean() < digits.min() else (
                f" {np.mean(digits < blank.mean()):.0%} are likelier than blank.")  # fmt: skip
            found.append(likelier + words)
        if self.all.busy and self.asked is not None:
            found.append(f"{len(digits):,} of {self.asked.count:,} test images.")
        return " ".join(found)

    def ask(self) -> work.Likely:
        return (self.asked or self.form.ask()).with_changes(place=self.timeline.fraction())

    def prepare(self, ask: work.Likely) -> None:
        self.form.restore(ask)
        self.timeline.set_fraction(ask.place)

    def grid(self) -> np.ndarray | None:
        """The ranked test images."""
        return self.ranking.images

    def animation(self) -> list[np.ndarray]:
        """The picture's map, from noise to image."""
        figure, taken = self.found.get(work.Figure), self.found.get(work.Taken)
        if figure is None or taken is None:
            return []
        return [heated(figure.image, taken.heat[band])[None] for band in range(LEVELS + 1, -1, -1)]

    def curves(self) -> dict[str, np.ndarray]:
        """Costs over log-SNR, and each set's bits/dim, in ascending order, over the share below."""
        found = {
            f"bits/dim for each unit: {line.name}": np.column_stack([line.x, line.y])
            for line in self._cost_lines()
        }
        for name, title in SETS.items():
            bits = np.sort(self.bits(name))
            if len(bits):
                found[f"bits/dim of {title}"] = np.column_stack(
                    [(np.arange(len(bits)) + 0.5) / len(bits), bits]
                )
        return found

    def visit(self, guide: Guide) -> None:
        self.form.set_values({"count": 40})
        guide.wait(lambda: work.Exactly in self.found and not self.all.busy,
                   "pictures were judged")  # fmt: skip


def _of_sets(ask: work.Likely) -> work.Likely:
    """What the sets depend on."""
    return ask.with_changes(image="0", change="none", draws=2)
