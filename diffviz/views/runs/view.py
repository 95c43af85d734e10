"""The runs view: past and present trainings side by side, their curves and their checkpoints."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import (
    QFileDialog,
    QInputDialog,
    QMessageBox,
    QPlainTextEdit,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from diffviz.controls.form import Form
from diffviz.shell.listing import RunInfo
from diffviz.shell.session import Session, row_of
from diffviz.views.runs import work
from diffviz.views.runs.actions import Actions
from diffviz.views.runs.stages import STAGES, Stages
from diffviz.views.runs.table import RunsTable
from diffviz.views.view import Guide, View
from diffviz.widgets.curves import CurvesPlot
from diffviz.widgets.formula import Formula

UNITS = {"loss": "loss", "bpd": "bits/dim"}
STAGE_IMAGES = 16


class RunsView(View):
    """Lists runs; the ticked ones' curves lie over each other and are followed live."""

    kind = work.Runs
    explanation = (
        "<h3>Trainings side by side</h3>"
        "<p>The <b>loss</b> is the mean squared error of what the network predicts, "
        "E‖ε − ε<sub>θ</sub>(x<sub>t</sub>, t)‖² or its like for x<sub>0</sub> and v: compare it "
        "only between runs that predict the same. <b>Bits/dim</b> bounds the cost of storing a "
        "held-out image with the model, −log₂ p(x)/D: lower is better, for all kinds alike.</p>"
        "<p>Diamonds are checkpoints: click one to see what it draws. Below, three stages of one "
        "training draw from the same noise (the report's figure 6).</p>"
        "<p>What draws is an average of the weights over the last part of training. Its length, "
        "σ<sub>rel</sub>, is the slider's: what training kept is combined by least squares into "
        "the average of any length (Karras et al. 2024).</p>"
    )

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.following = self.latest(self._take)
        self.drawing = self.latest(self._show_stages)
        self.measuring = self.latest(self._show_share, self._measured)
        self.carding = self.latest(lambda texts: self.card.setPlainText(texts[-1]))
        self.curves_of: dict[Path, dict[str, np.ndarray]] = {}
        self.by_time: dict[Path, np.ndarray] = {}
        self.steps_of: dict[Path, tuple[int, ...]] = {}
        self.ticked: set[Path] = set()
        self.wanted: set[str] = set()  # names of runs to tick once they are listed
        self._refresh = QTimer(self, interval=3000)
        self._refresh.timeout.connect(session.refresh_runs)

        self.table = RunsTable()
        self.form = Form(self.kind, "runs", session, self, without=("ticked", "ema"))
        self.measure, self.log = self.form["measure"], self.form["log"]
        self.measure.setObjectName("measureCombo")
        self.log.setText("Log scale")
        self.plot = CurvesPlot(
            "Loss", "loss", "step", "runsPlot", "Tick runs in the list to see their curves."
        )
        self.time_plot = CurvesPlot(
            "Where in time the model errs", "loss", "t", "timeLossPlot",
            "The loss over t is measured at each evaluation of a training.",
        )  # fmt: skip
        self.card = QPlainTextEdit(objectName="cardText", readOnly=True)
        self.card.setAccessibleName("The selected run's card")
        self.card.setPlaceholderText("Select a run to read its card.")
        self.carded: tuple[Path | None, int] = (None, 0)  # whose card is shown, of what size
        self.stages = Stages()
        self.stage_views, self.stage_titles = self.stages.views, self.stages.titles
        self.doing = Actions()
        self.buttons, self.stop_button = self.doing.buttons, self.doing.stop_button
        self._build()
        self.table.ticked.connect(self._tick)
        self.table.itemSelectionChanged.connect(self._select)
        self.form.changed.connect(self._replot)
        self.log.changed.connect(lambda: self.plot.set_log(False, self.log.value()))
        self.plot.markClicked.connect(self.draw_checkpoint)
        self.stages.lengthened.connect(self._lengthen)
        session.runsChanged.connect(self._list)
        self._list()
        self._select()

    def _build(self) -> None:
        slots = {
            "draw": self.draw_stages, "resume": self.resume, "images": self.repoint,
            "rename": self.rename, "delete": self.delete,
        }  # fmt: skip
        for key, slot in slots.items():
            self.doing.buttons[key].clicked.connect(slot)
        self.doing.measure_asked.connect(self.measure_run)
        self.doing.use_asked.connect(self.use)
        self.doing.stop_button.clicked.connect(self.stop_measuring)
        self.doing.addWidget(self.log)
        self.doing.addWidget(self.measure)
        upper = QSplitter(Qt.Orientation.Horizontal)
        plots = QSplitter(Qt.Orientation.Vertical)
        plots.addWidget(self.plot)
        plots.addWidget(self.time_plot)
        plots.setSizes([230, 150])
        listing = QSplitter(Qt.Orientation.Vertical)
        listing.addWidget(self.table)
        listing.addWidget(self.card)
        listing.setSizes([280, 100])
        upper.addWidget(listing)
        upper.addWidget(plots)
        upper.setSizes([460, 420])
        upper.setChildrenCollapsible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 6, 9, 6)
        layout.addWidget(upper, 3)
        layout.addLayout(self.doing)
        layout.addWidget(self.stages, 2)
        layout.addWidget(
            Formula(
                "Loss compares runs that predict the same thing; bits/dim compares all.",
                [("L = E ‖y − y_θ(x_t, t)‖^2,   bits/dim ≤ −(ELBO) / (D log 2)",
                  "Ho et al. 2020, eq. 14; Kingma et al. 2021")],
                "runsFormula",
            )
        )  # fmt: skip

    def selected(self) -> Path | None:
        """The folder of the run that is selected in the list."""
        return self.table.selected()

    def chosen(self) -> RunInfo | None:
        """The run that is selected, as the session lists it."""
        folder = self.selected()
        return next((run for run in self.session.runs if run.folder == folder), None)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._refresh.start()
        self.session.refresh_runs()
        self._follow()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._refresh.stop()

    def _list(self) -> None:
        wanted = {run.folder for run in self.session.runs if run.name in self.wanted}
        self.wanted -= {folder.name for folder in wanted}
        self.ticked |= wanted
        self.table.show_runs(self.session.runs, self.ticked)
        there = {run.folder for run in self.session.runs}
        if wanted or self.ticked - there:
            self.ticked &= there
            self._follow()
            self._replot()
        self._select()

    def _tick(self, folder: Path, on: bool) -> None:
        (self.ticked.add if on else self.ticked.discard)(folder)
        self._follow()
        self._replot()

    def tick(self, folder: Path, on: bool = True) -> None:
        """Lay that run's curves over the others, or take them away."""
        self.table.tick(folder, on)

    def _follow(self) -> None:
        """Read the ticked runs from now on, and no others."""
        self.following.drop()
        self.curves_of, self.by_time = {}, {}
        if self.ticked:
            self.following.ask(partial(work.follow, tuple(sorted(self.ticked))))

    def _take(self, events: list[Any]) -> None:
        grown = [event for event in events if event is not None]
        for event in grown:
            nothing = {"steps": np.array([]), "losses": np.array([]),
                       "bound_steps": np.array([]), "bounds": np.array([])}  # fmt: skip
            held = nothing if event.anew else self.curves_of.get(event.folder, nothing)
            self.curves_of[event.folder] = {
                key: np.concatenate([values, getattr(event, key)]) for key, values in held.items()
            }
            self.steps_of[event.folder] = event.checkpoints
            if event.by_time is not None:
                self.by_time[event.folder] = event.by_time
        if grown:
            self._replot()

    def _replot(self) -> None:
        key = self.measure.value()
        self.plot.set_labels(self.measure.currentText(), UNITS[key])
        shown = [folder for folder in sorted(self.ticked) if folder in self.curves_of]
        for plot, folders in ((self.plot, shown), (self.time_plot, sorted(self.by_time))):
            for name in plot.names():
                if name not in {folder.name for folder in folders}:
                    plot.remove(name)
        for folder in shown:
            held = self.curves_of[folder]
            if key == "loss":
                xs, ys = work.averaged(held["steps"], held["losses"])
            else:
                xs, ys = held["bound_steps"], held["bounds"]
            self.plot.set_curve(folder.name, xs, ys)
            self.plot.set_marks(folder.name, np.array(self.steps_of.get(folder, ())))
        for folder, losses in self.by_time.items():
            centres = (np.arange(len(losses)) + 0.5) / len(losses)
            self.time_plot.set_curve(folder.name, centres, losses)

    def _select(self) -> None:
        folder, run = self.selected(), self.chosen()
        self.doing.offer(run)
        checkpoints = 0 if run is None else len(run.checkpoints)
        if self.carded != (folder, checkpoints):
            self.carded = folder, checkpoints
            self.carding.drop()
            self.card.clear()
            if folder is not None and checkpoints:
                self.carding.ask(partial(work.card_of, folder))

    def measure_run(self, kind: str, count: int) -> None:
        """Measure the selected run on a worker; a measuring under way is given up for it."""
        folder = self.selected()
        if folder is None:
            return
        self.doing.share.setValue(0)
        self.measuring.ask(partial(work.measure, folder, kind, count))
        self.doing.show_measuring(True)

    def _show_share(self, shares: list[float]) -> None:
        self.doing.share.setValue(round(100 * shares[-1]))

    def stop_measuring(self) -> None:
        self.measuring.stop()
        if not self.measuring.busy:  # it had yet to begin
            self._measured()

    def _measured(self) -> None:
        self.doing.show_measuring(False)
        self.carded = (None, 0)  # the card says more now
        self._select()
        self.session.refresh_runs()

    def draw_stages(self) -> None:
        """Draw from evenly spread checkpoints of the selected run, all from the same noise."""
        run = self.chosen()
        if run is not None:
            self._draw(run.folder, work.spread(tuple(int(p.stem) for p in run.checkpoints), STAGES))

    def draw_checkpoint(self, name: str, step: float) -> None:
        """Draw from the checkpoint whose mark was clicked."""
        folder = next((f for f in self.ticked if f.name == name), None)
        if folder is not None:
            self._draw(folder, (round(step),))

    def _draw(self, folder: Path, steps: tuple[int, ...]) -> None:
        self.stages.begin(folder, steps)
        length = self.stages.averaging.value()
        self.drawing.ask(partial(work.stages, folder, steps, STAGE_IMAGES, 0, length))

    def _lengthen(self) -> None:
        """Draw again what is drawn, by weights averaged to the length that the slider says."""
        if self.stages.folder is not None:
            self._draw(self.stages.folder, self.stages.steps)

    def _show_stages(self, events: list[work.Stage | None]) -> None:
        for stage in events:
            if stage is not None:
                self.stages.show_stage(stage)

    def use(self, as_measured: bool = False) -> None:
        """Let the trajectories draw from the selected run; as its best FID's samples, if asked."""
        if (run := self.chosen()) is None:
            return
        row = row_of(run.config.process)
        self.session.open_model(row, run.name)
        how = ", to be drawn as its FID was measured" if as_measured else ""
        self.session.message.emit(f"{run.name} is the {row.upper()} row's model now{how}.")
        if as_measured:
            self.session.drawingAsked.emit(row, run.drawn)

    def resume(self) -> None:
        """Let the training panel go on with the selected run."""
        folder = self.selected()
        if folder is not None:
            self.session.resumeAsked.emit(folder)

    def repoint(self) -> None:
        """Ask where the selected run's images are, and read them there."""
        folder = self.selected()
        where = QFileDialog.getExistingDirectory(self, "Where do its images lie now?")
        if folder is not None and where:
            said = self.session.message.emit
            self.latest(
                lambda _: said(f"{folder.name} goes on with {where}."), self.session.refresh_runs
            ).ask(partial(work.repoint, folder, where))

    def rename(self) -> None:
        folder = self.selected()
        if folder is None:
            return
        name, yes = QInputDialog.getText(self, "Rename run", "New name:", text=folder.name)
        if yes and name != folder.name:
            self._tidy(partial(work.rename, folder, name))

    def delete(self) -> None:
        folder = self.selected()
        if folder is None:
            return
        answer = QMessageBox.question(
            self, "Delete run", f"Delete {folder.name} with all its checkpoints for good?"
        )
        if answer == QMessageBox.StandardButton.Yes:
            self._tidy(partial(work.delete, folder))

    def _tidy(self, make: Callable[[], Iterator[Path]]) -> None:
        """Do what was confirmed: unlike what is drawn, no later ask takes its place."""
        self.latest(lambda _: None, self.session.refresh_runs).ask(make)

    def curves(self) -> dict[str, np.ndarray]:
        return {name: np.column_stack(self.plot.points(name)) for name in self.plot.names()}

    def grid(self) -> np.ndarray | None:
        shown = [view.images for view in self.stage_views if view.images is not None]
        return np.concatenate(shown) if shown else None

    def ask(self) -> work.Runs:
        names = {folder.name for folder in self.ticked} | self.wanted
        return self.form.ask(ticked=tuple(sorted(names)), ema=self.stages.averaging.value())

    def prepare(self, ask: work.Runs) -> None:
        self.wanted = set(ask.ticked)
        self.form.restore(ask)
        self.stages.averaging.set_value(ask.ema)
        self._list()

    def shutdown(self) -> None:
        self._refresh.stop()
        super().shutdown()

    def visit(self, guide: Guide) -> None:
        """Look at the newest run of one's own: its curve, its card, what it draws."""
        guide.wait(lambda: any(not run.shipped for run in self.session.runs), "a run was listed")
        row = next(r for r, run in enumerate(self.session.runs) if not run.shipped)
        self.tick(self.session.runs[row].folder)
        self.table.selectRow(row)
        guide.wait(lambda: bool(self.plot.names()), "the run's curve was drawn")
        self.buttons["draw"].click()
        guide.wait(lambda: self.stage_views[0].images is not None, "the checkpoint was drawn from")
