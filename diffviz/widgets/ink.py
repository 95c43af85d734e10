"""Black paper on which the mouse draws in white ink."""

from itertools import pairwise

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

WIDTH = 0.095  # of the brush, in sides of the paper
EDGE = [(1.0 - 0.06 * k, 36 + 14 * k) for k in range(8)]  # widths of it, how opaque: soft


class InkCanvas(QWidget):
    """Keeps strokes as lines, in sides of the paper. `inked` comes when one ends, or is undone."""

    inked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.strokes: list[list[tuple[float, float]]] = []
        self.setMinimumSize(160, 160)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def sizeHint(self) -> QSize:
        return QSize(300, 300)

    def undo(self) -> None:
        """Take the last stroke away."""
        if self.strokes:
            self.strokes.pop()
            self.update()
            self.inked.emit()

    def clear(self) -> None:
        """Take all away."""
        if self.strokes:
            self.strokes = []
            self.update()
            self.inked.emit()

    def paper(self) -> QRectF:
        """The square that is drawn on."""
        side = min(self.width(), self.height())
        return QRectF((self.width() - side) / 2, (self.height() - side) / 2, side, side)

    def _go_to(self, place: QPointF) -> None:
        paper = self.paper()
        at = (place - paper.topLeft()) / paper.width()
        self.strokes[-1].append((min(max(at.x(), 0.0), 1.0), min(max(at.y(), 0.0), 1.0)))
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self.strokes.append([])
            self._go_to(event.position())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if event.buttons() & Qt.MouseButton.LeftButton and self.strokes:
            self._go_to(event.position())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self.strokes:
            self.inked.emit()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, paper = QPainter(self), self.paper()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(paper, QColor("black"))
        painter.setClipRect(paper)
        paths = [self._path(stroke, paper) for stroke in self.strokes]
        for width, opaque in EDGE:
            pen = QPen(QColor(255, 255, 255, opaque), width * WIDTH * paper.width())
            pen.setCapStyle(Qt.PenCapStyle.RoundCap)
            pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
            painter.setPen(pen)
            for path in paths:
                painter.drawPath(path)
        painter.end()

    def _path(self, stroke: list[tuple[float, float]], paper: QRectF) -> QPainterPath:
        """A smooth line: through the middles between the pointer's places, bent towards these."""
        at = [paper.topLeft() + QPointF(x, y) * paper.width() for x, y in stroke]
        path = QPainterPath(at[0])
        for before, after in pairwise(at):
            path.quadTo(before, (before + after) / 2)
        path.lineTo(at[-1] + QPointF(0, 0.01))  # a click leaves a dot
        return path
