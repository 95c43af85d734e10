"""Several named curves in one plot, with marks that can be clicked."""

from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QWidget

from diffviz.shell import style
from diffviz.widgets.corner import CornerLegend
from diffviz.widgets.plot import Plot


class CurvesPlot(Plot):
    """Draws curves by name, each in a colour of its own; marks on a curve answer to clicks.

    x must not decrease along a curve: only the part in view is drawn, found by bisection.
    """

    live = True
    markClicked = Signal(str, float)  # noqa: N815 - the curve's name and the mark's x

    def __init__(
        self,
        title: str,
        y_label: str,
        x_label: str,
        object_name: str,
        placeholder: str = "Nothing to plot yet",
        parent: QWidget | None = None,
    ) -> None:
        labels = {"left": y_label, "bottom": x_label}
        super().__init__(object_name, title, labels, placeholder, title, parent)
        self._data: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._lines: dict[str, pg.PlotDataItem] = {}
        self._marks: dict[str, pg.ScatterPlotItem] = {}
        self._marked: dict[str, np.ndarray] = {}
        self._numbers: dict[str, int | None] = {}
        self._logs = (False, False)

    def build(self, item: Any) -> None:
        item.setLogMode(*self._logs)
        self._level = item.plot()
        self._legend = CornerLegend(item)

    def names(self) -> list[str]:
        """The curves there are, in the order of their colours."""
        return list(self._data)

    def points(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """x and y of that curve."""
        return self._data[name]

    def set_curve(
        self, name: str, xs: np.ndarray, ys: np.ndarray, number: int | None = None
    ) -> None:
        """Draw the curve of that name through these points (n,), instead of what it was.

        Its colour is the series' `number`; without, its place among the curves.
        """
        self._data[name] = np.asarray(xs, float), np.asarray(ys, float)
        recoloured = self._numbers.get(name) != number
        self._numbers[name] = number
        if name not in self._lines:
            self._lines[name] = self.item.plot(name=name, connect="finite")
            self._marks[name] = pg.ScatterPlotItem(size=11, symbol="d", hoverable=True)
            self._marks[name].sigClicked.connect(
                lambda _, spots, *rest, name=name: self._clicked(name, spots[0].pos().x())
            )
            self.plot.addItem(self._marks[name])
            recoloured = True
        if recoloured:
            self.apply_palette()
        self._lines[name].setData(*self._data[name])
        self.show_empty(False)

    def set_marks(self, name: str, xs: np.ndarray) -> None:
        """Put marks on the curve of that name at these x."""
        x, y = self._data[name]
        good = np.isfinite(y)
        marked = np.asarray(xs, float) if good.any() else np.empty(0)
        heights = np.interp(marked, x[good], y[good]) if len(marked) else marked
        self._marked[name] = np.stack([marked, heights])
        self._place_marks(name)

    def _place_marks(self, name: str) -> None:
        """Unlike lines, marks do not follow the plot's logarithmic axes by themselves."""
        places = self._marked.get(name, np.empty((2, 0)))
        for axis, log in enumerate(self._logs):
            if log:
                places = places[:, places[axis] > 0]
        self._marks[name].setData(
            *(np.log10(p) if log else p for log, p in zip(self._logs, places, strict=True))
        )

    def _clicked(self, name: str, place: float) -> None:
        self.markClicked.emit(name, 10**place if self._logs[0] else place)

    def remove(self, name: str) -> None:
        """Take the curve of that name, and its marks, away."""
        if name in self._lines:
            self.plot.removeItem(self._lines.pop(name))
            self.plot.removeItem(self._marks.pop(name))
            self._marked.pop(name, None)
            del self._data[name], self._numbers[name]
            self.apply_palette()
        self.show_empty(not self._data)

    def set_labels(self, title: str, y_label: str) -> None:
        """Name the plot and its y axis anew."""
        self.heading, self.labels["left"] = title, y_label
        self.setAccessibleName(title)
        self.apply_palette()

    def set_log(self, x: bool, y: bool) -> None:
        """Choose logarithmic axes."""
        self._logs = x, y
        if self.made:
            self.item.setLogMode(x=x, y=y)
            for name in self._marks:
                self._place_marks(name)
            self.item.enableAutoRange()

    def redraw(self) -> None:
        self.show_empty(not self._data)

    def set_level(self, name: str, y: float | None) -> None:
        """Draw a dashed line at that height under the curves, with its name; None: no line."""
        xs = np.concatenate([x for x, _ in self._data.values()]) if self._data else np.empty(0)
        self._legend.removeItem(self._level)
        if y is None or not len(xs):
            self._level.setData([], [])
            return
        self._level.setData([0.9 * xs.min(), 1.1 * xs.max()], [y, y])
        self._legend.addItem(self._level, name)

    def set_ticks(self, values: list[float]) -> None:
        """Name these values on the logarithmic x axis, where they are not too close."""
        shown: list[tuple[float, str]] = []
        for value in values:
            if not shown or np.log10(value) - shown[-1][0] > 0.06:
                shown.append((float(np.log10(value)), f"{value:g}"))
        self.item.getAxis("bottom").setTicks([shown, []] if shown else None)

    def recolour(self, palette: QPalette) -> None:
        text = palette.color(QPalette.ColorRole.Text)
        self._legend.recolour(palette)
        colours = style.series(palette)
        self._level.setPen(pg.mkPen(text, width=1, style=Qt.PenStyle.DashLine))
        for index, name in enumerate(self._lines):
            number = self._numbers[name]
            colour = colours[(index if number is None else number) % len(colours)]
            self._lines[name].setPen(pg.mkPen(colour, width=2))
            self._marks[name].setBrush(colour)
            self._marks[name].setPen(pg.mkPen(text, width=1))
