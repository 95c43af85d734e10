"""The one-dimensional overview, driven as a person would, against closed forms."""

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent, QWheelEvent
from PySide6.QtWidgets import QApplication, QWidget

from diffviz.shell import style
from diffviz.shell.session import Session
from diffviz.views.overview import work
from diffviz.views.overview.view import OverviewView
from diffviz.views.overview.work import Overview
from diffviz.views.toys import OLD_PROCESSES, Paths
from diffviz.widgets.density import Mode
from diffviz.widgets.formula import Formula, to_html
from diffviz.widgets.themed import arrow_segments
from trainer.catalogue import PROCESSES
from trainer.problems import Problem

MODES = (Mode(-1.0, 0.5, 1.0), Mode(1.5, 0.3, 0.5))


def settle(qtbot, panel):
    qtbot.waitUntil(lambda: not panel.work.busy and not panel.awaited, timeout=30_000)


@pytest.fixture
def panel(qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr(work, "OVERVIEW_PATHS", 200)
    panel = OverviewView(Session(tmp_path))
    qtbot.addWidget(panel, before_close_func=OverviewView.shutdown)
    panel.resize(860, 640)
    panel.show()
    qtbot.waitUntil(lambda: len(panel.paths) == 3, timeout=60_000)
    settle(qtbot, panel)
    return panel


def density(modes, alpha, sigma, x, scale=1.0):
    """The mixture's p_t in the view's units, by the formula."""
    total = sum(mode.weight for mode in modes)
    parts = []
    for mode in modes:
        std = np.sqrt((alpha * mode.std) ** 2 + sigma**2)
        gap = (x * scale - alpha * mode.mean) / std
        parts.append(mode.weight / total * np.exp(-(gap**2) / 2) / (std * np.sqrt(2 * np.pi)))
    return scale * np.sum(parts, 0)


def press(plot, kind, at, button=Qt.MouseButton.LeftButton):
    """One mouse event at `at`, in the plot's own coordinates."""
    held = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseButtonRelease else button
    if kind == QEvent.Type.MouseMove:
        button = Qt.MouseButton.NoButton
    viewport = plot.plot.viewport()
    place = plot.plot.mapFromScene(plot.item.vb.mapViewToScene(QPointF(*at)))
    spot = QPointF(place)
    event = QMouseEvent(
        kind, spot, QPointF(viewport.mapToGlobal(place)), button, held, Qt.KeyboardModifier(0)
    )
    QApplication.sendEvent(viewport, event)


def drag(qtbot, plot, start, end, steps=6):
    press(plot, QEvent.Type.MouseMove, start, Qt.MouseButton.NoButton)
    press(plot, QEvent.Type.MouseButtonPress, start)
    for share in np.linspace(0, 1, steps):
        qtbot.wait(15)  # pyqtgraph takes at most a hundred moves a second
        at = tuple(a + (b - a) * share for a, b in zip(start, end, strict=True))
        press(plot, QEvent.Type.MouseMove, at)
    press(plot, QEvent.Type.MouseButtonRelease, end)


@pytest.mark.parametrize("name", PROCESSES)
def test_every_process_gives_the_exact_density_and_paths_that_follow_it(name, monkeypatch):
    monkeypatch.setattr(work, "OVERVIEW_PATHS", 600)
    modes = tuple(work.Mode(m.mean, m.std, m.weight) for m in MODES)
    found = list(work.overview(Overview(name, modes=modes)))
    dense = next(event for event in found if isinstance(event, work.Densities))
    assert np.trapezoid(dense.density, dense.axis, axis=1) == pytest.approx(1, abs=2e-3)
    for k in (0, 37, 100):
        alpha, sigma = dense.alpha[k], dense.sigma[k]
        scale = np.sqrt(alpha**2 + sigma**2) if name == "ve" else 1.0
        expected = density(MODES, alpha, sigma, dense.axis, scale)
        assert dense.density[k] == pytest.approx(expected, abs=2e-4)
    paths = {event.kind: event.places for event in found if isinstance(event, Paths)}
    assert set(paths) == {"forward", "reverse", "flow"}
    for places in paths.values():
        for k in (0, 50, 100):
            mean = np.trapezoid(dense.axis * dense.density[k], dense.axis)
            var = np.trapezoid((dense.axis - mean) ** 2 * dense.density[k], dense.axis)
            assert places[k].mean() == pytest.approx(mean, abs=0.3)
            assert places[k].var() == pytest.approx(var, rel=0.25)
    assert np.array_equal(paths["reverse"][-1], paths["flow"][-1])
    shown = work.OVERVIEW_SHOWN
    # At t = 0 a process that begins with sigma_min has added that much noise already.
    near = 1e-5 + 5 * float(dense.sigma[0])
    assert paths["forward"][0, :shown] == pytest.approx(paths["flow"][0, :shown], abs=near)


def test_arrows_are_sigma_times_the_score(panel):
    d = panel.densities
    k, place = 3, 5
    t, x = float(d.arrow_times[k]), float(d.arrow_axis[place])
    alpha = np.exp(-(0.1 * t + 19.9 * t**2 / 2) / 2)
    sigma, h = np.sqrt(1 - alpha**2), 1e-4
    p = density(panel.editor.modes, alpha, sigma, np.array([x - h, x + h]))
    assert d.arrows[k, place] == pytest.approx(sigma * np.diff(np.log(p))[0] / (2 * h), abs=1e-3)


def test_the_slider_moves_the_marks_and_the_section(panel):
    for fraction in (0.0, 0.4, 1.0):
        panel.timeline.set_fraction(fraction)
        k = round((1 - fraction) * 100)
        assert [m.value() for m in panel.map.markers] == pytest.approx([1 - fraction, 1 + fraction])
        assert np.array_equal(panel.section.density, panel.densities.density[k])
        for part, places in panel.paths.items():
            shown = panel.section.histograms[part]
            width = panel.section.edges[1] - panel.section.edges[0]
            counts = np.histogram(places[k], panel.section.edges)[0]
            assert np.array_equal(np.rint(shown * width * places.shape[1]), counts)
    marker = panel.map.markers[0]
    marker.setValue(0.25)
    marker.sigDragged.emit(marker)
    assert panel.time() == pytest.approx(0.25)


def test_the_map_shows_the_density_there_and_back(panel):
    shown = panel.map.image.image
    relative = panel.densities.density / panel.densities.density.max(1, keepdims=True)
    assert shown.shape == (201, 256)
    assert np.array_equal(shown[:101], np.rint(255 * relative**0.6).astype(np.uint8))
    assert np.array_equal(shown[101:], shown[99::-1])
    x, y = panel.map.lines["flow"].getData()
    assert np.nanmin(x) == 0
    assert np.nanmax(x) == 2
    assert y[:101] == pytest.approx(panel.paths["flow"][:, 0])


def test_dragging_a_handle_reshapes_the_data(qtbot, panel):
    mode = panel.editor.modes[0]
    drag(qtbot, panel.editor, (mode.weight, mode.mean), (0.9, -2.6))
    settle(qtbot, panel)
    moved = panel.editor.modes[0]
    assert (moved.mean, moved.weight) == pytest.approx((-2.6, 0.9), abs=0.1)
    assert moved.std == mode.std
    assert panel.mean.value() == pytest.approx(moved.mean, abs=0.006)
    d = panel.densities
    expected = density(panel.editor.modes, d.alpha[50], d.sigma[50], d.axis)
    assert d.density[50] == pytest.approx(expected, abs=1e-4)
    drag(
        qtbot,
        panel.editor,
        (moved.weight, moved.mean + moved.std),
        (moved.weight, moved.mean + 0.8),
    )
    assert panel.editor.modes[0].std == pytest.approx(0.8, abs=0.1)


def test_the_wheel_widens_the_mode_under_it(qtbot, panel):
    before = panel.editor.modes[1].std
    scene = panel.editor.item.vb.mapViewToScene(QPointF(0.3, panel.editor.modes[1].mean))
    at = QPointF(panel.editor.plot.mapFromScene(scene))
    event = QWheelEvent(
        at, at, QPoint(), QPoint(0, 240), Qt.MouseButton.NoButton, Qt.KeyboardModifier(0),
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(panel.editor.plot.viewport(), event)
    assert panel.editor.modes[1].std == pytest.approx(before * 1.1**2)
    assert panel.editor.selected == 1
    assert panel.mode.currentIndex() == 1


def test_the_newest_of_many_changes_is_what_stays(qtbot, panel):
    for mean in np.linspace(-3, 3, 25):
        panel.mean.setValue(float(mean))
    settle(qtbot, panel)
    assert panel.editor.modes[0].mean == 3
    d = panel.densities
    assert d.density[0] == pytest.approx(density(panel.editor.modes, 1.0, 0.0, d.axis), abs=1e-3)
    assert len(panel.paths) == 3


def test_modes_come_and_go(qtbot, panel):
    qtbot.mouseClick(panel.add, Qt.MouseButton.LeftButton)
    assert len(panel.editor.modes) == 4
    assert panel.mode.count() == 4
    for _ in range(3):
        qtbot.mouseClick(panel.remove, Qt.MouseButton.LeftButton)
    assert len(panel.editor.modes) == 1
    assert not panel.remove.isEnabled()
    settle(qtbot, panel)
    d = panel.densities
    assert d.density[0] == pytest.approx(density(panel.editor.modes, 1, 0, d.axis), abs=1e-3)


def test_layers_hide(qtbot, panel):
    for part in ("forward", "reverse", "flow"):
        panel.layers[part].setChecked(False)
        assert panel.map.lines[part].getData()[0] is None
        assert part not in panel.section.histograms
    panel.layers["score"].setChecked(False)
    assert panel.map.arrows.getData()[0] is None
    panel.layers["flow"].setChecked(True)
    assert panel.map.lines["flow"].getData()[0] is not None


def test_a_schedule_that_leaves_signal_is_told(qtbot, panel):
    assert "signal is not gone" not in panel.facts.text()
    panel.process.set_value("ddpm-linear")  # a chain of 300 steps, unless said otherwise
    settle(qtbot, panel)
    assert "signal is not gone: α² = 0.048" in panel.facts.text()
    panel.form.set_values({"parameters": {"steps": 1000}})
    settle(qtbot, panel)
    assert "signal is not gone" not in panel.facts.text()
    panel.form.set_values({"process": "ve", "parameters": {"sigma_max": 20.0}})
    settle(qtbot, panel)
    assert "divided by √(α² + σ²), as the noise reaches σ = 20." in panel.facts.text()


def test_new_paths_differ_and_settings_bring_them_back(qtbot, panel):
    first = panel.paths["reverse"].copy()
    kept = panel.ask()
    qtbot.mouseClick(panel.again, Qt.MouseButton.LeftButton)
    panel.mean.setValue(0.0)
    settle(qtbot, panel)
    assert not np.array_equal(panel.paths["reverse"], first)
    panel.restore(kept)
    settle(qtbot, panel)
    assert np.array_equal(panel.paths["reverse"], first)
    assert panel.ask() == kept


def test_what_version_1_stored_is_read():
    modes = [{"mean": 1.0, "std": 0.5, "weight": 0.3}]
    old = {"process": "DDPM, linear, T = 300", "modes": modes, "seed": 3, "t": 0.25}
    ask = Overview.from_dict(old)
    assert (ask.process, ask.made().chain_steps) == ("ddpm-linear", 300)
    for title, name in OLD_PROCESSES.items():
        assert Overview.from_dict({**old, "process": title}).process == name
    assert (ask.modes, ask.seed, ask.t) == ((work.Mode(1.0, 0.5, 0.3),), 3, 0.25)
    for wrong in ({"modes": "nonsense"}, {"seed": None}, {"t": 2}):
        with pytest.raises(Problem):
            Overview.from_dict({**old, **wrong})


def test_colours_follow_the_palette_and_everything_has_a_name(panel):
    panel.setPalette(style.palette(dark=True))
    pen = panel.map.lines["reverse"].opts["pen"]
    assert pen.color().name().upper() == style.SERIES_ON_DARK[1]
    panel.setPalette(style.palette(dark=False))
    pen = panel.map.lines["reverse"].opts["pen"]
    assert pen.color().name().upper() == style.SERIES_ON_LIGHT[1]
    for name in ("overviewProcessCombo", "modeCombo", "meanSpin", "newPathsButton", "densityMap"):
        assert panel.findChild(QWidget, name).accessibleName()
    assert panel.minimumSizeHint().width() <= 860
    assert panel.grid().shape == (1, 640, 860, 3)


def test_the_film_goes_from_noise_to_data(panel):
    panel.set_time(0.3)
    film = panel.animation()
    assert len(film) == 26
    assert len({frame.shape for frame in film}) == 1
    assert not np.array_equal(film[0], film[-1])
    assert panel.time() == pytest.approx(0.3)


def test_formulas_are_typeset():
    assert to_html("x_t = α_{ti}^2 y") == (
        "<i>x</i><sub><i>t</i></sub> = <i>α</i><sub><i>ti</i></sub><sup>2</sup> <i>y</i>"
    )
    assert to_html('log p(x) < "if so"') == "log <i>p</i>(<i>x</i>) &lt; if so"


def test_a_formula_says_its_source(qtbot):
    label = Formula("A sentence.", [("g(t)^2", "Someone 2021, eq. 6")], "formula")
    qtbot.addWidget(label)
    assert "A sentence." in label.text()
    assert "eq. 6" in label.text()
    assert "g(t)^2" in label.accessibleName()


def test_arrows_point_where_they_should():
    at, along = np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([[0.0, 3.0], [0.0, 0.0]])
    segments = arrow_segments(at, along, np.array([0.2, 0.2])).reshape(2, 3, 2, 2)
    assert segments[0, 0].tolist() == [[1, 2], [1, 5]]
    heads = segments[0, 1:, 1]
    assert (heads[:, 1] < 5).all()
    assert heads[:, 0].mean() == pytest.approx(1)
    assert np.abs(segments[1]).max() == 0
