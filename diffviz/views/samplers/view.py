"""The samplers panel: one model and one noise, a column for each sampler and step count."""

from functools import partial
from typing import Any

import numpy as np
from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from diffviz.controls.classes import ClassChoice
from diffviz.controls.model import (
    SAMPLER_TITLES,
    SEED_WIDTH,
    ModelChoice,
    choose,
    list_samplers,
    narrow,
    sampler_title,
)
from diffviz.jobs import Job
from diffviz.shell import style
from diffviz.shell.session import Session
from diffviz.views import Panel
from diffviz.views.samplers import work as work_samplers
from diffviz.views.samplers.column import Column
from diffviz.views.samplers.comparison import Comparison, Piece
from diffviz.views.samplers.work import Draw, Drawn, Growing, Judged
from diffviz.widgets.curves import CurvesPlot
from diffviz.widgets.formula import Formula
from diffviz.widgets.mosaic import compose

FIRST_COLUMNS = (("ddim", 10), ("ddim", 40), ("ddpm", 50), ("euler-maruyama", 100))
SWEEP = (5, 10, 20, 40, 80)
REFERENCES = (("", 0), ("ddim", 200), ("ddim", 1000), ("heun", 100), ("dpm-solver++", 100))
MOST_COLUMNS = 16
PLOTS = {"error": "error (RMS)", "fid": "FID"}


