"""A plot's legend, in the corner where it hides least of the curves."""

from typing import Any

import numpy as np
import pyqtgraph as pg

MARGIN = 8  # pixels between the legend and the plot's edges
SAMPLES = 96  # places along a curve that are looked at
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

    def settle(self) -> None:
        """Go to the corner under which least is drawn."""
        box, frame = self.plot.vb.rect(), self.boundingRect()
        if not (self.items and box.width() > 0 and box.height() > 0):
            return
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
        """Where the curves are in view: shares of its width from the left, of its height from
        below."""
        (left, right), (low, high) = self.plot.vb.viewRange()
        places = [np.empty((2, 0))]
        for curve in self.plot.listDataItems():
            x, y = curve.getData()
            if x is None or not (good := np.isfinite(x) & np.isfinite(y)).any():
                continue
            x, y = x[good], y[good]
            at = np.linspace(max(left, x[0]), min(right, x[-1]), SAMPLES)
            places.append(np.stack([at, np.interp(at, x, y)]))
        x, y = np.concatenate(places, 1)
        return (x - left) / (right - left or 1), (y - low) / (high - low or 1)

    def _to(self, corner: tuple[int, int]) -> None:
        self.corner = corner
        right, lower = corner
        self.anchor(corner, corner, (-MARGIN if right else MARGIN, -MARGIN if lower else MARGIN))
