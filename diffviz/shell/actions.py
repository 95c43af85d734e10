"""An action is told once: menus, keys and tips follow from it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMainWindow, QMenu


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
