"""A density of values drawn as steps over a reference curve."""

from typing import Any

import numpy as np
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QWidget

from diffviz.shell import style
from diffviz.widgets.plot import Plot


class HistogramPlot(Plot):
    """Shows a density over fixed bins, filled, and beside it the density it is compared with."""

    def __init__(
        self,
        edges: np.ndarray,
        reference: np.ndarray,
        top: float,
        object_name: str,
        title: str,
        parent: QWidget | None = None,
    ) -> None:
        """`edges` (n + 1,) of the bins; `reference` (n,) densities; the y axis ends at `top`."""
        super().__init__(object_name, title, parent=parent)
        self.edges, self.reference, self.top = edges, reference, top
        self._density = np.zeros(len(edges) - 1)

    def build(self, item: Any) -> None:
        item.hideAxis("left")
        item.setXRange(self.edges[0], self.edges[-1], padding=0)
        item.setYRange(0, self.top, padding=0)
        self._bars = item.plot(stepMode="center", fillLevel=0)
        centres = (self.edges[:-1] + self.edges[1:]) / 2
        self._reference = item.plot(centres, self.reference)

    @property
    def density(self) -> np.ndarray:
        """What is shown, (n,)."""
        return self._density

    def show_density(self, density: np.ndarray) -> None:
        """Show these densities (n,), one a bin."""
        self._density = density
        self.redraw()

    def redraw(self) -> None:
        if self.made:
            self._bars.setData(self.edges, self._density)

    def recolour(self, palette: QPalette) -> None:
        from pyqtgraph import mkPen

        bars, reference = map(QColor, style.series(palette)[:2])
        self._reference.setPen(mkPen(reference, width=2))
        self._bars.setPen(mkPen(bars, width=1))
        bars.setAlphaF(0.45)
        self._bars.setBrush(bars)
