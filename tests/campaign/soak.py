"""soak: the real window at work for hours: memory, threads, timers and open files stay as they are.

It trains, stops and resumes, samples, walks through its views, and exports, in rounds. Figures are
taken after each round, the first tenth (at least two rounds) left out, as caches fill in it.
"""

import itertools
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks._window import live
from tests.campaign.tally import Tally

SMALL = {"network_parameters": {"width": 8, "blocks": 1}, "limit_images": 256, "bound_images": 2,
         "preview_steps": 2}  # fmt: skip
MOST_MB_AN_HOUR = 20.0  # over an hour or more; a shorter soak only tells the figure
EXPORTS = (("grid", "grid.png"), ("animation", "film.gif"), ("animation", "film.webp"),
           ("curves", "curves.csv"), ("view", "view.png"), ("view", "view.svg"))  # fmt: skip


def _models(folder: Path) -> None:
    """Small untrained models under the names of those that ship."""
    from diffviz.shell import session
    from trainer.config import PRESETS
    from trainer.networks import make_network
    from trainer.runs import Run

    for name in ("modern", "modern-sde"):
        run = Run.create(folder / name, PRESETS[name].with_changes(**SMALL))
        weights = make_network(run.config, 1).state_dict()
        run.save_weights(1, weights, {"step": 1, "epoch": 1, "shape": [1, 28, 28]})
    session.SHIPPED = folder
    PRESETS["modern"] = PRESETS["modern"].with_changes(**SMALL)


def _held(window: Any) -> dict[str, float]:
    from PySide6.QtCore import QObject, QTimer

    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "MB": pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        "threads": len(os.listdir("/proc/self/task")),
        "Python's threads": threading.active_count(),
        "timers": len(window.findChildren(QTimer)),
        "objects": len(window.findChildren(QObject)),
        "open files": len(os.listdir("/proc/self/fd")),
    }


def campaign(folder: Path, seconds: float, seed: int, most: int) -> Tally:
    """Rounds of work for so many seconds, at most `most`."""
    import torch

    torch.set_num_threads(1)
    tally, said = Tally("soak"), []
    late: Counter[int] = Counter()  # ticks by how late, in tenths of a ms: a list would itself grow
    _models(folder / "models")
    from PySide6.QtWidgets import QApplication

    from diffviz.shell.window import MainWindow

    app = QApplication.instance() or QApplication(sys.argv[:1])
    window = MainWindow(folder / "home")
    window.show_problem = said.append
    window.session.problem.connect(said.append)
    window.show()
    faults: list[str] = []
    sys.excepthook = lambda kind, error, trace: faults.append(f"{kind.__name__}: {error}")

    def until(done: Callable[[], bool], what: str, limit: float = 120.0) -> None:
        late.update(round(10 * ms) for ms in live(limit, done))
        if not done():
            tally.fault("rounds", f"{what} did not come in {limit:.0f} s")

    until(lambda: window.ready and bool(window.trajectories.nfe), "the first film", 600)
    for spin in window.trajectories.steps.values():
        spin.setValue(6)
    held, rounds, begun = [], 0, time.monotonic()
    while time.monotonic() - begun < seconds and rounds < most and not tally.faults:
        rounds += 1
        _round(window, folder, until, rounds)
        held.append(_held(window) | {"hours": (time.monotonic() - begun) / 3600})
        for words in said + faults:
            tally.fault("rounds", f"round {rounds}", str(words))
        tally.count("rounds", "done")
    settled = held[max(2, len(held) // 10) :]
    if len(settled) > 1:
        hours = [one["hours"] for one in settled]
        slope = float(np.polyfit(hours, [one["MB"] for one in settled], 1)[0])
        tally.facts["MB an hour"] = round(slope, 1)
        if hours[-1] - hours[0] >= 1 and slope > MOST_MB_AN_HOUR:
            tally.fault("memory", f"grows by {slope:.0f} MB an hour")
        for name in ("threads", "Python's threads", "timers", "objects", "open files"):
            first, last = settled[0][name], settled[-1][name]
            tally.facts[name] = f"{first:.0f} at first, {last:.0f} at last"
            if last > first * 1.1 + 5:
                tally.fault(name, f"{first:.0f} have become {last:.0f} in {len(settled)} rounds")
    ranks = itertools.accumulate(late[tenths] for tenths in sorted(late))
    worst = next(t for t, n in zip(sorted(late), ranks, strict=True) if n >= 0.99 * late.total())
    tally.facts["event loop, 99th percentile of lateness, ms"] = worst / 10
    window.shutdown()
    window.close()
    app.processEvents()
    return tally


def _round(window: Any, folder: Path, until: Callable[..., None], number: int) -> None:
    """Train, sample, look at every view, export; stop, resume and stop the training."""
    training = window.training
    training.form["epochs"].set_value(500)
    training.train()
    until(lambda: training.bpd.points()[0].size >= 2, "an evaluation")
    for k in range(window.stage.count()):
        window.stage.setCurrentIndex(k)
        live(0.3)
    window.stage.setCurrentIndex(0)
    window.trajectories.form["seed"].setValue(number)
    window.trajectories.sample_button.click()
    until(lambda: bool(window.trajectories.nfe), "a film")
    for what, name in EXPORTS:
        getattr(window.files, what)(folder / name)
        until(lambda: not window.jobs, "an export")
    for stop in (training.stop, training.resume, training.stop):
        stop()
        if stop == training.resume:
            until(lambda: training.loss.points()[0].size > 0, "a step")
        else:
            until(lambda: not training.training, "the training's end")
    for run in window.session.home.glob("runs/*"):
        for path in (*run.glob("*/*"), *run.glob("*.*")):
            path.unlink()
