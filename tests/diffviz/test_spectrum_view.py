"""The spectrum view, clicked, against what a script finds."""

import csv

import numpy as np
import pytest
from PySide6.QtCore import Qt

from diffviz.controls.fields import choose
from diffviz.shell import style
from diffviz.views.spectrum.work import Spectra
from trainer.drawing import open_model
from trainer.images import pictures
from trainer.spectrum import Spectrum, share, spectra

TIMES = 5


@pytest.fixture
def panel(qtbot, window):
    panel = window.views["spectrum"]
    qtbot.waitUntil(lambda: panel.model.run is not None, timeout=20_000)
    panel.form.set_values({"count": 4, "times": TIMES})
    window.stage.setCurrentWidget(panel)  # which is all that it takes
    done(qtbot, panel)
    return panel


def done(qtbot, panel):
    qtbot.waitUntil(lambda: len(panel.seen) == TIMES and not panel.work.busy, timeout=60_000)


def found(small_models, **changes):
    ask = Spectrum(model=str(small_models / "modern-sde"), count=4, times=TIMES, **changes)
    ground, *moments = spectra(ask, open_model(ask))
    return ground, {moment.index: moment for moment in moments}


def lines(plot):
    return {line.name: line.y for line in plot.lines}


def test_the_slider_picks_what_a_script_finds(qtbot, panel, small_models):
    import torch

    ground, moments = found(small_models)
    for index in (0, 2, 4):
        panel.timeline.slider.setValue(index)
        moment = moments[index]
        shown = lines(panel.powers)
        assert np.array_equal(shown["real images"], ground.data)
        assert np.array_equal(shown["x_t"], moment.noisy)
        assert np.array_equal(shown["guess"], moment.guess)
        assert np.array_equal(shown["Wiener's guess"], moment.wiener)
        assert shown["noise"] == pytest.approx(ground.sigma[index] ** 2)
        assert np.array_equal(lines(panel.gains)["gain"], share(moment.guess, ground.data))
        assert panel.above.mark.value() == pytest.approx(ground.times[index])
        assert panel.timeline.caption.text() == f"t = {ground.times[index]:.3f}"
        guesses = pictures(torch.from_numpy(moment.guesses))
        assert np.array_equal(panel.guesses.images, guesses)
    assert f"α = {ground.alpha[4]:.3f}" in panel.facts.toolTip()


def test_the_maps_hold_every_t(qtbot, panel, small_models):
    ground, moments = found(small_models)
    decibels = 10 * np.log10(ground.above())
    assert panel.above.values == pytest.approx(np.maximum(decibels, -20))
    assert panel.above.front[:, 1] == pytest.approx(ground.front() + 0.5)
    gain = np.stack([share(moments[k].guess, ground.data) for k in range(TIMES)])
    best = np.stack([share(moments[k].wiener, ground.data) for k in range(TIMES)])
    rest = np.stack([share(moments[k].rest, ground.data) for k in range(TIMES)])
    tables = {"gain": gain, "wiener": best, "more": gain - best, "told": 1 - rest}
    for name, values in tables.items():
        choose(panel.form["map"], name)
        assert np.array_equal(panel.gain_map.values, values)
        assert panel.gain_map.heading == panel.form["map"].currentText()
    assert not panel.work.busy  # looked at otherwise, and not measured anew
    panel.gain_map.mark.setValue(0.5)
    panel.gain_map.mark.sigDragged.emit(panel.gain_map.mark)
    assert panel.timeline.fraction() == pytest.approx(0.5)
    assert panel.above.mark.value() == pytest.approx(ground.times[2])


def test_another_ask_replaces_one_under_way(qtbot, panel, small_models):
    panel.form.set_values({"count": 64})
    assert "press Measure" in panel.status.text()
    qtbot.mouseClick(panel.measure_button, Qt.MouseButton.LeftButton)
    panel.form.set_values({"count": 4, "seed": 7})
    done(qtbot, panel)
    _, moments = found(small_models, seed=7)
    panel.timeline.set_fraction(0.0)
    assert np.array_equal(lines(panel.powers)["x_t"], moments[0].noisy)
    assert panel.asked.seed == 7


def test_stop_keeps_what_is_measured(qtbot, panel):
    panel.form.set_values({"count": 1024})
    qtbot.mouseClick(panel.measure_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(panel.seen), timeout=60_000)
    qtbot.mouseClick(panel.stop_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not panel.work.busy, timeout=60_000)
    assert 0 < len(panel.seen) < TIMES
    assert panel.states.images is not None
    assert np.isnan(panel.table("gain")).any()
    assert panel.measure_button.isEnabled()


def test_an_exported_view_comes_back(qtbot, window, panel, tmp_path):
    panel.form.set_values({"map": "told"})
    panel.timeline.set_fraction(0.25)
    for name in ("view.png", "view.svg", "view.csv"):
        window.files.view(tmp_path / name)
    qtbot.waitUntil(lambda: not window.jobs, timeout=20_000)
    kept, before = panel.ask(), lines(panel.powers)
    assert len(panel.animation()) == TIMES
    assert panel.grid().shape[3] == 3
    with open(tmp_path / "view.csv") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["x_t"]) for row in rows] == pytest.approx(before["x_t"], rel=1e-5)
    for name in ("view.png", "view.svg"):
        panel.prepare(Spectra(model="modern", count=9))
        window.files.open(tmp_path / name)
        qtbot.waitUntil(lambda: panel.ask() == kept, timeout=20_000)
        done(qtbot, panel)
        assert panel.ask() == kept
        assert all(np.array_equal(y, before[n]) for n, y in lines(panel.powers).items())


def test_it_says_what_to_do_and_follows_the_theme(qtbot, window, small_app):
    panel = window.views["spectrum"]
    assert not panel.seen
    assert "press Measure" in panel.states.placeholder
    for plot in (panel.powers, panel.gains, panel.above, panel.gain_map):
        assert "press Measure" in plot._empty.text()
        assert plot.accessibleName()
    panel.setPalette(style.palette(dark=True))
    panel.above.show_values(np.zeros((2, 3)), (-1.0, 1.0), "Parting", parting=True)
    assert panel.above.plot.backgroundBrush().color() == style.palette(True).base().color()
    table = panel.above.bar.colorMap().getLookupTable(nPts=256)
    assert table[128][:3].tolist() == pytest.approx(
        style.palette(True).base().color().getRgb()[:3], abs=3
    )
