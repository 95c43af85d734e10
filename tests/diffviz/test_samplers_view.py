"""The samplers panel and what it asks workers for."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from diffviz.export import files as export
from diffviz.shell import style
from diffviz.views.samplers import work as work_samplers
from diffviz.views.samplers.comparison import Comparison
from diffviz.views.samplers.work import Draw, Drawn, Judged
from diffviz.widgets.curves import CurvesPlot
from trainer.config import PRESETS
from trainer.images import to_bytes
from trainer.networks import make_network
from trainer.problems import Problem
from trainer.runs import Run
from trainer.samplers import sample


@pytest.fixture
def panel(qtbot, window):
    window.stage.setCurrentWidget(window.panel_named("Samplers"))
    panel = window.panel_named("Samplers")
    qtbot.waitUntil(lambda: panel.model.run is not None, timeout=20_000)
    ask(panel, [["ddim", 2], ["ddim", 4], ["ddpm", 3]])
    return panel


def ask(panel, columns, model="modern-sde", reference=("ddim", 6), **more):
    if panel.reference.findData(list(reference)) < 0:
        panel.reference.addItem("a test's own", list(reference))
    settings = {"model": model, "columns": columns, "count": 4, "reference": list(reference)}
    panel.prepare({**settings, **more})


def compare(qtbot, panel):
    qtbot.mouseClick(panel.compare_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not panel.comparing and panel.job is None, timeout=30_000)


def finals(folder, sampler, steps, count, seed=0):
    """What the engine itself draws from the panel's noise."""
    model = Run.open(folder).model()
    noise = torch.Generator().manual_seed(seed)
    x = torch.randn((work_samplers.BATCH, 1, 28, 28), generator=noise)[:count]
    return list(sample(model, model.process, x, sampler, steps))[-1].x


def test_nothing_is_computed_before_it_is_asked_for(qtbot, panel):
    assert panel.job is None
    assert all(column.view.images is None for column in panel.columns)
    panel.seed.setValue(5)
    assert panel.job is None


def test_columns_show_what_the_engine_draws_from_one_noise(qtbot, panel, small_models):
    compare(qtbot, panel)
    expected = {n: finals(small_models / "modern-sde", "ddim", n, 4) for n in (2, 4, 6)}
    for column, steps in zip(panel.columns, (2, 4), strict=False):
        assert np.array_equal(column.view.images, to_bytes(expected[steps])[:, 0].numpy())
        error = float((expected[steps] - expected[6]).square().mean().sqrt())
        assert f"{steps} NFE" in column.cost.text()
        assert f"RMS <b>{error:.3g}</b>" in column.facts.text()
    assert "RMS —" in panel.columns[2].facts.text()
    (name,) = panel.plot.names()
    assert name == panel.columns[0].sampler.currentText()
    assert panel.plot.points(name)[0].tolist() == [2, 4]
    assert set(panel.curves()) == {f"{name}, error (RMS) over NFE"}


@pytest.fixture
def short(tmp_path):
    """A small model of a chain of 5 timesteps, among the window's own runs."""
    small = {"width": 8, "blocks": 1}
    config = PRESETS["report-ddpm"].with_changes(
        network="lean", network_parameters=small, process_parameters={"steps": 5}
    )
    run = Run.create(tmp_path / "runs" / "short", config)
    weights = make_network(config, 1).state_dict()
    run.save_weights(1, weights, {"step": 1, "epoch": 1, "shape": [1, 28, 28]})


def test_a_refused_column_shows_its_sentence_and_the_rest_goes_on(qtbot, short, panel):
    ask(panel, [["ddpm", 6], ["ddim", 2]], model="short")
    compare(qtbot, panel)
    refused, drawn = panel.columns
    assert refused.view.images is None
    sentence = panel.comparison.refused["draw", panel.request(refused)]
    assert "from t = 1 there are 5, not 6" in sentence
    assert refused.view.placeholder == sentence
    assert drawn.view.images is not None


def test_a_change_cancels_what_it_makes_obsolete(qtbot, panel):
    ask(panel, [["ddim", 1000], ["ddim", 2]])
    qtbot.mouseClick(panel.compare_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.growing is not None, timeout=20_000)
    first = panel.piece
    panel.add_button.click()  # the piece under way is still wanted
    assert panel.piece == first
    assert panel.columns[2].steps.value() == 4
    panel.columns[0].steps.setValue(3)  # now it is not
    qtbot.waitUntil(lambda: not panel.comparing and panel.job is None, timeout=30_000)
    assert first[1] not in panel.comparison.drawn
    assert all(column.view.images is not None for column in panel.columns)
    before = panel.columns[1].view.images
    panel.seed.setValue(1)
    assert panel.columns[1].view.images is None
    panel.seed.setValue(0)  # kept, for whoever changes their mind
    assert np.array_equal(panel.columns[1].view.images, before)


