"""Painting a mask with the mouse and the keyboard."""

import numpy as np
from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication

from diffviz.widgets.mask import MaskPainter

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
PLAIN = Qt.KeyboardModifier.NoModifier


def paint(qtbot, painter, start, end, button=LEFT):
    """Drag the mouse between two places, in image pixels."""
    places = [
        (painter.target().topLeft() + QPointF(*place) * painter.scale()).toPoint()
        for place in (start, end)
    ]
    qtbot.mousePress(painter, button, PLAIN, places[0])
    where = QPointF(places[1])
    move = QMouseEvent(
        QEvent.Type.MouseMove, where, painter.mapToGlobal(where), button, button, PLAIN
    )
    QApplication.sendEvent(painter, move)  # Qt's test moves hold no button
    qtbot.mouseRelease(painter, button, PLAIN, places[1])


def test_painting_with_mouse_and_keys(qtbot):
    painter = MaskPainter()
    qtbot.addWidget(painter)
    painter.resize(200, 200)
    painter.show()
    qtbot.mousePress(painter, LEFT)  # before there is an image
    painter.show_image(np.zeros((20, 20), np.uint8))
    painter.brush = 3
    paint(qtbot, painter, (4.5, 4.5), (15.5, 4.5))
    y, x = np.mgrid[:20, :20]
    line = (np.hypot(np.maximum(0, np.maximum(4 - x, x - 15)), y - 4)) <= 1.5
    assert np.array_equal(painter.masked, line)
    paint(qtbot, painter, (10.5, 4.5), (30.0, 4.5), RIGHT)  # beyond the edge
    assert painter.masked[4, :9].any()
    assert not painter.masked[:, 11:].any()
    shown = painter.grab().toImage()
    at = painter.cell(0).topLeft() + QPointF(5.5, 4.5) * painter.scale()
    assert shown.pixelColor(at.toPoint()).red() > 100  # paint over black
    painter.set_mask(np.zeros((20, 20), bool))
    told = []
    painter.painted.connect(lambda: told.append(painter.masked.sum()))
    painter.brush = 1
    for key in (Qt.Key.Key_Return, Qt.Key.Key_Right, Qt.Key.Key_Return):
        qtbot.keyClick(painter, key)
    assert told == [1, 2]
    qtbot.keyClick(painter, Qt.Key.Key_Backspace)
    assert told == [1, 2, 1]
    painter.show_image(np.zeros((8, 8, 3), np.uint8))
    assert painter.masked.shape == (8, 8)
    assert not painter.masked.any()
