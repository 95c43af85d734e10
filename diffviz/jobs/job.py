"""Work done off the user interface's thread, as a stream of events."""

import logging
import threading
from collections.abc import Callable, Iterator

from PySide6.QtCore import QObject, QThread, QTimer, Signal, Slot

from trainer.problems import Problem, told

log = logging.getLogger(__name__)

FLUSH_MS = 34  # about 30 batches a second: more would only be drawn over
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def describe(error: Exception) -> str:
    """Say in a sentence what went wrong; what nobody foresaw also goes to the log."""
    if isinstance(error, Problem):
        return str(error)
    if isinstance(error, OSError):  # no fault of the program's, as a folder deleted meanwhile
        log.warning("A job met what the system refused", exc_info=error)
        return str(told(error))
    log.error("A job failed", exc_info=error)
    text = str(error).lower()
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(sign in text for sign in OUT_OF_MEMORY)
    ):
        return "There is not enough memory. Lower the batch size or the number of images."
    return f"{type(error).__name__}: {error}"


class Job(QThread):
    """Runs one generator on a thread of its own and hands over what it yields, in batches.

    All signals are emitted on the thread that the job was created on. The events wait in a list
    which a timer there empties, so a slow interface gets fewer, larger batches and an event does
    not wait for the next one. A job runs once, and is deleted once it has ended.
    """

    produced = Signal(list)
    failed = Signal(str)
    ended = Signal()

    def __init__(self, make: Callable[[], Iterator[object]], parent: QObject | None = None) -> None:
        """`make` is called on the worker thread, so that slow imports can be left to it."""
        super().__init__(parent)
        self._make = make
        self._state = threading.Condition()  # guards the two flags below
        self._paused = False
        self._stopped = False
        self._lock = threading.Lock()  # guards the list of events
        self._events: list[object] = []
        self._failures: list[str] = []
        self._begun = False
        self._over = False
        self._timer = QTimer(self)
        self._timer.setInterval(FLUSH_MS)
        self._timer.timeout.connect(self._flush)
        self.finished.connect(self._finish)

    @property
    def paused(self) -> bool:
        """Whether a pause has been asked for."""
        with self._state:
            return self._paused

    def begin(self) -> None:
        """Start, at a priority below the user interface's."""
        if self._begun:
            raise RuntimeError("A job can begin only once.")
        self._begun = True
        self._timer.start()
        self.start(QThread.Priority.LowPriority)

    def pause(self) -> None:
        """Ask for no further item until `resume`; the one under way is still delivered."""
        with self._state:
            self._paused = True

    def resume(self) -> None:
        """Carry on after a pause."""
        with self._state:
            self._paused = False
            self._state.notify_all()

    def stop(self) -> None:
        """Close the generator, on its own thread, as soon as the item under way is done."""
        with self._state:
            self._stopped = True
            self._state.notify_all()

    def shutdown(self, timeout_ms: int = 120_000) -> bool:
        """Stop and wait; False if the worker was still busy after `timeout_ms`: one step of a large
        training may take half a minute, and is saved then.

        Call it on the thread that the job was created on: the last signals are emitted here.
        """
        self.stop()
        if self._over or not self._begun:
            return True
        if not self.wait(timeout_ms):
            return False
        self._finish()
        return True

    def run(self) -> None:
        """Qt's entry point of the worker thread."""
        items: Iterator[object] | None = None
        try:
            if self._may_go_on():
                items = self._make()
                while self._may_go_on():
                    item = next(items)
                    with self._lock:
                        self._events.append(item)
        except StopIteration:
            pass
        except Exception as error:
            self._failures.append(describe(error))
        try:
            close = getattr(items, "close", None)
            if close is not None:
                close()
        except Exception as error:
            self._failures.append(describe(error))

    def _may_go_on(self) -> bool:
        """Wait out a pause, then tell whether to go on."""
        with self._state:
            self._state.wait_for(lambda: self._stopped or not self._paused)
            return not self._stopped

    @Slot()
    def _flush(self) -> None:
        with self._lock:
            events, self._events = self._events, []
        if events:
            self.produced.emit(events)

    @Slot()
    def _finish(self) -> None:
        """Deliver what is left, then the failures, then the end: once, whoever comes first."""
        if self._over:
            return
        self._over = True
        self.wait()  # `finished` comes just before the thread is gone; a receiver may delete us
        self._timer.stop()
        self._flush()
        for failure in self._failures:
            self.failed.emit(failure)
        self.ended.emit()
        self.deleteLater()
