"""One dimension over time: a density as a heat map, its section, and handles that shape it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QPalette, QWheelEvent
from PySide6.QtWidgets import QWidget

from diffviz.widgets.plot import Plot
from diffviz.widgets.themed import arrow_segments, colour, ramp

AXIS_WIDTH = 34  # equal on all three plots, so that they line up


def joined(xs: np.ndarray, ys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One broken line out of many: xs (F,), ys (F, P) -> x and y, both (P (F + 1),), by NaN."""
    gap = np.full((1, ys.shape[1]), np.nan)
    x = np.broadcast_to(np.append(xs, np.nan)[:, None], (len(xs) + 1, ys.shape[1]))
    return x.T.ravel(), np.concatenate([ys, gap]).T.ravel()


class DensityMap(Plot):
    """Data, noise, data: time runs from 0 to 1 in the left half and back in the right one.

    The user may drag either of the two lines that mark t; `time_dragged` says where to.
    """

    time_dragged = Signal(float)

    def __init__(self, reach: float, object_name: str, parent: QWidget | None = None) -> None:
        """`reach`: the view goes from -reach to reach."""
        super().__init__(
            object_name, "Density over time, with paths", {"bottom": "t"}, parent=parent
        )
        self.reach = reach
        self.heat: np.ndarray | None = None
        _ = self.plot  # where there are toys pyqtgraph is loaded

    def build(self, item: Any) -> None:
        item.setXRange(0, 2, padding=0)
        item.setYRange(-self.reach, self.reach, padding=0)
        item.showAxis("top")
        item.hideAxis("left")
        item.getAxis("top").setTicks([[(0.5, "forward: noising"), (1.5, "reverse: generation")]])
        item.getAxis("top").setStyle(tickLength=0)
        marks = [(0, "0"), (0.25, "¼"), (0.5, "½"), (0.75, "¾"), (1, "1")]
        marks += [(2 - u, text) for u, text in marks[:-1]]
        item.getAxis("bottom").setTicks([marks])
        item.getAxis("bottom").setStyle(hideOverlappingLabels=False)
        item.setContentsMargins(7, 0, 7, 0)  # room for the outer labels
        self.image = pg.ImageItem()
        item.addItem(self.image)
        self.lines = {part: item.plot(connect="finite") for part in ("forward", "reverse", "flow")}
        self.arrows = item.plot(connect="pairs")
        self.markers = [pg.InfiniteLine(pos=u, angle=90, movable=True) for u in (1, 1)]
        for marker in self.markers:
            item.addItem(marker)
            marker.sigDragged.connect(self._dragged)

    def show_density(self, density: np.ndarray) -> None:
        """`density` (F, G) by rising t; each moment is drawn relative to its own peak."""
        relative = density / density.max(1, keepdims=True)
        self.heat = (255 * relative**0.6).round().astype(np.uint8)
        self.image.setImage(np.concatenate([self.heat, self.heat[-2::-1]]), levels=(0, 255))
        self.image.setRect(QRectF(0, -self.reach, 2, 2 * self.reach))

    def show_paths(self, part: str, times: np.ndarray, places: np.ndarray | None) -> None:
        """Paths (F, P) at `times` (F,); ODE paths lie in both halves. None: no paths."""
        if places is None:
            self.lines[part].setData([], [])
            return
        there, back = joined(times, places), joined(2 - times[::-1], places[::-1])
        if part == "forward":
            x, y = there
        elif part == "reverse":
            x, y = back
        else:
            x, y = (np.concatenate(both) for both in zip(there, back, strict=True))
        self.lines[part].setData(x, y)

    def show_arrows(self, times: np.ndarray, axis: np.ndarray, score: np.ndarray) -> None:
        """`score` (n, m), about unit scale, as arrows up and down in the right half."""
        t, x = (grid.ravel() for grid in np.meshgrid(2 - times, axis, indexing="ij"))
        along = np.stack([np.zeros_like(t), 0.42 * np.tanh(score.ravel() / 1.5)], 1)
        points = arrow_segments(np.stack([t, x], 1), along, np.array([0.02, 0.14]))
        self.arrows.setData(points[:, 0], points[:, 1])

    def set_time(self, t: float) -> None:
        for marker, u in zip(self.markers, (t, 2 - t), strict=True):
            marker.setPos(u)

    def _dragged(self, marker: pg.InfiniteLine) -> None:
        u = min(2.0, max(0.0, marker.value()))
        self.time_dragged.emit(u if marker is self.markers[0] else 2 - u)

    def recolour(self, palette: QPalette) -> None:
        self.image.setLookupTable(ramp(palette))
        for part, width in (("forward", 1), ("reverse", 1), ("flow", 2)):
            self.lines[part].setPen(pg.mkPen(colour(part, palette), width=width))
        self.arrows.setPen(pg.mkPen(colour("score", palette), width=1.5))
        for marker in self.markers:
            text = palette.color(QPalette.ColorRole.Text)
            marker.setPen(pg.mkPen(text, width=2, style=Qt.PenStyle.DashLine))
            marker.setHoverPen(pg.mkPen(palette.color(QPalette.ColorRole.Highlight), width=4))


