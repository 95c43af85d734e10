"""What every plot is: made late, in the palette's colours, with a few words while it is empty."""

from typing import Any, ClassVar

from PySide6.QtCore import QEvent, Qt, QTimer
from PySide6.QtGui import QColor, QImage, QPaintEvent, QPalette
from PySide6.QtWidgets import QGraphicsItem, QGridLayout, QLabel, QWidget

SIDES = "left", "bottom", "top", "right"
WAIT_MS = 10
GRID = 51  # how opaque grid lines are, of 255


def dress(axis: Any, text: QColor, label: str = "") -> None:
    """Draw the axis and its label in that colour; its numbers are the values, never in thousands.

    pyqtgraph rescales a labelled axis whose values are below 1 each time it is told not to, unless
    there are no ranges to do it in.
    """
    axis.setPen(text)
    axis.setTextPen(text)
    axis.enableAutoSIPrefix(False)
    if label:
        axis.setLabel(label, color=text.name(), siPrefixEnableRanges=())


class Plot(QWidget):
    """Holds a pyqtgraph plot that is made once the widget has been painted, or is asked for.

    Importing pyqtgraph takes half a second, which the first sight of a window need not wait for,
    nor anything else while the window has the property "loading". Until then, and while there is
    nothing to plot, the placeholder shows. A subclass says what is in the plot by `build`, what
    that looks like by `recolour`, and brings it up to date by `redraw`.
    """

    turn_taken: ClassVar[bool] = False  # whether a plot was made in this turn of the event loop
    live = False  # whether many points come, among which the user may pan and zoom

    def __init__(
        self,
        object_name: str,
        title: str,
        labels: dict[str, str] | None = None,
        placeholder: str = "",
        heading: str = "",
        parent: QWidget | None = None,
    ) -> None:
        """`title` is for screen readers, `heading` stands above; `labels` name axes by side."""
        super().__init__(parent)
        self.setObjectName(object_name)
        self.setAccessibleName(title)
        self.labels, self.heading = dict(labels or {}), heading
        self._plot: Any = None
        self._asked = False
        self._empty = QLabel(placeholder)  # over the plot, within the axes
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setWordWrap(True)
        self._empty.setContentsMargins(16, 24, 16, 16)
        self._empty.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self._empty.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._empty, 0, 0)

    @property
    def plot(self) -> Any:
        """The pyqtgraph.PlotWidget, made now unless it is there."""
        if self._plot is None:
            plot = self.canvas()
            item = plot.getPlotItem()
            if self.live:
                item.setDownsampling(auto=True, mode="peak")
                item.setClipToView(True)
                item.showGrid(x=True, y=True, alpha=GRID / 255)
            else:
                item.hideButtons()
                item.setMouseEnabled(x=False, y=False)
            self.build(item)
            self._plot = plot
            self._axes = [side for side in SIDES if item.getAxis(side).isVisible()]
            layout = self.layout()
            assert isinstance(layout, QGridLayout)
            layout.addWidget(plot, 0, 0)
            plot.show()  # Qt itself would only do so at the event loop's next turn
            layout.activate()
            self._empty.raise_()
            self.apply_palette()
            self.redraw()
        return self._plot

    @property
    def item(self) -> Any:
        """The pyqtgraph.PlotItem, made now unless it is there."""
        return self.plot.getPlotItem()

    @property
    def made(self) -> bool:
        """Whether there is a plot to draw on yet."""
        return self._plot is not None

    @property
    def awaited(self) -> bool:
        """Whether the widget can be seen and its plot is not made yet."""
        return self._plot is None and self.isVisible()

    def canvas(self) -> Any:
        """A new PlotWidget."""
        import pyqtgraph as pg

        return pg.PlotWidget(enableMenu=False)

    def build(self, item: Any) -> None:
        """Put into the new PlotItem everything that never changes."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Bring the picture up to date, if it is made."""

    def recolour(self, palette: QPalette) -> None:
        """Give what `build` made its colours."""

    def apply_palette(self) -> None:
        """Take all colours from the palette, so that the plot suits dark and light themes."""
        if self._plot is None:
            return
        palette, item = self.palette(), self.item
        text = palette.color(QPalette.ColorRole.Text)
        self._plot.setBackground(palette.color(QPalette.ColorRole.Base))
        item.setTitle(self.heading or None, color=text.name(), size="10pt")
        for side in SIDES:
            dress(item.getAxis(side), text, self.labels.get(side, ""))
        self.keep_axes(True)
        self.recolour(palette)

    def keep_axes(self, on: bool) -> None:
        """Draw each axis with its grid once, as pixels, not whenever a line over it moves."""
        modes = QGraphicsItem.CacheMode
        for side in SIDES:
            self.item.getAxis(side).setCacheMode(
                modes.DeviceCoordinateCache if on else modes.NoCache
            )

    def show_empty(self, empty: bool) -> None:
        """Say that there is nothing to plot, without axes to nothing; or that there is."""
        self._empty.setVisible(empty)
        if self.made:
            for side in self._axes:
                if self.item.getAxis(side).isVisible() == empty:
                    self.item.showAxis(side, not empty)

    def set_placeholder(self, text: str) -> None:
        """Set what to say while there is nothing to plot."""
        self._empty.setText(text)

    def picture(self) -> QImage:
        """What the widget shows, up to date."""
        self.plot.repaint()  # made, if nobody has looked yet
        self.redraw()
        return self.grab().toImage()

    def hasHeightForWidth(self) -> bool:
        return False  # the placeholder wraps, but a plot asks for no height by its width

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._asked:
            self._asked = True
            QTimer.singleShot(0, self, self._make_in_time)

    def _make_in_time(self) -> None:
        """Make the plot, unless the window has other work to do first: one plot a turn."""
        if self.window().property("loading") or Plot.turn_taken:
            QTimer.singleShot(WAIT_MS, self, self._make_in_time)
        elif self._plot is None:
            Plot.turn_taken = True
            QTimer.singleShot(1, Plot._end_turn)
            _ = self.plot

    @staticmethod
    def _end_turn() -> None:
        Plot.turn_taken = False

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        # Qt may send this before the constructor has got as far as the plot.
        if event.type() == QEvent.Type.PaletteChange and getattr(self, "_plot", None) is not None:
            self.apply_palette()
