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
from diffviz.views import FIRST, VIEWS
from diffviz.widgets.plot import Plot
from trainer.problems import Problem, file_problems, write_file

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
            self.look("start")
            self.wait(lambda: window.ready, "every view was made")
            self.visit(FIRST)
            self.explain()
            for name in VIEWS:
                if name != FIRST:
                    self.visit(name)
            self.themes()
            self.export()
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

    def visit(self, name: str) -> None:
        """Show a view, let it do its job as far as it takes a moment, leave a picture."""
        view = self.window.views[name]
        self.window.stage.setCurrentWidget(view)
        view.visit(self)
        self.look(name)

    def explain(self) -> None:
        """Look at the explanation of the view on the stage; export its grid and its film."""
        self.window.explain.setChecked(True)
        self.look("explained")
        self.window.explain.setChecked(False)
        self.window.files.grid(self.folder / "grid.png")
        self.window.files.animation(self.folder / "denoising.gif")

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

    def export(self) -> None:
        """Export the training's curves too, and wait for all files."""
        self.window.files.curves(self.folder / "curves.csv")
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
            "status": self.window.training.status.text(),
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
        plots = self.window.findChildren(Plot)
        self.wait(lambda: not any(plot.awaited for plot in plots), "every plot on view was made")
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
