"""Two dimensions: particles, score and density of a toy, and a small network that learns it."""

from functools import partial
from typing import Any

import numpy as np
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from diffviz.controls.form import Form
from diffviz.shell.session import Session
from diffviz.views import toys
from diffviz.views.plane import work
from diffviz.views.toy_view import ToyView
from diffviz.views.view import Guide
from diffviz.widgets.caption import Words
from diffviz.widgets.curve import CurvePlot
from diffviz.widgets.field import FieldPlot
from diffviz.widgets.formula import Formula
from diffviz.widgets.themed import picture

TRAILS = 30  # particles that draw a trail
TRAIL_FRAMES = 12
LOSSES = {
    "v": ("min_θ E ‖v − v_θ(α x_0 + σ ε, t)‖^2,  v = α ε − σ x_0", "Salimans and Ho 2022"),
    "eps": ("min_θ E ‖ε − ε_θ(α x_0 + σ ε, t)‖^2", "Ho et al. 2020"),
    "flow": ("min_θ E ‖(ε − x_0) − u_θ(α x_0 + σ ε, t)‖^2", "Liu et al. 2022"),
}


class PlaneView(ToyView):
    """Two views of one distribution at the slider's t; both samplers start at the same noise."""

    kind = work.Plane
    explanation = (
        "<h3>Particles in the plane</h3>"
        "<p>Blue bands are the density p<sub>t</sub>(x), dots are samples on their way from noise "
        "(slider at the left) to data (right), arrows are the <b>score</b> ∇log p<sub>t</sub>(x), "
        "times σ(t). Choose above each view which process it shows. Reverse SDE and ODE start at "
        "the same noise: the SDE's dots jitter, the ODE's glide, and both end as the data.</p>"
        "<p>The exact score is that of the points the shape is made of, each blurred to a small "
        "Gaussian. <b>Train</b> lets a small network learn it from samples alone; compare its "
        "arrows with the exact ones, and watch its dots find the shape as it learns. It may guess "
        "the noise, v, or the way from image to noise: each is the others in disguise, but errors "
        "weigh differently at each t.</p>"
        "<p>Ask for a <b>class</b>, one half of the shape, and <b>guide</b> it: beyond 1 the dots "
        "are led away from the other half, end further out than the data, and lie closer together "
        "than the bands, which are the class as it is (Ho and Salimans 2022).</p>"
        "<p>Press <b>Draw</b> and draw a distribution of your own with the mouse.</p>"
    )

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.work = self.latest(self._take, self._say_busy)
        self.learning = self.latest(self._take, self._say_busy)
        self.form = Form(self.kind, "plane", session, self, without=("strokes", "t"))
        self.field: work.Field | None = None
        self.learnt: work.LearntField | None = None
        self.paths: dict[tuple[str, bool], np.ndarray] = {}
        self.strokes: list[np.ndarray] = []
        self.computed: dict[str, Any] = {}  # what the field was last worked out of
        self.predicted = self.kind().objective  # by the network on view
        reach = toys.REACH[2]
        self.plots = [FieldPlot(reach, f"{side}FieldPlot", f"{side} view") for side in
                      ("left", "right")]  # fmt: skip
        self.views = [self.form[side] for side in ("left", "right")]
        self.timeline.set_fraction(0.7)
        self.loss = CurvePlot(
            "Network's loss", "", "step", "toyLossPlot", smooth=True,
            placeholder="Press Train: a small network\nlearns the score in seconds.",
        )  # fmt: skip
        self.loss.setFixedSize(250, 135)
        self.facts = Words("planeFacts")
        self.formula = Formula("", [], "planeFormula")

        grid = QGridLayout()
        for column, (view, plot) in enumerate(zip(self.views, self.plots, strict=True)):
            view.setObjectName(f"{('left', 'right')[column]}ViewCombo")
            view.setAccessibleName(plot.accessibleName())
            grid.addWidget(view, 0, column)
            grid.addWidget(plot, 1, column)
            view.changed.connect(self.show_time)
            plot.stroke_drawn.connect(self._add_stroke)
        grid.setRowStretch(1, 1)
        words = QVBoxLayout()
        words.addWidget(self.timeline)
        words.addWidget(self.facts)
        words.addWidget(self.formula)
        words.addStretch(1)
        below = QHBoxLayout()
        below.addLayout(words, 1)
        controls, training = self._make_controls()
        network = QFormLayout()
        for name in ("half", "guidance", "objective"):
            self.form.placed.add(name)
            network.addRow(self.form.settings[name].title, self.form[name])
        network.addRow(training)
        below.addLayout(network)
        below.addWidget(self.loss)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 6, 9, 6)
        layout.addLayout(controls)
        layout.addLayout(grid, 1)
        layout.addLayout(below)

        self.timeline.position_changed.connect(self.show_time)
        self._show_formula()
        self.show_time()

    def _show_formula(self) -> None:
        """What the network minimises, and what guides, as the settings are."""
        half, objective = self.form["half"].value(), self.form["objective"].value()
        self.form["guidance"].setEnabled(bool(half))
        score = ("s_θ(x, t) = −ε_θ(x, t) / σ(t) ≈ ∇_x log p_t(x)", "Song et al. 2021, eq. 7")
        guided = ("s = s(x) + w (s(x | c) − s(x))", "Ho and Salimans 2022; w the guidance")
        self.formula.show_lines(
            "Every dot follows its own arrow; the network learns the arrows from noised samples.",
            [guided if half else score, LOSSES[objective]],
        )

    def _make_controls(self) -> tuple[QHBoxLayout, QHBoxLayout]:
        """What is on view, and the buttons of training."""

        self.shape, self.process = self.form["shape"], self.form["process"]
        self.seed = self.form["seed"]
        self.shape.setObjectName("shapeCombo")
        self.seed.setPrefix("seed ")
        self.draw = QPushButton("Draw", objectName="drawButton", checkable=True)
        self.clear = QPushButton("Clear", objectName="clearButton")
        self.clear.setVisible(False)
        self.arrows = QCheckBox("Score", objectName="scoreCheck", checked=True)
        self.trails = QCheckBox("Trails", objectName="trailsCheck", checked=True)
        self.train_button = QPushButton("Train a network", objectName="toyTrainButton")
        self.train_button.setProperty("primary", True)
        self.stop_button = QPushButton("Stop", objectName="toyStopButton", enabled=False)
        self.busy = QLabel(objectName="planeBusy")
        self.form.placed |= {"left", "right"}
        row, training = self.form.row("shape", end=False, labelled=False), QHBoxLayout()
        for widget, name, tip in (
            (self.draw, "Draw", "Draw a distribution with the mouse, in either view"),
            (self.clear, "Clear the drawing", "Begin the drawing anew"),
            (None, "", ""),
            (self.arrows, "Show the score", "Arrows of the score times σ(t)"),
            (self.trails, "Show trails", "Where some of the dots have come from"),
            (self.train_button, "Train a network", "Train a small network on this distribution"),
            (self.stop_button, "Stop training", "Give up the training under way"),
        ):
            if widget is None:
                row.addLayout(self.form.row("process", "seed", end=False, labelled=False))
                row.addWidget(self.form.more_button)
                continue
            widget.setAccessibleName(name)
            widget.setToolTip(tip)
            (training if widget in (self.train_button, self.stop_button) else row).addWidget(widget)
        row.addStretch(1)
        row.addWidget(self.busy)
        self.shape.changed.connect(self._shape_chosen)
        self.form.changed.connect(self._changed)
        self.draw.toggled.connect(self._set_drawing)
        self.clear.clicked.connect(self._clear_strokes)
        self.arrows.toggled.connect(self.show_time)
        self.trails.toggled.connect(self.show_time)
        self.train_button.clicked.connect(self.train)
        self.stop_button.clicked.connect(self.stop_learning)
        return row, training

    def ask(self) -> work.Plane:
        return self.form.ask(strokes=work.to_words(self.strokes), t=self.time())

    @property
    def by_hand(self) -> bool:
        return bool(self.shape.value() == work.HAND)

    def _changed(self) -> None:
        """Another process, class or seed is another field; another objective another network."""
        self._show_formula()
        if self._kept() != self.computed:
            self.compute()
        elif self.form["objective"].value() != self.predicted:
            self._forget_learnt()
            self.show_time()

    def _kept(self) -> dict[str, Any]:
        """What the field follows from, of what the form holds; the shape has a say of its own."""
        values = self.form.values()
        return {n: values[n] for n in ("process", "parameters", "seed", "half", "guidance")}

    def compute(self) -> None:
        """Work out everything anew; training under way, and what it learnt, is given up."""
        self.work.drop()
        self.computed = self._kept()
        self.field, self.paths = None, {}
        self._forget_learnt()
        drawn = not self.by_hand or bool(self.strokes)
        if drawn and self.isVisible():  # else showEvent will ask
            self.work.ask(partial(work.plane, self.ask()))
        self._say_busy()
        self.show_time()

    def train(self) -> None:
        """Train a network on the distribution on view; its score shows in the right view."""
        if self.by_hand and not self.strokes:
            self.session.problem.emit("Nothing is drawn yet: draw with the mouse held down.")
            return
        self.draw.setChecked(False)
        self._forget_learnt()
        flow = self.views[0].value().startswith("flow")
        self.views[1].set_value("flow learnt" if flow else "reverse learnt")
        self.learning.ask(partial(work.learn, self.ask()))
        self._say_busy()
        self.show_time()

    def _forget_learnt(self) -> None:
        """Give up the training under way, and what it learnt."""
        self.stop_learning()
        self.learnt, self.predicted = None, self.form["objective"].value()
        self.paths = {key: places for key, places in self.paths.items() if not key[1]}
        self.loss.clear()

    def stop_learning(self) -> None:
        """Give up the training under way; the score it has learnt stays on view."""
        self.learning.drop()
        self._say_busy()

    def show_time(self) -> None:
        """Put the frames at the slider's t into both views."""
        k = self.moment()
        self.timeline.set_caption(f"t = {self.time():.2f}")
        for view, plot in zip(self.views, self.plots, strict=True):
            part, _, word = view.value().partition(" ")
            learnt = bool(word)
            plot.show_heat(None if self.field is None else self.field.heat[k])
            field: work.Field | work.LearntField | None
            field = self.learnt if learnt else self.field
            if field is not None and self.arrows.isChecked():
                plot.show_field(field.arrow_axis, field.arrows[k])
            else:
                plot.show_field(np.zeros(0), np.zeros((0, 0, 2)))
            film = self.paths.get((part, learnt))
            if film is None:
                plot.show_particles(part, None, np.zeros((0, 0, 2)))
            else:
                plot.show_particles(part, film[k], self._trails(part, film, k))
            plot.show_note(self._note(learnt, film))
        self.facts.setText(self._facts(k))

    def _trails(self, part: str, film: np.ndarray, k: int) -> np.ndarray:
        """The last frames of some particles before frame k, (F, n, 2)."""
        if not self.trails.isChecked():
            return film[:0, :0]
        first = max(0, k - TRAIL_FRAMES) if part == "forward" else k
        last = k if part == "forward" else min(len(film) - 1, k + TRAIL_FRAMES)
        return film[first : last + 1, :TRAILS]

    def _note(self, learnt: bool, film: np.ndarray | None) -> str:
        if self.draw.isChecked() and not self.strokes:
            return "Draw here with the mouse held down."
        if self.by_hand and not self.strokes:
            return "Press Draw to draw a distribution."
        if learnt and film is None and self.learnt is None:
            return "Press Train: no network has learnt this yet."
        return ""

    def score_error(self, k: int) -> float | None:
        """How far the learnt score is off at frame k: sqrt(E |s_θ - s|² / E |s|²) under p_t.

        E is taken over the grid of arrows.
        """
        if self.field is None or self.learnt is None:
            return None
        reach, side = toys.REACH[2], self.field.heat.shape[1]
        near = np.round((self.field.arrow_axis + reach) / (2 * reach) * (side - 1)).astype(int)
        density = (self.field.heat[k][np.ix_(near, near)].astype(float) / 255) ** 2
        exact, learnt = self.field.arrows[k], self.learnt.arrows[k]
        off = (density * ((learnt - exact) ** 2).sum(-1)).sum()
        return float(np.sqrt(off / max((density * (exact**2).sum(-1)).sum(), 1e-12)))

    def _facts(self, k: int) -> str:
        error = self.score_error(k)
        if error is None:
            return "Both samplers start at the same noise, at the slider's left end (t = 1)."
        return f"At t = {self.time():.2f} the learnt score is off by {error:.0%} (rms, under pₜ)."

    def _take(self, events: list[Any]) -> None:
        steps: list[work.Learning] = []
        for event in events:
            if isinstance(event, work.Learning):
                steps.append(event)
            elif isinstance(event, work.LearntField):
                self.learnt = event
            elif isinstance(event, work.Field):
                self.field = event
            elif isinstance(event, toys.Paths):
                self.paths[event.kind, event.learnt] = event.places
            else:
                continue
        for event in steps:
            first = event.step - len(event.losses) + 1
            self.loss.append(np.arange(first, event.step + 1), event.losses)
        if steps:
            self.busy.setText(f"step {steps[-1].step} of {steps[-1].steps}")
        if any(not isinstance(e, toys.Progress | work.Learning) for e in events):
            self.show_time()

    def _say_busy(self) -> None:
        learning = self.learning.busy
        self.busy.setText("computing…" if learning or self.work.busy else "")
        self.stop_button.setEnabled(learning)
        self.train_button.setEnabled(not learning)

    def _shape_chosen(self) -> None:
        by_hand = self.by_hand
        self.clear.setVisible(by_hand)
        if not by_hand:
            self.draw.setChecked(False)
        elif not self.strokes:
            self.draw.setChecked(True)
        self.compute()

    def _set_drawing(self, on: bool) -> None:
        if on:
            self.shape.set_value(work.HAND)
            self.timeline.pause()
            self.set_time(0.0)
        for plot in self.plots:
            plot.set_drawing(on)
        self.show_time()

    def _add_stroke(self, stroke: np.ndarray) -> None:
        reach = toys.REACH[2]
        self.strokes.append(stroke.clip(-reach, reach))
        self.compute()

    def _clear_strokes(self) -> None:
        self.strokes = []
        self.draw.setChecked(True)
        self.compute()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self.field is None and not self.work.busy:
            self.compute()

    def grid(self) -> np.ndarray | None:
        return None if self.field is None else picture(self)

    def animation(self) -> list[np.ndarray]:
        """Both views from noise to data."""
        if self.field is None:
            return []
        return self.film(self.plots)

    def curves(self) -> dict[str, np.ndarray]:
        steps, losses = self.loss.points()
        return {"toy loss": np.column_stack([steps, losses])} if len(steps) else {}

    def prepare(self, ask: work.Plane) -> None:
        self.strokes = work.from_words(ask.strokes)
        self.form.restore(ask)
        self.draw.setChecked(False)
        self.set_time(ask.t)
        self.compute()

    def visit(self, guide: Guide) -> None:
        guide.wait(lambda: not self.work.busy, "the plane was computed")
        self.train_button.click()
        guide.wait(lambda: not self.learning.busy, "a small network learnt the score, and drew")
