"""A density of values drawn as steps over a reference curve."""

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QVBoxLayout, QWidget

from diffviz import style


class HistogramPlot(QWidget):
    """Shows a density over fixed bins, filled, and beside it the density it is compared with."""

    def __init__(
        self, edges: np.ndarray, reference: np.ndarray, top: float, parent: QWidget | None = None
    ) -> None:
        """`edges` (n + 1,) of the bins; `reference` (n,) densities; the y axis ends at `top`."""
        super().__init__(parent)
        self.edges, self._density = edges, np.zeros(len(edges) - 1)
        self.plot = pg.PlotWidget(enableMenu=False)
        item = self.plot.getPlotItem()
        item.hideButtons()
        item.setMouseEnabled(x=False, y=False)
        item.hideAxis("left")
        item.setXRange(edges[0], edges[-1], padding=0)
        item.setYRange(0, top, padding=0)
        self._bars = item.plot(stepMode="center", fillLevel=0)
        centres = (edges[:-1] + edges[1:]) / 2
        self._reference = item.plot(centres, reference)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)
        self.apply_palette()
        self.show_density(self._density)

    @property
    def density(self) -> np.ndarray:
        """What is shown, (n,)."""
        return self._density

    def show_density(self, density: np.ndarray) -> None:
        """Show these densities (n,), one a bin."""
        self._density = density
        self._bars.setData(self.edges, density)

    def apply_palette(self) -> None:
        palette = self.palette()
        self.plot.setBackground(palette.color(QPalette.ColorRole.Base))
        text = palette.color(QPalette.ColorRole.Text)
        axis = self.plot.getPlotItem().getAxis("bottom")
        axis.setPen(text)
        axis.setTextPen(text)
        bars, reference = map(QColor, style.series(palette)[:2])
        self._reference.setPen(pg.mkPen(reference, width=2))
        self._bars.setPen(pg.mkPen(bars, width=1))
        bars.setAlphaF(0.45)
        self._bars.setBrush(bars)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_bars"):
            self.apply_palette()
