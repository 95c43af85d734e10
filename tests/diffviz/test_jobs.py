"""Jobs: work on threads of their own, driven through their signals."""

import threading
import time
from collections.abc import Iterator

import pytest
from PySide6.QtCore import QObject

from diffviz.jobs import Job
from trainer.problems import Problem


class Record:
    """Everything a job said, in order."""

    def __init__(self, job: Job) -> None:
        self.batches: list[list] = []
        self.log: list[object] = []
        job.produced.connect(self._produced)
        job.failed.connect(lambda text: self.log.append(text))
        job.ended.connect(lambda: self.log.append("ended"))

    def _produced(self, events: list) -> None:
        self.batches.append(events)
        self.log.append("events")

    @property
    def events(self) -> list:
        return [event for batch in self.batches for event in batch]


def run_job(qtbot, make) -> Record:
    job = Job(make)
    record = Record(job)
    with qtbot.waitSignal(job.ended, timeout=5000):
        job.begin()
    assert job.isFinished()
    return record


def count_up(pause: float = 0.001) -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1
        time.sleep(pause)


def test_job_delivers_every_event_in_order_and_in_batches(qtbot):
    def make():
        for number in range(300):
            yield number
            time.sleep(0.001)

    record = run_job(qtbot, make)
    assert record.events == list(range(300))
    assert len(record.batches) < 60
    assert record.log[-1] == "ended"
    assert record.log.count("ended") == 1


def test_job_does_not_hold_an_event_back_while_the_next_is_slow(qtbot):
    gate = threading.Event()

    def make():
        yield "a"
        yield "b"
        gate.wait(5)

    job = Job(make)
    record = Record(job)
    job.begin()
    qtbot.waitUntil(lambda: record.events == ["a", "b"], timeout=2000)
    gate.set()
    assert job.shutdown()
    assert record.log[-1] == "ended"


def test_job_pauses_and_resumes(qtbot):
    job = Job(count_up)
    record = Record(job)
    job.begin()
    qtbot.waitUntil(lambda: len(record.events) > 3)
    job.pause()
    assert job.paused
    qtbot.wait(120)
    held = len(record.events)
    qtbot.wait(120)
    assert len(record.events) == held
    job.resume()
    assert not job.paused
    qtbot.waitUntil(lambda: len(record.events) > held)
    assert job.shutdown()
    assert record.events == list(range(len(record.events)))


@pytest.mark.parametrize("paused", [False, True])
def test_job_stop_closes_the_generator_on_its_own_thread(qtbot, paused):
    threads = []

    def make():
        threads.append(threading.get_ident())
        try:
            yield from count_up()
        finally:
            threads.append(threading.get_ident())

    job = Job(make)
    record = Record(job)
    job.begin()
    qtbot.waitUntil(lambda: len(record.events) > 0)
    if paused:
        job.pause()
        qtbot.wait(30)
    with qtbot.waitSignal(job.ended, timeout=3000):
        job.stop()
    assert len(threads) == 2
    assert threads[0] == threads[1] != threading.get_ident()
    assert job.shutdown()
    qtbot.wait(50)
    assert record.log.count("ended") == 1


def failing(error: Exception):
    def make():
        yield 1
        raise error

    return make


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Problem("The disk is full. Free some space."), "The disk is full. Free some space."),
        (MemoryError(), "Lower the batch size"),
        (RuntimeError("CUDA out of memory. Tried"), "Lower the batch size"),
        (ValueError("odd"), "ValueError: odd"),
    ],
)
def test_job_reports_failures_after_the_events_and_before_the_end(qtbot, caplog, error, said):
    record = run_job(qtbot, failing(error))
    assert record.events == [1]
    assert record.log[0] == "events"
    assert said in record.log[1]
    assert record.log[2:] == ["ended"]
    caplog.clear()  # what nobody foresaw is in the log


def test_job_reports_failure_to_make(qtbot):
    def make():
        raise Problem("No such model.")

    assert run_job(qtbot, make).log == ["No such model.", "ended"]


def test_job_reports_failure_to_close(qtbot):
    def make():
        try:
            yield from count_up()
        finally:
            raise Problem("Could not write the checkpoint.")

    job = Job(make)
    record = Record(job)
    job.begin()
    qtbot.waitUntil(lambda: len(record.events) > 0)
    assert job.shutdown()
    assert record.log[-2:] == ["Could not write the checkpoint.", "ended"]


def test_a_job_is_gone_once_it_has_ended(qtbot):
    parent = QObject()
    for make in (lambda: iter([1]), failing(Problem("No such model."))):
        job = Job(make, parent)
        with qtbot.waitSignal(job.ended):
            job.begin()
    qtbot.waitUntil(lambda: not parent.children())
    assert job.shutdown()


def test_job_stopped_before_it_begins_makes_nothing(qtbot):
    made = []
    job = Job(lambda: iter(made))
    record = Record(job)
    job.stop()
    with qtbot.waitSignal(job.ended):
        job.begin()
    assert record.log == ["ended"]
    with pytest.raises(RuntimeError):
        job.begin()
