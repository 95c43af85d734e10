"""Latest: the newest ask is answered, and nothing is heard of the others."""

import threading

import pytest
from PySide6.QtCore import QObject

from diffviz.jobs import Latest


@pytest.fixture
def parent(qapp):
    return QObject()


@pytest.fixture
def latest(qtbot, parent):
    latest = Latest(parent)
    latest.heard = []
    latest.produced.connect(lambda events: latest.heard.extend(events))
    latest.failed.connect(lambda why: latest.heard.append(f"failed: {why}"))
    latest.ended.connect(lambda: latest.heard.append("ended"))
    yield latest
    latest.shutdown()


def test_what_is_asked_for_comes_and_ends(qtbot, latest):
    latest.ask(lambda: iter([1, 2, 3]))
    assert latest.busy
    qtbot.waitUntil(lambda: "ended" in latest.heard)
    assert latest.heard == [1, 2, 3, "ended"]
    assert not latest.busy


def test_nothing_is_heard_of_a_job_that_was_replaced(qtbot, latest):
    go, closed = threading.Event(), []

    def slow():
        try:
            yield "old"
            go.wait(10)
            yield "old too"
            raise RuntimeError("that nobody waits for")
        finally:
            closed.append(True)

    latest.ask(slow)
    qtbot.waitUntil(lambda: "old" in latest.heard)
    latest.ask(lambda: iter(["never"]))
    latest.ask(lambda: iter(["new"]))
    assert not closed  # the newer one waits for the older one's thread
    go.set()
    qtbot.waitUntil(lambda: "ended" in latest.heard)
    assert latest.heard == ["old", "new", "ended"]
    assert closed


def test_a_dropped_job_is_heard_of_no_more_even_if_it_fails(qtbot, latest, caplog):
    begun, go = threading.Event(), threading.Event()

    def failing():
        begun.set()
        go.wait(10)
        raise ValueError("too late")
        yield

    latest.ask(failing)
    assert begun.wait(10)
    latest.drop()
    assert not latest.busy
    go.set()
    latest.ask(lambda: iter(["next"]))
    qtbot.waitUntil(lambda: "ended" in latest.heard)
    assert latest.heard == ["next", "ended"]
    caplog.clear()  # its error is in the log, and meant here


def test_a_stopped_job_gives_what_it_has_and_ends(qtbot, latest):
    more = threading.Event()

    def endless():
        yield "first"
        while not more.wait(0.001):
            yield "again"

    latest.ask(endless)
    qtbot.waitUntil(lambda: "first" in latest.heard)
    latest.stop()
    qtbot.waitUntil(lambda: "ended" in latest.heard)
    assert not latest.busy
    more.set()


def test_a_failure_is_told_before_the_end(qtbot, latest):
    from trainer.problems import Problem

    def failing():
        yield 1
        raise Problem("no disk")

    latest.ask(failing)
    qtbot.waitUntil(lambda: "ended" in latest.heard)
    assert latest.heard == [1, "failed: no disk", "ended"]


def test_a_folder_deleted_meanwhile_is_told_in_a_sentence_and_is_no_fault(qtbot, latest, tmp_path):
    """An OSError that reaches the job is the world's doing: conftest fails on a logged error."""

    def listing():
        folder = tmp_path / "gone"
        folder.mkdir()
        yield 1
        folder.rmdir()
        yield len(list(folder.iterdir()))

    latest.ask(listing)
    qtbot.waitUntil(lambda: "ended" in latest.heard)
    first, failed, _ = latest.heard
    assert first == 1
    assert failed == (
        f"failed: Could not use {tmp_path / 'gone'}: there is no such file or folder. "
        "Check the path."
    )


def test_what_waits_and_is_stopped_ends(qtbot, latest):
    go = threading.Event()

    def slow():
        go.wait(10)
        yield "old"

    latest.ask(slow)
    latest.ask(lambda: iter(["never"]))
    latest.stop()
    assert latest.heard == ["ended"]
    assert not latest.busy
    go.set()
    latest.ask(lambda: iter(["next"]))
    qtbot.waitUntil(lambda: latest.heard[-1] == "ended" and len(latest.heard) == 3)
    assert latest.heard == ["ended", "next", "ended"]


def test_a_listener_that_goes_on_to_its_next_piece_begins_nothing_after_shutdown(latest):
    begun = []

    def next_piece():
        begun.append(len(begun))
        yield begun[-1]
        threading.Event().wait(0.05)
        yield "more"

    latest.ended.connect(lambda: latest.ask(next_piece))
    latest.ask(next_piece)
    latest.shutdown()
    assert len(begun) <= 1
    assert not latest.busy
