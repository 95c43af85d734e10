"""One cell of the grid: pictures with a line below, or a number on a colour."""

import numpy as np
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPalette
from PySide6.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from diffviz.widgets.mosaic import Mosaic
from diffviz.widgets.themed import ramp

LEAST = 64


class Pane(Mosaic):
    """A mosaic, over which a number on a colour may lie."""

    value: tuple[str, float] | None = None  # what is written, and its place on the colours' scale

    def minimumSizeHint(self) -> QSize:
        return QSize(LEAST, LEAST)

    def sizeHint(self) -> QSize:
        return self.minimumSizeHint()  # the grid is as large as the room for it

    def show_value(self, value: tuple[str, float] | None) -> None:
        if value != self.value:
            self.value = value
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        if self.value is None:
            super().paintEvent(event)
            return
        words, share = self.value
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(*ramp(self.palette())[round(255 * share)].tolist()))
        painter.setPen(self.palette().color(QPalette.ColorRole.Text))
        font = painter.font()
        font.setPointSizeF(1.25 * font.pointSizeF())
        painter.setFont(font)
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, words)
        painter.end()


class Cell(QWidget):
    """A pane and its caption."""

    def __init__(self, row: int, column: int) -> None:
        super().__init__()
        self.view = Pane()
        self.view.setObjectName(f"gridCell{row}x{column}View")
        self.caption = QLabel()
        self.caption.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.caption.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(1, 1, 1, 1)
        layout.setSpacing(1)
        layout.addWidget(self.view, 1)
        layout.addWidget(self.caption)

    def show_cell(
        self,
        images: np.ndarray | None,
        placeholder: str,
        value: tuple[str, float] | None,
        caption: str,
        tip: str,
    ) -> None:
        """Images or a placeholder, unless a `value` lies over them; a line below; a tooltip."""
        self.view.set_placeholder(placeholder)
        if self.view.images is not images:
            self.view.show_images(images)
        self.view.show_value(value)
        self.caption.setText(caption)
        self.setToolTip(tip)
