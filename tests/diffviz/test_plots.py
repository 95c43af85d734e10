"""The plots: what they keep, paint and say."""

import subprocess
import sys

import numpy as np
import pytest
from PySide6.QtCore import QPointF
from PySide6.QtGui import QColor, QPalette

from diffviz.shell import style
from diffviz.widgets.curve import CurvePlot
from diffviz.widgets.curves import CurvesPlot
from diffviz.widgets.density import DensityMap, ModeEditor, Section
from diffviz.widgets.field import FieldPlot
from diffviz.widgets.histogram import HistogramPlot
from diffviz.widgets.lines import Line, LinesPlot
from diffviz.widgets.plot import WAIT_MS, Plot


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
