"""Boxes in a row, each at its height, and lines from those that one reads; one is chosen."""

from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPalette,
    QPen,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from diffviz.widgets.themed import ramp

GAP, HEIGHT, MARGIN = 5.0, 36.0, 8.0


def fitting(metrics: QFontMetrics, says: tuple[str, ...], width: float) -> str:
    """The first of `says`, fullest first, that fits into so many pixels, or else the last one cut
    short."""
    fits = (words for words in says if metrics.horizontalAdvance(words) <= width)
    cut = metrics.elidedText(says[-1], Qt.TextElideMode.ElideRight, int(width))
    return next(fits, cut)


@dataclass(frozen=True)
class Node:
    """A box: two lines in it, more in a tooltip; its row from above, 0…; the boxes that it reads;
    its `share` of the cost of all, 0…1, is its colour. Who reads a `quiet` one is shown only while
    either is chosen."""

    title: str
    words: str
    tip: str
    row: int
    reads: tuple[int, ...] = ()
    share: float = 0.0
    quiet: bool = False


class Graph(QWidget):
    """Shows nodes from left to right; a click, or an arrow key, chooses one."""

    chosen = Signal(int)

    def __init__(self, placeholder: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.nodes: tuple[Node, ...] = ()
        self.current = -1
        self.placeholder = placeholder
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_placeholder(self, text: str) -> None:
        """Set what to say while there are no nodes."""
        if text != self.placeholder:
            self.placeholder = text
            self.update()

    def show_nodes(self, nodes: tuple[Node, ...], current: int) -> None:
        self.nodes, self.current = nodes, current
        self.updateGeometry()
        self.update()

    def choose(self, index: int) -> None:
        """Choose that box, if there is one."""
        if 0 <= index < len(self.nodes) and index != self.current:
            self.current = index
            self.update()
            self.chosen.emit(index)

    def sizeHint(self) -> QSize:
        rows = max((node.row for node in self.nodes), default=2) + 1
        return QSize(400, round(rows * (HEIGHT + 12) + 2 * MARGIN))

    def minimumSizeHint(self) -> QSize:
        return QSize(200, self.sizeHint().height())

    def box(self, index: int) -> QRectF:
        """Where that node is painted."""
        rows = max(node.row for node in self.nodes) + 1
        width = (self.width() - 2 * MARGIN) / len(self.nodes)
        step = (self.height() - 2 * MARGIN) / rows
        top = MARGIN + self.nodes[index].row * step + (step - HEIGHT) / 2
        return QRectF(MARGIN + index * width + GAP / 2, top, width - GAP, HEIGHT)

    def index_at(self, place: QPointF) -> int:
        """The node there; -1 where there is none."""
        boxes = (self.box(k) for k in range(len(self.nodes)))
        return next((k for k, box in enumerate(boxes) if box.contains(place)), -1)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.choose(self.index_at(event.position()))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        moves = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}
        if (key := Qt.Key(event.key())) in moves:
            self.choose(self.current + moves[key])
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            index = self.index_at(QPointF(event.pos()))
            QToolTip.showText(event.globalPos(), self.nodes[index].tip if index >= 0 else "", self)
            return True
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, palette = QPainter(self), self.palette()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = palette.color(QPalette.ColorRole.Text)
        if not self.nodes:
            painter.setPen(palette.color(QPalette.ColorRole.PlaceholderText))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect().adjusted(12, 4, -12, -4), flags, self.placeholder)
        boxes = [self.box(k) for k in range(len(self.nodes))]
        for k, node in enumerate(self.nodes):
            for other in node.reads:
                near = self.current in (k, other)
                if self.nodes[other].quiet and not near:
                    continue
                accent = palette.color(QPalette.ColorRole.Accent)
                painter.setPen(QPen(accent if near else palette.color(QPalette.ColorRole.Mid), 1.5))
                painter.drawPath(self._line(boxes[other], boxes[k], k - other))
        colours, most = ramp(palette), max((node.share for node in self.nodes), default=0.0)
        font = painter.font()
        font.setPointSizeF(0.82 * font.pointSizeF())
        painter.setFont(font)
        for k, (node, box) in enumerate(zip(self.nodes, boxes, strict=True)):
            shade = QColor(*colours[round(255 * node.share / most) if most > 0 else 0].tolist())
            edge = QPalette.ColorRole.Accent if k == self.current else QPalette.ColorRole.Mid
            painter.setPen(QPen(palette.color(edge), 2.5 if k == self.current else 1))
            painter.setBrush(shade)
            painter.drawRoundedRect(box, 4, 4)
            painter.setPen(text)
            # Its row says what a title has before its last "_", and what a size has after an "x".
            titles = (node.title, node.title.rpartition("_")[2])
            sizes = (node.words, node.words.partition("x")[0])
            for says, top in ((titles, 3.0), (sizes, HEIGHT / 2 - 1)):
                line = QRectF(box.left() + 2, box.top() + top, box.width() - 4, HEIGHT / 2 - 2)
                short = fitting(painter.fontMetrics(), says, line.width())
                painter.drawText(line, Qt.AlignmentFlag.AlignCenter, short)
        painter.end()

    @staticmethod
    def _line(start: QRectF, end: QRectF, apart: int) -> QPainterPath:
        """From one box to the next, or in an arc over those between."""
        path = QPainterPath()
        if apart == 1:
            path.moveTo(start.right(), start.center().y())
            path.lineTo(end.left(), end.center().y())
            return path
        begin, stop = QPointF(start.center().x(), start.top()), QPointF(end.center().x(), end.top())
        top = min(begin.y(), stop.y()) - 9
        path.moveTo(begin)
        path.cubicTo(QPointF(begin.x(), top - 4), QPointF(begin.x() + 6, top),
                     QPointF(begin.x() + 14, top))  # fmt: skip
        path.lineTo(stop.x() - 14, top)
        path.cubicTo(QPointF(stop.x() - 6, top), QPointF(stop.x(), top - 4), stop)
        return path
