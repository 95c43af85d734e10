"""What a widget shows, as lines."""

from collections.abc import Callable

from PySide6.QtCore import QBuffer, QIODevice, QRect
from PySide6.QtGui import QPixmap
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QWidget

from diffviz.export import Shown
from diffviz.widgets.plot import Plot


def settle(widget: QWidget) -> QPixmap:
    """Bring the plots up to date that are seen in the widget, and grab it."""
    inside = widget.findChildren(Plot)
    for plot in [widget] if isinstance(widget, Plot) else inside:
        if plot.isVisibleTo(widget):
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
    widget.render(generator)
    drawn = bytes(buffer.data().data())
    return lambda: drawn
