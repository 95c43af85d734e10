"""Whether the window stutters: python -m tests.benchmarks.window [--seconds 60] [--json FILE].

Measures on the real window. From its start until it is ready, and as each view is first shown: the
longest turn of its event loop, in processor time (100 ms at most). Each view's slider over what is
computed: how long a place takes to be there, redrawn, in processor time (99th percentile 16 ms).
Each view, opened with its own settings and, where it waits for that, its button pressed: how long
until its first picture or curve is painted (2 s, on two cores that do nothing else).
While it trains at full speed: how late the event loop comes to a timer (the goals: 99th percentile
16 ms, maximum 100 ms). Dragging the slider: how long redrawing
four views of 64 images takes (99th percentile 16 ms). Panning a curve of a million points: how long
a redraw takes. And training's images/s in the window beside the command line's, taken in turn (at
least 90 %).
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks._window import live, open_window, percentile, turns

if TYPE_CHECKING:
    from diffviz.shell.window import MainWindow
    from diffviz.views.view import View
    from diffviz.widgets.timeline import Timeline

ROOT = Path(__file__).parents[2]
HEADLESS = """
import sys, time, tempfile
from pathlib import Path
from trainer.config import PRESETS
from trainer.runs import Run
from trainer.events import Step
from trainer.training import train
config = PRESETS["modern"]
run = Run.create(Path(tempfile.mkdtemp()) / "run", config)
begun = seen = None
for event in train(config, run):
    if isinstance(event, Step):
        if begun is None and event.step >= 10:
            begun, seen = time.perf_counter(), event.step
        elif begun is not None and time.perf_counter() - begun > float(sys.argv[1]):
            print((event.step - seen) * config.batch_size / (time.perf_counter() - begun))
            break
"""


def drag(window: "MainWindow") -> list[float]:
    """Milliseconds from moving the slider to four redrawn views, for 300 places."""
    stage = window.trajectories
    taken = []
    for k in range(300):
        begun = time.perf_counter()
        stage.timeline.slider.setValue(k * 37 % stage.timeline.count())
        for view in stage.views.values():
            view.repaint()
        taken.append((time.perf_counter() - begun) * 1000)
    return taken


class Guide:
    """Lets a view do its job, as the tour does."""

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        turns(300, condition)

    def look(self, name: str) -> None:
        pass

    def rest(self, seconds: float) -> None:
        live(seconds)


def sweep(timeline: "Timeline") -> list[float]:
    """Processor ms from moving that slider to the redrawn window, for 150 places."""
    from PySide6.QtCore import QEventLoop
    from PySide6.QtWidgets import QApplication

    timeline.pause()
    taken = []
    for k in range(150):
        begun = time.thread_time()
        timeline.slider.setValue(k * 37 % timeline.count())
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
        taken.append((time.thread_time() - begun) * 1000)
    return taken


def views(window: "MainWindow") -> dict[str, float]:
    """The longest turn as each view is first shown, and its sliders' 99th percentiles."""
    from diffviz.widgets.timeline import Timeline

    facts = {}
    for name, view in window.views.items():
        window.stage.setCurrentWidget(view)
        facts[f"{name}_shown_cpu_ms"] = max(turns(2))
        view.visit(Guide())
        live(0.5)
        for k, timeline in enumerate(view.findChildren(Timeline)):
            if timeline.count() > 1:
                facts[f"{name}_slider{k or ''}_p99_cpu_ms"] = percentile(sweep(timeline), 0.99)
    return facts


def begin(view: "View") -> None:
    """Press what lets it compute, if it waits for that."""
    from PySide6.QtWidgets import QPushButton

    for button in view.findChildren(QPushButton):
        if button.property("primary") and button.isVisible() and button.isEnabled():
            button.click()
            return


