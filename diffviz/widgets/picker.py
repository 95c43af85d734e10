"""A mosaic whose images carry notes and can be selected."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPalette, QPen
from PySide6.QtWidgets import QWidget

from diffviz.widgets.mosaic import Mosaic

TAG = QColor(0, 0, 0, 150)
LEAST_CELL = 26  # of narrower images the notes would cover too much
SHARE = 0.7  # of an image's width that its note may take


@dataclass(frozen=True)
class Note:
    """A few characters in an image's corner, and its frame's colour ("" for none)."""

    text: str
    frame: str = ""


class Picker(Mosaic):
    """Click selects one image, Ctrl adds or takes away, Shift selects all between; so do keys."""

    selectionChanged = Signal()  # noqa: N815 - Qt's own name for it

    def __init__(self, placeholder: str = "", parent: QWidget | None = None) -> None:
        super().__init__(placeholder, parent)
        self._notes: list[Note] = []
        self._selected: set[int] = set()
        self._anchor = 0  # where a Shift-click's range begins
        self._at = 0  # where the keys are
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    @property
    def selected(self) -> list[int]:
        """The indices of the selected images, ascending."""
        return sorted(self._selected)

    def select(self, indices: Iterable[int]) -> None:
        """Select just these images, as far as they are there."""
        count = 0 if self.images is None else len(self.images)
        chosen = {index for index in indices if 0 <= index < count}
        if chosen != self._selected:
            self._selected = chosen
            self.update()
            self.selectionChanged.emit()

    @property
    def notes(self) -> list[Note]:
        """What is written on the images."""
        return self._notes

    def show_notes(self, notes: list[Note]) -> None:
        """Write these on the first images, one each."""
        self._notes = notes
        self.update()

    def show_images(self, images: np.ndarray | None, columns: int | None = None) -> None:
        super().show_images(images, columns)
        self.select(self._selected)

    def _pick(self, index: int, modifiers: Qt.KeyboardModifier) -> None:
        self._at = index
        if modifiers & Qt.KeyboardModifier.ShiftModifier:
            low, high = sorted((self._anchor, index))
            self.select(range(low, high + 1))
            return
        self._anchor = index
        if modifiers & Qt.KeyboardModifier.ControlModifier:
            self.select(self._selected ^ {index})
        else:
            self.select({index})

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            return
        index = self.index_at(event.position())
        if index >= 0:
            self._pick(index, event.modifiers())
        else:
            self.select(())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        moves = {
            Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1,
            Qt.Key.Key_Up: -self._columns, Qt.Key.Key_Down: self._columns,
        }  # fmt: skip
        count = 0 if self.images is None else len(self.images)
        move = moves.get(Qt.Key(event.key()))
        if move is not None and count:
            kept = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
            if 0 <= self._at + move < count:
                self._pick(self._at + move, kept)
        elif event.key() == Qt.Key.Key_Escape:
            self.select(())
        elif (
            event.key() == Qt.Key.Key_A and event.modifiers() & Qt.KeyboardModifier.ControlModifier
        ):
            self.select(range(count))
        else:
            super().keyPressEvent(event)

    def _paint_marks(self, painter: QPainter) -> None:
        assert self._images is not None
        font = painter.font()
        width = self.cell(0).width()
        font.setPixelSize(int(min(13, max(9, width / 5))))
        painter.setFont(font)
        for index, note in enumerate(self._notes[: len(self._images)]):
            cell = self.cell(index)
            if note.frame:
                painter.setPen(QPen(QColor(note.frame), 2))
                painter.drawRect(cell.adjusted(1, 1, -1, -1))
            if width >= LEAST_CELL:
                self._paint_text(painter, cell, note.text)
        painter.setPen(QPen(self.palette().color(QPalette.ColorRole.Highlight), 4))
        for index in self._selected:
            painter.drawRect(self.cell(index))
        super()._paint_marks(painter)

    def _paint_text(self, painter: QPainter, cell: QRectF, text: str) -> None:
        """In the lower left corner; only the first word where the whole does not fit."""
        measure = painter.fontMetrics().horizontalAdvance
        if measure(text) + 6 > SHARE * cell.width():
            text = text.split()[0] if text else ""
        height = painter.fontMetrics().height()
        tag = QRectF(0, 0, measure(text) + 6, height)
        tag.moveBottomLeft(cell.bottomLeft())
        painter.fillRect(tag, TAG)
        painter.setPen(QColor("white"))
        painter.drawText(tag, Qt.AlignmentFlag.AlignCenter, text)
