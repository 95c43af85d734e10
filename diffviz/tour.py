"""The tour: drives the real window through the whole job, as a person would, and looks at it."""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtWidgets import QApplication

from diffviz.window import MainWindow
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
    """Trains for a moment, scrubs, samples both models, exports, closes."""

    def __init__(self, folder: Path) -> None:
        with file_problems("make the tour's folder", folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.home = Path(tempfile.mkdtemp(prefix="diffviz-home-"))
        self.pictures = 0
        self.gaps: list[float] = []
        self.window = MainWindow(self.home)

    def play(self) -> int:
        """0 when every step happened; a Problem names the one that did not."""
        try:
            return self._play()
        finally:
            self.window.shutdown()

    def _play(self) -> int:
        begun = time.perf_counter()
        window, training, stage = self.window, self.window.training, self.window.trajectories
        window.show()
        last_tick = time.perf_counter()

        def tick() -> None:
            nonlocal last_tick
            now = time.perf_counter()
            self.gaps.append((now - last_tick) * 1000)
            last_tick = now

        ticker = QTimer(interval=5)
        ticker.timeout.connect(tick)
        ticker.start()
        self.look("start")
        self.wait(lambda: window.ready, "torch was loaded")
        if stage.request is None:
            stage.sample_button.click()
        self.wait(lambda: bool(stage.nfe), "both models were sampled")
        for fraction, name in ((0.0, "noise"), (0.6, "midway"), (1.0, "digits")):
            stage.timeline.set_fraction(fraction)
            self.rest(0.1)
            self.look(name)
        for k in range(41):
            stage.timeline.set_fraction(k / 40)
            QApplication.processEvents()
        stage.timeline.set_fraction(0.5)
        stage.show_what.setCurrentIndex(1)
        self.rest(0.1)
        self.look("guess")
        stage.show_what.setCurrentIndex(0)
        stage.timeline.set_fraction(1.0)
        self.rest(0.1)

        window.exports.grid(self.folder / "grid.png")
        window.exports.animation(self.folder / "denoising.gif")

        training.train_button.click()
        self.wait(lambda: training.loss.points()[0].size >= 12, "training made 12 steps")
        self.look("training")
        training.pause_button.click()
        self.rest(0.5)
        training.pause_button.click()
        speed = training.status.text()
        self.wait(lambda: training.loss.points()[0].size >= 20, "training went on after a pause")
        training.stop_button.click()
        self.wait(lambda: not training.training, "training stopped and saved")
        self.look("stopped")
        window.exports.curves(self.folder / "curves.csv")
        self.wait(lambda: not window.jobs, "the exports were written")
        ticker.stop()
        steps, losses = training.loss.points()
        for name in ("grid.png", "denoising.gif", "curves.csv"):
            if not (self.folder / name).exists():
                raise Problem(f"The tour failed: {name} was not exported.")
        gaps = sorted(self.gaps)
        facts = {
            "first_loss": float(losses[0]),
            "last_loss": float(losses[-1]),
            "steps_trained": int(steps[-1]),
            "status": speed,
            "event_loop_slowest_ms": round(gaps[-1], 1),
            "event_loop_p99_ms": round(gaps[int(0.99 * (len(gaps) - 1))], 1),
            "peak_memory_mb": peak_memory_mb(),
            "seconds": round(time.perf_counter() - begun, 1),
        }
        write_file(self.folder / "tour.json", json.dumps(facts, indent=2).encode())
        window.close()
        print(json.dumps(facts))
        return 0

    def look(self, name: str) -> None:
        """Save what the window shows as the next numbered screenshot."""
        self.pictures += 1
        self.rest(0.12)
        path = self.folder / f"{self.pictures:02d}-{name}.png"
        if not self.window.grab().save(str(path)):
            raise Problem(f"The tour failed: could not write {path}.")

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
