"""An action is told once: menus, keys and tips follow from it. What is said of one is a dialog."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMainWindow, QMenu, QMessageBox


@dataclass(frozen=True)
class Action:
    """An entry of a menu: its object's name, its text, its keys, what it does, more about it."""

    name: str
    text: str
    keys: str
    run: Callable[[], object]
    tip: str = ""


def add_action(
    window: QMainWindow, menu: QMenu, action: Action, before: QAction | None = None
) -> QAction:
    """Put an action into a menu of the window, at its end unless `before` is given."""
    made: QAction = QAction(action.text, window, objectName=action.name)
    made.setShortcut(QKeySequence(action.keys))
    made.triggered.connect(lambda: action.run())
    made.setStatusTip(action.tip)
    menu.insertAction(before, made)  # type: ignore[arg-type]  # None: at the end
    return made


def make_menus(
    window: QMainWindow, table: Mapping[str, Sequence[Action | None]]
) -> dict[str, QMenu]:
    """A menu for each title, in the window's bar; None is a line between entries."""
    menus = {}
    for title, entries in table.items():
        menus[title] = menu = window.menuBar().addMenu(title)
        for entry in entries:
            if entry is None:
                menu.addSeparator()
            else:
                add_action(window, menu, entry)
    return menus


def dialog(window: QMainWindow, icon: QMessageBox.Icon, text: str, name: str) -> QMessageBox:
    """A dialog that does not stop the rest, yet to be opened; `name` is its object's."""
    box: QMessageBox = QMessageBox(icon, "DiffViz", text, parent=window, objectName=name)
    box.setTextFormat(Qt.TextFormat.PlainText)  # whatever a file has put into the sentence
    box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    return box
