"""A plot's legend, in the corner where it hides least of the curves."""

from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtGui import QPalette

MARGIN = 8  # pixels between the legend and the plot's edges
STEP = 0.02  # of the view, from one place that is looked at to the next along a curve
FEW, WEIGHT = 20, 10  # points that stand for themselves, marked as a rule, and what each counts for
WIDE = 3  # times its height: where a column would take most of that, names stand in rows
MOST = 2_000  # points and places of a curve
CORNERS = ((1, 0), (0, 0), (1, 1), (0, 1))  # (right, lower): the first of the best is taken


class CornerLegend(pg.LegendItem):
    """The legend of the PlotItem `item`. It moves when the axes do, never as a curve is redrawn."""

    def __init__(self, item: Any, **look: Any) -> None:
        super().__init__(**look)
        self.plot, self.corner = item, (-1, -1)
        item.legend = self  # PlotItem enters there what is plotted with a name
        self.setParentItem(item.vb)
        self._to(CORNERS[0])
        item.vb.sigRangeChanged.connect(self.settle)
        item.vb.sigResized.connect(self.settle)

    def recolour(self, palette: QPalette) -> None:
        """Take the palette's colours; what lies under it shines through."""
        ground = palette.color(QPalette.ColorRole.Base)
        ground.setAlpha(120)
        self.setBrush(ground)
        self.setLabelTextColor(palette.color(QPalette.ColorRole.Text))
        for _, label in self.items:  # which that alone does not draw anew
            label.setText(label.text)

    def settle(self) -> None:
        """Go to the corner under which least is drawn."""
        box, frame = self.plot.vb.rect(), self.boundingRect()
        if not (self.items and box.width() > 0 and box.height() > 0):
            return
        columns = 3 if box.width() > WIDE * box.height() else 1
        if self.columnCount != columns:
            self.setColumnCount(columns)
            frame = self.boundingRect()
        width = (frame.width() + 2 * MARGIN) / box.width()
        height = (frame.height() + 2 * MARGIN) / box.height()
        across, up = self._drawn()

        def hidden(corner: tuple[int, int]) -> int:
            right, lower = corner
            beside = across > 1 - width if right else across < width
            above = up < height if lower else up > 1 - height
            return int(np.count_nonzero(beside & above))

        best = min(CORNERS, key=hidden)
        if hidden(best) < hidden(self.corner):
            self._to(best)

    def _drawn(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the curves are drawn, evenly along each: shares of the view's width from the left,
        of its height from below."""
        (left, right), (low, high) = self.plot.vb.viewRange()
        places = [np.empty((2, 0))]
        for curve in self.plot.listDataItems():
            x, y = curve.getData()
            if x is None or not (good := np.isfinite(x) & np.isfinite(y)).any():
                continue
            thin = len(x) // MOST + 1
            u = (x[good][::thin] - left) / (right - left or 1)
            v = (y[good][::thin] - low) / (high - low or 1)
            way = np.concatenate([[0.0], np.hypot(np.diff(u), np.diff(v)).cumsum()])
            at = np.linspace(0, way[-1], int(min(way[-1] / STEP, MOST)) + 2)
            places.append(np.stack([np.interp(at, way, u), np.interp(at, way, v)]))
            if len(u) <= FEW:
                places += [np.stack([u, v])] * WEIGHT
        u, v = np.concatenate(places, 1)
        return u, v

    def _to(self, corner: tuple[int, int]) -> None:
        self.corner = corner
        right, lower = corner
        self.anchor(corner, corner, (-MARGIN if right else MARGIN, -MARGIN if lower else MARGIN))
