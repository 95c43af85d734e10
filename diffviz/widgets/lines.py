"""Several named lines over one axis, with a mark that moves along it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QLabel, QWidget

from diffviz.shell import style
from diffviz.widgets.corner import CornerLegend
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


class Legend(QLabel):
    """Names lines in their colours, which follow the palette."""

    def __init__(self, object_name: str, lines: Mapping[str, int]) -> None:
        """`lines`: names and series."""
        super().__init__(objectName=object_name, wordWrap=True)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.show_lines(lines)

    def show_lines(self, lines: Mapping[str, int]) -> None:
        """Name these instead."""
        self.lines, palette = dict(lines), self.palette()
        self.setText("&nbsp; ".join(
            f"<span style='color:{series_colour(series, palette).name()}'>━━</span>&nbsp;"
            + name.replace(" ", "&nbsp;")  # a line's name is not parted
            for name, series in lines.items()
        ))  # fmt: skip

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "lines"):
            self.show_lines(self.lines)


class LinesPlot(Plot):
    """Lines over x in [0, 1], or over another axis `across`. The user may drag the mark of t;
    `marked` says where to."""

    marked = Signal(float)

    def __init__(
        self,
        object_name: str,
        title: str,
        y_label: str,
        y_range: tuple[float, float] | None = None,
        parent: QWidget | None = None,
        across: str = "",
        log: bool = False,
    ) -> None:
        """`y_range`: from where to where the view goes; by default as the lines need it.

        `across` names another axis than t: then there is a legend, and no mark. `log`: y's axis is
        logarithmic.
        """
        labels = {"bottom": across or "t", "left": y_label}
        super().__init__(object_name, title, labels, parent=parent)
        self.lines: list[Line] = []
        self.x_range = (0.0, 1.0)
        self.y_range, self._at, self.across, self.log = y_range, 0.5, across, log

    def build(self, item: Any) -> None:
        item.showGrid(x=True, y=True, alpha=0.2)
        item.setLogMode(y=self.log)
        self._range(item)
        self.mark = pg.InfiniteLine(pos=self._at, angle=90, movable=True, bounds=(0, 1))
        self.mark.sigDragged.connect(lambda mark: self.marked.emit(mark.value()))
        if self.across:
            self._legend = CornerLegend(item, labelTextSize="8pt")
        else:
            item.addItem(self.mark)
        self._drawn: list[tuple[Line, pg.PlotDataItem]] = []

    def set_ranges(self, x: tuple[float, float], y: tuple[float, float] | None) -> None:
        """From where to where the view goes; y as the lines need it where None."""
        if (x, y) == (self.x_range, self.y_range) and y is not None:
            return  # axes cost more than lines
        self.x_range, self.y_range = x, y
        if self.made:
            self._range(self.item)

    def _range(self, item: Any) -> None:
        item.setXRange(*self.x_range, padding=0.01)
        if self.y_range is not None:
            low, high = np.log10(self.y_range) if self.log else self.y_range
            item.setYRange(low, high)

    def show_lines(self, lines: list[Line]) -> None:
        """Show these lines instead of those there are."""
        self.lines = lines
        self.redraw()

    def redraw(self) -> None:
        if not self.made:
            return
        self.show_empty(not self.lines)
        self.mark.setVisible(bool(self.lines))
        looks = [(line.name, line.series, line.dash) for line in self.lines]
        if looks != [(line.name, line.series, line.dash) for line, _ in self._drawn]:
            for _, drawn in self._drawn:
                self.item.removeItem(drawn)
            self._drawn = [
                (line, self.item.plot(connect="finite", name=line.name)) for line in self.lines
            ]
            self.recolour(self.palette())
        self._drawn = [
            (line, drawn) for line, (_, drawn) in zip(self.lines, self._drawn, strict=True)
        ]
        for line, drawn in self._drawn:
            good = np.isfinite(line.y) & ((line.y > 0) | (not self.log))
            drawn.setData(line.x, np.where(good, line.y, np.nan))

    def set_mark(self, x: float) -> None:
        self._at = x
        if self.made:
            self.mark.setPos(x)

    def recolour(self, palette: QPalette) -> None:
        for line, drawn in self._drawn:
            pen = pg.mkPen(series_colour(line.series, palette), width=2, style=STYLES[line.dash])
            drawn.setPen(pen)
        text = palette.color(QPalette.ColorRole.Text)
        if self.across:
            self._legend.recolour(palette)
        self.mark.setPen(pg.mkPen(text, width=1.5, style=Qt.PenStyle.DashLine))
        self.mark.setHoverPen(pg.mkPen(palette.color(QPalette.ColorRole.Highlight), width=4))


class FallingPlot(LinesPlot):
    """Lines over t, or another time, which falls from 1 at the left to 0 as sampling's does."""

    def build(self, item: Any) -> None:
        super().build(item)
        item.invertX(True)


class BarePlot(LinesPlot):
    """Lines over another axis than t, whose names stand elsewhere."""

    def build(self, item: Any) -> None:
        super().build(item)
        self._legend.clear()
        self._legend.setVisible(False)