class Section(Plot):
    """A density standing upright over its axis, with histograms of samples beside it."""

    BINS = 36

    def __init__(self, reach: float, object_name: str, parent: QWidget | None = None) -> None:
        title = "Density and histogram of paths at the chosen t"
        super().__init__(object_name, title, {"bottom": "density"}, parent=parent)
        self.edges = np.linspace(-reach, reach, self.BINS + 1)
        self.density = np.zeros(0)
        self.histograms: dict[str, np.ndarray] = {}
        _ = self.plot

    def build(self, item: Any) -> None:
        item.setYRange(self.edges[0], self.edges[-1], padding=0)
        item.showAxis("top")
        item.getAxis("top").setStyle(tickLength=0, showValues=True)
        item.hideAxis("left")
        item.showAxis("right")
        item.getAxis("right").setWidth(AXIS_WIDTH)
        self.bars = {part: item.plot() for part in ("forward", "reverse", "flow")}
        self.curve = item.plot()

    def show_moment(self, axis: np.ndarray, density: np.ndarray, title: str) -> None:
        """`density` (G,) over `axis` (G,)."""
        self.density = density
        self.curve.setData(density, axis)
        top = 1.2 * float(density.max())
        self.item.setXRange(0, top, padding=0)
        self.item.getAxis("top").setTicks([[(top / 2, title)]])
        places = (0.0, float(f"{density.max():.1g}"))
        self.item.getAxis("bottom").setTicks([[(place, f"{place:g}") for place in places]])

    def show_samples(self, part: str, samples: np.ndarray | None) -> None:
        """The histogram of samples (P,) as a density; None takes it away."""
        if samples is None:
            self.histograms.pop(part, None)
            self.bars[part].setData([], [])
            return
        counts, _ = np.histogram(samples, self.edges)
        density = counts / (len(samples) * (self.edges[1] - self.edges[0]))
        self.histograms[part] = density
        self.bars[part].setData(
            np.append(np.repeat(density, 2), 0),
            np.append(np.repeat(self.edges, 2)[1:-1], self.edges[-1]),
        )

    def recolour(self, palette: QPalette) -> None:
        self.curve.setPen(pg.mkPen(colour("density", palette), width=3))
        for part, bars in self.bars.items():
            bars.setPen(pg.mkPen(colour(part, palette), width=1.5))


@dataclass(frozen=True)
class Mode:
    """One Gaussian of a mixture; weights are relative to each other."""

    mean: float
    std: float
    weight: float


class _Wheeled(pg.PlotWidget):
    """Says that the wheel was turned: where on the y axis, and by how many notches."""

    turned = Signal(float, float)

    def wheelEvent(self, event: QWheelEvent) -> None:
        place = self.getPlotItem().vb.mapSceneToView(self.mapToScene(event.position().toPoint()))
        self.turned.emit(place.y(), event.angleDelta().y() / 120)
        event.accept()


