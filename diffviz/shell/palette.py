"""The palette: type a few letters of a view or a command, press Enter."""

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QAction, QBrush, QKeyEvent, QPalette
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QHeaderView,
    QLineEdit,
    QMainWindow,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
)

WIDTH, HEIGHT = 760, 460


def actions_of(window: QMainWindow) -> list[QAction]:
    """All that the window's menus offer now: the views first."""
    found = [
        action
        for action in window.findChildren(QAction)
        if action.objectName() and action.text() and action.isEnabled() and not action.menu()
    ]
    return sorted(found, key=lambda action: not action.objectName().startswith("show"))


class Palette(QDialog):
    """A line to type in, and below it each view with its question and each command."""

    def __init__(self, window: QMainWindow) -> None:
        super().__init__(window, Qt.WindowType.Popup, objectName="palette")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setAccessibleName("Find a view or a command")
        self.line = QLineEdit(objectName="paletteLine", placeholderText="Find a view or a command")
        self.line.setClearButtonEnabled(True)
        self.list = QTreeWidget(objectName="paletteList", rootIsDecorated=False)
        self.list.setAccessibleName("Views and commands")
        self.list.setHeaderHidden(True)
        self.list.setColumnCount(3)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the keys stay with the line
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.items: list[QTreeWidgetItem] = []
        muted = QBrush(self.palette().color(QPalette.ColorRole.PlaceholderText))
        self.choices = actions_of(window)
        for action in self.choices:
            keys = action.shortcut().toString()
            words = [action.text().replace("&", ""), action.statusTip(), keys]
            item = QTreeWidgetItem(self.list, words)
            self.items.append(item)
            item.setForeground(1, muted)
            item.setForeground(2, muted)
            item.setTextAlignment(2, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        header = self.list.header()
        header.setStretchLastSection(False)
        for column, mode in enumerate(
            (
                QHeaderView.ResizeMode.ResizeToContents,
                QHeaderView.ResizeMode.Stretch,
                QHeaderView.ResizeMode.ResizeToContents,
            )
        ):
            header.setSectionResizeMode(column, mode)
        layout = QVBoxLayout(self)
        layout.addWidget(self.line)
        layout.addWidget(self.list)
        self.line.textChanged.connect(self._narrow)
        self.line.installEventFilter(self)
        self.list.itemClicked.connect(self._run)
        self.setGeometry(window.x() + (window.width() - WIDTH) // 2, window.y() + 60, WIDTH, HEIGHT)
        self._narrow("")

    def _narrow(self, text: str) -> None:
        """Leave what has all the words that were typed; mark the first."""
        for item in self.items:
            said = f"{item.text(0)} {item.text(1)}".lower()
            item.setHidden(not all(word in said for word in text.lower().split()))
        self._mark(next((item for item in self.items if not item.isHidden()), None))

    def _mark(self, item: QTreeWidgetItem | None) -> None:
        if item is not None:
            self.list.setCurrentItem(item)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Up and down go through the list while the line has the focus; Enter runs."""
        at = self.list.currentItem()
        if (
            at is not None and isinstance(event, QKeyEvent)
            and event.type() == QEvent.Type.KeyPress
        ):  # fmt: skip
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._run(at)
                return True
            if event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down):
                up = event.key() == Qt.Key.Key_Up
                self._mark(self.list.itemAbove(at) if up else self.list.itemBelow(at))
                return True
        return super().eventFilter(watched, event)

    def _run(self, item: QTreeWidgetItem) -> None:
        """Do what the row says, once this is gone."""
        if not item.isHidden():
            action = self.choices[self.items.index(item)]
            self.close()
            action.trigger()
