"""The main window: composes the panels, menus and shortcuts."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEvent, QSettings, Qt, QTimer, QUrl
from PySide6.QtGui import (
    QAction,
    QActionGroup,
    QCloseEvent,
    QDesktopServices,
    QKeySequence,
    QPaintEvent,
)
from PySide6.QtWidgets import (
    QApplication,
    QLabel,
    QMainWindow,
    QMenu,
    QMessageBox,
    QSplitter,
    QTabWidget,
)

from diffviz import work
from diffviz.jobs import Job
from diffviz.shell import session
from diffviz.shell.files import Exports
from diffviz.shell.session import Session
from diffviz.views import Panel
from diffviz.views.runs import work as work_runs
from diffviz.views.training.view import TrainingPanel
from diffviz.views.trajectories.view import TrajectoriesPanel
from diffviz.widgets.late import LatePlot

FIRST_SIGHT_MS = 30  # what the screen needs to show the first frame before work begins
THEMES = {
    "System": Qt.ColorScheme.Unknown,
    "Light": Qt.ColorScheme.Light,
    "Dark": Qt.ColorScheme.Dark,
}


def later_panels(session: Session) -> Iterator[Panel]:
    """The panels that the first sight of the window does not need, one after the other."""
    from diffviz.views.samplers.view import SamplersPanel

    yield SamplersPanel(session)
    from diffviz.views.gallery.view import GalleryPanel

    yield GalleryPanel(session)
    from diffviz.views.edit.view import EditPanel

    yield EditPanel(session)
    from diffviz.views.runs.view import RunsPanel

    yield RunsPanel(session)
    from diffviz.views.overview.view import OverviewPanel

    yield OverviewPanel(session)
    from diffviz.views.plane.view import PlanePanel

    yield PlanePanel(session)
    from diffviz.views.schedule.view import SchedulePanel

    yield SchedulePanel(session)


class MainWindow(QMainWindow):
    """Training on the left; on the right the stage, a tab for each panel."""

    def __init__(self, home: Path) -> None:
        super().__init__()
        self.session = Session(home, self)
        self.kept = QSettings(str(home / "window.ini"), QSettings.Format.IniFormat)
        self.training = TrainingPanel(self.session)
        self.trajectories = TrajectoriesPanel(self.session)
        self.panels: list[Panel] = []
        self.later = later_panels(self.session)
        self.jobs: list[Job] = []
        self.ready = False
        self.samplers: tuple[str, ...] = ()
        self.warming: Job | None = None
        self.plotting: Job | None = None
        self.setProperty("loading", True)  # plots wait for it
        self.setWindowTitle("DiffViz")
        self.setAcceptDrops(True)
        self.resize(1280, 800)
        self.stage = QTabWidget(objectName="stageTabs", documentMode=True)
        self.stage.tabBar().setDrawBase(False)
        self.split = QSplitter(Qt.Orientation.Horizontal)
        self.split.addWidget(self.training)
        self.split.addWidget(self.stage)
        self.split.setStretchFactor(1, 1)
        self.split.setSizes([380, 900])
        self.split.setChildrenCollapsible(False)
        self.setCentralWidget(self.split)
        self.explanation = QLabel(self.stage, objectName="explanationLabel", wordWrap=True)
        self.explanation.setVisible(False)
        self.explanation.setTextFormat(Qt.TextFormat.RichText)
        self.explanation.setAutoFillBackground(True)
        self.explanation.setMargin(16)
        self.stage.currentChanged.connect(self._explain)
        self.session.problem.connect(self.show_problem)
        self.session.message.connect(self.statusBar().showMessage)
        self.exports = Exports(self)
        self._make_menus()
        self._add(self.trajectories)
        if self.kept.contains("geometry"):
            self.restoreGeometry(self.kept.value("geometry"))
            self.split.restoreState(self.kept.value("split"))
        self._painted = False

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._painted:
            self._painted = True
            QTimer.singleShot(FIRST_SIGHT_MS, self, self._warm_up)

    def _warm_up(self) -> None:
        """Load torch, which takes seconds: once the window can be seen, and not before."""
        if self.isVisible():
            self.start(work.read_images)
            self.warming = self.start(partial(work.warm_up, self.session.home), self._warmed)
            self._grow()

    def _film_awaited(self) -> bool:
        """Whether the first animation is on view and yet to begin: nothing else comes first."""
        stage = self.trajectories
        if self.kept.value("panel", stage.title) != stage.title:
            return False
        about_to_play = stage.timeline.playing() and stage.timeline.fraction() == 0
        return self.warming in self.jobs or (
            stage.sampling and (stage.films.drawn() == 0 or about_to_play)
        )

    def _grow(self) -> None:
        """What comes after the first sight, a piece a turn: plots, panels; then all is ready."""
        if self._film_awaited() or self.plotting in self.jobs:
            QTimer.singleShot(10, self, self._grow)
        elif self.plotting is None:
            self.plotting = self.start(work.load_plots)
            self._grow()
        elif late := next((p for p in self.findChildren(LatePlot) if p.awaited), None):
            late.plot.repaint()
            QTimer.singleShot(0, self, self._grow)
        elif panel := next(self.later, None):
            self.setProperty("loading", False)
            self._add(panel)
            QTimer.singleShot(0, self, self._grow)
        elif self.warming in self.jobs:
            QTimer.singleShot(10, self, self._grow)
        else:
            self.ready = bool(self.samplers)

    def _add(self, panel: Panel) -> None:
        """Make the panel a tab with a menu entry, and set it as the last session left it."""
        self.panels.append(panel)
        number = len(self.panels)
        self.stage.addTab(panel, panel.title)
        if self.samplers:
            panel.offer_samplers(self.samplers)
        show = partial(self.stage.setCurrentWidget, panel)
        self._action(self.view_menu, f"show{number}Action", panel.title, f"Ctrl+{number}", show)
        try:
            settings = json.loads(str(self.kept.value(f"settings/{panel.title}", "{}")))
            if settings:
                panel.prepare(settings)
        except (ValueError, TypeError, AttributeError, KeyError):
            self.session.message.emit(f"{panel.title} starts anew: what was kept is damaged.")
        if panel.title == self.kept.value("panel"):
            self.stage.setCurrentWidget(panel)

    def panel_named(self, title: str) -> Panel:
        """The panel of that title."""
        return next(panel for panel in self.panels if panel.title == title)

    @property
    def panel(self) -> Panel:
        """The panel on view."""
        return self.panels[self.stage.currentIndex()]

    def _make_menus(self) -> None:
        file, asks = self.menuBar().addMenu("&File"), self.exports
        for name, text, keys, slot in (
            ("openPictureAction", "&Open an exported picture…", "Ctrl+O", asks.ask_open),
            ("exportGridAction", "Export &grid…", "Ctrl+E", asks.ask_grid),
            ("exportAnimationAction", "Export &animation…", "Ctrl+Shift+E", asks.ask_animation),
            ("exportCurvesAction", "Export training &curves…", "Ctrl+Alt+E", asks.ask_curves),
            ("exportViewAction", "Export this &view…", "Ctrl+Alt+V", asks.ask_view),
            ("exportSettingsAction", "Export &settings…", "", asks.ask_settings),
        ):
            self._action(file, name, text, keys, slot)
        self._action(file, "reportAction", "Make the &report's page…", "", self.make_report)
        file.addSeparator()
        quit_key = QKeySequence(QKeySequence.StandardKey.Quit).toString() or "Ctrl+Q"
        self._action(file, "quitAction", "&Quit", quit_key, self.close)
        view = self.menuBar().addMenu("&View")
        self._action(view, "playAction", "&Play or pause", "Space", lambda: self._play("play"))
        self._action(view, "backAction", "Step &back", "Alt+Left", lambda: self._play("back"))
        self._action(
            view, "forwardAction", "Step &forward", "Alt+Right", lambda: self._play("forward")
        )
        self._make_themes(view.addMenu("&Theme"))
        view.addSeparator()
        self.view_menu = view
        self.explain = QAction("&What am I seeing?", self, objectName="explainAction")
        self.explain.setShortcut(QKeySequence("F1"))
        self.explain.setCheckable(True)
        self.explain.toggled.connect(self._explain)
        self.menuBar().addMenu("&Help").addAction(self.explain)

    def _make_themes(self, menu: QMenu) -> None:
        group = QActionGroup(menu)
        chosen = str(self.kept.value("theme", "System"))
        for name, scheme in THEMES.items():
            action = QAction(name, menu, objectName=f"theme{name}Action")
            action.setCheckable(True)
            group.addAction(action)
            menu.addAction(action)
            action.triggered.connect(partial(self._set_theme, name, scheme))
            if name == chosen:
                action.setChecked(True)
                if name != "System":
                    action.trigger()

    def _set_theme(self, name: str, scheme: Qt.ColorScheme) -> None:
        self.kept.setValue("theme", name)
        QApplication.styleHints().setColorScheme(scheme)

    def _action(self, menu, name: str, text: str, keys: str, slot: Callable[[], object]) -> None:
        action = QAction(text, self)
        action.setObjectName(name)
        action.setShortcut(QKeySequence(keys))
        action.triggered.connect(lambda: slot())
        menu.addAction(action)

    def _play(self, what: str) -> None:
        """Press the play, back or forward button of the panel on view, if it has a timeline."""
        if self.panel.timeline is not None:
            getattr(self.panel.timeline, f"{what}_button").click()

    def _explain(self) -> None:
        """Lay the explanation of the panel on view over it, or take it away."""
        if not self.panels:
            return
        self.explanation.setVisible(self.explain.isChecked())
        self.explanation.setText(self.panel.explanation)
        width = min(560, self.stage.width() - 40)
        height = self.explanation.heightForWidth(width)
        top = self.stage.tabBar().height() + 12
        self.explanation.setGeometry(self.stage.width() - width - 20, top, width, height)
        self.explanation.raise_()

    def start(
        self, make: Callable[[], Iterator[Any]], take: Callable[[list], None] | None = None
    ) -> Job:
        """Run a generator on a worker of the window's own; `take` gets what it yields."""
        job = Job(make, self)
        self.jobs.append(job)
        job.failed.connect(self.session.problem)
        if take is not None:
            job.produced.connect(take)
        job.ended.connect(lambda: self.jobs.remove(job))
        job.begin()
        return job

    def make_report(self) -> None:
        """Draw the report's figures from all runs, and open their page in the browser."""
        out, own = self.session.home / "report", self.session.home / "runs"
        self.start(partial(work_runs.report, out, session.SHIPPED, own), self._reported)

    def _reported(self, events: list) -> None:
        last = events[-1]
        self.session.message.emit(f"The report's page: {last.what} ({last.share:.0%})")
        if last.page is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(last.page)))

    def _warmed(self, events: list) -> None:
        for event in events:
            self.samplers = event.samplers
            self.training.device.setText(event.device)
            if event.unfinished is not None:
                self.training.offer_resume(event.unfinished)
            for panel in self.panels:
                panel.offer_samplers(event.samplers)
            self.session.refresh_runs()
            if self.trajectories.request is not None:
                continue
            if self.trajectories.timeline.fraction() > 0:  # as the last session left it
                self.trajectories.draw()
            else:
                self.trajectories.sample()

    def show_problem(self, text: str) -> None:
        """One sentence in a dialog that does not stop the rest."""
        box = QMessageBox(QMessageBox.Icon.Warning, "DiffViz", text, parent=self)
        box.setObjectName("problemBox")
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.open()

    def dragEnterEvent(self, event) -> None:
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event) -> None:
        for url in event.mimeData().urls()[:1]:
            self.exports.open(Path(url.toLocalFile()))

    def resizeEvent(self, event: QEvent) -> None:
        super().resizeEvent(event)  # type: ignore[arg-type]
        self._explain()

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

    def _keep(self) -> None:
        """Remember layout, panel, slider and settings for the next start."""
        self.kept.setValue("geometry", self.saveGeometry())
        self.kept.setValue("split", self.split.saveState())
        self.kept.setValue("panel", self.panel.title)
        for panel in self.panels:
            self.kept.setValue(f"settings/{panel.title}", json.dumps(panel.settings()))
        self.kept.sync()

    def shutdown(self) -> None:
        """End every worker; training leaves its checkpoint."""
        for panel in self.panels:
            panel.shutdown()
        for job in [self.training.job, *self.jobs]:
            if job is not None:
                job.shutdown()
        self.session.shutdown()
