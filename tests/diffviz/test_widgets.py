"""The reusable pieces of the desktop app, each driven on its own."""

import sys

import pytest
from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QApplication, QLabel, QVBoxLayout, QWidget

from diffviz.widgets.caption import Caption, Words


@pytest.mark.parametrize("value", [None, True, False])
def test_qt_keeps_the_references_of_pythons_constants(qtbot, value):
    """A binding that drops them kills the program after some ten thousand calls."""
    label = QLabel()
    qtbot.addWidget(label)
    before = sys.getrefcount(value)
    for _ in range(1000):
        label.setText("a")
        label.isEnabled()
        label.isHidden()
    assert sys.getrefcount(value) > before - 500


@pytest.mark.parametrize("kind", [Caption, Words])
def test_words_that_change_have_nothing_laid_out_anew_until_they_need_room(qtbot, kind):
    window, words = QWidget(), kind("words")
    column = QVBoxLayout(window)
    column.addWidget(words)
    column.addWidget(QLabel("below"))
    window.resize(200, 200)
    qtbot.addWidget(window)
    window.show()
    words.setText("t = 0.500")
    qtbot.waitUntil(lambda: words.height() > 0 and words.width() > 0)
    QApplication.processEvents()
    asked = []

    class Watch(QObject):
        def eventFilter(self, _, event):
            if event.type() == QEvent.Type.LayoutRequest:
                asked.append(event)
            return False

    watch = Watch()
    window.installEventFilter(watch)
    for k in range(5):
        words.setText(f"t = 0.{k}00")
        QApplication.processEvents()
    assert not asked
    long = "as wide as it needs, or in several lines " * (1 if kind is Caption else 5)
    words.setText(long)
    qtbot.waitUntil(lambda: bool(asked))
    assert words.text() == long
    if kind is Caption:
        assert words.width() == words.sizeHint().width()
    else:
        assert words.height() == words.label.heightForWidth(
            200 - 2 * column.contentsMargins().left()
        )
