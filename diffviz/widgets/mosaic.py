"""A grid of small images, with every pixel visible."""

import math

import numpy as np
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QImage, QPainter, QPaintEvent, QPalette
from PySide6.QtWidgets import QSizePolicy, QWidget


def compose(images: np.ndarray, gap: int = 1, background: int = 40) -> np.ndarray:
    """Lay uint8 images, (N, H, W) or (N, H, W, 3), row by row in a near-square grid.

    `gap` pixels of grey level `background` lie between them; cells left over have it too.
    """
    if images.dtype != np.uint8 or not (
        images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)
    ):
        raise ValueError(f"cannot show {images.dtype} images of shape {images.shape}")
    if 0 in images.shape:
        raise ValueError("there are no images to lay out")
    count, height, width = images.shape[:3]
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    size = (rows * (height + gap) - gap, columns * (width + gap) - gap)
    grid = np.full((*size, *images.shape[3:]), background, np.uint8)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        top, left = row * (height + gap), column * (width + gap)
        grid[top : top + height, left : left + width] = image
    return grid


class Mosaic(QWidget):
    """Shows images side by side, enlarged without smoothing; a caption where there are none."""

    def __init__(self, placeholder: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._placeholder = placeholder
        self._images: np.ndarray | None = None
        self._grid: np.ndarray | None = None  # the memory that _picture looks at: keep both
        self._picture: QImage | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    @property
    def images(self) -> np.ndarray | None:
        """The images shown, or None."""
        return self._images

    def image_array(self) -> np.ndarray | None:
        """The grid as it is shown, at its own size, or None."""
        return self._grid

    def set_placeholder(self, text: str) -> None:
        """Set what to say while there are no images."""
        self._placeholder = text
        self.update()

    def show_images(self, images: np.ndarray | None) -> None:
        """Show `images`, uint8 (N, H, W) or (N, H, W, 3); None or an empty array clears."""
        if images is None or len(images) == 0:
            self._images = self._picture = self._grid = None
        else:
            grid = compose(images)
            height, width = grid.shape[:2]
            grey = grid.ndim == 2
            pixels = QImage.Format.Format_Grayscale8 if grey else QImage.Format.Format_RGB888
            self._picture = QImage(grid.data, width, height, grid.strides[0], pixels)
            self._images, self._grid = images, grid
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(320, 320)

    def minimumSizeHint(self) -> QSize:
        return QSize(96, 96)

    def target(self) -> QRectF:
        """Where the grid is painted: centred, and from twofold on a whole number of times larger.

        The scale counts device pixels, so that every image pixel is equally large on the screen.
        """
        if self._picture is None:
            return QRectF()
        ratio = self.devicePixelRatioF()
        width, height = self._picture.width(), self._picture.height()
        scale = min(self.width() * ratio / width, self.height() * ratio / height)
        if scale >= 2:
            scale = math.floor(scale)
        left = math.floor((self.width() * ratio - width * scale) / 2)
        top = math.floor((self.height() * ratio - height * scale) / 2)
        return QRectF(left / ratio, top / ratio, width * scale / ratio, height * scale / ratio)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        if self._picture is not None:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
            painter.drawImage(self.target(), self._picture, QRectF(self._picture.rect()))
        else:
            painter.setPen(self.palette().color(QPalette.ColorRole.PlaceholderText))
            where = self.rect().adjusted(12, 12, -12, -12)
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(where, flags, self._placeholder)
        painter.end()