class ModeEditor(Plot):
    """The data's density, with a handle on each mode that can be dragged.

    Round handles: along the axis they move the mean, across it the weight. Square ones set the
    width, as the wheel does. `modes_changed` says that the user did so.
    """

    modes_changed = Signal()
    selected_changed = Signal(int)

    MEANS, STDS, WEIGHTS = (-3.5, 3.5), (0.08, 1.5), (0.05, 1.0)

    def __init__(self, reach: float, object_name: str, parent: QWidget | None = None) -> None:
        title, labels = "The data distribution: drag its modes", {"bottom": "weight", "left": "x"}
        super().__init__(object_name, title, labels, parent=parent)
        self.reach = reach
        self.modes: list[Mode] = []
        self.selected = 0
        self._handles: list[tuple[pg.TargetItem, pg.TargetItem]] = []
        self._moving = False
        _ = self.plot

    def canvas(self) -> Any:
        made = _Wheeled(enableMenu=False)
        made.turned.connect(self._widen)
        return made

    def build(self, item: Any) -> None:
        item.setYRange(-self.reach, self.reach, padding=0)
        item.setXRange(0, 1.15, padding=0)
        item.invertX(True)
        item.showAxis("top")
        item.getAxis("top").setStyle(tickLength=0)
        item.getAxis("top").setTicks([[(0.575, "data: drag")]])
        item.getAxis("left").setWidth(AXIS_WIDTH + 12)
        item.getAxis("bottom").setTicks([[(0, "0"), (0.5, "½"), (1, "1")]])
        self.curve = item.plot()

    def show_density(self, axis: np.ndarray, density: np.ndarray) -> None:
        """The data's density (G,) over `axis` (G,), drawn to fill the plot."""
        self.curve.setData(density / density.max(), axis)

    def set_modes(self, modes: Sequence[Mode]) -> None:
        """Show handles for these modes, each brought within its limits."""
        self.modes = [self._within(mode) for mode in modes]
        self.selected = min(self.selected, len(self.modes) - 1)
        for pair in self._handles:
            for handle in pair:
                self.item.removeItem(handle)
        self._handles = []
        for index in range(len(self.modes)):
            pair = (pg.TargetItem(size=15, symbol="o"), pg.TargetItem(size=10, symbol="s"))
            for handle, moved in zip(pair, (self._mean_moved, self._width_moved), strict=True):
                self.item.addItem(handle)
                handle.setZValue(10)
                handle.sigPositionChanged.connect(
                    lambda handle, index=index, moved=moved: moved(index, handle.pos())
                )
            self._handles.append(pair)
        self._place()
        self.apply_palette()

    def change(self, index: int, mode: Mode) -> None:
        """Let that mode be this one, and say so."""
        self.modes[index] = self._within(mode)
        self._place()
        self.select(index)
        self.modes_changed.emit()

    def select(self, index: int) -> None:
        if index != self.selected:
            self.selected = index
            self.apply_palette()
            self.selected_changed.emit(index)

    def nearest(self, place: float) -> int:
        """The mode whose mean lies nearest to that place."""
        return min(range(len(self.modes)), key=lambda k: abs(self.modes[k].mean - place))

    def _widen(self, place: float, notches: float) -> None:
        index = self.nearest(place)
        mode = self.modes[index]
        self.change(index, Mode(mode.mean, mode.std * 1.1**notches, mode.weight))

    def _within(self, mode: Mode) -> Mode:
        values = zip(
            (mode.mean, mode.std, mode.weight), (self.MEANS, self.STDS, self.WEIGHTS), strict=True
        )
        return Mode(*(min(high, max(low, value)) for value, (low, high) in values))

    def _place(self) -> None:
        self._moving = True
        for mode, (centre, edge) in zip(self.modes, self._handles, strict=True):
            centre.setPos(mode.weight, mode.mean)
            edge.setPos(mode.weight, mode.mean + mode.std)
        self._moving = False

    def _mean_moved(self, index: int, to: QPointF) -> None:
        if not self._moving:
            self.change(index, Mode(to.y(), self.modes[index].std, to.x()))

    def _width_moved(self, index: int, to: QPointF) -> None:
        if not self._moving:
            mode = self.modes[index]
            self.change(index, Mode(mode.mean, to.y() - mode.mean, mode.weight))

    def recolour(self, palette: QPalette) -> None:
        line = colour("density", palette)
        self.curve.setPen(pg.mkPen(line, width=2))
        text, mark = (
            palette.color(role) for role in (QPalette.ColorRole.Text, QPalette.ColorRole.Highlight)
        )
        for index, pair in enumerate(self._handles):
            for handle in pair:
                handle.setPen(pg.mkPen(text, width=2 if index == self.selected else 1))
                handle.setBrush(
                    pg.mkBrush(
                        colour("reverse", palette)
                        if index == self.selected
                        else palette.color(QPalette.ColorRole.Base)
                    )
                )
                handle.setHoverPen(pg.mkPen(mark, width=3))
                handle.setHoverBrush(pg.mkBrush(mark))
