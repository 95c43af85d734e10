"""The newest of several asks for the same place on the screen."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from PySide6.QtCore import QObject, Signal

from diffviz.jobs.job import Job

Make = Callable[[], Iterator[Any]]


class Latest(QObject):
    """Runs what was asked for last. An older job is stopped, and nothing of it is heard any more.

    The newer one begins once the older one's thread is done, so that two never share the processor;
    of several that were asked for meanwhile only the last one runs. `produced`, `failed` and
    `ended` speak of the newest job only.
    """

    produced = Signal(list)
    failed = Signal(str)
    ended = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._job: Job | None = None  # the newest, if it has begun
        self._waiting: Make | None = None
        self._leaving: list[Job] = []  # stopped, but not done yet
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether something asked for is still to come."""
        return self._job is not None or self._waiting is not None

    @property
    def paused(self) -> bool:
        return self._job is not None and self._job.paused

    def ask(self, make: Make) -> None:
        """Run this generator on a worker instead of whatever was asked for before."""
        if self._closed:
            return
        self._waiting = make
        self._leave()
        self._go_on()

    def drop(self) -> None:
        """Give up what was asked for: no more is heard of it, not even that it ended."""
        self._waiting = None
        self._leave()

    def stop(self) -> None:
        """End the job once the item under way is done; `ended` follows what it still gives."""
        waited, self._waiting = self._waiting is not None, None
        if self._job is not None:
            self._job.stop()
        elif waited:
            self.ended.emit()

    def pause(self) -> None:
        if self._job is not None:
            self._job.pause()

    def resume(self) -> None:
        if self._job is not None:
            self._job.resume()

    def shutdown(self) -> None:
        """Stop everything and wait for it; what the newest still gives is heard.

        What is asked for from then on, as by a listener that goes on with its next piece, never
        begins: nobody would wait for its thread.
        """
        self._waiting, self._closed = None, True
        for job in (self._job, *self._leaving):
            if job is not None:
                job.shutdown()

    def _leave(self) -> None:
        if self._job is not None:
            self._leaving.append(self._job)
            self._job.stop()
            self._job = None

    def _go_on(self) -> None:
        if self._waiting is None or self._leaving or self._job is not None:
            return
        make, self._waiting = self._waiting, None
        self._job = job = Job(make, self)
        job.produced.connect(partial(self._produced, job))
        job.failed.connect(partial(self._failed, job))
        job.ended.connect(partial(self._ended, job))
        job.begin()

    def _produced(self, job: Job, events: list[Any]) -> None:
        if job is self._job:
            self.produced.emit(events)

    def _failed(self, job: Job, why: str) -> None:
        if job is self._job:
            self.failed.emit(why)

    def _ended(self, job: Job) -> None:
        if job is self._job:
            self._job = None
            self.ended.emit()
        elif job in self._leaving:
            self._leaving.remove(job)
        self._go_on()