def test_stop_keeps_what_is_done(qtbot, panel):
    ask(panel, [["ddim", 2], ["ddim", 1000]])
    qtbot.mouseClick(panel.compare_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(
        lambda: len(panel.comparison.drawn) == 1 and bool(panel.growing), timeout=20_000
    )
    qtbot.mouseClick(panel.stop_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.job is None, timeout=20_000)
    assert panel.columns[0].view.images is not None
    assert panel.columns[1].view.images is None
    assert panel.compare_button.isEnabled()


def test_fid_stands_beside_its_floor(qtbot, panel):
    from trainer.data import load
    from trainer.metrics import frechet_distance, moments, training_moments
    from trainer.metrics.features import feature_set

    ask(panel, [["ddim", 2]])
    panel.judge_count.setItemData(1, 20)
    panel.judge_count.setCurrentIndex(1)
    panel.plotted.setCurrentIndex(panel.plotted.findData("fid"))
    compare(qtbot, panel)
    data, features = load("mnist"), feature_set("digits")
    floor = frechet_distance(
        moments(features(data.test[:20].copy())), training_moments(data.train, features)
    )
    judged = panel.comparison.fid(panel.request(panel.columns[0]))
    assert judged.floor == pytest.approx(floor, rel=1e-4)
    assert judged.fid > floor  # the network is untrained
    assert f"floor {floor:.1f}" in panel.columns[0].facts.text()
    (name,) = panel.plot.names()
    assert panel.plot.points(name)[1].tolist() == [judged.fid]


def test_an_exported_grid_makes_the_comparison_again(qtbot, window, panel, tmp_path):
    compare(qtbot, panel)
    before = panel.grid()
    assert before.shape[0] == 3
    window.exports.grid(tmp_path / "grid.png")
    qtbot.waitUntil(lambda: (tmp_path / "grid.png").exists() and not window.jobs, timeout=20_000)
    ask(panel, [["ddim", 1]], model="modern")
    panel.comparison = Comparison()
    window.exports.open(tmp_path / "grid.png")
    qtbot.waitUntil(lambda: len(panel.columns) == 3 and panel.comparing, timeout=20_000)
    qtbot.waitUntil(lambda: not panel.comparing, timeout=30_000)
    assert np.array_equal(panel.grid(), before)
    assert export.settings_in(tmp_path / "grid.png")["columns"][2] == ["ddpm", 3]


def test_columns_come_and_go(qtbot, panel):
    qtbot.mouseClick(panel.sweep_button, Qt.MouseButton.LeftButton)
    assert [c.steps.value() for c in panel.columns[3:]] == [5, 10, 20, 40, 80]
    while len(panel.columns) > 1:
        qtbot.mouseClick(panel.columns[0].remove, Qt.MouseButton.LeftButton)
        QApplication.processEvents()
    assert not panel.columns[0].remove.isEnabled()
    assert panel.columns[0].steps.value() == 80


def drawn(request):
    return list(work_samplers.draw(request))[-1]


def test_images_begin_alike_whatever_their_number_and_sampler(small_models):
    few = Draw(small_models / "modern-sde", "", "ddim", 2, 3, 7)
    three, many = drawn(few), drawn(replace(few, count=20))
    assert np.allclose(three.final, many.final[:3], atol=1e-5)
    assert len(many.images) == 20
    assert not three.random
    ancestral = drawn(replace(few, sampler="ddpm"))
    assert ancestral.random
    assert np.array_equal(ancestral.images, drawn(replace(few, sampler="ddpm")).images)
    assert not np.array_equal(ancestral.images, drawn(replace(few, sampler="ddpm", seed=8)).images)


def test_a_checkpoint_that_is_gone_is_a_problem(small_models):
    request = Draw(small_models / "modern-sde", "00000009.safetensors", "ddim", 2, 3, 7)
    with pytest.raises(Problem, match="no longer keeps its checkpoint 00000009"):
        drawn(request)


def test_a_comparison_knows_what_is_missing():
    draw = Draw("folder", "", "ddim", 5, 4, 0)
    fine, noisy = replace(draw, steps=100), replace(draw, sampler="ddpm", steps=3)
    it = Comparison([draw, noisy, fine], fine, judged_count=256)
    judged = [("judge", replace(d, count=256)) for d in (noisy, draw, fine)]
    assert it.missing() == [("draw", draw), ("draw", noisy), ("draw", fine), *judged]
    flat = np.zeros((4, 1, 2, 2), np.float32)
    it.drawn[draw] = Drawn(flat[:, 0], flat + 0.5, 5, 1.0, False)
    it.drawn[fine] = Drawn(flat[:, 0], flat, 100, 1.0, False)
    it.refused["draw", noisy] = "No."
    it.judged[judged[1][1]] = Judged(20.0, 5.0, "digits")
    assert it.missing() == [judged[2]]
    assert it.error(draw) == 0.5
    assert it.error(fine) is None
    assert it.values("error") == {"ddim": [(5, 0.5)]}
    assert it.values("fid") == {"ddim": [(5, 20.0)]}
    it.drawn[draw] = replace(it.drawn[draw], random=True)
    assert it.error(draw) is None


def test_marks_and_level_follow_logarithmic_axes(qtbot):
    plot = CurvesPlot("FID", "FID", "NFE", "plot")
    qtbot.addWidget(plot)
    plot.set_log(True, True)
    plot.set_curve("a", np.array([10.0, 100.0]), np.array([5.0, 0.5]), number=3)
    plot.set_marks("a", np.array([100.0]))
    (spot,) = plot._marks["a"].points()
    assert (spot.pos().x(), spot.pos().y()) == pytest.approx((2, np.log10(0.5)))
    assert plot._lines["a"].opts["pen"].color().name() == style.series(plot.palette())[3].lower()
    clicked = []
    plot.markClicked.connect(lambda name, x: clicked.append((name, x)))
    plot._marks["a"].sigClicked.emit(plot._marks["a"], [spot], None)
    assert clicked == [("a", pytest.approx(100))]
    plot.set_log(False, False)
    (spot,) = plot._marks["a"].points()
    assert spot.pos().y() == pytest.approx(0.5)
    plot.set_level("floor", 2.0)
    assert set(plot._level.getData()[1]) == {2.0}
    plot.set_level("floor", None)
    assert plot._level.getData()[0] is None or not len(plot._level.getData()[0])
