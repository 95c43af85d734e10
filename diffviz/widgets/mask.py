"""An image on which the mouse or the keyboard paints a mask."""

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import QWidget

from diffviz.widgets.mosaic import Mosaic

PAINT = (213, 94, 0, 190)  # over what is masked; the image shines through


class MaskPainter(Mosaic):
    """Shows one image; the left button paints the mask, the right button takes paint away.

    With the keyboard: arrows move a cursor, Enter paints there, Backspace takes away.
    """

    painted = Signal()  # by hand, not by `set_mask`

    def __init__(self, placeholder: str = "", parent: QWidget | None = None) -> None:
        super().__init__(placeholder, parent)
        self.brush = 5  # pixels across
        self._mask = np.zeros((0, 0), bool)
        self._shown = True
        self._before: QPointF | None = None  # where the pointer was, in image pixels
        self._cursor = QPointF(0.5, 0.5)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    @property
    def masked(self) -> np.ndarray:
        """bool (H, W), true where it is painted."""
        return self._mask

    def set_mask(self, mask: np.ndarray) -> None:
        """Show this mask, bool (H, W)."""
        self._mask = mask.copy()
        self._cursor = QPointF(mask.shape[1] / 2, mask.shape[0] / 2)
        self.update()

    def show_mask(self, on: bool) -> None:
        """Whether the paint can be seen."""
        self._shown = on
        self.update()

    def show_image(self, image: np.ndarray) -> None:
        """Show this image, uint8 (H, W) or (H, W, 3); a mask of another size is taken away."""
        self.show_images(image[None])
        if image.shape[:2] != self._mask.shape:
            self.set_mask(np.zeros(image.shape[:2], bool))

    def stroke(self, start: QPointF, end: QPointF, paint: bool) -> None:
        """Paint along a line between places in image pixels, or take paint away."""
        height, width = self._mask.shape
        y, x = np.mgrid[:height, :width] + 0.5
        length = max(abs(end.x() - start.x()), abs(end.y() - start.y()))
        for share in np.linspace(0, 1, int(np.ceil(2 * length)) + 1):
            at = start + (end - start) * float(share)
            near = np.hypot(x - at.x(), y - at.y()) <= self.brush / 2
            if 0 <= at.x() < width and 0 <= at.y() < height:
                near[int(at.y()), int(at.x())] = True  # however thin the brush
            self._mask[near] = paint
        self.update()
        self.painted.emit()

    def pixel_at(self, place: QPointF) -> QPointF:
        """That place of the widget in image pixels."""
        return (place - self.target().topLeft()) / self.scale()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if self.images is not None:
            self._before = self.pixel_at(event.position())
            self.stroke(self._before, self._before, event.button() == Qt.MouseButton.LeftButton)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._before is not None and event.buttons() != Qt.MouseButton.NoButton:
            now = self.pixel_at(event.position())
            self.stroke(self._before, now, bool(event.buttons() & Qt.MouseButton.LeftButton))
            self._before = now

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._before = None

    def keyPressEvent(self, event: QKeyEvent) -> None:
        moves = {
            Qt.Key.Key_Left: (-1, 0), Qt.Key.Key_Right: (1, 0),
            Qt.Key.Key_Up: (0, -1), Qt.Key.Key_Down: (0, 1),
        }  # fmt: skip
        key = Qt.Key(event.key())
        if self.images is None:
            super().keyPressEvent(event)
        elif key in moves:
            height, width = self._mask.shape
            x, y = self._cursor.x() + moves[key][0], self._cursor.y() + moves[key][1]
            self._cursor = QPointF(min(max(x, 0.5), width - 0.5), min(max(y, 0.5), height - 0.5))
            self.update()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.stroke(self._cursor, self._cursor, True)
        elif key == Qt.Key.Key_Backspace:
            self.stroke(self._cursor, self._cursor, False)
        else:
            super().keyPressEvent(event)

    def _paint_marks(self, painter: QPainter) -> None:
        height, width = self._mask.shape
        colours = np.zeros((height, width, 4), np.uint8)
        colours[self._mask] = PAINT
        overlay = QImage(colours.data, width, height, 4 * width, QImage.Format.Format_RGBA8888)
        if self._shown:
            painter.drawImage(self.target(), overlay, QRectF(overlay.rect()))
        if self.hasFocus():
            radius = self.brush / 2 * self.scale()
            painter.setPen(QPen(QColor("#56B4E9"), 2))
            at = self.target().topLeft() + self._cursor * self.scale()
            painter.drawEllipse(at, radius, radius)
