"""The main window: composes the panels, menus and shortcuts."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QCloseEvent, QKeySequence
from PySide6.QtWidgets import QFileDialog, QMainWindow, QMessageBox, QSplitter

from diffviz import export, work
from diffviz.jobs import Job
from diffviz.panels.training import TrainingPanel
from diffviz.panels.trajectories import TrajectoriesPanel
from diffviz.session import Session


def _once(task: Callable[[], None]) -> Iterator[None]:
    task()
    yield None


class MainWindow(QMainWindow):
    """Training on the left, trajectories on the right."""

    def __init__(self, home: Path) -> None:
        super().__init__()
        self.session = Session(home, self)
        self.training = TrainingPanel(self.session)
        self.trajectories = TrajectoriesPanel(self.session)
        self.jobs: list[Job] = []
        self.ready = False
        self.setWindowTitle("DiffViz")
        self.resize(1280, 800)
        split = QSplitter(Qt.Orientation.Horizontal)
        split.addWidget(self.training)
        split.addWidget(self.trajectories)
        split.setStretchFactor(1, 1)
        split.setSizes([400, 880])
        split.setChildrenCollapsible(False)
        self.setCentralWidget(split)
        self.session.problem.connect(self.show_problem)
        self.session.message.connect(self.statusBar().showMessage)
        self._make_menus()
        self._start(partial(work.warm_up, home), self._warmed)

    def _make_menus(self) -> None:
        file = self.menuBar().addMenu("&File")
        for name, text, keys, slot in (
            ("exportGridAction", "Export &grid…", "Ctrl+E", self.ask_grid),
            ("exportAnimationAction", "Export &animation…", "Ctrl+Shift+E", self.ask_animation),
            ("exportCurvesAction", "Export &curves…", "Ctrl+Alt+E", self.ask_curves),
        ):
            self._action(file, name, text, keys, slot)
        file.addSeparator()
        quit_key = QKeySequence(QKeySequence.StandardKey.Quit).toString() or "Ctrl+Q"
        self._action(file, "quitAction", "&Quit", quit_key, self.close)
        view = self.menuBar().addMenu("&View")
        timeline = self.trajectories.timeline
        self._action(view, "playAction", "&Play or pause", "Space", timeline.play_button.toggle)
        self._action(view, "backAction", "Step &back", "Alt+Left", timeline.back_button.click)
        self._action(
            view, "forwardAction", "Step &forward", "Alt+Right", timeline.forward_button.click
        )

    def _action(self, menu, name: str, text: str, keys: str, slot: Callable[[], object]) -> None:
        action = QAction(text, self)
        action.setObjectName(name)
        action.setShortcut(QKeySequence(keys))
        action.triggered.connect(lambda: slot())
        menu.addAction(action)

    def _start(self, make, take: Callable[[list], None] | None = None) -> None:
        job = Job(make, self)
        self.jobs.append(job)
        job.failed.connect(self.session.problem)
        if take is not None:
            job.produced.connect(take)
        job.ended.connect(lambda: self.jobs.remove(job))
        job.begin()

    def _warmed(self, events: list) -> None:
        for event in events:
            self.ready = True
            self.training.device.setText(event.device)
            if event.unfinished is not None:
                self.training.offer_resume(event.unfinished)
            if self.trajectories.request is None and all(
                (folder / "config.json").exists() for folder in self.session.models.values()
            ):
                self.trajectories.sample()

    def show_problem(self, text: str) -> None:
        """One sentence in a dialog that does not stop the rest."""
        box = QMessageBox(QMessageBox.Icon.Warning, "DiffViz", text, parent=self)
        box.setObjectName("problemBox")
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.open()

    def export_grid(self, path: Path) -> None:
        images = self.trajectories.grid()
        if images is None:
            self.show_problem("There is no grid on view yet: press Sample first.")
            return
        settings = self.trajectories.settings()
        self._write(path, partial(export.grid_png, path, images, settings))

    def export_animation(self, path: Path) -> None:
        frames = self.trajectories.animation()
        self._write(path, partial(export.animation_gif, path, frames))

    def export_curves(self, path: Path) -> None:
        losses = np.column_stack(self.training.loss.points())
        bounds = np.column_stack(self.training.bpd.points())
        if path.suffix == ".png":
            self.training.loss.export_png(path)
            self.training.bpd.export_png(path.with_stem(path.stem + "-bpd"))
            self.session.message.emit(f"Saved {path}")
            return
        self._write(path, partial(export.curves_csv, path, losses, bounds))

    def _write(self, path: Path, task: Callable[[], None]) -> None:
        done = partial(self.session.message.emit, f"Saved {path}")
        self._start(partial(_once, task), lambda _: done())

    def _ask(self, title: str, name: str, kinds: str, write: Callable[[Path], None]) -> None:
        path, _ = QFileDialog.getSaveFileName(self, title, str(Path.home() / name), kinds)
        if path:
            write(Path(path))

    def ask_grid(self) -> None:
        self._ask("Export grid", "grid.png", "PNG (*.png)", self.export_grid)

    def ask_animation(self) -> None:
        self._ask("Export animation", "denoising.gif", "GIF (*.gif)", self.export_animation)

    def ask_curves(self) -> None:
        kinds = "CSV (*.csv);;PNG (*.png)"
        self._ask("Export curves", "curves.csv", kinds, self.export_curves)

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
        self.shutdown()
        event.accept()

    def shutdown(self) -> None:
        """End every worker; training leaves its checkpoint."""
        self.trajectories.again = False
        for job in [self.training.job, self.trajectories.job, *self.jobs]:
            if job is not None:
                job.shutdown()
