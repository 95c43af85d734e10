"""A heat map over t, with the scale of its colours and a mark that moves along it."""

from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QWidget

from diffviz.shell import style
from diffviz.widgets.plot import Plot, dress
from diffviz.widgets.themed import ramp

BETWEEN = 0.85  # of a series' colour, at the ends of colours that part from the ground


def parting(palette: QPalette) -> np.ndarray:
    """256 colours (256, 4) uint8: the series' second, through the ground, to its first."""
    ground = np.array(palette.color(QPalette.ColorRole.Base).getRgb(), float)
    high, low = (np.array(QColor(c).getRgb(), float) for c in style.series(palette)[:2])
    at = np.linspace(-1, 1, 256)[:, None]
    ends = np.where(at > 0, high, low)
    found: np.ndarray = (ground + BETWEEN * np.abs(at) * (ends - ground)).round()
    return found.astype(np.uint8)


class HeatPlot(Plot):
    """Values over t, which runs from 1 at the left to 0 as time does in sampling, and over y.

    The user may drag the mark, or click: `marked` says where to.
    """

    marked = Signal(float)

    def __init__(
        self, object_name: str, title: str, y_label: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(object_name, title, {"bottom": "t", "left": y_label}, parent=parent)
        self.values: np.ndarray | None = None  # as shown, (F, K)
        self.front = np.zeros((0, 2))
        self._levels, self._parting, self._at = (0.0, 1.0), False, 0.5

    def build(self, item: Any) -> None:
        item.invertX(True)
        item.setXRange(0, 1, padding=0)
        self.image = pg.ImageItem()
        item.addItem(self.image)
        self.bar = pg.ColorBarItem(values=(0, 1), width=10, interactive=False, colorMap="viridis")
        self.bar.setImageItem(self.image, insert_in=item)
        self.edge = item.plot(connect="finite")
        self.mark = pg.InfiniteLine(pos=self._at, angle=90, movable=True, bounds=(0, 1))
        self.mark.sigDragged.connect(lambda mark: self.marked.emit(mark.value()))
        item.addItem(self.mark)
        item.scene().sigMouseClicked.connect(self._clicked)

    def _clicked(self, event: Any) -> None:
        if self.item.vb.sceneBoundingRect().contains(event.scenePos()):
            t = self.item.vb.mapSceneToView(event.scenePos()).x()
            self.marked.emit(min(1.0, max(0.0, t)))

    def show_values(
        self,
        values: np.ndarray,
        levels: tuple[float, float],
        title: str,
        parting: bool = False,
        front: np.ndarray | None = None,
    ) -> None:
        """`values` (F, K) at F times that fall evenly from 1 to 0, and y = 0…K-1; NaN: the ground.

        `levels` are where the colours end; `parting`: they part from the ground in the middle.
        `front` (F,), by t, is a line drawn over them.
        """
        self.values, self._levels = values, levels
        self.setAccessibleName(title)
        self.heading, anew = title, (title, parting) != (self.heading, self._parting)
        self._parting = parting
        times = np.linspace(1, 0, len(values))
        self.front = np.zeros((0, 2)) if front is None else np.stack([times, front + 0.5], 1)
        self.redraw()
        if anew:
            self.apply_palette()

    def redraw(self) -> None:
        self.show_empty(self.values is None)
        if not self.made or self.values is None:
            return
        count, rings = self.values.shape
        gap = 1 / max(1, count - 1)
        ground = sum(self._levels) / 2 if self._parting else self._levels[0]
        shown = np.where(np.isfinite(self.values), self.values, ground)[::-1]
        self.image.setImage(shown, levels=self._levels)
        self.image.setRect(QRectF(-gap / 2, -0.5, 1 + gap, rings))
        self.bar.setLevels(self._levels)
        self.item.setYRange(-0.5, rings - 0.5, padding=0)
        self.edge.setData(*self.front.T)

    def set_mark(self, x: float) -> None:
        self._at = x
        if self.made:
            self.mark.setPos(x)

    def recolour(self, palette: QPalette) -> None:
        colours = parting(palette) if self._parting else ramp(palette)
        self.bar.setColorMap(pg.ColorMap(None, colours))
        text = palette.color(QPalette.ColorRole.Text)
        dress(self.bar.axis, text)
        self.edge.setPen(pg.mkPen(text, width=2))
        self.mark.setPen(pg.mkPen(text, width=1.5, style=Qt.PenStyle.DashLine))
        self.mark.setHoverPen(pg.mkPen(palette.color(QPalette.ColorRole.Highlight), width=4))