def first(view: "View") -> float:
    """Seconds from opening the view, now on the stage, to its first picture; then it stops."""
    from diffviz.jobs import Latest
    from diffviz.widgets.mosaic import Mosaic

    def there() -> bool:
        if any(m.images is not None and m.isVisible() for m in view.findChildren(Mosaic)):
            return True  # also unfinished ones, which are nobody's to export yet
        return view.grid() is not None or any(len(curve) for curve in view.curves().values())

    begun, pressed = time.perf_counter(), False
    works = view.findChildren(Latest)
    while not there() and time.perf_counter() - begun < 120:
        if not pressed and not any(work.busy for work in works):
            begin(view)
            pressed = any(work.busy for work in works)
        live(0)
    view.repaint()
    taken = time.perf_counter() - begun
    for work in works:
        work.drop()  # stopped, some would go on with their next piece
    live(2)
    return taken


def firsts() -> dict[str, float]:
    """Each view's seconds to its first picture, in a process that has made nothing yet;
    tests.benchmarks.digits has training's."""
    window = open_window()
    live(300, lambda: window.ready and not window.trajectories.sampling)
    facts = {}
    for name, view in window.views.items():
        if name == "training":
            continue
        if name == "runs":
            view.tick(window.session.runs[0].folder)
        window.stage.setCurrentWidget(view)
        facts[f"{name}_first_picture_s"] = first(view)
    window.shutdown()
    return facts


def pan(points: int = 1_000_000) -> list[float]:
    """Milliseconds to redraw a curve of so many points after each of 100 pans over it."""
    import numpy as np

    from diffviz.widgets.curve import CurvePlot

    curve = CurvePlot("A long run", "loss", "step", "longPlot", smooth=True)
    curve.resize(800, 300)
    steps = np.arange(float(points))
    curve.set_points(steps, 0.2 + np.exp(-10 * steps / points) + 0.05 * np.sin(steps))
    wide = points / 10
    curve.plot.setXRange(0, wide)
    curve.show()
    live(0.5)
    taken = []
    for k in range(100):
        begun = time.perf_counter()
        curve.plot.setXRange(0.09 * wide * k, 0.09 * wide * k + wide, padding=0)
        curve.plot.repaint()
        taken.append((time.perf_counter() - begun) * 1000)
    curve.close()
    return taken


def headless(seconds: float) -> float:
    """Images a second of the command line's training loop, in a process of its own."""
    command = [sys.executable, "-c", HEADLESS, str(seconds)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def main() -> int:
    """Returns the process' exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to train and watch")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    arguments = parser.parse_args()
    from diffviz.jobs import Latest

    window = open_window()
    facts = {"start_to_ready_cpu_ms": max(turns(300, lambda: window.ready)), **views(window)}
    stage, training = window.trajectories, window.training
    window.stage.setCurrentWidget(stage)
    stage.form["count"].set_value(64)
    for spin in stage.steps.values():
        spin.setValue(50)
    live(600, lambda: bool(stage.nfe))
    stage.timeline.pause()
    live(60, lambda: not any(work.busy for work in window.findChildren(Latest)))
    facts |= {
        "slider_p99_ms": percentile(drag(window), 0.99),
        "million_points_pan_p99_ms": percentile(pan(), 0.99),
    }

    ratios, late = [], []
    for _ in range(3):
        alone = headless(arguments.seconds / 3)
        window.stage.setCurrentWidget(training)  # whose curves grow
        training.train_button.click()
        live(300, lambda: training.loss.points()[0].size >= 10)
        first, begun = training.loss.points()[0].size, time.perf_counter()
        late += live(arguments.seconds / 3)
        steps = training.loss.points()[0].size - first
        speed = steps * training.column.batch.value() / (time.perf_counter() - begun)
        training.stop_button.click()
        live(60, lambda: not training.training)
        ratios.append(speed / alone)
        facts |= {"window_images_per_s": speed, "headless_images_per_s": alone}
    window.shutdown()
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        facts |= fresh.submit(firsts).result()
    facts |= {
        "event_loop_late_p99_ms": percentile(late, 0.99),
        "event_loop_late_max_ms": max(late),
        "window_to_headless": statistics.median(ratios),
    }
    for name, value in facts.items():
        print(f"{name:34}{value:10.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
