"""A widget whose plot is made late."""

from typing import Any

from PySide6.QtCore import QEvent, Qt, QTimer
from PySide6.QtGui import QPaintEvent, QPalette
from PySide6.QtWidgets import QGridLayout, QLabel, QWidget

WAIT_MS = 30


def placeholder_label(text: str) -> QLabel:
    """What a plot says while it has nothing to show; it lies over the plot, within the axes."""
    label = QLabel(text)
    label.setAlignment(Qt.AlignmentFlag.AlignCenter)
    label.setWordWrap(True)
    label.setContentsMargins(56, 24, 16, 40)
    label.setForegroundRole(QPalette.ColorRole.PlaceholderText)
    label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
    return label


class LatePlot(QWidget):
    """Holds a pyqtgraph plot that is made once the widget has been painted, or is asked for.

    Importing pyqtgraph takes half a second, which the first sight of a window need not wait for,
    nor anything else while the window has the property "loading". Until then, and while there is
    nothing to plot, the placeholder shows.
    """

    def __init__(
        self, object_name: str, title: str, placeholder: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName(object_name)
        self.setAccessibleName(title)
        self._plot: Any = None
        self._asked = False
        self._empty = placeholder_label(placeholder)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._empty, 0, 0)

    @property
    def plot(self) -> Any:
        """The pyqtgraph.PlotWidget, made now unless it is there."""
        if self._plot is None:
            self._plot = self.make_plot()
            layout = self.layout()
            assert isinstance(layout, QGridLayout)
            layout.addWidget(self._plot, 0, 0)
            self._plot.show()  # Qt itself would only do so at the event loop's next turn
            layout.activate()
            self._empty.raise_()
            self.apply_palette()
            self.redraw()
        return self._plot

    @property
    def made(self) -> bool:
        """Whether there is a plot to draw on yet."""
        return self._plot is not None

    @property
    def awaited(self) -> bool:
        """Whether the widget can be seen and its plot is not made yet."""
        return self._plot is None and self.isVisible()

    def make_plot(self) -> Any:
        """The new PlotWidget, with everything in it that never changes."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Bring the picture up to date, if it is made."""
        raise NotImplementedError

    def apply_palette(self) -> None:
        """Take the colours from the palette, if the plot is made."""
        raise NotImplementedError

    def hasHeightForWidth(self) -> bool:
        return False  # the placeholder wraps, but a plot asks for no height by its width

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._asked:
            self._asked = True
            QTimer.singleShot(0, self, self._make_in_time)

    def _make_in_time(self) -> None:
        if self.window().property("loading"):
            QTimer.singleShot(WAIT_MS, self, self._make_in_time)
        else:
            _ = self.plot

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        # Qt may send this before the constructor has got as far as the plot.
        if event.type() == QEvent.Type.PaletteChange and getattr(self, "_plot", None) is not None:
            self.apply_palette()
