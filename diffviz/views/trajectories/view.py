"""The trajectories view: two rows, forward beside reverse, one timeline under all four pictures."""

import math
from functools import partial
from typing import Any

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QApplication,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from diffviz.controls.beginning import BeginningChoice
from diffviz.controls.fields import narrow
from diffviz.controls.form import Form
from diffviz.shell.session import ROWS, Session
from diffviz.views.bins import BINS
from diffviz.views.trajectories import work
from diffviz.views.trajectories.films import Films
from diffviz.views.view import Guide, View
from diffviz.widgets.caption import Caption
from diffviz.widgets.formula import Formula
from diffviz.widgets.histogram import HistogramPlot
from diffviz.widgets.mosaic import Mosaic
from diffviz.widgets.timeline import Timeline
from trainer.problems import Problem

ROW_TITLES = {"ddpm": "DDPM", "sde": "SDE"}
DIRECTIONS = {"forward": "real images, noised", "reverse": "noise, denoised"}
STRIP_COLUMNS, STRIP_IMAGES = 11, 2
TOUR_STEPS = 20


class TrajectoriesView(View):
    """Holds every frame of the four pictures as arrays, so that the slider only picks."""

    kind = work.Trajectories
    timeline: Timeline
    explanation = (
        "<h3>Noising and denoising</h3>"
        "<p>Left, the <b>forward process</b> destroys real images: "
        "x<sub>t</sub> = α(t)·x<sub>0</sub> + σ(t)·ε, with ε ~ N(0, I). Right, a <b>sampler</b> "
        "starts from pure noise and undoes it step by step, asking the network at each step "
        "which noise it sees. Both rows start from the same noise.</p>"
        "<p>DDPM walks a chain of T steps (Ho et al. 2020). The SDE row solves the reverse-time "
        "equation dx = [f − g²∇log p<sub>t</sub>(x)]dt + g dw (Song et al. 2021), or its "
        "probability-flow ODE, which has no randomness.</p>"
        "<p>Noise belongs to an interval of time: with more steps an SDE follows the same path, "
        "only finer.</p>"
        "<p>Drag the slider: all four views move to the same noise level. The histogram shows "
        "the pixel values of the denoised row against N(0, 1), the line.</p>"
    )

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.drawing = self.latest(self._take, self._ended)
        self.asked: work.Trajectories | None = None  # what the pictures are
        self.films = Films(ROWS)
        self.nfe: dict[str, int] = {}
        self.precision: dict[str, str] = {}

        first = self.kind()
        self.rows = {
            row: Form(work.Row, row, session, self, one.to_dict())
            for row, one in first.rows.items()
        }
        self.steps = {row: form["steps"] for row, form in self.rows.items()}
        self.form = Form(
            self.kind, "", session, self, without=(*ROWS, "fraction"),
            called={"seed": "sampleSeed"},
        )  # fmt: skip
        self.spent = {row: QLabel(objectName=f"{row}NfeLabel") for row in ROWS}
        self.timeline = Timeline()
        self.facts = Caption("marginalLabel")
        self.facts.setTextFormat(Qt.TextFormat.RichText)
        self.timeline.add_beside(self.facts)
        self.sample_button = QPushButton("Sample", objectName="sampleButton")
        self.sample_button.setProperty("primary", True)
        self.sample_button.setToolTip("Draw both rows anew, and play them as they come")
        self.stop_button = QPushButton("Stop", objectName="stopSamplingButton", enabled=False)
        self.stop_button.setToolTip("Leave the drawing where it is")

        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 6, 9, 6)
        layout.addLayout(self._make_controls())
        layout.addLayout(self._make_views(), 1)
        layout.addWidget(self.timeline)
        layout.addWidget(
            Formula(
                "Both rows start from the same noise; each step removes a little of what the "
                "network takes for noise.",
                [("x_t = α(t) x_0 + σ(t) ε,   dx = [f − g^2 ∇_x log p_t(x)] dt + g dw̄",
                  "Ho et al. 2020, eq. 4; Song et al. 2021, eq. 6")],
                "trajectoriesFormula",
            )
        )  # fmt: skip
        self.sample_button.clicked.connect(self.sample)
        self.stop_button.clicked.connect(self.drawing.stop)
        self.form["show"].changed.connect(self.show_time)
        self.form["layout"].changed.connect(self._arrange)
        self.timeline.position_changed.connect(self.show_time)
        session.modelChanged.connect(self._follow_model)
        session.drawingAsked.connect(self._draw_by)
        for row, form in self.rows.items():
            form["model"].changed.connect(partial(self._choose_model, row))
            form.changed.connect(self._show_spent)
            self._follow_model(row)
        self._show_spent()
        self.show_time()

    def _make_controls(self) -> QHBoxLayout:
        for combo in (self.form["show"], self.form["layout"]):
            narrow(combo, 6)
        controls = self.form.row("count", "seed", end=False)
        controls.addLayout(BeginningChoice(self.form))
        controls.addLayout(self.form.row("show", end=False))
        controls.addLayout(self.form.row("layout", end=False, labelled=False))
        controls.addStretch(1)
        controls.addWidget(self.stop_button)
        controls.addWidget(self.sample_button)
        return controls

    def _make_views(self) -> QGridLayout:
        self.views: dict[tuple[str, str], Mosaic] = {}
        self.histograms: dict[str, HistogramPlot] = {}
        self.heads = {row: QWidget() for row in ROWS}
        self.views_grid = grid = QGridLayout()
        centres = (BINS[:-1] + BINS[1:]) / 2
        normal = np.exp(-0.5 * centres**2) / math.sqrt(2 * math.pi)
        for row, form in self.rows.items():
            head = QHBoxLayout(self.heads[row])
            head.setContentsMargins(0, 0, 0, 0)
            head.addWidget(QLabel(f"<b>{ROW_TITLES[row]}</b>"))
            self.steps[row].setSuffix(" steps")
            for combo in (form["model"].model, form["sampler"], form["classes"].combo):
                narrow(combo, 6)
            names = ("model", "sampler", "steps", "classes")
            for name in names:
                field = form[name]
                field.setAccessibleName(f"{ROW_TITLES[row]} {form.settings[name].title.lower()}")
            head.addLayout(form.row(*names, labelled=False))
            head.addWidget(self.spent[row])
            head.addStretch(1)
            for direction, words in DIRECTIONS.items():
                view = Mosaic(f"{words.capitalize()}: press Sample.")
                view.setObjectName(f"{row}{direction.title()}View")
                view.setAccessibleName(f"{ROW_TITLES[row]}, {words}")
                view.setToolTip(words.capitalize())
                view.hovered.connect(self._mark)
                self.views[row, direction] = view
            words = f"{ROW_TITLES[row]} pixel values against N(0, 1)"
            histogram = HistogramPlot(BINS, normal, 0.9, f"{row}Histogram", words)
            histogram.setToolTip("Pixel values of the denoised images; the line is N(0, 1)")
            self.histograms[row] = histogram
        self._arrange()
        return grid

    def _arrange(self) -> None:
        """Lay the views out as mosaics beside each other, or as strips under each other."""
        grid, strip = self.views_grid, self.form["layout"].value() == "strip"
        self._mark(-1)
        for r, row in enumerate(ROWS):
            first = 3 * r
            grid.addWidget(self.heads[row], first, 0, 1, 3)
            forward, reverse = (self.views[row, direction] for direction in DIRECTIONS)
            if strip:
                grid.addWidget(forward, first + 1, 0, 1, 2)
                grid.addWidget(reverse, first + 2, 0, 1, 2)
            else:
                grid.addWidget(forward, first + 1, 0, 2, 1)
                grid.addWidget(reverse, first + 1, 1, 2, 1)
            grid.addWidget(self.histograms[row], first + 1, 2, 2, 1)
            for k in (1, 2):
                grid.setRowStretch(first + k, 1)
        for column, stretch in enumerate((5, 5, 3)):
            grid.setColumnStretch(column, stretch)
        self.show_time()

    @property
    def sampling(self) -> bool:
        return self.drawing.busy

    @property
    def film_awaited(self) -> bool:
        """Whether the first animation is being drawn and yet to begin."""
        about_to_play = self.timeline.playing() and self.timeline.fraction() == 0
        return self.sampling and (self.films.drawn() == 0 or about_to_play)

    def begin_film(self) -> None:
        """The engine is loaded: draw, unless something was asked for already."""
        if self.asked is not None:
            return
        if self.timeline.fraction() > 0:  # as the last session left it
            self.draw()
        else:
            self.sample()

    def _choose_model(self, row: str) -> None:
        run = self.rows[row]["model"].run
        if run is not None:
            self.session.open_model(row, run.name)

    def _follow_model(self, row: str) -> None:
        """Another view has opened a model in this row."""
        field, name = self.rows[row]["model"], self.session.models[row]
        if field.values()["model"] != name:
            field.choose(name)
        self._show_spent()

    def _draw_by(self, row: str, settings: dict[str, Any]) -> None:
        """Another view asks for these settings in this row: all of them, or none where one of them
        cannot be, such as a single step."""
        form = self.rows[row]
        try:
            form.restore(form.ask(**settings))
        except Problem as problem:
            self.session.problem.emit(str(problem))

    def _show_spent(self) -> None:
        """Beside each row, what drawing it took, or that its pictures are another model's."""
        for row, label in self.spent.items():
            words, tip = "", "Passes of the network an image, and their precision"
            drawn = self.asked.rows[row].model if self.asked else ""
            if row in self.nfe:
                words = f"{self.nfe[row]} NFE, {self.precision.get(row, '')}"
            if self.sampling:
                words = "sampling…"
            elif drawn and drawn != self.session.models[row]:
                words, tip = "press Sample", f"These pictures were drawn by {drawn}"
            label.setText(words)
            label.setToolTip(tip)

    def wanted(self) -> work.Trajectories:
        """What the controls ask for."""
        rows: dict[str, Any] = {row: form.ask() for row, form in self.rows.items()}
        return self.form.ask(**rows, fraction=self.timeline.fraction())

    def sample(self) -> None:
        """Draw anew under the present settings, and play it as it comes."""
        self.timeline.set_fraction(0.0)
        self.draw()
        self.timeline.play()

    def draw(self) -> None:
        """Draw anew under the present settings; a drawing under way is given up for it."""
        self.asked = self.wanted()
        self.films.clear()
        self.nfe = {}
        self.timeline.set_count(max(row.steps for row in self.asked.rows.values()) + 1)
        self.timeline.set_available(0.0)
        self.stop_button.setEnabled(True)
        self.drawing.ask(partial(work.trajectories, self.asked, self.session.places))
        self._show_spent()
        self.session.message.emit("Sampling…")

    def time(self) -> float:
        """The t that the timeline stands at: the start at its left end, 0 at its right."""
        start = self.asked.start if self.asked else 1.0
        return start * (1 - self.timeline.fraction())

    def moment(self, row: str, direction: str, fraction: float | None = None) -> work.Moment | None:
        """The frame of that view at the timeline's place, or at `fraction` of it."""
        place = self.timeline.fraction() if fraction is None else fraction
        return self.films.moment(row, direction, place)

    def shown(self, moment: work.Moment) -> np.ndarray:
        """The picture of that moment that the Show switch asks for."""
        return moment.pictures[self.form["show"].value()]

    def strip(self, row: str, direction: str) -> np.ndarray | None:
        """A few images (rows) at evenly spaced places of the timeline (columns)."""
        found = [self.moment(row, direction, k / (STRIP_COLUMNS - 1)) for k in range(STRIP_COLUMNS)]
        pictures = [self.shown(moment)[:STRIP_IMAGES] for moment in found if moment is not None]
        if not pictures:
            return None
        columns = np.stack(pictures, axis=1)
        return columns.reshape(-1, *columns.shape[2:])

    def show_time(self) -> None:
        """Put the frames at the timeline's t into the views, and say where that is."""
        strip = self.form["layout"].value() == "strip"
        lines = []
        for row in ROWS:
            for direction in DIRECTIONS:
                moment = self.moment(row, direction)
                view = self.views[row, direction]
                if moment is None:
                    continue
                if strip:
                    view.show_images(self.strip(row, direction), STRIP_COLUMNS)
                    view.mark(round(self.timeline.fraction() * (STRIP_COLUMNS - 1)))
                else:
                    view.show_images(self.shown(moment))
            at = self.moment(row, "reverse") or self.moment(row, "forward")
            if at is not None:
                self.histograms[row].show_density(at.histogram)
                lines.append(self._line(row, at))
        self.timeline.set_caption(f"t = {self.time():.3f}")
        self.session.timeChanged.emit(self.time())
        cells = "</tr><tr>".join(lines)
        self.facts.setText(
            f"<table cellspacing=0><tr>{cells}</tr></table>"
            if lines
            else "Press Sample: both rows start from the same noise."
        )

    def _line(self, row: str, at: work.Moment) -> str:
        snr = "∞" if at.sigma == 0 else "−∞" if at.alpha == 0 else ""
        snr = snr or f"{2 * math.log(at.alpha / at.sigma):+.2f}"
        cells = (
            f"<b>{ROW_TITLES[row]}</b>", f"step {at.index} of {at.last}", f"t = {at.t:.3f}",
            at.chain, f"α = {at.alpha:.3f}", f"σ = {at.sigma:.3f}", f"log-SNR = {snr}",
        )  # fmt: skip
        return "".join(f"<td style='padding: 0 5px'>{cell}</td>" for cell in cells)

    def ask(self) -> work.Trajectories:
        """What made the pictures, as they are shown now."""
        shown = {name: self.form[name].value() for name in ("show", "layout")}
        ask = self.asked or self.wanted()
        return ask.with_changes(**shown, fraction=self.timeline.fraction())

    def prepare(self, ask: work.Trajectories) -> None:
        for row, form in self.rows.items():
            form.restore(ask.rows[row])
            if self.session.has(ask.rows[row].model):
                self.session.open_model(row, ask.rows[row].model)
        self.form.set_values(
            {n: getattr(ask, n) for n in ("count", "seed", "image", "start", "show", "layout")}
        )
        self.timeline.set_fraction(ask.fraction)

    def restore(self, ask: work.Trajectories) -> None:
        self.prepare(ask)
        self.timeline.pause()
        self.draw()

    def grid(self) -> np.ndarray | None:
        shown = [view.images for view in self.views.values() if view.images is not None]
        return np.concatenate(shown) if shown else None

    def animation(self) -> list[np.ndarray]:
        """Both rows in time, forward beside reverse as in the view, for export."""
        places = np.linspace(0, 1, min(self.films.longest(), 101))
        show = self.form["show"].value()
        return [self.films.sheet(float(place), show)[None] for place in places] if self.nfe else []

    def _mark(self, index: int) -> None:
        if self.form["layout"].value() == "mosaic":
            for view in self.views.values():
                view.mark(index)

    def _take(self, events: list[Any]) -> None:
        for event in events:
            if isinstance(event, work.Moment):
                self.films.add(event)
            else:
                self.nfe, self.precision = event.nfe, event.precision
                self.session.message.emit("Sampled.")
        self.timeline.set_available(1.0 if self.nfe else self.films.drawn())
        self.show_time()

    def _ended(self) -> None:
        self.timeline.set_available(1.0)
        self.stop_button.setEnabled(False)
        self._show_spent()

    def visit(self, guide: Guide) -> None:
        """Scrub from noise to digits, in both layouts."""
        for spin in self.steps.values():
            spin.setValue(TOUR_STEPS)
        self.sample_button.click()
        guide.wait(lambda: not self.sampling, "both models were sampled")
        self.timeline.pause()
        for fraction, name in ((0.0, "noise"), (0.6, "midway"), (1.0, "digits")):
            self.timeline.set_fraction(fraction)
            guide.look(name)
        for k in range(41):
            self.timeline.set_fraction(k / 40)
            QApplication.processEvents()
        self.form.set_values({"layout": "strip", "show": "guess"})
        self.timeline.set_fraction(0.5)
        guide.look("filmstrip")
        self.form.set_values({"layout": "mosaic", "show": "state"})
        self.timeline.set_fraction(1.0)
