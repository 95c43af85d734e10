"""A grid of small images, with every pixel visible."""

import math

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QPalette, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

BACKGROUND = 40  # the grey between and beside images
LENS = 5  # how many times larger the image under the pointer is drawn
WORTH = 1.08  # how much larger an uneven scale must make the grid than the whole one below it


def columns_for(count: int) -> int:
    """The columns of a near-square grid of `count` images."""
    return math.ceil(math.sqrt(count))


def compose(
    images: np.ndarray, gap: int = 1, background: int = BACKGROUND, columns: int | None = None
) -> np.ndarray:
    """Lay uint8 images, (N, H, W) or (N, H, W, 3), row by row in a grid, near-square by default.

    `gap` pixels of grey level `background` lie between them; cells left over have it too.
    """
    if images.dtype != np.uint8 or not (
        images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)
    ):
        raise ValueError(f"cannot show {images.dtype} images of shape {images.shape}")
    if 0 in images.shape:
        raise ValueError("there are no images to lay out")
    count, height, width = images.shape[:3]
    columns = columns or columns_for(count)
    rows = math.ceil(count / columns)
    cells = np.full(
        (rows * columns, height + gap, width + gap, *images.shape[3:]), background, np.uint8
    )
    cells[:count, :height, :width] = images
    cells = cells.reshape(rows, columns, *cells.shape[1:]).swapaxes(1, 2)
    grid = cells.reshape(rows * (height + gap), columns * (width + gap), *images.shape[3:])
    return np.ascontiguousarray(grid[: len(grid) - gap, : grid.shape[1] - gap])


class Mosaic(QWidget):
    """Shows images side by side, every pixel a square; a caption where there are none.

    The image under the pointer is enlarged, and `hovered` tells its index (-1: none), so that
    other views can mark theirs.
    """

    hovered = Signal(int)

    def __init__(self, placeholder: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._placeholder = placeholder
        self._images: np.ndarray | None = None
        self._grid: np.ndarray | None = None  # the memory that _picture looks at: keep both
        self._picture: QImage | None = None
        self._columns = 1
        self._marked = -1
        self._lens = -1
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    @property
    def images(self) -> np.ndarray | None:
        """The images shown, or None."""
        return self._images

    def image_array(self) -> np.ndarray | None:
        """The grid as it is shown, at its own size, or None."""
        return self._grid

    @property
    def placeholder(self) -> str:
        """What is said while there are no images."""
        return self._placeholder

    def set_placeholder(self, text: str) -> None:
        """Set what to say while there are no images."""
        if text != self._placeholder:
            self._placeholder = text
            self.update()

    def show_images(self, images: np.ndarray | None, columns: int | None = None) -> None:
        """Show `images`, uint8 (N, H, W) or (N, H, W, 3); None or an empty array clears.

        They lie in `columns` columns, or in a near-square grid.
        """
        if images is None or len(images) == 0:
            self._images = self._picture = self._grid = None
        else:
            self._columns = columns or columns_for(len(images))
            grid = compose(images, columns=self._columns)
            height, width = grid.shape[:2]
            grey = grid.ndim == 2
            pixels = QImage.Format.Format_Grayscale8 if grey else QImage.Format.Format_RGB888
            self._picture = QImage(grid.data, width, height, grid.strides[0], pixels)
            self._images, self._grid = images, grid
        self.update()

    def mark(self, index: int) -> None:
        """Draw a frame around the image of that index; -1 takes it away."""
        if index != self._marked:
            self._marked = index
            self.update()

    def cell(self, index: int) -> QRectF:
        """Where the image of that index is painted, in the widget's coordinates."""
        if self._images is None:
            return QRectF()
        height, width = self._images.shape[1:3]
        row, column = divmod(index, self._columns)
        box, scale = self.target(), self.scale()
        return QRectF(
            box.left() + column * (width + 1) * scale,
            box.top() + row * (height + 1) * scale,
            width * scale,
            height * scale,
        )

    def scale(self) -> float:
        """Widget units per image pixel."""
        return self.target().width() / self._picture.width() if self._picture else 1.0

    def index_at(self, place: QPointF) -> int:
        """The index of the image at that place of the widget; -1 where there is none."""
        if self._images is None or not self.target().contains(place):
            return -1
        height, width = self._images.shape[1:3]
        inside = (place - self.target().topLeft()) / self.scale()
        index = int(inside.y() // (height + 1)) * self._columns + int(inside.x() // (width + 1))
        return index if index < len(self._images) else -1

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._look(self.index_at(event.position()))

    def leaveEvent(self, event: QEvent) -> None:
        self._look(-1)

    def _look(self, index: int) -> None:
        if index != self._lens:
            self._lens = index
            self.update()
            self.hovered.emit(index)

    def sizeHint(self) -> QSize:
        return QSize(320, 320)

    def minimumSizeHint(self) -> QSize:
        return QSize(96, 96)

    def target(self) -> QRectF:
        """Where the grid is painted: centred, and as large as there is room for.

        Where a whole number of device pixels for each image pixel is nearly as large, it is that.
        """
        if self._picture is None:
            return QRectF()
        ratio = self.devicePixelRatioF()
        width, height = self._picture.width(), self._picture.height()
        scale = min(self.width() * ratio / width, self.height() * ratio / height)
        if 1 <= scale < WORTH * math.floor(scale):
            scale = math.floor(scale)
        left = math.floor((self.width() * ratio - width * scale) / 2)
        top = math.floor((self.height() * ratio - height * scale) / 2)
        return QRectF(left / ratio, top / ratio, width * scale / ratio, height * scale / ratio)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        if self._picture is not None:
            target, picture = self.target(), self._picture
            scale = self.scale() * self.devicePixelRatioF()
            uneven = abs(scale - round(scale)) > 1e-6
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, uneven)
            if uneven and scale > 1:  # first to whole squares, whose edges alone are then smooth
                times = math.ceil(scale)
                picture = picture.scaled(picture.width() * times, picture.height() * times)
            painter.drawImage(target, picture, QRectF(picture.rect()))
            self._paint_marks(painter)
        else:
            painter.setPen(self.palette().color(QPalette.ColorRole.PlaceholderText))
            where = self.rect().adjusted(12, 12, -12, -12)
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(where, flags, self._placeholder)
        painter.end()

    def _paint_marks(self, painter: QPainter) -> None:
        """The frame around the marked image, and the lens over the one under the pointer."""
        assert self._images is not None
        assert self._picture is not None
        count = len(self._images)
        if 0 <= self._marked < count:
            painter.setPen(QPen(QColor("#E69F00"), 2))
            painter.drawRect(self.cell(self._marked))
        height, width = self._images.shape[1:3]
        if not 0 <= self._lens < count or self.scale() >= LENS:
            return
        row, column = divmod(self._lens, self._columns)
        source = QRectF(column * (width + 1), row * (height + 1), width, height)
        factor = min(LENS, self.width() / width, self.height() / height)
        lens = QRectF(0, 0, width * factor, height * factor)
        lens.moveCenter(self.cell(self._lens).center())
        lens.moveLeft(min(max(0.0, lens.left()), self.width() - lens.width()))
        lens.moveTop(min(max(0.0, lens.top()), self.height() - lens.height()))
        painter.drawImage(lens, self._picture, source)
        painter.setPen(QPen(QColor("#E69F00"), 2))
        painter.drawRect(lens.adjusted(1, 1, -1, -1))
