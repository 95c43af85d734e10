"""Garbage: while there is a window, only its thread collects what Python leaves in circles."""

import gc
import threading

import pytest

from diffviz.jobs import Job
from diffviz.shell.garbage import Garbage


class Circle:
    """Garbage as soon as nobody holds it; notes on which thread it is collected."""

    def __init__(self, told):
        self.me, self.told = self, told

    def __del__(self):
        self.told.append(threading.current_thread())


@pytest.fixture
def garbage(qapp):
    gc.collect()
    garbage = Garbage()
    yield garbage
    garbage.shutdown()
    assert gc.isenabled()


def busy(told):
    """Work that leaves far more circles than make Python collect."""
    for _ in range(20):
        for _ in range(1_000):
            Circle(told)
        yield


@pytest.mark.parametrize("kept_here", [True, False])
def test_circles_that_a_worker_leaves_are_collected_on_the_windows_thread(
    qtbot, request, kept_here
):
    if kept_here:
        request.getfixturevalue("garbage").settle()
    told, ended = [], []
    job = Job(lambda: busy(told))
    job.produced.connect(lambda events: None)
    job.ended.connect(lambda: ended.append(True))
    job.begin()
    qtbot.waitUntil(lambda: bool(ended))
    if not kept_here:  # as Python does by itself: what this test is about can happen
        assert set(told) - {threading.main_thread()}
        return
    qtbot.waitUntil(lambda: len(told) > 19_000)
    assert set(told) == {threading.main_thread()}


def test_what_was_loaded_is_looked_at_no_more_and_the_rest_is(qtbot, garbage):
    gc.collect()
    before = len(gc.get_objects())
    assert not garbage.timer.isActive()  # what comes until then stays
    garbage.settle()
    assert len(gc.get_objects()) < before / 10
    told = []
    Circle(told)
    held = [[k] for k in range(5_000)]  # so much that the youngest are due
    qtbot.waitUntil(lambda: bool(told))
    assert len(held) == 5_000
    garbage.shutdown()
    assert len(gc.get_objects()) > before / 2


def test_the_window_collects_from_its_start_and_python_after_it(window):
    assert not gc.isenabled()
    assert window.garbage.property("asked")
    window.shutdown()
    assert gc.isenabled()
