"""The tour: drives the real window through the whole job, as a person would, and looks at it."""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtWidgets import QApplication

from diffviz.shell import style
from diffviz.shell.window import MainWindow
from diffviz.views import Panel
from diffviz.views.edit.view import EditPanel
from diffviz.views.gallery.view import GalleryPanel
from diffviz.views.overview.view import OverviewPanel
from diffviz.views.plane.view import PlanePanel
from diffviz.views.runs.view import RunsPanel
from diffviz.views.samplers.view import SamplersPanel
from diffviz.views.schedule.view import SchedulePanel
from trainer.problems import Problem, file_problems, write_file

SAMPLER_STEPS = 20
EDIT_STEPS = 20
PATIENCE = 300.0  # seconds: only what hangs should take so long


def peak_memory_mb() -> float | None:
    """The most memory this process has held resident, in MB; None where the system won't say."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


class Tour:
    """Trains for a moment, scrubs, samples, visits every view, exports, closes."""

    def __init__(self, folder: Path) -> None:
        with file_problems("make the tour's folder", folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.pictures = 0
        self.gaps: list[float] = []
        self.window = MainWindow(Path(tempfile.mkdtemp(prefix="diffviz-home-")))

    def play(self) -> int:
        """0 when every step happened; a Problem names the one that did not."""
        begun = self.last_tick = time.perf_counter()
        ticker = QTimer(interval=5)
        ticker.timeout.connect(self.tick)
        ticker.start()
        window = self.window
        try:
            window.show()
            self.trajectories()
            self.training()
            for panel in window.panels:
                if panel is not window.trajectories:
                    self.visit(panel)
            self.themes()
            self.check_exports()
            ticker.stop()
            self.write_facts(time.perf_counter() - begun)
            window.close()
        finally:
            window.shutdown()
        return 0

    def tick(self) -> None:
        """Note how long the event loop took to come round."""
        now = time.perf_counter()
        self.gaps.append((now - self.last_tick) * 1000)
        self.last_tick = now

    def trajectories(self) -> None:
        """Sample both rows from the same noise, scrub through them, export what is seen."""
        window, stage = self.window, self.window.trajectories
        for spin in stage.steps.values():
            spin.setValue(SAMPLER_STEPS)
        self.look("start")
        self.wait(lambda: window.ready, "torch was loaded")
        self.wait(lambda: bool(stage.nfe), "both models were sampled")
        stage.timeline.pause()
        for fraction, name in ((0.0, "noise"), (0.6, "midway"), (1.0, "digits")):
            stage.timeline.set_fraction(fraction)
            self.look(name)
        for k in range(41):
            stage.timeline.set_fraction(k / 40)
            QApplication.processEvents()
        stage.layout_combo.setCurrentIndex(1)
        stage.show_what.setCurrentIndex(stage.show_what.findData("guess"))
        stage.timeline.set_fraction(0.5)
        self.look("filmstrip")
        stage.layout_combo.setCurrentIndex(0)
        stage.show_what.setCurrentIndex(0)
        window.explain.setChecked(True)
        self.look("explained")
        window.explain.setChecked(False)
        stage.timeline.set_fraction(1.0)
        self.rest(0.1)
        window.exports.grid(self.folder / "grid.png")
        window.exports.animation(self.folder / "denoising.gif")

    def training(self) -> None:
        """Train a moment, pause, go on, stop; the run and its curves are kept."""
        training = self.window.training
        training.train_button.click()
        self.wait(lambda: training.loss.points()[0].size >= 10, "training made 10 steps")
        self.look("training")
        self.speed = training.status.text()
        training.pause_button.click()
        self.rest(0.3)
        training.pause_button.click()
        self.wait(lambda: training.loss.points()[0].size >= 16, "training went on after a pause")
        training.stop_button.click()
        self.wait(lambda: not training.training, "training stopped and saved")
        self.window.exports.curves(self.folder / "curves.csv")

    def visit(self, panel: Panel) -> None:
        """Show a panel, do its job as far as it takes a moment, leave a picture."""
        self.window.stage.setCurrentWidget(panel)
        match panel:
            case SamplersPanel():
                panel.count.setCurrentIndex(0)
                for column, steps in zip(panel.columns, (5, 10, 10, 20), strict=True):
                    column.steps.setValue(steps)
                panel.compare_button.click()
                self.wait(lambda: not panel.comparing, "the samplers were compared")
            case GalleryPanel():
                panel.count.setCurrentIndex(0)
                panel.steps.setValue(10)
                panel.sample_button.click()
                self.wait(lambda: panel.job is None, "the gallery was drawn")
            case EditPanel():
                self.wait(lambda: panel.run_button.isEnabled(), "the test images were loaded")
                panel.inpaint.steps.setValue(EDIT_STEPS)
                panel.run_button.click()
                self.wait(lambda: panel.grid() is not None, "a completion was drawn")
                panel.stop_button.click()
            case RunsPanel():
                folder = self.window.training.where.folder  # type: ignore[union-attr]
                self.wait(
                    lambda: folder in [run.folder for run in self.window.session.runs],
                    "the run was listed",
                )
                panel.tick(folder)
                panel.table.selectRow([r.folder for r in self.window.session.runs].index(folder))
                self.wait(lambda: bool(panel.plot.names()), "the run's curve was drawn")
                panel.buttons["draw"].click()
                self.wait(
                    lambda: panel.stage_views[0].images is not None, "the checkpoint was drawn from"
                )
            case SchedulePanel():
                self.wait(lambda: bool(panel.found), "the schedules were computed")
            case OverviewPanel():
                self.wait(lambda: panel.job not in panel.jobs, "the overview was computed")
                panel.timeline.set_fraction(0.6)
            case PlanePanel():
                self.wait(lambda: panel.job not in panel.jobs, "the plane was computed")
                panel.train_button.click()
                self.wait(lambda: panel.learnt is not None, "a small network learnt the score")
                panel.stop_button.click()
        self.look(panel.title.lower().replace(" ", "-"))

    def themes(self) -> None:
        """Look at the first view in the other theme."""
        window = self.window
        window.stage.setCurrentWidget(window.trajectories)
        app = QApplication.instance()
        assert isinstance(app, QApplication)
        dark = style.is_dark(window.palette())
        style.apply(app, not dark)
        self.rest(0.05)
        self.look("light" if dark else "dark")
        style.apply(app, dark)

    def check_exports(self) -> None:
        self.wait(lambda: not self.window.jobs, "the exports were written")
        for name in ("grid.png", "denoising.gif", "curves.csv"):
            if not (self.folder / name).exists():
                raise Problem(f"The tour failed: {name} was not exported.")

    def write_facts(self, seconds: float) -> None:
        steps, losses = self.window.training.loss.points()
        gaps = sorted(self.gaps)
        facts = {
            "first_loss": float(losses[0]),
            "last_loss": float(losses[-1]),
            "steps_trained": int(steps[-1]),
            "status": self.speed,
            "event_loop_slowest_ms": round(gaps[-1], 1),
            "event_loop_p99_ms": round(gaps[int(0.99 * (len(gaps) - 1))], 1),
            "peak_memory_mb": peak_memory_mb(),
            "seconds": round(seconds, 1),
        }
        write_file(self.folder / "tour.json", json.dumps(facts, indent=2).encode())
        print(json.dumps(facts))

    def look(self, name: str) -> None:
        """Save what the window shows as the next numbered screenshot."""
        self.pictures += 1
        self.rest(0.12)
        path = self.folder / f"{self.pictures:02d}-{name}.png"
        if not self.window.grab().save(str(path)):
            raise Problem(f"The tour failed: could not write {path}.")
        self.last_tick = time.perf_counter()  # taking pictures is the tour's work, not the app's

    def rest(self, seconds: float) -> None:
        """Let the window live for a while."""
        # An event loop of its own, not QTest.qWait, which keeps Python's lock from the workers.
        loop = QEventLoop()
        QTimer.singleShot(int(seconds * 1000), loop.quit)
        loop.exec()

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Let the window live until `condition` holds."""
        end = time.perf_counter() + PATIENCE
        while not condition():
            if time.perf_counter() > end:
                raise Problem(
                    f"The tour failed: within {PATIENCE:.0f} s it was not so that {what}."
                )
            self.rest(0.01)
