"""A live curve, such as a training loss."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PySide6.QtCore import QTimer
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QWidget

from diffviz.shell import style
from diffviz.widgets.plot import Plot

REDRAW_MS = 100
SMOOTHING = 0.97  # the weight of the past in the smoothed line
FAINTNESS = 0.55  # the background's share in the raw line's colour under a smoothed one


def _mixed(a: QColor, b: QColor, share: float) -> QColor:
    """Mix `share` of `b` into `a`: faint, and unlike a translucent line where it crosses itself."""
    parts = ((a.redF(), b.redF()), (a.greenF(), b.greenF()), (a.blueF(), b.blueF()))
    return QColor.fromRgbF(*((1 - share) * x + share * y for x, y in parts))


def _smoothed(ys: np.ndarray, start: float) -> np.ndarray:
    """Average `ys` exponentially, going on from `start` (NaN: none); skip what is not finite."""
    out = np.empty(len(ys))
    average = start
    for index, y in enumerate(ys.tolist()):
        if np.isfinite(y):
            average = y if average != average else SMOOTHING * average + (1 - SMOOTHING) * y
        out[index] = average
    return out


class CurvePlot(Plot):
    """Plots y against x as points arrive, with a smoothed line over the raw one if `smooth`.

    `x` must not decrease: only the part in view is drawn, and it is found by bisection.
    """

    live = True

    def __init__(
        self,
        title: str,
        y_label: str,
        x_label: str,
        object_name: str,
        *,
        smooth: bool = False,
        placeholder: str = "Nothing to plot yet",
        parent: QWidget | None = None,
    ) -> None:
        labels = {"left": y_label, "bottom": x_label}
        super().__init__(object_name, title, labels, placeholder, title, parent)
        self._smooth = smooth
        self._log = False
        self._count = 0
        self._data = np.empty((3, 256))  # x, y and smoothed y, with room to grow
        self._redraw_timer = QTimer(self)
        self._redraw_timer.setSingleShot(True)
        self._redraw_timer.setInterval(REDRAW_MS)
        self._redraw_timer.timeout.connect(self.redraw)

    def build(self, item: Any) -> None:
        item.setLogMode(x=False, y=self._log)
        # Points too where they are few, or the first alone could not be seen.
        marks = {} if self._smooth else {"symbol": "o", "symbolSize": 5, "symbolPen": None}
        self._raw_line = item.plot(connect="finite", **marks)
        self._smooth_line = item.plot(connect="finite")

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Copies of all x and y given so far."""
        return self._data[0, : self._count].copy(), self._data[1, : self._count].copy()

    def set_points(self, xs: ArrayLike, ys: ArrayLike) -> None:
        """Plot these points instead of those there are, at once."""
        self._count = 0
        self._add(xs, ys)
        self.redraw()

    def append(self, xs: ArrayLike, ys: ArrayLike) -> None:
        """Add points (or one); they are drawn within a tenth of a second."""
        self._add(xs, ys)
        if not self._redraw_timer.isActive():
            self._redraw_timer.start()

    def clear(self) -> None:
        """Forget all points."""
        self._count = 0
        self.redraw()

    def set_log(self, on: bool) -> None:
        """Choose a logarithmic y axis, which leaves out values that are not positive."""
        self._log = on
        if self.made:
            self.item.setLogMode(x=False, y=on)
            self.item.enableAutoRange()
        self.redraw()

    def redraw(self) -> None:
        """Bring the picture up to date."""
        self._redraw_timer.stop()
        self._empty.setVisible(self._count == 0)
        if not self.made:
            return
        xs, ys, smooth = self._data[:, : self._count].copy()
        self._raw_line.setData(xs, self._drawable(ys))
        if self._smooth:
            self._smooth_line.setData(xs, self._drawable(smooth))

    def recolour(self, palette: QPalette) -> None:
        from pyqtgraph import mkPen

        raw, smooth = map(QColor, style.series(palette)[:2])
        if self._smooth:
            raw = _mixed(raw, palette.color(QPalette.ColorRole.Base), FAINTNESS)
        self._raw_line.setPen(mkPen(raw, width=1))
        self._raw_line.setSymbolBrush(raw)
        self._smooth_line.setPen(mkPen(smooth, width=2))

    def _add(self, xs: ArrayLike, ys: ArrayLike) -> None:
        x = np.atleast_1d(np.asarray(xs, float))
        y = np.atleast_1d(np.asarray(ys, float))
        if x.ndim != 1 or x.shape != y.shape:
            raise ValueError(f"x and y differ in shape: {x.shape} and {y.shape}")
        old, new = self._count, self._count + len(x)
        if new > self._data.shape[1]:
            grown = np.empty((3, max(new, 2 * self._data.shape[1])))
            grown[:, :old] = self._data[:, :old]
            self._data = grown
        self._data[0, old:new] = x
        self._data[1, old:new] = y
        if self._smooth:
            start = float(self._data[2, old - 1]) if old else float("nan")
            self._data[2, old:new] = _smoothed(y, start)
        self._count = new

    def _drawable(self, ys: np.ndarray) -> np.ndarray:
        """`ys` with gaps where there is nothing to draw."""
        good = np.isfinite(ys) & (ys > 0) if self._log else np.isfinite(ys)
        return np.where(good, ys, np.nan)
