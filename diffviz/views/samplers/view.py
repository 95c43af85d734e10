"""The samplers view: one model and one noise, a column for each sampler and step count."""

from functools import partial
from typing import Any

import numpy as np
from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QPushButton,
    QScrollArea,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from diffviz.controls.beginning import BeginningChoice
from diffviz.controls.form import Form
from diffviz.shell import style
from diffviz.shell.session import Session
from diffviz.views.comparing import ComparingView
from diffviz.views.samplers import work
from diffviz.views.samplers.column import ColumnView
from diffviz.views.view import Guide
from diffviz.widgets.curves import CurvesPlot
from diffviz.widgets.formula import Formula
from diffviz.widgets.mosaic import compose
from trainer.ask import settings_of
from trainer.comparing import how, titled
from trainer.requests import Drawing, Solver

SWEEP = (5, 10, 20, 40, 80)
PLOTS = {choice.id: choice.title for choice in work.PLOTS}


class SamplersView(ComparingView):
    """Computes what the columns lack, a piece at a time, and keeps every piece once computed."""

    kind = work.Samplers
    explanation = (
        "<h3>Samplers side by side</h3>"
        "<p>Every column starts from the same noise x<sub>1</sub> and asks the same model. "
        "DDIM, DPM-Solver and the ODE solvers follow the <b>probability-flow ODE</b> "
        "dx/dt = f(x, t) − ½ g(t)² ∇log p<sub>t</sub>(x) (Song et al. 2021, eq. 13): with more "
        "steps all of them come to one and the same image, and <b>RMS</b> is how far they still "
        "are from it, pixels in [−1, 1]. Ancestral and SDE samplers add fresh noise at each "
        "step: they draw other images. But noise belongs to an interval of time, so they are "
        "measured against the same path in eight times the steps. (In bfloat16, rounding alone is "
        "about 0.01: choose float32 behind More… for less.)</p>"
        "<p><b>NFE</b> counts the network's evaluations an image, the true cost. <b>FID</b> "
        "compares many samples with the training set in the features of a digit classifier "
        "(Heusel et al. 2017); few samples bias it upwards, so it stands beside its <b>floor</b>, "
        "the FID of as many real test images.</p>"
    )

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.columns: list[ColumnView] = []

        self.form = Form(self.kind, "samplers", session, self, without=("columns",))
        for name, called in (("reference", "referenceCombo"), ("judged", "judgeCountCombo"),
                             ("plot", "plottedCombo")):  # fmt: skip
            self.form[name].setObjectName(called)
        self.seed, self.reference = self.form["seed"], self.form["reference"]
        self.cards = QHBoxLayout()
        self.cards.setContentsMargins(0, 0, 0, 0)
        self.cards.setSpacing(2)
        inside = QWidget()
        inside.setLayout(self.cards)
        self.area = QScrollArea(objectName="columnsArea", widgetResizable=True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setWidget(inside)
        self.plot = CurvesPlot("", "", "network evaluations an image (NFE)", "samplersPlot")
        self.plot.setToolTip("Down and to the left is better: less error for less work")
        self.plot.set_log(True, True)
        self.plot.setMinimumHeight(120)

        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 6, 9, 6)
        layout.addLayout(self.form.row("model", "count", "seed", "reference", "judged"))
        asked = self.form.row("classes", end=False)
        asked.addLayout(BeginningChoice(self.form))
        asked.addStretch(1)
        layout.addLayout(asked)
        layout.addLayout(self._make_actions())
        split = QSplitter(Qt.Orientation.Vertical)
        split.addWidget(self.area)
        split.addWidget(self.plot)
        split.setSizes([400, 200])
        split.setStretchFactor(0, 2)
        split.setStretchFactor(1, 1)
        split.setChildrenCollapsible(False)
        layout.addWidget(split, 1)
        layout.addWidget(
            Formula(
                "Same noise, same model: with more steps every deterministic sampler comes to the "
                "same image.",
                [("dx/dt = f(x, t) − ½ g(t)^2 ∇_x log p_t(x)", "Song et al. 2021, eq. 13")],
                "samplersFormula",
            )
        )
        for column in work.FIRST:
            self._add(column)
        self.form.changed.connect(self.follow)
        self.follow()

    @property
    def model(self) -> Any:
        """The chooser of the model."""
        return self.form["model"]

    def _make_actions(self) -> QHBoxLayout:
        self.add_button = QPushButton("Add column", objectName="addColumnButton")
        self.sweep_button = QPushButton("Add sweep", objectName="sweepButton")
        self.name_buttons("samplers", "Comparing", "Compare", "compareButton")
        row = QHBoxLayout()
        for widget, name, tip in (
            (self.add_button, "Add column", "Another column: the last sampler with twice the "
             "steps, to be changed as you like"),
            (self.sweep_button, "Add sweep", "Columns of the last sampler with "
             f"{', '.join(map(str, SWEEP))} steps: together they are a line in the plot"),
            (self.progress, "Progress", "What is being computed"),
            (None, "", ""),
            (self.stop_button, "Stop", "Leave the comparison; what is done stays"),
            (self.compare_button, "Compare", "Compute everything that the columns lack"),
        ):  # fmt: skip
            if widget is None:
                row.addLayout(self.form.row("plot", end=False))
                continue
            widget.setAccessibleName(name)
            widget.setToolTip(tip)
            row.addWidget(widget, 1 if widget is self.progress else 0)
        self.add_button.clicked.connect(self.add_column)
        self.sweep_button.clicked.connect(self.add_sweep)
        return row

    def _add(self, ask: work.Column) -> None:
        column = ColumnView(self.session, ask)
        column.changed.connect(self.follow)
        column.removed.connect(partial(self._remove, column))
        column.view.hovered.connect(self._mark)
        self.columns.append(column)
        self.cards.addWidget(column, 1)

    def add_column(self) -> None:
        """Another column, after the last: its sampler, twice its steps."""
        last = self.columns[-1].form.ask()
        self._add(last.with_changes(steps=max(last.steps, min(1000, 2 * last.steps))))
        self.follow()
        bar = self.area.horizontalScrollBar()
        QTimer.singleShot(0, self, lambda: bar.setValue(bar.maximum()))

    def add_sweep(self) -> None:
        """The last column's sampler at each of SWEEP's step counts that it does not have yet."""
        last = self.columns[-1].form.ask()
        there = [column.form.ask() for column in self.columns]
        for steps in SWEEP:
            one = last.with_changes(steps=steps)
            if one not in there and len(self.columns) < work.MOST_COLUMNS:
                self._add(one)
        self.follow()

    def _take_away(self, column: ColumnView) -> None:
        self.columns.remove(column)
        self.cards.removeWidget(column)
        column.hide()
        column.deleteLater()

    def _remove(self, column: ColumnView) -> None:
        self._take_away(column)
        self.follow()

    def ask(self) -> work.Samplers:
        return self.form.ask(columns=tuple(column.form.ask() for column in self.columns))

    def request(self, column: ColumnView) -> Drawing | None:
        """What that column asks for; None without a model."""
        return None if self.model.run is None else self.ask().drawing(column.form.ask())

    def tell(self) -> None:
        run, ask, comparison = self.model.run, self.ask(), self.comparison
        comparison.draws = [ask.drawing(column) for column in ask.columns] if run else []
        fine = ask.fine() if run else None
        names = settings_of(Solver)
        comparison.reference = {n: getattr(fine, n) for n in names} if fine else None
        comparison.judged_count = ask.judged if self.model.digits else 0

    def show_results(self) -> None:
        """Bring columns, plot and buttons up to date."""
        colours = style.series(self.palette())
        ask = self.ask()
        names = [titled(column) for column in ask.columns]
        kinds = list(dict.fromkeys(names))
        said = [how(column) for column in ask.columns]
        if self.model.run is None:
            waiting = "Waiting for the models to be listed."
        elif self.comparing:
            waiting = "Waiting its turn."
        else:
            waiting = "Press Compare: every column is drawn from the same noise."
        for k, column in enumerate(self.columns):
            draw = ask.drawing(ask.columns[k]) if self.model.run else None
            colour = colours[kinds.index(names[k]) % len(colours)]
            column.show_how(said[k], any(said))
            if self.growing is not None and self.piece == ("draw", draw):
                column.show_growing(self.growing.images, colour)
            else:
                column.show_results(self.comparison, draw, colour, waiting)
            column.remove.setEnabled(len(self.columns) > 1)
        self._show_plot(kinds)
        full = len(self.columns) >= work.MOST_COLUMNS
        self.add_button.setEnabled(not full)
        self.sweep_button.setEnabled(not full)
        self.stop_button.setEnabled(self.comparing)
        self.compare_button.setEnabled(not self.comparing and self.model.run is not None)
        self.form["judged"].setEnabled(self.model.run is None or self.model.digits)
        self.show_progress()

    def _show_plot(self, kinds: list[str]) -> None:
        """Draw the chosen measure over NFE, a curve a kind, in its columns' colour."""
        key, count = self.form["plot"].value(), self.form["judged"].value()
        values = self.comparison.values(key)
        self.plot.set_labels("", PLOTS[key])
        for name in self.plot.names():
            if name not in values:
                self.plot.remove(name)
        for name, points in values.items():
            xs, ys = np.array(points, float).T
            self.plot.set_curve(name, xs, ys, kinds.index(name))
            self.plot.set_marks(name, xs)
        self.plot.set_ticks(sorted({x for points in values.values() for x, _ in points}))
        floors = [j.floor for j in map(self.comparison.fid, self.comparison.draws) if j]
        level = floors[-1] if floors and key == "fid" else None
        self.plot.set_level(f"floor: {count:,} test images", level)
        if key == "error":
            self.plot.set_placeholder(
                "The samplers' error over their cost appears here, once they and their references "
                "are drawn. The slope is the solver's order."
            )
        elif count:
            self.plot.set_placeholder("FID over cost appears here as each column is judged.")
        else:
            self.plot.set_placeholder(
                "FID over cost appears here: choose a number of samples under FID."
            )

    def _mark(self, index: int) -> None:
        for column in self.columns:
            column.view.mark(index)

    def prepare(self, ask: work.Samplers) -> None:
        for column in list(self.columns):
            self._take_away(column)
        for one in ask.columns:
            self._add(one)
        self.form.restore(ask)
        self.follow()

    def restore(self, ask: work.Samplers) -> None:
        self.prepare(ask)
        self.compare()

    def grid(self) -> np.ndarray | None:
        """Each drawn column's mosaic as one image, in the columns' order."""
        drawn = self.comparison.drawn
        results = [drawn[draw] for draw in self.comparison.draws if draw in drawn]
        return np.stack([compose(result.images) for result in results]) if results else None

    def curves(self) -> dict[str, np.ndarray]:
        return {
            f"{name}, {PLOTS[key]} over NFE": np.array(points, float)
            for key in PLOTS
            for name, points in self.comparison.values(key).items()
        }

    def visit(self, guide: Guide) -> None:
        self.form.set_values({"count": 4})
        for column, steps in zip(self.columns, (5, 10, 10, 20), strict=True):
            column.steps.setValue(steps)
        self.compare_button.click()
        guide.wait(lambda: not self.comparing, "the samplers were compared")