class SamplersPanel(Panel):
    """Computes what the columns lack, a piece at a time, and keeps every piece once computed."""

    title = "Samplers"
    explanation = (
        "<h3>Samplers side by side</h3>"
        "<p>Every column starts from the same noise x<sub>1</sub> and asks the same model. "
        "DDIM, DPM-Solver and the ODE solvers follow the <b>probability-flow ODE</b> "
        "dx/dt = f(x, t) − ½ g(t)² ∇log p<sub>t</sub>(x) (Song et al. 2021, eq. 13): with more "
        "steps all of them come to one and the same image, and <b>RMS</b> is how far they still "
        "are from it, pixels in [−1, 1]. Ancestral and SDE samplers add fresh noise at each "
        "step: they draw other images, so they have no such error.</p>"
        "<p><b>NFE</b> counts the network's evaluations an image, the true cost. <b>FID</b> "
        "compares many samples with the training set in the features of a digit classifier "
        "(Heusel et al. 2017); few samples bias it upwards, so it stands beside its <b>floor</b>, "
        "the FID of as many real test images.</p>"
    )

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.names: tuple[str, ...] = tuple(SAMPLER_TITLES)
        self.columns: list[Column] = []
        self.comparison = Comparison()
        self.growing: Growing | None = None
        self.job: Job | None = None
        self.piece: Piece | None = None
        self.comparing = False

        controls = self._make_controls()
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
        layout.addLayout(controls)
        layout.addLayout(self._make_actions())
        split = QSplitter(Qt.Orientation.Vertical)
        split.addWidget(self.area)
        split.addWidget(self.plot)
        split.setSizes([400, 200])
        split.setStretchFactor(0, 1)
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

        for sampler, steps in FIRST_COLUMNS:
            self._add(sampler, steps)
        for combo in (self.count, self.judge_count, self.reference):
            combo.currentIndexChanged.connect(self._changed)
        self.seed.valueChanged.connect(self._changed)
        self.model.changed.connect(lambda: self.asking.offer(self.model.classes))
        self.asking.changed.connect(self._changed)
        self.plotted.currentIndexChanged.connect(self.show_results)
        self._changed()

    def _make_controls(self) -> QHBoxLayout:
        self.model = ModelChoice(self.session, "samplers")
        self.count = QComboBox(objectName="samplersCountCombo")
        for n in (4, 9, 16, 36, 64):
            self.count.addItem(f"{n}", n)
        self.count.setCurrentIndex(2)
        self.seed = QSpinBox(objectName="samplersSeedSpin", maximum=2**31 - 1)
        self.seed.setKeyboardTracking(False)
        self.seed.setFixedWidth(SEED_WIDTH)
        self.reference = narrow(QComboBox(objectName="referenceCombo"), 9)
        for sampler, steps in REFERENCES:
            words = f"{sampler_title(sampler)}, {steps}" if sampler else "none"
            self.reference.addItem(words, [sampler, steps])
        self.reference.setCurrentIndex(1)
        self.judge_count = QComboBox(objectName="judgeCountCombo")
        for n in (0, 256, 512, 1024):
            self.judge_count.addItem(f"{n:,} samples" if n else "off", n)
        controls = QHBoxLayout()
        for widget, name, tip in (
            (self.model, "Model", "The trained model that all columns ask"),
            (self.count, "Images", "How many images each column shows"),
            (self.seed, "Seed", "The noise that all columns start from: another one, other digits"),
            (self.reference, "Error to", "The fine solution of the ODE, from the same noise, that "
             "the deterministic samplers are measured against"),
            (self.judge_count, "FID", "Draw this many samples a column and measure their distance "
             "to the training set: it takes a while on a CPU, and fewer samples bias it upwards"),
        ):  # fmt: skip
            if not isinstance(widget, ModelChoice):
                widget.setAccessibleName(name)
                widget.setToolTip(tip)
            controls.addWidget(QLabel(name))
            controls.addWidget(widget)
        controls.addStretch(1)
        return controls

    def _make_actions(self) -> QHBoxLayout:
        self.add_button = QPushButton("Add column", objectName="addColumnButton")
        self.sweep_button = QPushButton("Add sweep", objectName="sweepButton")
        self.asking = ClassChoice("samplers")
        self.progress = QProgressBar(objectName="samplersProgress", textVisible=True)
        self.progress.setRange(0, 1)
        self.plotted = QComboBox(objectName="plottedCombo")
        for key, text in PLOTS.items():
            self.plotted.addItem(text, key)
        self.stop_button = QPushButton("Stop", objectName="stopComparingButton", enabled=False)
        self.compare_button = QPushButton("Compare", objectName="compareButton")
        self.compare_button.setProperty("primary", True)
        row = QHBoxLayout()
        row.addWidget(self.asking)
        for widget, name, tip in (
            (self.add_button, "Add column", "Another column: the last sampler with twice the "
             "steps, to be changed as you like"),
            (self.sweep_button, "Add sweep", "Columns of the last sampler with "
             f"{', '.join(map(str, SWEEP))} steps: together they are a line in the plot"),
            (self.progress, "Progress", "What is being computed"),
            (self.plotted, "Plot", "What the plot below shows over the network evaluations"),
            (self.stop_button, "Stop", "Leave the comparison; what is done stays"),
            (self.compare_button, "Compare", "Compute everything that the columns lack"),
        ):  # fmt: skip
            widget.setAccessibleName(name)
            widget.setToolTip(tip)
            if name == "Plot":
                row.addWidget(QLabel("Plot"))
            row.addWidget(widget, 1 if widget is self.progress else 0)
        self.add_button.clicked.connect(self.add_column)
        self.sweep_button.clicked.connect(self.add_sweep)
        self.stop_button.clicked.connect(self.stop)
        self.compare_button.clicked.connect(self.compare)
        return row

    def offer_samplers(self, names: tuple[str, ...]) -> None:
        self.names = names
        for column in self.columns:
            list_samplers(column.sampler, names)
        for index, (sampler, _) in reversed(list(enumerate(REFERENCES))):
            if sampler and sampler not in names:
                self.reference.removeItem(index)
        self._changed()

    def _add(self, sampler: str, steps: int) -> None:
        column = Column(self.names, sampler, steps)
        column.changed.connect(self._changed)
        column.removed.connect(partial(self._remove, column))
        column.view.hovered.connect(self._mark)
        self.columns.append(column)
        self.cards.addWidget(column, 1)

    def add_column(self) -> None:
        """Another column, after the last: its sampler, twice its steps."""
        last = self.columns[-1]
        self._add(last.sampler.currentData(), min(1000, 2 * last.steps.value()))
        self._changed()
        bar = self.area.horizontalScrollBar()
        QTimer.singleShot(0, self, lambda: bar.setValue(bar.maximum()))

    def add_sweep(self) -> None:
        """The last column's sampler at each of SWEEP's step counts that it does not have yet."""
        sampler = self.columns[-1].sampler.currentData()
        there = {(c.sampler.currentData(), c.steps.value()) for c in self.columns}
        for steps in SWEEP:
            if (sampler, steps) not in there and len(self.columns) < MOST_COLUMNS:
                self._add(sampler, steps)
        self._changed()

    def _take_away(self, column: Column) -> None:
        self.columns.remove(column)
        self.cards.removeWidget(column)
        column.hide()
        column.deleteLater()

    def _remove(self, column: Column) -> None:
        self._take_away(column)
        self._changed()

    def _request(self, sampler: str, steps: int) -> Draw | None:
        """What draws with this sampler under the shared settings; None without a model."""
        run, count, seed = self.model.run, self.count.currentData(), self.seed.value()
        if run is None or not sampler:
            return None
        label, guidance = self.asking.label, self.asking.guidance
        return Draw(run.folder, self.model.file, sampler, steps, count, seed, label, guidance)

    def request(self, column: Column) -> Draw | None:
        """What that column asks for."""
        return self._request(column.sampler.currentData(), column.steps.value())

    def _ask(self) -> None:
        """Tell the comparison what the controls ask for."""
        draws = [self.request(column) for column in self.columns]
        self.comparison.draws = [draw for draw in draws if draw is not None]
        self.comparison.reference = self._request(*self.reference.currentData())
        wanted = self.judge_count.currentData()
        self.comparison.judged_count = wanted if self.model.digits else 0

    def compare(self) -> None:
        """Compute what is missing; what was refused is tried again."""
        self.comparison.refused.clear()
        self.comparing = True
        self._next()

    def stop(self) -> None:
        """Leave the comparison; what is computed stays."""
        self.comparing = False
        if self.job is not None:
            self.job.stop()
        self._show_progress()

    def shutdown(self) -> None:
        self.comparing = False
        super().shutdown()

    def _next(self) -> None:
        """Begin the next piece, unless one is under way."""
        if self.job is None and self.comparing:
            if missing := self.comparison.missing():
                self.piece = kind, draw = missing[0]
                make = {"draw": work_samplers.draw, "judge": work_samplers.judge}[kind]
                self.job = self.begin(partial(make, draw), self._take, self._ended, self._refuse)
            else:
                self.comparing = False
                self.session.message.emit("Compared.")
        self.show_results()

    def _take(self, events: list[Any]) -> None:
        assert self.piece is not None
        for event in events:
            match event:
                case Drawn():
                    self.comparison.drawn[self.piece[1]] = event
                case Judged():
                    self.comparison.judged[self.piece[1]] = event
                case Growing():
                    self.growing = event
        self._show_progress(getattr(events[-1], "done", None))
        self.show_results()

    def _refuse(self, sentence: str) -> None:
        assert self.piece is not None
        self.comparison.refused[self.piece] = sentence

    def _ended(self) -> None:
        self.job = self.piece = self.growing = None
        self._next()

    def _changed(self) -> None:
        """A setting changed: leave a piece that nobody asks for any more, begin what is new."""
        self._ask()
        if self.job is not None and self.piece not in self.comparison.pieces():
            self.job.stop()
        self._next()

    def show_results(self) -> None:
        """Bring columns, plot and buttons up to date."""
        colours = style.series(self.palette())
        kinds = list(dict.fromkeys(column.sampler.currentData() for column in self.columns))
        if self.model.run is None:
            waiting = "Waiting for the models to be listed."
        elif self.comparing:
            waiting = "Waiting its turn."
        else:
            waiting = "Press Compare: every column is drawn from the same noise."
        for column in self.columns:
            draw = self.request(column)
            colour = colours[kinds.index(column.sampler.currentData()) % len(colours)]
            if self.growing is not None and self.piece == ("draw", draw):
                column.show_growing(self.growing.images, colour)
            else:
                column.show_results(self.comparison, draw, colour, waiting)
            column.remove.setEnabled(len(self.columns) > 1)
        self._show_plot(kinds)
        full = len(self.columns) >= MOST_COLUMNS
        self.add_button.setEnabled(not full)
        self.sweep_button.setEnabled(not full)
        self.stop_button.setEnabled(self.comparing)
        self.compare_button.setEnabled(not self.comparing and self.model.run is not None)
        self.judge_count.setEnabled(self.model.run is None or self.model.digits)
        if self.job is None:
            self._show_progress()

    def _show_plot(self, kinds: list[str]) -> None:
        """Draw the chosen measure over NFE, a curve a sampler, in its columns' colour."""
        key, count = self.plotted.currentData(), self.judge_count.currentData()
        values = {sampler_title(n): p for n, p in self.comparison.values(key).items()}
        numbers = {sampler_title(name): number for number, name in enumerate(kinds)}
        self.plot.set_labels("", PLOTS[key])
        for name in self.plot.names():
            if name not in values:
                self.plot.remove(name)
        for name, points in values.items():
            xs, ys = np.array(points, float).T
            self.plot.set_curve(name, xs, ys, numbers[name])
            self.plot.set_marks(name, xs)
        self.plot.set_ticks(sorted({x for points in values.values() for x, _ in points}))
        floors = [j.floor for j in map(self.comparison.fid, self.comparison.draws) if j]
        level = floors[-1] if floors and key == "fid" else None
        self.plot.set_level(f"floor: {count:,} test images", level)
        if key == "error":
            self.plot.set_placeholder(
                "The error of the deterministic samplers over their cost appears here, once they "
                "and the reference are drawn. The slope is the solver's order."
            )
        elif count:
            self.plot.set_placeholder("FID over cost appears here as each column is judged.")
        else:
            self.plot.set_placeholder(
                "FID over cost appears here: choose a number of samples under FID."
            )

    def _show_progress(self, done: int | None = None) -> None:
        if self.piece is None or not self.comparing:
            self.progress.setRange(0, 1)
            self.progress.setValue(0)
            self.progress.setFormat("stopping…" if self.job is not None else "")
            return
        kind, draw = self.piece
        name = f"{sampler_title(draw.sampler)}, {draw.steps} steps"
        words = {"draw": name, "judge": f"FID of {name}"}[kind]
        left = len(self.comparison.missing()) - 1
        self.progress.setRange(0, draw.work)
        if done is not None:
            self.progress.setValue(done)
        self.progress.setFormat(f"{words} · %p %" + (f" · {left} more to do" if left > 0 else ""))

    def _mark(self, index: int) -> None:
        for column in self.columns:
            column.view.mark(index)

    def settings(self) -> dict[str, Any]:
        run = self.model.run
        return {
            "model": self.model.model.currentData() if run is None else run.name,
            "checkpoint": self.model.file,
            "columns": [[c.sampler.currentData(), c.steps.value()] for c in self.columns],
            "count": self.count.currentData(),
            "seed": self.seed.value(),
            "class": self.asking.label,
            "guidance": self.asking.guidance,
            "reference": self.reference.currentData(),
            "judged": self.judge_count.currentData(),
            "plot": self.plotted.currentData(),
        }

    def prepare(self, settings: dict[str, Any]) -> None:
        if settings.get("model"):
            self.model.choose(str(settings["model"]), str(settings.get("checkpoint", "")))
        columns = settings.get("columns")
        if columns:
            for column in list(self.columns):
                self._take_away(column)
            for sampler, steps in columns[:MOST_COLUMNS]:
                self._add(str(sampler), int(steps))
        for combo, key in (
            (self.count, "count"), (self.reference, "reference"), (self.judge_count, "judged"),
            (self.plotted, "plot"),
        ):  # fmt: skip
            choose(combo, settings.get(key))
        self.seed.setValue(int(settings.get("seed", 0)))
        self.asking.prepare(settings)
        self._changed()

    def restore(self, settings: dict[str, Any]) -> None:
        self.prepare(settings)
        self.compare()

    def grid(self) -> np.ndarray | None:
        """Each drawn column's mosaic as one image, in the columns' order."""
        drawn = self.comparison.drawn
        results = [drawn[draw] for draw in self.comparison.draws if draw in drawn]
        return np.stack([compose(result.images) for result in results]) if results else None

    def curves(self) -> dict[str, np.ndarray]:
        return {
            f"{sampler_title(name)}, {PLOTS[key]} over NFE": np.array(points, float)
            for key in PLOTS
            for name, points in self.comparison.values(key).items()
        }
