"""The reusable pieces of the desktop app, each driven on its own."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QObject, QPointF, Qt
from PySide6.QtGui import QColor, QImage, QPalette
from PySide6.QtWidgets import QApplication, QLabel, QVBoxLayout, QWidget

from diffviz.jobs import Job
from diffviz.shell import style
from diffviz.widgets.caption import Caption, Words
from diffviz.widgets.curve import CurvePlot
from diffviz.widgets.curves import CurvesPlot
from diffviz.widgets.density import DensityMap, ModeEditor, Section
from diffviz.widgets.field import FieldPlot
from diffviz.widgets.histogram import HistogramPlot
from diffviz.widgets.lines import Line, LinesPlot
from diffviz.widgets.mosaic import Mosaic, compose
from diffviz.widgets.plot import WAIT_MS, Plot
from diffviz.widgets.timeline import RANGE_SECONDS, SPEEDS, Timeline
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


@pytest.mark.parametrize("channels", [(), (3,)])
def test_compose_lays_out_a_near_square_grid(channels):
    images = np.random.default_rng(0).integers(0, 256, (16, 5, 7, *channels), np.uint8)
    grid = compose(images)
    assert grid.shape == (4 * 5 + 3, 4 * 7 + 3, *channels)
    np.testing.assert_array_equal(grid[6:11, 16:23], images[6])
    assert (grid[5] == 40).all()
    assert compose(images[:5]).shape[:2] == (2 * 5 + 1, 3 * 7 + 2)
    with pytest.raises(ValueError, match="float64"):
        compose(images / 255)


def pixels(picture: QImage) -> np.ndarray:
    picture = picture.convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(picture.constBits(), np.uint8).reshape(picture.height(), -1)
    # A copy, since the memory goes with the picture.
    return rows[:, : picture.width() * 3].reshape(picture.height(), picture.width(), 3).copy()


@pytest.mark.parametrize("channels", [(), (3,)])
def test_mosaic_paints_exactly_the_composed_pixels(qtbot, channels):
    images = np.random.default_rng(1).integers(0, 256, (9, 5, 7, *channels), np.uint8)
    mosaic = Mosaic()
    qtbot.addWidget(mosaic)
    mosaic.resize(96, 80)
    mosaic.show_images(images)
    grid = compose(images)
    assert mosaic.images is images
    np.testing.assert_array_equal(mosaic.image_array(), grid)
    where = mosaic.target().toRect()
    scale = where.width() // grid.shape[1]
    assert scale == 4
    shown = pixels(mosaic.grab(where).toImage())
    expected = grid.repeat(scale, 0).repeat(scale, 1)
    if not channels:
        expected = expected[..., None].repeat(3, 2)
    np.testing.assert_array_equal(shown, expected)


def test_mosaic_takes_the_room_where_whole_squares_would_leave_much(qtbot):
    images = np.zeros((1, 10, 10), np.uint8)
    images[0, 4:, 4:] = 255
    mosaic = Mosaic()
    qtbot.addWidget(mosaic)
    mosaic.resize(36, 36)  # 3.6 to a pixel, where 3 would leave a third of it
    mosaic.show_images(images)
    assert mosaic.target().toRect().size() == mosaic.size()
    shown = pixels(mosaic.grab().toImage())[..., 0]
    edge = 0.4 * 36
    assert not shown[: int(edge) - 1].any()
    assert (shown[int(edge) + 2 :, int(edge) + 2 :] == 255).all()
    mosaic.resize(32, 32)  # nearly 3: whole squares are crisper
    assert mosaic.scale() == 3


def test_mosaic_says_so_when_it_is_empty(qtbot):
    mosaic = Mosaic()
    qtbot.addWidget(mosaic)
    mosaic.resize(200, 100)
    blank = pixels(mosaic.grab().toImage())
    mosaic.set_placeholder("No samples yet")
    said = pixels(mosaic.grab().toImage())
    assert (blank != said).any()
    mosaic.show_images(np.zeros((1, 4, 4), np.uint8))
    mosaic.show_images(None)
    assert mosaic.images is None
    assert mosaic.image_array() is None
    np.testing.assert_array_equal(pixels(mosaic.grab().toImage()), said)


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


@pytest.fixture
def curve(qtbot):
    widget = CurvePlot("Loss", "loss", "step", "lossPlot", smooth=True)
    qtbot.addWidget(widget)
    widget.resize(400, 300)
    widget.show()
    assert widget.plot is not None  # made now
    return widget


def test_curve_keeps_all_points(qtbot, curve):
    assert curve._empty.isVisible()
    xs = np.arange(2000.0)
    ys = np.exp(-xs / 500)
    for start in range(0, 2000, 40):
        curve.append(xs[start : start + 40], ys[start : start + 40])
    curve.append(2000, 0.1)
    kept = curve.points()
    np.testing.assert_array_equal(kept[0], np.append(xs, 2000))
    np.testing.assert_array_equal(kept[1], np.append(ys, 0.1))
    assert curve._raw_line.xData is None or len(curve._raw_line.xData) == 0
    qtbot.waitUntil(lambda: curve._raw_line.xData is not None and len(curve._raw_line.xData) > 0)
    assert len(curve._raw_line.xData) == len(curve._smooth_line.xData) == 2001
    assert not curve._empty.isVisible()
    curve.set_points([1, 2], [3, 4])
    assert [part.tolist() for part in curve.points()] == [[1, 2], [3, 4]]
    curve.clear()
    assert curve.points()[0].size == 0
    assert curve._empty.isVisible()


def test_curve_smooths_alike_in_one_piece_and_in_many(curve):
    ys = np.random.default_rng(2).normal(size=100)
    ys[0] = ys[50] = np.nan
    curve.set_points(np.arange(100), ys)
    whole = curve._data[2, :100].copy()
    curve.clear()
    for index, y in enumerate(ys):
        curve.append(index, y)
    np.testing.assert_allclose(curve._data[2, :100], whole)
    assert np.isfinite(whole[1:]).all()
    assert whole[1:].std() < np.nanstd(ys)


def test_curve_log_mode_keeps_the_points_and_leaves_gaps(curve):
    ys = [100.0, 10.0, 0.0, -1.0, np.inf, 1.0]
    curve.set_points(range(6), ys)
    curve.set_log(True)
    np.testing.assert_array_equal(curve.points()[1], ys)
    drawn = curve._raw_line.getData()[1]
    np.testing.assert_allclose(drawn, [2, 1, np.nan, np.nan, np.nan, 0])
    curve.grab()  # pyqtgraph fits the range when it paints
    low, high = curve.plot.getPlotItem().viewRange()[1]
    assert -1 < low <= 0
    assert 2 <= high < 3
    curve.set_log(False)
    assert curve._raw_line.getData()[1][0] == 100


def test_curve_follows_the_palette(qtbot, curve):
    curve.set_points(np.arange(50), np.linspace(0.9, 0.95, 50))
    for base, text in (("#202020", "#f0f0f0"), ("#ffffff", "#101010")):
        palette = QPalette()
        palette.setColor(QPalette.ColorRole.Base, QColor(base))
        palette.setColor(QPalette.ColorRole.Text, QColor(text))
        curve.setPalette(palette)
        picture = curve.picture()
        curve.apply_palette()
        assert picture.pixelColor(3, 3) == QColor(base)
        axis = curve.plot.getPlotItem().getAxis("left")
        assert axis.textPen().color() == QColor(text)
        assert axis.autoSIPrefixScale == 1  # never 940 for 0.94


def test_errors_are_bars_and_an_empty_plot_has_no_axes(qtbot):
    curve = CurvePlot("Bits/dim", "bits/dim", "step", "bpdPlot")
    qtbot.addWidget(curve)
    axis = curve.item.getAxis("left")
    assert not axis.isVisible()
    curve.append([1, 2, 3], [4.0, 3.0, 2.5], [0.5, np.nan, 0.25])
    curve.redraw()
    assert axis.isVisible()
    assert curve._bars.opts["x"].tolist() == [1, 3]
    assert curve._bars.opts["height"].tolist() == [1.0, 0.5]  # from one error below to one above
    curve.clear()
    assert curve._bars is None
    assert not axis.isVisible()


def lines_plot():
    plot = LinesPlot("plot", "Lines", "y")
    plot.show_lines([Line("a", np.array([0.0, 1.0]), np.array([1.0, 2.0]), 0)])
    plot.set_mark(0.25)
    return plot


PLOTS = {
    "curve": lambda: CurvePlot("Loss", "loss", "step", "plot"),
    "curves": lambda: CurvesPlot("FID", "FID", "NFE", "plot"),
    "histogram": lambda: HistogramPlot(np.arange(3.0), np.ones(2), 1.0, "plot", "Bars"),
    "lines": lines_plot,
    "map": lambda: DensityMap(4.5, "plot"),
    "section": lambda: Section(4.5, "plot"),
    "modes": lambda: ModeEditor(4.5, "plot"),
    "field": lambda: FieldPlot(3.0, "plot", "Field"),
}


@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_has_one_base_a_name_and_the_palettes_colours(qtbot, name):
    plot = PLOTS[name]()
    qtbot.addWidget(plot)
    assert isinstance(plot, Plot)
    assert plot.objectName() == "plot"
    assert plot.accessibleName()
    plot.resize(300, 200)
    for dark in (True, False):
        palette = style.palette(dark)
        plot.setPalette(palette)
        seen = plot.picture()
        assert plot.made
        assert seen.pixelColor(2, 2) == palette.color(QPalette.ColorRole.Base)
        for side in ("left", "bottom"):
            text = plot.item.getAxis(side).textPen().color()
            assert text == palette.color(QPalette.ColorRole.Text)


def test_a_plot_is_made_once_it_is_painted_and_shows_what_came_before(qtbot):
    plot = lines_plot()
    assert not plot.made
    plot.setProperty("loading", True)  # as the window has it until its first animation plays
    qtbot.addWidget(plot)
    plot.show()
    qtbot.waitUntil(lambda: plot.awaited)
    qtbot.wait(3 * WAIT_MS)
    assert not plot.made
    plot.setProperty("loading", False)
    qtbot.waitUntil(lambda: plot.made)
    ((line, drawn),) = plot._drawn
    assert line.name == "a"
    assert drawn.getData()[1].tolist() == [1, 2]
    assert plot.mark.value() == 0.25


def test_what_the_first_sight_needs_of_plots_loads_no_plotting_library():
    modules = ", ".join(f"diffviz.widgets.{n}" for n in ("plot", "curve", "histogram", "themed"))
    code = f"import sys, {modules}; print('pyqtgraph' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


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


@pytest.mark.parametrize("value", [None, True, False])
def test_qt_keeps_the_references_of_pythons_constants(qtbot, value):
    """A binding that drops them kills the program after some ten thousand calls."""
    label = QLabel()
    qtbot.addWidget(label)
    before = sys.getrefcount(value)
    for _ in range(1000):
        label.setText("a")
        label.isEnabled()
        label.isHidden()
    assert sys.getrefcount(value) > before - 500


@pytest.mark.parametrize("kind", [Caption, Words])
def test_words_that_change_have_nothing_laid_out_anew_until_they_need_room(qtbot, kind):
    window, words = QWidget(), kind("words")
    column = QVBoxLayout(window)
    column.addWidget(words)
    column.addWidget(QLabel("below"))
    window.resize(200, 200)
    qtbot.addWidget(window)
    window.show()
    words.setText("t = 0.500")
    qtbot.waitUntil(lambda: words.height() > 0 and words.width() > 0)
    QApplication.processEvents()
    asked = []

    class Watch(QObject):
        def eventFilter(self, _, event):
            if event.type() == QEvent.Type.LayoutRequest:
                asked.append(event)
            return False

    watch = Watch()
    window.installEventFilter(watch)
    for k in range(5):
        words.setText(f"t = 0.{k}00")
        QApplication.processEvents()
    assert not asked
    long = "as wide as it needs, or in several lines " * (1 if kind is Caption else 5)
    words.setText(long)
    qtbot.waitUntil(lambda: bool(asked))
    assert words.text() == long
    if kind is Caption:
        assert words.width() == words.sizeHint().width()
    else:
        assert words.height() == words.label.heightForWidth(
            200 - 2 * column.contentsMargins().left()
        )


@pytest.mark.parametrize(
    ("curve", "corner"),
    [
        ([(0, 0), (1, 0), (2, 1)], (0, 0)),  # up at the right: the legend goes to the left
        ([(0, 1), (1, 0), (2, 0)], (1, 0)),
        ([(0, 1), (1, 1), (2, 1), (3, 0), (3.01, 1)], (0, 1)),
        ([(0, 0), (0.01, 1), (2, 1)], (1, 1)),
    ],
)
def test_a_legend_goes_where_it_hides_least(qtbot, curve, corner):
    plot = CurvesPlot("Curves", "y", "x", "curves")
    qtbot.addWidget(plot)
    plot.resize(600, 400)
    plot.show()
    plot.set_curve("a name", *np.array(curve, float).T)
    legend = plot.item.legend
    qtbot.waitUntil(lambda: legend.corner == corner)
    box, frame = plot.item.vb.sceneBoundingRect(), legend.sceneBoundingRect()
    assert box.contains(frame)
    for x, y in curve:
        assert not frame.contains(plot.item.vb.mapViewToScene(QPointF(x, y)))
    assert (frame.center().x() > box.center().x(), frame.center().y() > box.center().y()) == corner


def test_in_a_low_wide_plot_a_legends_names_stand_in_a_row_and_hide_no_mark(qtbot):
    plot = CurvesPlot("Curves", "y", "x", "curves")
    qtbot.addWidget(plot)
    plot.resize(900, 170)
    plot.show()
    curves = {"one": [(0, 0.5), (1, 0)], "another": [(1, 0.5)], "a third name": [(2, 1)]}
    for name, points in curves.items():
        plot.set_curve(name, *np.array(points, float).T)
    legend, box = plot.item.legend, plot.item.vb
    qtbot.waitUntil(lambda: legend.columnCount == 3 and legend.corner == (1, 1))
    marks = [QPointF(*point) for points in curves.values() for point in points]
    assert not any(legend.sceneBoundingRect().contains(box.mapViewToScene(mark)) for mark in marks)
