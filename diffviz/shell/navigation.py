"""Where the views are found: a strip of groups, the tabs of the open one, and its question."""

from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QAction, QKeySequence, QResizeEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMenuBar,
    QTabBar,
    QTabWidget,
    QToolButton,
    QWidget,
)

from diffviz.views import GROUPS
from trainer.catalogue import Entry

GAP = 24  # pixels at least between the last tab and the question


class Stage(QTabWidget):
    """All views as tabs, of which those of one group can be seen; `top` has the groups.

    Whatever sets the current view opens its group, and a group opens the view last seen in it.
    """

    def __init__(self) -> None:
        super().__init__(objectName="stageTabs", documentMode=True)
        self.entries: list[Entry] = []  # by tab
        self.last: dict[str, int] = {}  # the tab that was last seen of each group
        self.tabBar().setDrawBase(False)
        self.tabBar().setAccessibleName("Views of this group")
        self.question = QLabel(self, objectName="questionLabel")
        self.question.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.explanation = QLabel(self, objectName="explanationLabel", visible=False)
        self.explanation.setWordWrap(True)
        self.explanation.setTextFormat(Qt.TextFormat.RichText)
        self.explanation.setAutoFillBackground(True)
        self.explanation.setMargin(16)
        self.top = QWidget(objectName="topStrip")
        self.groups = QTabBar(self.top, objectName="groupTabs")
        self.groups.setDrawBase(False)
        self.groups.setExpanding(False)
        self.groups.setAccessibleName("Groups of views")
        for k, (name, tip) in enumerate(GROUPS.items()):
            self.groups.addTab(name)
            self.groups.setTabToolTip(k, f"{tip} (Ctrl+{k + 1})")
            self.groups.setTabEnabled(k, False)  # until its first view comes
        self.find_button = QToolButton(self.top, objectName="findButton")
        row = QHBoxLayout(self.top)
        row.setContentsMargins(0, 0, 9, 0)
        row.addWidget(self.groups, 1)
        row.addWidget(self.find_button)
        self.currentChanged.connect(self._follow)
        self.groups.currentChanged.connect(self.open_group)

    def offer(self, find: QAction) -> None:
        """Let the button at the right of the strip do that, and say its keys."""
        keys = find.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
        find.setIconText(f"Find…    {keys}")
        self.find_button.setDefaultAction(find)

    def add(self, view: QWidget, entry: Entry) -> None:
        """Make the view a tab of its group; of the last group where it names none."""
        self.entries.append(entry)
        number = self.addTab(view, entry.title)
        self.setTabToolTip(number, entry.tip)
        self.groups.setTabEnabled(self.group_of(entry), True)
        self._follow(self.currentIndex())

    @staticmethod
    def group_of(entry: Entry) -> int:
        """The place of its group, or of the last group where it names none that there is."""
        names = list(GROUPS)
        return names.index(entry.group) if entry.group in names else len(names) - 1

    def _group(self, number: int) -> int:
        """The group that the tab of that number stands in."""
        return self.group_of(self.entries[number])

    def open_group(self, group: int) -> None:
        """Show the view that was last seen of the group, or else its first; none may be there."""
        there = [k for k in range(self.count()) if self._group(k) == group]
        if there and self._group(self.currentIndex()) != group:
            self.setCurrentIndex(self.last.get(list(GROUPS)[group], there[0]))

    def _follow(self, number: int) -> None:
        """Show the tabs beside the current one, and no others, and what its view answers."""
        if not 0 <= number < len(self.entries):
            return
        group = self._group(number)
        self.last[list(GROUPS)[group]] = number
        # The current tab first: Qt leaves it for the first that is shown while it is hidden.
        for k in sorted(
            range(len(self.entries)), key=lambda k: (self._group(k) != group, k != number)
        ):
            self.setTabVisible(k, self._group(k) == group)
        self.groups.setCurrentIndex(group)
        self._place()

    def _place(self) -> None:
        """Put the question into the room that the tabs leave, as much of it as fits there."""
        bar = self.tabBar()
        left = GAP + max((bar.tabRect(k).right() for k in range(self.count())), default=0)
        room = self.width() - left - 9
        self.question.setGeometry(left, 0, max(room, 0), bar.height())
        tip = self.entries[self.currentIndex()].tip if self.entries else ""
        width = self.question.fontMetrics().horizontalAdvance
        short = tip.partition("?")[0] + "?"
        fits = next((text for text in (tip, short) if width(text) <= room), "")
        self.question.setText(fits)
        self.question.setToolTip(tip)
        self.explain(self.explanation.isVisible())

    def explain(self, shown: bool) -> None:
        """Lay the explanation of the current view over it, or take it away."""
        self.explanation.setVisible(shown)
        self.explanation.setText(getattr(self.currentWidget(), "explanation", ""))
        width = min(560, self.width() - 40)
        height = self.explanation.heightForWidth(width)
        top = self.tabBar().height() + 12
        self.explanation.setGeometry(self.width() - width - 20, top, width, height)
        self.explanation.raise_()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place()
        if isinstance(bar := self.top.parentWidget(), QMenuBar):  # it begins where the stage does
            menus = max(bar.actionGeometry(action).right() for action in bar.actions())
            left = max(self.mapTo(self.window(), QPoint(0, 0)).x(), menus + GAP)
            self.top.setGeometry(left, 0, bar.width() - left, bar.height())

    def turn(self, by: int) -> None:
        """Go to the next view (1) or the one before (-1) of the group, around its ends."""
        there = [k for k in range(self.count()) if self.isTabVisible(k)]
        self.setCurrentIndex(there[(there.index(self.currentIndex()) + by) % len(there)])
