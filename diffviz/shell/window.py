"""The main window: training's controls at the left, the stage of views at the right."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QSettings, Qt, QTimer, QUrl
from PySide6.QtGui import (
    QAction,
    QActionGroup,
    QCloseEvent,
    QDesktopServices,
    QDragEnterEvent,
    QDropEvent,
    QKeyEvent,
    QKeySequence,
    QPaintEvent,
)
from PySide6.QtWidgets import (
    QApplication,
    QMainWindow,
    QMenu,
    QMessageBox,
    QSplitter,
)

from diffviz.controls.form import read_stored, stored
from diffviz.jobs import Job
from diffviz.shell import faults, loading
from diffviz.shell.actions import Action, add_action, dialog, make_menus
from diffviz.shell.files import Files
from diffviz.shell.garbage import Garbage
from diffviz.shell.navigation import Stage
from diffviz.shell.palette import Palette
from diffviz.shell.session import Session
from diffviz.views import FIRST, GROUPS, SIDE, VIEWS, view_of
from diffviz.views.view import View
from diffviz.widgets.plot import Plot
from trainer.problems import Problem

BETWEEN_MS = 1  # makes the next piece wait for a turn of its own: of 0 ms many share one
FIRST_SIGHT_MS = 30  # what the screen needs to show the first frame before work begins
THEMES = {
    "System": Qt.ColorScheme.Unknown,
    "Light": Qt.ColorScheme.Light,
    "Dark": Qt.ColorScheme.Dark,
}


class MainWindow(QMainWindow):
    """Training's controls on the left; on the right the stage, a tab for each view."""

    def __init__(self, home: Path) -> None:
        super().__init__()
        self.session = Session(home, self)
        self.garbage = Garbage(self)
        self.kept = QSettings(str(home / "window.ini"), QSettings.Format.IniFormat)
        self.views: dict[str, View] = {}  # by id, as they come
        self.later = iter([name for name in VIEWS if name not in (SIDE, FIRST)])
        self.jobs: list[Job] = []
        self.ready = False
        self.warming: Job | None = None
        self.plotting: Job | None = None
        self.closed = False  # from then on, nothing begins any more
        self.setProperty("loading", True)  # plots wait for it
        self.setWindowTitle("DiffViz")
        self.setAcceptDrops(True)
        self.resize(1280, 800)
        self.stage = Stage()
        self.explain = QAction("&What am I seeing?", self, objectName="explainAction")
        self.explain.setShortcut("F1")
        self.explain.setCheckable(True)
        self.explain.toggled.connect(self.stage.explain)
        self.session.problem.connect(self.show_problem)
        self.session.message.connect(self.statusBar().showMessage)
        self.files = Files(self)
        menus = make_menus(self, self._actions())
        self._make_themes(menus["&View"].addMenu("&Theme"))
        self._make_navigation(menus["&View"])
        menus["&Help"].insertAction(menus["&Help"].actions()[0], self.explain)
        for name in (FIRST, SIDE):
            self._make(name)
            self._add(name)
        self.split = QSplitter(Qt.Orientation.Horizontal)
        self.split.addWidget(self.training.column)
        self.split.addWidget(self.stage)
        self.training.began.connect(partial(self.stage.setCurrentWidget, self.training))
        self.split.setStretchFactor(1, 1)
        self.split.setSizes([330, 950])
        self.split.setChildrenCollapsible(False)
        self.setCentralWidget(self.split)
        self.trajectories.setFocus()  # which leaves Space to its timeline
        if self.kept.contains("geometry"):
            self.restoreGeometry(self.kept.value("geometry"))
            self.split.restoreState(self.kept.value("split"))
        self._painted = False

    def _actions(self) -> dict[str, list[Action | None]]:
        """The menus' entries. Each view adds its own to View as it comes."""
        files = self.files
        quit_key = QKeySequence(QKeySequence.StandardKey.Quit).toString() or "Ctrl+Q"
        return {
            "&File": [
                Action("openPictureAction", "&Open an exported picture…", "Ctrl+O", files.ask_open),
                Action("pastePictureAction", "&Paste into this view", "Ctrl+V", files.paste),
                Action("exportGridAction", "Export &grid…", "Ctrl+E", files.ask_grid),
                Action("exportAnimationAction", "Export &animation…", "Ctrl+Shift+E",
                       files.ask_animation),
                # Not Ctrl+Alt: on Windows that is AltGr, which types letters.
                Action("exportCurvesAction", "Export training &curves…", "Ctrl+Shift+C",
                       files.ask_curves),
                Action("exportViewAction", "Export this &view…", "Ctrl+Shift+V", files.ask_view),
                Action("exportSettingsAction", "Export &settings…", "", files.ask_settings),
                Action("reportAction", "Make the &report's page…", "", files.make_report),
                None,
                Action("quitAction", "&Quit", quit_key, self.close),
            ],
            "&View": [
                # Space plays too: see keyPressEvent.
                Action("playAction", "&Play or pause", "Ctrl+P", lambda: self.play("play")),
                Action("backAction", "Step &back", "Alt+Left", lambda: self.play("back")),
                Action("forwardAction", "Step &forward", "Alt+Right", lambda: self.play("forward")),
                Action("sideAction", "Hide or show training's &controls", "Ctrl+B", self.turn_side,
                       "A wider stage, as for a class"),
                Action("nextViewAction", "&Next view", "Ctrl+PgDown", partial(self.stage.turn, 1)),
                Action("previousViewAction", "Pre&vious view", "Ctrl+PgUp",
                       partial(self.stage.turn, -1)),
                None,
            ],
            "&Help": [
                Action("copyReportAction", "Copy a &report of this program", "", self.copy_report),
                Action("openLogAction", "Open &log folder", "", self.open_log),
            ],
        }  # fmt: skip

    def _make_themes(self, menu: QMenu) -> None:
        group = QActionGroup(menu)
        chosen = str(self.kept.value("theme", "System"))
        for name, scheme in THEMES.items():
            action = QAction(name, menu, objectName=f"theme{name}Action", checkable=True)
            action.setStatusTip("Theme")
            group.addAction(action)
            menu.addAction(action)
            action.triggered.connect(partial(self._set_theme, name, scheme))
            if name == chosen:
                action.setChecked(True)
                if name != "System":
                    action.trigger()

    def _make_navigation(self, menu: QMenu) -> None:
        """The views' groups beside the menus, a menu for each, and the keys that go through all."""
        bar, stage = self.menuBar(), self.stage
        bar.setNativeMenuBar(False)  # which could have nothing beside it
        stage.top.setParent(bar)
        bar.setMinimumHeight(stage.top.sizeHint().height())
        find = Action("findAction", "&Find a view or command", "Ctrl+K",
                      lambda: Palette(self).show())  # fmt: skip
        stage.offer(add_action(self, menu, find))
        menu.addSeparator()
        self.group_menus = [menu.addMenu(name) for name in GROUPS]
        for k, (name, tip) in enumerate(GROUPS.items()):
            show = Action(f"group{k + 1}Action", f"Open {name}", f"Ctrl+{k + 1}",
                          partial(stage.open_group, k), tip)  # fmt: skip
            add_action(self, self.group_menus[k], show)
            self.group_menus[k].addSeparator()

    def _set_theme(self, name: str, scheme: Qt.ColorScheme) -> None:
        self.kept.setValue("theme", name)
        QApplication.styleHints().setColorScheme(scheme)

    def turn_side(self) -> None:
        """Give the stage the room of training's controls, or take it back."""
        self.training.column.setVisible(self.training.column.isHidden())

    @property
    def training(self) -> Any:
        """The view whose controls stand at the left."""
        return self.views[SIDE]

    @property
    def trajectories(self) -> Any:
        """The first view on the stage."""
        return self.views[FIRST]

    @property
    def view(self) -> View:
        """The view on the stage that can be seen."""
        found = self.stage.currentWidget()
        assert isinstance(found, View)
        return found

    @property
    def view_id(self) -> str:
        """Its id in VIEWS."""
        return next(name for name, view in self.views.items() if view is self.view)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._painted:
            self._painted = True
            QTimer.singleShot(FIRST_SIGHT_MS, self, self._warm_up)

    def _warm_up(self) -> None:
        """Load torch, which takes seconds: once the window can be seen, and not before."""
        if self.isVisible() and not self.closed:
            self.start(loading.read_images)
            self.warming = self.start(partial(loading.warm_up, self.session.home), self._warmed)
            self._grow()

    def _film_awaited(self) -> bool:
        """Whether the first animation is on view and yet to begin: nothing else comes first."""
        return self._kept_view() == FIRST and (
            self.warming in self.jobs or self.trajectories.film_awaited
        )

    def _grow(self, made: str = "") -> None:
        """What comes after the first sight, a piece a turn: plots, views (`made`: to be added)."""
        if self.closed:
            return
        if made:
            self._add(made)
            QTimer.singleShot(BETWEEN_MS, self, self._grow)
        elif self._film_awaited() or self.plotting in self.jobs:
            QTimer.singleShot(10, self, self._grow)
        elif self.plotting is None:
            self.plotting = self.start(loading.load_plots)
            self._grow()
        elif late := next((p for p in self.findChildren(Plot) if p.awaited), None):
            _ = late.plot  # which paints itself in a turn of its own
            QTimer.singleShot(BETWEEN_MS, self, self._grow)
        elif name := next(self.later, None):
            self.setProperty("loading", False)
            self._make(name)
            QTimer.singleShot(BETWEEN_MS, self, partial(self._grow, name))
        elif self.warming in self.jobs:
            QTimer.singleShot(10, self, self._grow)
        else:
            self.ready = True
            self.garbage.settle()
            self.training.settled.start()

    def _make(self, name: str) -> None:
        """Make the view of that id, and set it as it was left."""
        view: View = VIEWS.named(name).find()(self.session)
        self.views[name] = view
        try:
            settings = json.loads(str(self.kept.value(f"views/{name}", "null")))
            if settings is None:  # as it was kept before version 2, by the title
                title = VIEWS[name].title
                settings = json.loads(str(self.kept.value(f"settings/{title}", "null")))
            if settings:
                view.prepare(read_stored(view.kind, settings))
        except (Problem, ValueError, RecursionError):
            self.session.message.emit(f"{VIEWS[name].title} starts anew: what was kept is damaged.")

    def _kept_view(self) -> str:
        """The id of the view that was on the stage when the window was last closed."""
        return view_of(self.kept.value("view", self.kept.value("panel", FIRST)))

    def _add(self, name: str) -> None:
        """Make the view a tab with a menu entry."""
        view, entry = self.views[name], VIEWS[name]
        self.stage.add(view, entry)
        show = partial(self.stage.setCurrentWidget, view)
        action = Action(f"show{self.stage.count()}Action", entry.title, "", show, entry.tip)
        add_action(self, self.group_menus[self.stage.group_of(entry)], action)
        if name == self._kept_view():
            self.stage.setCurrentWidget(view)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Space plays, unless what has the focus takes it: a button is pressed by it."""
        if event.key() == Qt.Key.Key_Space and not event.modifiers():
            self.play("play")
        else:
            super().keyPressEvent(event)

    def play(self, what: str) -> None:
        """Press the play, back or forward button of the view on the stage, if it has a timeline."""
        if self.view.timeline is not None:
            getattr(self.view.timeline, f"{what}_button").click()

    def start(
        self, make: Callable[[], Iterator[Any]], take: Callable[[list[Any]], None] | None = None
    ) -> Job:
        """Run a generator on a worker of the window's own; `take` gets what it yields."""
        job = Job(make, self)
        if self.closed:
            return job  # nobody would wait for its thread
        self.jobs.append(job)
        job.failed.connect(self.session.problem)
        if take is not None:
            job.produced.connect(take)
        job.ended.connect(lambda: self.jobs.remove(job))
        job.begin()
        return job

    def _warmed(self, events: list[loading.Ready]) -> None:
        for event in events:
            self.training.device.setText(event.device)
            if event.unfinished is not None:
                self.training.offer_resume(event.unfinished, event.epochs)
            self.session.refresh_runs()
            self.trajectories.begin_film()

    def show_problem(self, text: str) -> None:
        """Say it in a dialog that does not stop the rest."""
        dialog(self, QMessageBox.Icon.Warning, text, "problemBox").open()

    def show_fault(self, sentence: str) -> None:
        """Tell of what nobody foresaw, and offer a report of it; one dialog at a time."""
        if self.findChild(QMessageBox, "faultBox") is not None:
            return
        box = dialog(self, QMessageBox.Icon.Critical, sentence, "faultBox")
        copy = box.addButton("Copy report", QMessageBox.ButtonRole.ActionRole)
        box.addButton(QMessageBox.StandardButton.Ok)
        copy.clicked.connect(self.copy_report)
        box.open()

    def copy_report(self) -> None:
        """Put what somebody needs to mend a fault on the clipboard."""
        text = faults.report(self.session.home, self.training.device.text())
        QApplication.clipboard().setText(text)
        self.session.message.emit("A report is on the clipboard: paste it where it is wanted.")

    def open_log(self) -> None:
        folder = faults.log_file(self.session.home).parent
        there = folder if folder.exists() else self.session.home
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(there)))

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        for url in event.mimeData().urls()[:1]:
            self.files.take(Path(url.toLocalFile()))

    def settings(self) -> dict[str, Any]:
        """What makes the view on the stage again, for files. A Problem where it shows nothing."""
        return stored(self.view_id, self.view.ask())

    def reopen(self, settings: dict[str, Any]) -> None:
        """Make the view again that these settings, out of a file, came from."""
        name = view_of(settings.get("view", settings.get("panel")))
        if name not in self.views:
            self.show_problem("That file's settings name a view that this version does not have.")
            return
        view = self.views[name]
        self.stage.setCurrentWidget(view)
        try:
            view.restore(read_stored(view.kind, settings))
        except Problem as problem:
            self.show_problem(str(problem))

    def closeEvent(self, event: QCloseEvent) -> None:
        if self.training.training:
            answer = QMessageBox.question(
                self,
                "DiffViz",
                "A model is training. Save a checkpoint and close? You can resume it next time.",
            )
            if answer != QMessageBox.StandardButton.Yes:
                event.ignore()
                return
        self._keep()
        self.shutdown()
        event.accept()

    def leave(self) -> None:
        """Close at once, as a signal asks: a training leaves its checkpoint."""
        if not self.closed:
            self._keep()
            self.shutdown()
            QTimer.singleShot(0, QApplication.quit)  # also where the loop is yet to begin

    def _keep(self) -> None:
        """Remember layout, view, slider and settings for the next start."""
        self.kept.setValue("geometry", self.saveGeometry())
        self.kept.setValue("split", self.split.saveState())
        self.kept.setValue("view", self.view_id)
        for name, view in self.views.items():
            try:
                kept = json.dumps(stored(name, view.ask()))
            except Problem:
                continue  # nothing that could be made again
            self.kept.setValue(f"views/{name}", kept)
        self.kept.sync()

    def shutdown(self) -> None:
        """End every worker; training leaves its checkpoint."""
        self.closed = True
        for view in self.views.values():
            view.shutdown()
        for job in list(self.jobs):
            job.shutdown()
        self.session.shutdown()
        self.garbage.shutdown()
