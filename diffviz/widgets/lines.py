"""Several named lines over one axis, with a mark that moves along it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QWidget

from diffviz.shell import style
from diffviz.widgets.plot import Plot

STYLES = {
    "solid": Qt.PenStyle.SolidLine, "dash": Qt.PenStyle.DashLine, "dot": Qt.PenStyle.DotLine,
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """y (N,) over x (N,); gaps where y is not finite. `series` is a place in style.series."""

    name: str
    x: np.ndarray
    y: np.ndarray
    series: int
    dash: str = "solid"


def series_colour(series: int, palette: QPalette) -> QColor:
    """The colour of that place in style.series, which begins anew after its last."""
    colours = style.series(palette)
    return QColor(colours[series % len(colours)])


class LinesPlot(Plot):
    """Lines over x in [0, 1]. The user may drag the mark; `marked` says where to."""

    marked = Signal(float)

    def __init__(
        self,
        object_name: str,
        title: str,
        y_label: str,
        y_range: tuple[float, float] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        """`y_range`: from where to where the view goes; by default as the lines need it."""
        super().__init__(object_name, title, {"bottom": "t", "left": y_label}, parent=parent)
        self.lines: list[Line] = []
        self.y_range, self._at = y_range, 0.5

    def build(self, item: Any) -> None:
        item.setXRange(0, 1, padding=0.01)
        if self.y_range is not None:
            item.setYRange(*self.y_range)
        item.showGrid(x=True, y=True, alpha=0.2)
        self.mark = pg.InfiniteLine(pos=self._at, angle=90, movable=True, bounds=(0, 1))
        self.mark.sigDragged.connect(lambda mark: self.marked.emit(mark.value()))
        item.addItem(self.mark)
        self._drawn: list[tuple[Line, pg.PlotDataItem]] = []

    def show_lines(self, lines: list[Line]) -> None:
        """Show these lines instead of those there are."""
        self.lines = lines
        self.redraw()

    def redraw(self) -> None:
        if not self.made:
            return
        for _, drawn in self._drawn:
            self.item.removeItem(drawn)
        self._drawn = []
        for line in self.lines:
            y = np.where(np.isfinite(line.y), line.y, np.nan)
            drawn = self.item.plot(line.x, y, connect="finite", name=line.name)
            self._drawn.append((line, drawn))
        self.recolour(self.palette())

    def set_mark(self, x: float) -> None:
        self._at = x
        if self.made:
            self.mark.setPos(x)

    def recolour(self, palette: QPalette) -> None:
        for line, drawn in self._drawn:
            pen = pg.mkPen(series_colour(line.series, palette), width=2, style=STYLES[line.dash])
            drawn.setPen(pen)
        text = palette.color(QPalette.ColorRole.Text)
        self.mark.setPen(pg.mkPen(text, width=1.5, style=Qt.PenStyle.DashLine))
        self.mark.setHoverPen(pg.mkPen(palette.color(QPalette.ColorRole.Highlight), width=4))
