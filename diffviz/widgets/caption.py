"""Text that changes as fast as a slider is dragged.

A QLabel asks with each text that the whole window be laid out and painted anew, some 10 ms; these
ask only when they need more room.
"""

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget


class Caption(QLabel):
    """A line as wide as the widest it has said. Of fixed size, which is what keeps a label still.

    Text is plain unless it holds HTML.
    """

    def __init__(self, object_name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent, objectName=object_name)
        self._fit()

    def setText(self, text: str) -> None:
        super().setText(text)
        self._fit()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._fit()

    def _fit(self) -> None:
        hint = self.sizeHint()
        self.setFixedSize(max(hint.width(), self.minimumWidth()), hint.height())


class Words(QWidget):
    """Words that take the width there is, and as many lines as they have needed at that width."""

    def __init__(self, object_name: str, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # In no layout: the label's wishes reach this widget, and end here.
        self.label = QLabel(text, self, objectName=object_name, wordWrap=True)
        self.label.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def text(self) -> str:
        """What it says."""
        said: str = self.label.text()
        return said

    def setText(self, text: str) -> None:
        """Say that instead, plain unless it holds HTML."""
        if text != self.label.text():
            self.label.setText(text)
            self._fit()

    def setToolTip(self, text: str) -> None:
        if text != self.toolTip():
            super().setToolTip(text)

    def sizeHint(self) -> QSize:
        return QSize(0, max(self.label.heightForWidth(max(1, self.width())), 0))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self.setMinimumHeight(0)
        self._fit()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._fit()

    def _fit(self) -> None:
        self.label.resize(self.size())
        if (height := self.sizeHint().height()) > self.minimumHeight():
            self.setFixedHeight(height)
