"""Several named curves in one plot, with marks that can be clicked."""

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QImage, QPalette
from PySide6.QtWidgets import QGridLayout, QLabel, QWidget

from diffviz import style


class CurvesPlot(QWidget):
    """Draws curves by name, each in a colour of its own; marks on a curve answer to clicks.

    x must not decrease along a curve: only the part in view is drawn, found by bisection.
    """

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
        super().__init__(parent)
        self.setObjectName(object_name)
        self.setAccessibleName(title)
        self._title, self._y_label, self._x_label = title, y_label, x_label
        self._data: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._lines: dict[str, pg.PlotDataItem] = {}
        self._marks: dict[str, pg.ScatterPlotItem] = {}
        self.plot = pg.PlotWidget(enableMenu=False)
        item = self.plot.getPlotItem()
        item.setDownsampling(auto=True, mode="peak")
        item.setClipToView(True)
        item.showGrid(x=True, y=True, alpha=0.2)
        self._legend = item.addLegend(offset=(-8, 8))
        self._empty = QLabel(placeholder)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setWordWrap(True)
        self._empty.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self._empty.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot, 0, 0)
        layout.addWidget(self._empty, 0, 0)
        self.apply_palette()

    def names(self) -> list[str]:
        """The curves there are, in the order of their colours."""
        return list(self._data)

    def points(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """x and y of that curve."""
        return self._data[name]

    def set_curve(self, name: str, xs: np.ndarray, ys: np.ndarray) -> None:
        """Draw the curve of that name through these points (n,), instead of what it was."""
        self._data[name] = np.asarray(xs, float), np.asarray(ys, float)
        if name not in self._lines:
            self._lines[name] = self.plot.getPlotItem().plot(name=name, connect="finite")
            self._marks[name] = pg.ScatterPlotItem(size=11, symbol="d", hoverable=True)
            self._marks[name].sigClicked.connect(
                lambda _, spots, *rest, name=name: self.markClicked.emit(name, spots[0].pos().x())
            )
            self.plot.addItem(self._marks[name])
            self.apply_palette()
        self._lines[name].setData(*self._data[name])
        self._empty.setVisible(False)

    def set_marks(self, name: str, xs: np.ndarray) -> None:
        """Put marks on the curve of that name at these x."""
        x, y = self._data[name]
        good = np.isfinite(y)
        if good.any() and len(xs):
            self._marks[name].setData(xs, np.interp(xs, x[good], y[good]))
        else:
            self._marks[name].setData([], [])

    def remove(self, name: str) -> None:
        """Take the curve of that name, and its marks, away."""
        if name in self._lines:
            self.plot.removeItem(self._lines.pop(name))
            self.plot.removeItem(self._marks.pop(name))
            del self._data[name]
            self.apply_palette()
        self._empty.setVisible(not self._data)

    def set_labels(self, title: str, y_label: str) -> None:
        """Name the plot and its y axis anew."""
        self._title, self._y_label = title, y_label
        self.setAccessibleName(title)
        self.apply_palette()

    def set_log(self, x: bool, y: bool) -> None:
        """Choose logarithmic axes."""
        self.plot.getPlotItem().setLogMode(x=x, y=y)
        self.plot.getPlotItem().enableAutoRange()

    def picture(self) -> QImage:
        """What the widget shows."""
        return self.grab().toImage()

    def apply_palette(self) -> None:
        """Take the colours from the palette, so that the plot suits dark and light themes."""
        palette = self.palette()
        text = palette.color(QPalette.ColorRole.Text)
        self.plot.setBackground(palette.color(QPalette.ColorRole.Base))
        item = self.plot.getPlotItem()
        item.setTitle(self._title, color=text.name(), size="10pt")
        for side, label in (("left", self._y_label), ("bottom", self._x_label)):
            axis = item.getAxis(side)
            axis.setPen(text)
            axis.setTextPen(text)
            axis.enableAutoSIPrefix(False)
            axis.setLabel(label, color=text.name())
        self._legend.setLabelTextColor(text)
        colours = style.series(palette)
        for index, name in enumerate(self._lines):
            colour = colours[index % len(colours)]
            self._lines[name].setPen(pg.mkPen(colour, width=2))
            self._marks[name].setBrush(colour)
            self._marks[name].setPen(pg.mkPen(text, width=1))

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_empty"):
            self.apply_palette()
