"""Noise schedules: alpha, sigma and log-SNR of every process, and how each of them ends."""

from functools import partial

import numpy as np
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from diffviz.controls.form import Form
from diffviz.shell.session import Session
from diffviz.views.schedule import work
from diffviz.views.schedule.work import Entry, Schedule, ending, first_entries, mended_entry
from diffviz.views.view import Guide, View
from diffviz.widgets.formula import Formula
from diffviz.widgets.lines import Line, LinesPlot, series_colour
from diffviz.widgets.themed import line_icon, picture

SERIES = (0, 1, 2, 3, 4, 6)  # style.series without its second blue
COLUMNS = ("schedule", "α(t)", "σ(t)", "log-SNR(t)", "SNR at t = 1")
ROW_HEIGHT = 23


class ScheduleView(View):
    """A table of schedules; those ticked are drawn. The mark follows the session's t."""

    kind = work.Schedules
    explanation = (
        "<h3>Noise schedules</h3>"
        "<p>A process is its marginals: x<sub>t</sub> = α(t) x<sub>0</sub> + σ(t) ε. Left: α "
        "(solid) and σ (dashed). Right: the log of the signal-to-noise ratio, on which every "
        "schedule can be compared: where the line is steep, the process spends little time.</p>"
        "<p>Generation starts from pure noise, so the SNR at t = 1 should be 0. The linear betas "
        "of DDPM end far from it when the chain has only 300 steps. <b>Mend</b> shifts and scales "
        "the schedule so that it ends at 0 (Lin et al. 2023, algorithm 1); the network must then "
        "predict x<sub>0</sub> or v.</p>"
    )

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.entries = first_entries()
        self.found: dict[str, Schedule] = {}
        self.work = self.latest(self._take)
        self.levels = LinesPlot(
            "levelsPlot", "Alpha and sigma over time", "α solid, σ dashed", (0, 1.05)
        )
        self.ratio = LinesPlot("ratioPlot", "Log of the signal-to-noise ratio over time", "log-SNR")
        self.table = QTableWidget(0, len(COLUMNS), objectName="scheduleTable")
        self.table.setHorizontalHeaderLabels(list(COLUMNS))
        self.table.setAccessibleName("Schedules")
        self.table.setToolTip("Tick the schedules to draw; select one to read how it ends")
        self.table.verticalHeader().setVisible(False)
        self.table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        self.table.setFixedHeight(ROW_HEIGHT * 13)  # ten schedules, two mended ones, the header
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.form = Form(
            self.kind, "schedule", session, self, without=("ticked", "mended"),
            called={"t": "time"},
        )  # fmt: skip
        self.time = self.form["t"]
        self.time.setPrefix("t = ")
        self.ends = QLabel(objectName="endingLabel", wordWrap=True)
        self.mend_button = QPushButton("Mend: end at SNR 0", objectName="mendButton")
        self.mend_button.setToolTip("Add this schedule, shifted and scaled to end without signal")
        self.mend_button.setAccessibleName("Mend the selected schedule")
        self.formula = Formula(
            "Noise wins as t grows: generation can start from pure noise only if none of the data "
            "is left at t = 1.",
            [
                ("q(x_t | x_0) = N(α(t) x_0, σ(t)^2 I)", ""),
                ("log SNR(t) = log α(t)^2 / σ(t)^2", "Kingma et al. 2021, eq. 2; mended by "
                 "Lin et al. 2023, alg. 1"),
            ],
            "scheduleFormula",
        )  # fmt: skip

        plots = QHBoxLayout()
        for plot in (self.levels, self.ratio):
            plots.addWidget(plot, 1)
            plot.marked.connect(self.set_time)
        row = QHBoxLayout()
        row.addWidget(self.time)
        row.addWidget(self.ends, 1)
        row.addWidget(self.mend_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 6, 9, 6)
        layout.addLayout(plots, 1)
        layout.addWidget(self.table)
        layout.addLayout(row)
        layout.addWidget(self.formula)

        self.time.changed.connect(self._time_changed)
        self.table.itemChanged.connect(self._ticked)
        self.table.currentCellChanged.connect(self._say_ending)
        self.mend_button.clicked.connect(self.mend)
        session.timeChanged.connect(self.set_time)
        self._fill(set(self.kind().ticked))

    def ticked(self) -> list[str]:
        """The ids of the schedules that are drawn."""
        return [
            entry.id
            for row, entry in enumerate(self.entries)
            if self.table.item(row, 0).checkState() == Qt.CheckState.Checked
        ]

    def selected(self) -> Entry:
        entry: Entry = self.entries[max(0, self.table.currentRow())]
        return entry

    def set_time(self, t: float) -> None:
        """Let the mark stand at t, and the table show the values there."""
        self.time.setValue(round(t, 3))

    def mend(self) -> None:
        """Add the selected schedule mended, and draw both: before and after."""
        entry = self.selected()
        schedule = self.found.get(entry.id)
        if entry.mended or schedule is None or not schedule.mendable:
            return
        after = self._mended(entry)
        ticked = {*self.ticked(), entry.id, after.id}
        if after not in self.entries:
            self.entries.insert(self.entries.index(entry) + 1, after)
        self._fill(ticked)
        self.table.selectRow(self.entries.index(after))
        self.compute()

    def _mended(self, entry: Entry) -> Entry:
        """The row that mends `entry`: a preset's where there is one, which can then be trained."""
        wanted = "ddpm-zero-snr", entry.parameters
        same = [e for e in self.entries if (e.process, e.parameters) == wanted]
        return same[0] if same and entry.process == "ddpm-linear" else mended_entry(entry)

    def compute(self) -> None:
        """Work out every schedule on a worker."""
        self.work.ask(partial(work.schedules, tuple(self.entries)))

    def _fill(self, ticked: set[str]) -> None:
        """Make the rows anew, those with an id in `ticked` ticked."""
        self.table.blockSignals(True)
        self.table.setRowCount(len(self.entries))
        for row, entry in enumerate(self.entries):
            on = entry.id in ticked
            for column in range(len(COLUMNS)):
                item = QTableWidgetItem(entry.title if column == 0 else "")
                if column == 0:
                    item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
                    item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
                else:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                self.table.setItem(row, column, item)
        self.table.blockSignals(False)
        if self.table.currentRow() < 0:
            self.table.selectRow(self._first_unfinished())
        self._draw()

    def _first_unfinished(self) -> int:
        """The row whose end is worth a word: the report's chain of 300 steps."""
        titles = [entry.title for entry in self.entries]
        return next((row for row, title in enumerate(titles) if "T = 300" in title), 0)

    def _take(self, events: list[Schedule]) -> None:
        for schedule in events:
            self.found[schedule.id] = schedule
        self._draw()

    def _draw(self) -> None:
        """Draw the ticked schedules, and write the values at the mark."""
        levels, ratios = [], []

        def within(y: np.ndarray, low: float, high: float) -> np.ndarray:
            return np.where((y >= low) & (y <= high), y, np.nan)

        ticked = self.ticked()
        self.table.blockSignals(True)
        for row, entry in enumerate(self.entries):
            series, schedule = self._series(entry), self.found.get(entry.id)
            icon = line_icon(series_colour(series, self.palette()))
            self.table.item(row, 0).setIcon(icon)
            if schedule is None or entry.id not in ticked:
                continue
            x = schedule.times
            levels.append(Line(f"α {entry.title}", x, schedule.alpha, series))
            levels.append(
                Line(f"σ {entry.title}", x, within(schedule.sigma, 0, 1.1), series, "dash")
            )
            dash = "dash" if entry.mended else "solid"
            ratios.append(Line(entry.title, x, within(schedule.log_snr, -14, 14), series, dash))
        self.table.blockSignals(False)
        self.levels.show_lines(levels)
        self.ratio.show_lines(ratios)
        self._time_changed()
        self._say_ending()

    def _series(self, entry: Entry) -> int:
        """The place of that schedule's colour: its own, whatever is ticked or mended meanwhile."""
        base = [e.id for e in self.entries if not e.mended]
        place = base.index(entry.id.removesuffix(work.MENDED))
        return SERIES[(place + 3 if entry.mended else place) % len(SERIES)]

    def _time_changed(self) -> None:
        t = self.time.value()
        for plot in (self.levels, self.ratio):
            plot.set_mark(t)
        self.table.blockSignals(True)
        for row, entry in enumerate(self.entries):
            schedule = self.found.get(entry.id)
            if schedule is None:
                continue
            at = round(t * (len(schedule.times) - 1))
            snr = schedule.terminal_snr
            warning = "⚠ " if snr > work.SIGNAL_LEFT else ""
            texts = (
                f"{schedule.alpha[at]:.3f}", f"{schedule.sigma[at]:.3f}",
                f"{schedule.log_snr[at]:+.2f}".replace("inf", "∞"),
                f"{warning}{snr:.2g}" if snr else "0",
            )  # fmt: skip
            for column, text in enumerate(texts, 1):
                self.table.item(row, column).setText(text)
        self.table.blockSignals(False)

    def _ticked(self, item: QTableWidgetItem) -> None:
        if item.column() == 0:
            self._draw()

    def _say_ending(self) -> None:
        schedule = self.found.get(self.selected().id)
        self.mend_button.setEnabled(schedule is not None and schedule.mendable)
        self.ends.setText("" if schedule is None else ending(schedule))

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if len(self.found) < len(self.entries):
            self.compute()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == event.Type.PaletteChange and hasattr(self, "formula"):
            self._draw()

    def grid(self) -> np.ndarray | None:
        return picture(self) if self.found else None

    def curves(self) -> dict[str, np.ndarray]:
        lines = [*self.levels.lines, *(self.ratio.lines)]
        return {line.name: np.column_stack([line.x, line.y]) for line in lines}

    def ask(self) -> work.Schedules:
        mended = (entry.id.removesuffix(work.MENDED) for entry in self.entries if entry.mended)
        return self.form.ask(ticked=tuple(self.ticked()), mended=tuple(mended))

    def prepare(self, ask: work.Schedules) -> None:
        for entry in first_entries():
            after = mended_entry(entry)
            if entry.id in ask.mended and after not in self.entries:
                self.entries.insert(self.entries.index(entry) + 1, after)
        self._fill(set(ask.ticked))
        self.form.restore(ask)
        if self.isVisible():
            self.compute()

    def visit(self, guide: Guide) -> None:
        guide.wait(lambda: bool(self.found), "the schedules were computed")
