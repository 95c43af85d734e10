"""The real window, opened and watched."""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffviz.shell.window import MainWindow

TICK_MS = 4


def open_window() -> "MainWindow":
    """The app's window on a home of its own, shown; offscreen unless Qt's platform is named."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PySide6.QtWidgets import QApplication

    from diffviz.shell import style
    from diffviz.shell.window import MainWindow

    app = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(app, QApplication)
    style.follow_system(app)
    window = MainWindow(Path(tempfile.mkdtemp()))
    window.show()
    return window


def live(seconds: float, until: Callable[[], bool] | None = None) -> list[float]:
    """Let the window live that long; how late each tick of a timer came, in ms."""
    from PySide6.QtCore import QEventLoop, Qt, QTimer

    late: list[float] = []
    loop, last = QEventLoop(), time.perf_counter()
    end = last + seconds

    def tick() -> None:
        nonlocal last
        now = time.perf_counter()
        late.append(max(0.0, (now - last) * 1000 - TICK_MS))
        last = now
        if now > end or (until is not None and until()):
            loop.quit()

    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.setInterval(TICK_MS)
    timer.timeout.connect(tick)
    timer.start()
    loop.exec()
    return late


def turns(seconds: float, until: Callable[[], bool] | None = None) -> list[float]:
    """Let the window live that long; the processor time of its thread in each turn, in ms.

    Unlike how late a timer comes, this is the window's own doing on a busy machine too.
    """
    from PySide6.QtCore import QEventLoop, QTimer

    found: list[float] = []
    loop, last, end = QEventLoop(), time.thread_time(), time.perf_counter() + seconds

    def tick() -> None:
        nonlocal last
        now = time.thread_time()
        found.append((now - last) * 1000)
        last = now
        if time.perf_counter() > end or (until is not None and until()):
            loop.quit()

    timer = QTimer(interval=1)
    timer.timeout.connect(tick)
    timer.start()
    loop.exec()
    return found


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]
