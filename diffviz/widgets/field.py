"""Two dimensions: a density as filled contours, a field of arrows, particles with their trails."""

from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPalette
from PySide6.QtWidgets import QWidget

from diffviz.widgets.plot import Plot
from diffviz.widgets.themed import arrow_segments, colour, ramp

BANDS = 12  # filled contours are the density in this many steps of colour
TRAIL_OPACITY = 0.5


class Dots(pg.ScatterPlotItem):
    """Dots of one look, which move cheaply: setData would work out every dot's look again."""

    def move(self, places: np.ndarray) -> None:
        """Show dots at these places (P, 2)."""
        if len(places) != len(self.data):
            self.setData(pos=places)
            return
        x, y = self.getData()
        x[:], y[:] = places.T
        self.bounds = [None, None]
        self.prepareGeometryChange()
        self.invalidate()


class _Canvas(pg.PlotWidget):
    """Catches strokes of the left mouse button while `drawing`: as they grow, and when done."""

    moved = Signal(object)  # (n, 2) float array
    drawn = Signal(object)
    drawing = False
    _stroke: list[tuple[float, float]] | None = None

    def _place(self, event: QMouseEvent) -> tuple[float, float]:
        at = self.getPlotItem().vb.mapSceneToView(self.mapToScene(event.position().toPoint()))
        return at.x(), at.y()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if not self.drawing or event.button() != Qt.MouseButton.LeftButton:
            super().mousePressEvent(event)
            return
        self._stroke = [self._place(event)]
        event.accept()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._stroke is None:
            super().mouseMoveEvent(event)
            return
        self._stroke.append(self._place(event))
        self.moved.emit(np.array(self._stroke))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self._stroke is None:
            super().mouseReleaseEvent(event)
            return
        stroke, self._stroke = np.array(self._stroke, np.float32), None
        self.moved.emit(np.zeros((0, 2)))
        self.drawn.emit(stroke)


class FieldPlot(Plot):
    """A square of the plane. While `set_drawing` is on, strokes of the mouse are handed over."""

    stroke_drawn = Signal(object)  # (n, 2) float array

    def __init__(self, reach: float, object_name: str, title: str, parent: QWidget | None = None):
        """`reach`: the view goes from -reach to reach in both axes."""
        super().__init__(object_name, title, parent=parent)
        self.reach = reach
        self.heat: np.ndarray | None = None
        self.axis = np.zeros(0)
        self.field: np.ndarray = np.zeros((0, 0, 2), np.float32)
        self.part = "reverse"
        self.places: np.ndarray | None = None
        self.past = np.zeros((0, 0, 2), np.float32)  # the trails
        self.words = ""
        self.drawing = False

    def canvas(self) -> Any:
        made = _Canvas(enableMenu=False)
        made.moved.connect(lambda line: self.sketch.setData(line[:, 0], line[:, 1]))
        made.drawn.connect(self.stroke_drawn)
        return made

    def build(self, item: Any) -> None:
        item.setAspectLocked(True)
        item.setRange(self._square(), padding=0)
        item.hideAxis("left")
        item.hideAxis("bottom")
        self.image = pg.ImageItem()
        self.arrows = item.plot(connect="pairs")
        self.trails = item.plot(connect="finite")
        self.dots = Dots(size=4, pen=None)
        self.sketch = item.plot()
        self.note = pg.TextItem(anchor=(0.5, 0.5))
        for added in (self.image, self.dots, self.note):
            item.addItem(added)
        self.image.setZValue(-10)

    def redraw(self) -> None:
        self.show_heat(self.heat)
        self.show_field(self.axis, self.field)
        self.show_particles(self.part, self.places, self.past)
        self.show_note(self.words)
        self.set_drawing(self.drawing)

    def _square(self) -> QRectF:
        return QRectF(-self.reach, -self.reach, 2 * self.reach, 2 * self.reach)

    def show_heat(self, heat: np.ndarray | None) -> None:
        """`heat` (G, G) uint8, first index along x, over the whole square; None: nothing."""
        self.heat = heat
        if not self.made:
            return
        self.image.setVisible(heat is not None)
        if heat is not None:
            self.image.setImage(heat, levels=(0, 255))
            self.image.setRect(self._square())

    def show_field(self, axis: np.ndarray, field: np.ndarray) -> None:
        """Arrows `field` (n, n, 2), about unit scale, on the grid of `axis` (n,) with itself."""
        self.axis, self.field = axis, field
        if not self.made:
            return
        if not len(axis):
            self.arrows.setData([], [])
            return
        at = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
        along = field.reshape(-1, 2)
        length = np.linalg.norm(along, axis=1, keepdims=True)
        gap = axis[1] - axis[0]
        # Long arrows are shortened, so that none reaches over the next.
        shrunk = np.divide(np.tanh(length / 2), length, out=np.zeros_like(length), where=length > 0)
        points = arrow_segments(at, 0.9 * gap * along * shrunk, np.array([0.3, 0.3]) * gap)
        self.arrows.setData(points[:, 0], points[:, 1])

    def show_particles(self, part: str, places: np.ndarray | None, trails: np.ndarray) -> None:
        """Particles (P, 2), coloured for `part`, with `trails` (F, n, 2) of some of them."""
        recoloured, self.part = part != self.part, part
        self.places, self.past = places, trails
        if not self.made:
            return
        if recoloured:
            self.apply_palette()
        if places is None:
            self.dots.clear()
            self.trails.setData([], [])
            return
        self.dots.move(places)
        gaps = np.full((1, trails.shape[1], 2), np.nan, trails.dtype)
        line = np.concatenate([trails, gaps]).transpose(1, 0, 2).reshape(-1, 2)
        self.trails.setData(line[:, 0], line[:, 1])

    def show_note(self, text: str) -> None:
        """A few words in the middle; empty for none."""
        self.words = text
        if not self.made:
            return
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def set_drawing(self, on: bool) -> None:
        """Whether the mouse draws strokes."""
        self.drawing = on
        if not self.made:
            return
        self.plot.drawing = on
        self.plot.setCursor(Qt.CursorShape.CrossCursor if on else Qt.CursorShape.ArrowCursor)

    def recolour(self, palette: QPalette) -> None:
        self.image.setLookupTable(ramp(palette, BANDS))
        self.arrows.setPen(pg.mkPen(colour("score", palette), width=1.2))
        text = palette.color(QPalette.ColorRole.Text)
        self.sketch.setPen(pg.mkPen(text, width=3))
        self.note.setColor(text)
        particle = colour(self.part, palette)
        self.dots.setBrush(pg.mkBrush(particle))
        particle.setAlphaF(TRAIL_OPACITY)
        self.trails.setPen(pg.mkPen(particle, width=1))
