"""Colours and shapes that plots share, and pictures of widgets."""

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QIcon, QImage, QPainter, QPalette, QPixmap
from PySide6.QtWidgets import QWidget

from diffviz.shell import style

# Places in `style.series`, by the part a line plays.
PARTS = {"density": 0, "reverse": 1, "forward": 2, "score": 3, "flow": 6}


def colour(part: str, palette: QPalette) -> QColor:
    """The colour of that part in PARTS on the palette's ground."""
    return QColor(style.series(palette)[PARTS[part]])


def line_icon(line_colour: QColor) -> QIcon:
    """A short line in that colour, for legends."""
    pixmap = QPixmap(18, 12)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.fillRect(1, 4, 16, 4, line_colour)
    painter.end()
    return QIcon(pixmap)


def picture(widget: QWidget) -> np.ndarray:
    """What the widget shows, as one picture (1, H, W, 3) uint8."""
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), -1)
    return rows[None, :, : 3 * image.width()].reshape(1, image.height(), image.width(), 3).copy()


def ramp(palette: QPalette, bands: int = 256) -> np.ndarray:
    """256 colours (256, 4) uint8 from the ground towards the density's colour, in even bands.

    It stops short of the full colour, so that lines drawn over it stand out.
    """
    share = np.floor(np.linspace(0, 1, 256) * bands).clip(0, bands - 1) / (bands - 1)
    ground = palette.color(QPalette.ColorRole.Base)
    ends = np.array([ground.getRgb(), colour("density", palette).getRgb()], float)
    found: np.ndarray = (ends[0] + 0.65 * share[:, None] * (ends[1] - ends[0])).round()
    return found.astype(np.uint8)


def arrow_segments(at: np.ndarray, along: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Arrows as line segments for `connect="pairs"`: at, along (N, 2) -> (6 N, 2).

    `head` (2,) is how far the head's two strokes reach, at most, along each axis. An arrow shorter
    than its head gets a smaller head.
    """
    tip = at + along
    size = along / head
    length = np.linalg.norm(size, axis=1, keepdims=True)
    back = np.divide(size, length, out=np.zeros_like(size), where=length > 0)
    back = back * np.minimum(1.0, 0.4 * length)
    across = np.stack([-back[:, 1], back[:, 0]], 1)
    left, right = tip - (back - 0.5 * across) * head, tip - (back + 0.5 * across) * head
    return np.stack([at, tip, tip, left, tip, right], 1).reshape(-1, 2)
