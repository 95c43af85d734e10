"""Many views: groups, tabs, the palette, and what the keys do."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QTabBar, QToolButton

from diffviz.shell.palette import Palette
from diffviz.views import GROUPS, VIEWS


def seen(window):
    stage = window.stage
    return [stage.tabText(k) for k in range(stage.count()) if stage.isTabVisible(k)]


def titles(group):
    return [entry.title for entry in VIEWS.values() if entry.group == group]


def press_tab(qtbot, bar, text):
    place = next(k for k in range(bar.count()) if bar.tabText(k) == text)
    qtbot.mouseClick(bar, Qt.MouseButton.LeftButton, pos=bar.tabRect(place).center())


def test_every_view_stands_in_a_group_and_answers_a_question():
    assert {entry.group for entry in VIEWS.values()} == set(GROUPS)
    assert all("?" in entry.tip for entry in VIEWS.values())


def test_a_group_shows_its_own_tabs_and_returns_to_the_view_last_seen(qtbot, window):
    groups = window.findChild(QTabBar, "groupTabs")
    assert seen(window) == titles("Draw")
    press_tab(qtbot, groups, "Understand")
    assert (VIEWS[window.view_id].title, seen(window)) == (seen(window)[0], titles("Understand"))
    press_tab(qtbot, window.stage.tabBar(), "Slice")
    assert window.view_id == "slice"
    press_tab(qtbot, groups, "Teach")
    assert (VIEWS[window.view_id].title, seen(window)) == (seen(window)[0], titles("Teach"))
    press_tab(qtbot, groups, "Understand")
    assert window.view_id == "slice"


def test_whoever_shows_a_view_opens_its_group(window):
    for name, entry in reversed(VIEWS.items()):
        window.stage.setCurrentWidget(window.views[name])
        assert window.view_id == name
        assert window.stage.groups.tabText(window.stage.groups.currentIndex()) == entry.group
        assert entry.title in seen(window)


def test_keys_open_groups_and_turn_through_their_views(qtbot, window):
    window.activateWindow()
    for number, group in enumerate(GROUPS, 1):
        window.findChild(QAction, f"group{number}Action").trigger()
        there = [window.view_id]
        for _ in titles(group):
            window.findChild(QAction, "nextViewAction").trigger()
            there.append(window.view_id)
        assert there[0] == there[-1]
        assert [VIEWS[name].title for name in there[:-1]] == titles(group)
        window.findChild(QAction, "previousViewAction").trigger()
        assert window.view_id == there[-2]


def test_all_tabs_and_the_groups_fit_the_smallest_window(window):
    window.resize(1280, 800)
    assert window.width() == 1280
    bar = window.stage.tabBar()
    for name in VIEWS:
        window.stage.setCurrentWidget(window.views[name])
        last = max(bar.tabRect(k).right() for k in range(bar.count()))
        assert last < bar.width()
        assert not any(button.isVisible() for button in bar.findChildren(QToolButton))
        question = window.stage.question
        assert question.text() in (VIEWS[name].tip, VIEWS[name].tip.partition("?")[0] + "?")
        assert question.x() > last
    strip = window.stage.top
    assert (
        strip.mapTo(window, strip.rect().topLeft()).x()
        == window.stage.mapTo(window, window.stage.rect().topLeft()).x()
    )


def test_the_palette_finds_views_by_their_question_and_commands_by_name(qtbot, window):
    def palette():
        window.findChild(QAction, "findAction").trigger()
        return window.findChild(Palette)

    found = palette()
    QTest.keyClicks(found.line, "coarse fine")
    shown = [item.text(0) for item in found.items if not item.isHidden()]
    assert shown == ["Spectrum"]
    QTest.keyClick(found.line, Qt.Key.Key_Return)
    assert window.view_id == "spectrum"
    qtbot.waitUntil(lambda: window.findChild(Palette) is None)

    found = palette()
    QTest.keyClicks(found.line, "nothing is called so")
    QTest.keyClick(found.line, Qt.Key.Key_Return)  # does nothing
    found.line.clear()
    QTest.keyClicks(found.line, "draw")
    QTest.keyClick(found.line, Qt.Key.Key_Down)
    QTest.keyClick(found.line, Qt.Key.Key_Up)
    found.line.setText("am i seeing")
    QTest.keyClick(found.line, Qt.Key.Key_Return)
    assert window.explain.isChecked()


def test_no_view_makes_the_window_wider_and_the_controls_can_make_room(qtbot, window):
    assert window.minimumSizeHint().width() <= 1280
    window.resize(1280, 800)
    assert all(
        view.minimumSizeHint().width() <= window.stage.width() for view in window.views.values()
    )
    turn = window.findChild(QAction, "sideAction")
    turn.trigger()
    assert not window.training.column.isVisible()
    qtbot.waitUntil(lambda: window.stage.width() == window.width())
    menus = window.menuBar()
    last = menus.actionGeometry(menus.actions()[-1])
    assert window.stage.top.x() > last.right()  # the groups stand beside the menus, not on them
    turn.trigger()
    assert window.training.column.isVisible()
