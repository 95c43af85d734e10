"""The grid view: any two settings as rows and columns, in pictures or as a heat map."""

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from diffviz.controls.form import Form
from diffviz.shell.session import Session
from diffviz.views.comparing import ComparingView
from diffviz.views.grid.axis import Axis
from diffviz.views.grid.cell import Cell
from diffviz.views.view import Guide
from diffviz.widgets.formula import Formula
from trainer.grid import SHOWN, Grid, axis_setting, number, said, shares, sheet
from trainer.problems import Problem
from trainer.requests import Drawing

TITLES = {choice.id: choice.title for choice in SHOWN}
SCALE = 2  # of exported sheets
CAPTIONS = (("nfe", "{} NFE"), ("seconds", "{} s"), ("error", "RMS {}"), ("fid", "FID {}"))


class GridView(ComparingView):
    """Computes its cells one after the other, and keeps every cell once computed."""

    kind = Grid
    explanation = (
        "<h3>What does each setting do?</h3>"
        "<p>Two settings differ, one from row to row and one from column to column; everything "
        "else is the same, and so is the <b>noise</b> that image k begins as in every cell (unless "
        "the seed is an axis). So two cells differ by their settings alone.</p>"
        "<p><b>NFE</b> counts the network's evaluations an image, the true cost. <b>Error</b> is "
        "the root-mean-square distance to a fine solution of the probability-flow ODE from the "
        "same noise in float32 (pixels in [−1, 1]); a sampler that adds noise is measured against "
        "its own path in eight times the steps. <b>FID</b> (Heusel et al. 2017) compares many "
        "samples with the training set; few bias it upwards: choose how many behind More… A heat "
        "map's colour is the figure's logarithm, from the least in the grid to the greatest.</p>"
        "<p>Values are lists: <i>5 10 20 50</i>, <i>0, 0.5, 1</i>, <i>ddim, heun</i>; ▾ offers "
        "some. All values of one draw in one table: the X/Y plots of ComfyUI and others, with "
        "exact noise and measured numbers.</p>"
    )

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.asked = Grid()  # what is on view: the last that was right
        self.awaited = False  # to be drawn as soon as the models are listed
        self.begun = False
        self.cells: list[list[Cell]] = []
        self.heads: list[QLabel] = []
        self.form = Form(Grid, "grid", session, self)
        self.axes = (
            Axis(self.form, "rows", "row_values"), Axis(self.form, "columns", "column_values"),
        )  # fmt: skip
        self.name_buttons("grid", "Grid", "Draw grid", "drawGridButton")
        self.compare_button.setToolTip("Compute every cell that is not there yet")
        self.stop_button.setToolTip("Compute no further; the cells that are done stay")
        self.refusal = QLabel(objectName="gridRefusal", wordWrap=True, visible=False)
        inside = QWidget()
        self.table = QGridLayout(inside)
        self.table.setContentsMargins(0, 0, 0, 0)
        self.table.setSpacing(3)
        self.area = QScrollArea(objectName="gridArea", widgetResizable=True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setWidget(inside)
        actions = self.form.row("classes", "show", end=False)
        actions.addWidget(self.progress, 1)
        actions.addWidget(self.stop_button)
        actions.addWidget(self.compare_button)
        axes = QHBoxLayout()
        for axis in self.axes:
            axes.addLayout(axis.row, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 6, 9, 6)
        layout.addLayout(self.form.row("model", "sampler", "steps", "count", "seed"))
        layout.addLayout(axes)
        layout.addLayout(actions)
        layout.addWidget(self.refusal)
        layout.addWidget(self.area, 1)
        layout.addWidget(
            Formula(
                "The same noise in every cell: what differs comes from the two settings alone.",
                [("error = sqrt(E (x − x_{fine})^2)",
                  "per pixel; x_fine: the probability-flow ODE, Song et al. 2021, eq. 13")],
                "gridFormula",
            )
        )  # fmt: skip
        self.form.changed.connect(self._changed)
        self._changed()

    def _changed(self) -> None:
        """A setting changed: take it, or say what is wrong with it and keep what is on view."""
        try:
            self.asked = self.form.ask()
            self.refusal.hide()
        except Problem as problem:
            self.refusal.setText(f"⚠ {problem}")
            self.refusal.show()
            self.compare_button.setEnabled(False)
            return
        self._lay_out()
        self.follow()
        if self.awaited and self.form["model"].run is not None:
            self.awaited = False
            self.compare()

    def _lay_out(self) -> None:
        """A cell for each pair of values, and their heads."""
        ask = self.asked
        down, across = ask.down(), ask.across()
        for name, field in (("sampler", self.form["sampler"]), ("steps", self.form["steps"]),
                            ("seed", self.form["seed"]), ("count", self.form["count"]),
                            ("model", self.form["model"].model),
                            ("checkpoint", self.form["model"].checkpoint),
                            ("classes", self.form["classes"].combo)):  # fmt: skip
            field.setEnabled(name not in (ask.rows, ask.columns))
        for label in self.heads:
            self._take_away(label)
        if (len(self.cells), len(self.cells[0]) if self.cells else 0) != (len(down), len(across)):
            for k in range(self.table.columnCount()):
                self.table.setColumnStretch(k, 0)
            for k in range(self.table.rowCount()):
                self.table.setRowStretch(k, 0)
            for cell in (cell for row in self.cells for cell in row):
                self._take_away(cell)
            self.cells = [[Cell(r, c) for c in range(len(across))] for r in range(len(down))]
            for r, row in enumerate(self.cells):
                self.table.setRowStretch(r + 1, 1)
                for c, cell in enumerate(row):
                    self.table.setColumnStretch(c + 1, 1)
                    self.table.addWidget(cell, r + 1, c + 1)
                    cell.view.hovered.connect(self._mark)
        titles = [axis_setting(name).title for name in (ask.rows, ask.columns)]
        corner = QLabel(f"{titles[0]} ↓<br>{titles[1]} →")
        self.heads = [corner]
        self.table.addWidget(corner, 0, 0)
        for r, value in enumerate(down):
            self._head(said(ask.rows, value), r + 1, 0)
        for c, value in enumerate(across):
            self._head(said(ask.columns, value), 0, c + 1)

    def _take_away(self, widget: QWidget) -> None:
        self.table.removeWidget(widget)
        widget.hide()
        widget.deleteLater()

    def _head(self, words: str, row: int, column: int) -> None:
        label = QLabel(f"<b>{words}</b>", wordWrap=True)
        label.setMaximumWidth(130 if column == 0 else 16_777_215)
        label.setAlignment(
            Qt.AlignmentFlag.AlignVCenter
            | (Qt.AlignmentFlag.AlignHCenter if column else Qt.AlignmentFlag.AlignLeft)
        )
        self.table.addWidget(label, row, column)
        self.heads.append(label)

    def tell(self) -> None:
        there, comparison = self.form["model"].run is not None, self.comparison
        comparison.draws = self.asked.draws() if there else []
        comparison.reference = self.asked.fine()
        comparison.judged_count = self.asked.judged

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not self.begun:
            self.begun = True
            self.compare()

    def compare(self) -> None:
        """Compute every cell that is not there yet, once the models are listed."""
        self.begun = True
        self.awaited = self.form["model"].run is None
        if not self.awaited and self.refusal.isHidden():
            super().compare()

    def show_results(self) -> None:
        show, comparison = self.asked.show, self.comparison
        asked = self.asked.cells()
        figures = {d: comparison.figures(d) for d in comparison.draws}
        known = {draw: found[show] for draw, found in figures.items() if show in found}
        place = shares(known)
        if self.form["model"].run is None:
            waiting = "Waiting for the models to be listed."
        else:
            waiting = "Waiting its turn." if self.comparing else "Press Draw grid."
        for row, cells in zip(asked, self.cells, strict=True):
            for draw, cell in zip(row, cells, strict=True):
                if isinstance(draw, str):
                    cell.show_cell(None, draw, None, "", draw)
                    continue
                found, images = figures.get(draw, {}), None
                value = (number(known[draw]), place[draw]) if draw in known else None
                why = [comparison.refused[p] for p in self._pieces(draw) if p in comparison.refused]
                if draw in comparison.drawn:
                    images = comparison.drawn[draw].images
                elif self.growing is not None and self.piece == ("draw", draw):
                    images = self.growing.images
                words = [form.format(number(found[n])) for n, form in CAPTIONS if n in found]
                hidden = show != "pictures" and value is None
                cell.show_cell(
                    None if hidden else images, self._lacking(draw, why) or waiting, value,
                    " · ".join(words[::2] if len(words) > 2 else words), "\n".join([*words, *why]),
                )  # fmt: skip
        self.stop_button.setEnabled(self.comparing)
        ready = self.form["model"].run is not None and self.refusal.isHidden()
        self.compare_button.setEnabled(not self.comparing and ready)
        self.show_progress()

    def _pieces(self, draw: Drawing) -> list[tuple[str, Drawing]]:
        """What a cell's figures are made of."""
        fine, judgement = self.comparison.reference_of(draw), self.comparison.judgement(draw)
        found = [("draw", draw)] + ([("draw", fine)] if fine else [])
        return found + ([judgement] if judgement else [])

    def _lacking(self, draw: Drawing, why: list[str]) -> str:
        """Why a cell shows nothing; "" where that is only a matter of time."""
        if why:
            return why[0]
        show, drawn = self.asked.show, draw in self.comparison.drawn
        if show == "fid" and not self.asked.judged:
            return "FID: choose a number of samples behind More…"
        if show == "error" and self.comparison.reference is None:
            return "Error: choose what it is measured to behind More…"
        if show == "error" and drawn and self.comparison.reference_of(draw) is None:
            return "No finer steps to measure it to."
        return ""

    def _mark(self, index: int) -> None:
        for row in self.cells:
            for cell in row:
                cell.view.mark(index)

    def ask(self) -> Grid:
        return self.asked

    def prepare(self, ask: Grid) -> None:
        self.form.restore(ask)

    def restore(self, ask: Grid) -> None:
        self.prepare(ask)
        self.compare()

    def grid(self) -> np.ndarray | None:
        """The whole grid with its labels, as one picture."""
        there = any(draw in self.comparison.drawn for draw in self.comparison.draws)
        return sheet(self.asked, self.comparison, SCALE)[None] if there else None

    def curves(self) -> dict[str, np.ndarray]:
        """Each figure of each row over the columns' values, or their places where no numbers."""
        ask, found = self.asked, {}
        across = ask.across()
        plain = all(isinstance(value, int | float) for value in across)
        xs = across if plain else range(1, len(across) + 1)
        for row, cells in zip(ask.down(), ask.cells(), strict=True):
            for name, title in TITLES.items():
                points = [
                    (x, figures[name])
                    for x, draw in zip(xs, cells, strict=True)
                    if isinstance(draw, Drawing)
                    and name in (figures := self.comparison.figures(draw))
                ]
                if points:
                    found[f"{said(ask.rows, row)}: {title}"] = np.array(points, float)
        return found

    def visit(self, guide: Guide) -> None:
        self.form.set_values({"row_values": "ddim, dpm-solver++", "column_values": "2 5 10"})
        self.compare_button.click()
        guide.wait(lambda: not self.comparing, "the grid was drawn")
        guide.look("grid-pictures")
        self.form.set_values({"show": "error"})
