"""A live curve, such as a training loss."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PySide6.QtCore import QTimer
from PySide6.QtGui import QColor, QPalette, QShowEvent
from PySide6.QtWidgets import QWidget

from diffviz.shell import style
from diffviz.widgets.plot import Plot

REDRAW_MS = 500  # points come with every step: drawing each would take time from the training
SMOOTHING = 0.97  # the weight of the past in the smoothed line
FEW = 100  # points, up to which each can be seen
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

    Errors of points are drawn as bars, but on a logarithmic axis. `x` must not decrease: only the
    part in view is drawn, and it is found by bisection.
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
        self._data = np.empty((4, 256))  # x, y, smoothed y, errors, with room to grow
        self._redraw_timer = QTimer(self)
        self._redraw_timer.setSingleShot(True)
        self._redraw_timer.setInterval(REDRAW_MS)
        self._redraw_timer.timeout.connect(self.redraw)

    def build(self, item: Any) -> None:
        item.setLogMode(x=False, y=self._log)
        self._raw_line = item.plot(connect="finite", symbolSize=5, symbolPen=None)
        self._smooth_line = item.plot(connect="finite")
        self._bars: Any = None

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Copies of all x and y given so far."""
        return self._data[0, : self._count].copy(), self._data[1, : self._count].copy()

    def set_points(self, xs: ArrayLike, ys: ArrayLike) -> None:
        """Plot these points instead of those there are, at once."""
        self._count = 0
        self._add(xs, ys)
        self.redraw()

    def append(self, xs: ArrayLike, ys: ArrayLike, errors: ArrayLike = 0.0) -> None:
        """Add points (or one), and how far each may be off; drawn within half a second, if seen."""
        self._add(xs, ys, errors)
        if self.isVisible() and not self._redraw_timer.isActive():
            self._redraw_timer.start()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.redraw()

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
        self.show_empty(self._count == 0)
        if not self.made:
            return
        xs, ys, smooth, errors = self._data[:, : self._count].copy()
        # Points too where they are few, or the first alone could not be seen.
        marks = "o" if self._count <= FEW and not self._smooth else None
        self._raw_line.setData(xs, self._drawable(ys), symbol=marks)
        if self._smooth:
            self._smooth_line.setData(xs, self._drawable(smooth))
        self._draw_bars(xs, ys, errors)

    def _draw_bars(self, xs: np.ndarray, ys: np.ndarray, errors: np.ndarray) -> None:
        """From one error below each point to one above it, where there is an error."""
        if self._bars is not None:
            self.item.removeItem(self._bars)
            self._bars = None
        known = (errors > 0) & np.isfinite(ys + errors)
        if known.any() and not self._log:
            from pyqtgraph import ErrorBarItem

            x, y, height = xs[known], ys[known], 2 * errors[known]
            self._bars = ErrorBarItem(x=x, y=y, height=height, pen=self._raw_line.opts["pen"])
            self.item.addItem(self._bars)

    def recolour(self, palette: QPalette) -> None:
        from pyqtgraph import mkPen

        raw, smooth = map(QColor, style.series(palette)[:2])
        if self._smooth:
            raw = _mixed(raw, palette.color(QPalette.ColorRole.Base), FAINTNESS)
        self._raw_line.setPen(mkPen(raw, width=1))
        self._raw_line.setSymbolBrush(raw)
        self._smooth_line.setPen(mkPen(smooth, width=2))
        if self._bars is not None:
            self._bars.setData(pen=mkPen(raw, width=1))

    def _add(self, xs: ArrayLike, ys: ArrayLike, errors: ArrayLike = 0.0) -> None:
        x = np.atleast_1d(np.asarray(xs, float))
        y = np.atleast_1d(np.asarray(ys, float))
        if x.ndim != 1 or x.shape != y.shape:
            raise ValueError(f"x and y differ in shape: {x.shape} and {y.shape}")
        old, new = self._count, self._count + len(x)
        if new > self._data.shape[1]:
            grown = np.empty((4, max(new, 2 * self._data.shape[1])))
            grown[:, :old] = self._data[:, :old]
            self._data = grown
        self._data[0, old:new] = x
        self._data[1, old:new] = y
        self._data[3, old:new] = errors
        if self._smooth:
            start = float(self._data[2, old - 1]) if old else float("nan")
            self._data[2, old:new] = _smoothed(y, start)
        self._count = new

    def _drawable(self, ys: np.ndarray) -> np.ndarray:
        """`ys` with gaps where there is nothing to draw."""
        good = np.isfinite(ys) & (ys > 0) if self._log else np.isfinite(ys)
        return np.where(good, ys, np.nan)
