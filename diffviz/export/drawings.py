"""What a widget shows, as lines."""

from collections.abc import Callable

from PySide6.QtCore import QBuffer, QIODevice, QRect
from PySide6.QtGui import QPixmap
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QWidget

from diffviz.export import Shown
from diffviz.widgets.plot import Plot


def plots_in(widget: QWidget) -> list[Plot]:
    """The plots that are seen in the widget, or it itself."""
    found = [widget] if isinstance(widget, Plot) else widget.findChildren(Plot)
    return [plot for plot in found if plot.isVisibleTo(widget)]


def settle(widget: QWidget) -> QPixmap:
    """Bring the plots up to date that are seen in the widget, and grab it."""
    for plot in plots_in(widget):
        plot.plot.repaint()  # made, if nobody has looked yet
        plot.redraw()
    return widget.grab()


def svg(shown: Shown) -> Callable[[], bytes]:
    """The widget, drawn; the settings are the description."""
    widget = shown.widget
    assert widget is not None
    settle(widget)  # lays out and fits what was never painted
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    generator = QSvgGenerator()
    generator.setOutputDevice(buffer)
    generator.setSize(widget.size())
    generator.setViewBox(QRect(0, 0, widget.width(), widget.height()))
    generator.setTitle(widget.accessibleName())
    generator.setDescription(shown.comment)
    for plot in plots_in(widget):
        plot.keep_axes(False)  # as pixels
    widget.render(generator)
    for plot in plots_in(widget):
        plot.keep_axes(True)
    drawn = bytes(buffer.data().data())
    return lambda: drawn
