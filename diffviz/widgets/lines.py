"""Several named lines over one axis, with a mark that moves along it."""

from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QWidget

from diffviz.shell import style
from diffviz.widgets.themed import ThemedPlot

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


class LinesPlot(ThemedPlot):
    """Lines over x in [0, 1]. The user may drag the mark; `marked` says where to."""

    marked = Signal(float)

    def __init__(self, object_name: str, title: str, y_label: str, parent: QWidget | None = None):
        super().__init__(object_name, title, parent)
        item = self.getPlotItem()
        item.setXRange(0, 1, padding=0.01)
        item.showGrid(x=True, y=True, alpha=0.2)
        self.lines: list[Line] = []
        self.mark = pg.InfiniteLine(pos=0.5, angle=90, movable=True, bounds=(0, 1))
        self.mark.sigDragged.connect(lambda mark: self.marked.emit(mark.value()))
        item.addItem(self.mark)
        self._drawn: list[pg.PlotDataItem] = []
        self.set_label("bottom", "t")
        self.set_label("left", y_label)

    def show_lines(self, lines: list[Line]) -> None:
        """Show these lines instead of those there are."""
        item = self.getPlotItem()
        for drawn in self._drawn:
            item.removeItem(drawn)
        self.lines = lines
        finite = [np.where(np.isfinite(line.y), line.y, np.nan) for line in lines]
        self._drawn = [
            item.plot(line.x, y, connect="finite", name=line.name)
            for line, y in zip(lines, finite, strict=True)
        ]
        self.apply_palette()

    def set_mark(self, x: float) -> None:
        self.mark.setPos(x)

    def apply_palette(self) -> None:
        super().apply_palette()
        if not hasattr(self, "_drawn"):
            return
        palette = self.palette()
        for line, drawn in zip(self.lines, self._drawn, strict=True):
            pen = pg.mkPen(series_colour(line.series, palette), width=2, style=STYLES[line.dash])
            drawn.setPen(pen)
        text = palette.color(QPalette.ColorRole.Text)
        self.mark.setPen(pg.mkPen(text, width=1.5, style=Qt.PenStyle.DashLine))
        self.mark.setHoverPen(pg.mkPen(palette.color(QPalette.ColorRole.Highlight), width=4))
