"""The timeline: its slider, its steps, its playing."""

from types import SimpleNamespace

import pytest
from PySide6.QtCore import Qt

from diffviz.widgets.timeline import RANGE_SECONDS, SPEEDS, Timeline


@pytest.fixture
def timeline(qtbot):
    widget = Timeline()
    qtbot.addWidget(widget)
    widget.set_count(11)
    widget.show()
    return widget


def test_timeline_slider_and_steps(qtbot, timeline):
    heard = []
    timeline.position_changed.connect(heard.append)
    timeline.slider.setValue(5)
    assert timeline.fraction() == 0.5
    qtbot.mouseClick(timeline.forward_button, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(timeline.back_button, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(timeline.back_button, Qt.MouseButton.LeftButton)
    assert heard == [0.5, 0.6, 0.5, 0.4]
    timeline.set_fraction(7.0)
    assert timeline.slider.value() == 10
    timeline.set_count(101)
    assert (timeline.fraction(), timeline.slider.value()) == (1.0, 100)
    timeline.set_caption("t = 0.500")
    assert timeline.caption.text() == "t = 0.500"


def test_timeline_plays_by_the_clock_and_stops_at_the_end(qtbot, timeline, monkeypatch):
    clock = SimpleNamespace(now=10.0)
    clock.perf_counter = lambda: clock.now
    monkeypatch.setattr("diffviz.widgets.timeline.time", clock)
    timeline.speed_combo.setCurrentText("4x")
    qtbot.mouseClick(timeline.play_button, Qt.MouseButton.LeftButton)
    assert timeline.playing()
    for seconds in (0.25, 0.75):
        clock.now = 10 + seconds
        qtbot.waitUntil(lambda at=seconds: timeline.fraction() == at * 4 / RANGE_SECONDS)
    clock.now = 10.99
    qtbot.wait(50)  # however many ticks there are
    assert timeline.fraction() == pytest.approx(0.99)
    clock.now = 11.0
    qtbot.waitUntil(lambda: not timeline.playing())
    assert timeline.fraction() == 1.0
    assert not timeline.play_button.isChecked()
    timeline.play()
    assert timeline.fraction() == 0.0
    timeline.pause()
    assert not timeline.playing()


def test_timeline_loops(qtbot, timeline):
    heard = []
    timeline.position_changed.connect(heard.append)
    timeline.loop_button.setChecked(True)
    timeline.speed_combo.setCurrentText("4x")
    timeline.set_fraction(0.9)
    timeline.play()
    qtbot.waitUntil(lambda: 0 < timeline.fraction() < 0.5, timeout=3000)
    assert timeline.playing()
    assert 1.0 in heard


def test_timeline_with_one_stop_cannot_play(timeline):
    timeline.play()
    timeline.set_count(1)
    assert not timeline.playing()
    timeline.play()
    assert not timeline.playing()
    assert not timeline.slider.isEnabled()


def test_playback_waits_for_what_is_still_being_made(qtbot, timeline):
    timeline.set_count(100)
    timeline.speed_combo.setCurrentIndex(len(SPEEDS) - 1)
    timeline.set_available(0.1)
    timeline.play()
    qtbot.waitUntil(lambda: timeline.fraction() >= 0.1, timeout=5000)
    qtbot.wait(200)
    assert timeline.fraction() == pytest.approx(0.1)
    assert timeline.playing()
    timeline.set_available(1.0)
    qtbot.waitUntil(lambda: not timeline.playing(), timeout=5000)
    assert timeline.fraction() == 1.0
