"""The samplers view and what it asks workers for."""

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from diffviz.export.files import settings_in
from diffviz.shell import style
from diffviz.views.growing import Drawn, grow
from diffviz.views.samplers import work
from diffviz.views.samplers.work import Column, Samplers
from diffviz.widgets.curves import CurvesPlot
from trainer.ask import settings_of
from trainer.comparing import Comparison, Judged
from trainer.config import PRESETS
from trainer.drawing import drawn_images
from trainer.networks import make_network
from trainer.problems import Problem
from trainer.requests import Drawing, Solver
from trainer.runs import Run

COLUMNS = (Column("ddim", 2), Column("ddim", 4), Column("ddpm", 3))


@pytest.fixture
def panel(qtbot, window, monkeypatch):
    monkeypatch.setattr(Samplers, "fine", lambda self: self.drawing(Column("ddim", 6)))
    window.stage.setCurrentWidget(window.views["samplers"])
    panel = window.views["samplers"]
    qtbot.waitUntil(lambda: panel.model.run is not None, timeout=20_000)
    ask(panel, COLUMNS)
    return panel


def ask(panel, columns, model="modern-sde", **more):
    panel.prepare(Samplers(model=model, columns=columns, count=4, **more))


def compare(qtbot, panel):
    qtbot.mouseClick(panel.compare_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not panel.comparing and not panel.work.busy, timeout=30_000)


def test_nothing_is_computed_before_it_is_asked_for(qtbot, panel):
    assert not panel.work.busy
    assert all(column.view.images is None for column in panel.columns)
    panel.seed.setValue(5)
    assert not panel.work.busy


def test_columns_show_what_a_script_draws_from_one_noise(qtbot, panel, small_models, precision):
    ask(panel, COLUMNS, precision=precision)
    compare(qtbot, panel)
    where = {"model": str(small_models / "modern-sde"), "count": 4, "precision": precision}

    def alone(sampler, steps):
        return list(grow(Drawing(**where, sampler=sampler, steps=steps), ()))[-1].final

    for column, (sampler, steps) in zip(
        panel.columns, (("ddim", 2), ("ddim", 4), ("ddpm", 3)), strict=True
    ):
        images = drawn_images(Drawing(**where, sampler=sampler, steps=steps))
        assert np.array_equal(column.view.images, images[:, 0])
        fine = alone("ddim", 6) if sampler == "ddim" else alone("ddpm", 24)
        error = float(np.sqrt(np.square(alone(sampler, steps).astype(float) - fine).mean()))
        assert f"{steps} NFE" in column.cost.text()
        assert f"RMS <b>{error:.3g}</b>" in column.facts.text()
    names = panel.plot.names()
    assert names == ["DDIM", "DDPM ancestral"]
    assert panel.plot.points("DDIM")[0].tolist() == [2, 4]
    assert set(panel.curves()) == {f"{name}, error (RMS) over NFE" for name in names}


def test_a_columns_options_are_its_own(qtbot, panel, small_models):
    ask(panel, (Column("ddim", 3), Column("ddim", 3, "quadratic")))
    plain, noisy = panel.columns
    qtbot.mouseClick(noisy.form.more_button, Qt.MouseButton.LeftButton)
    eta = noisy.form["options"].fields["eta"]
    eta.lineEdit().selectAll()
    qtbot.keyClicks(eta, "1")
    qtbot.keyClick(eta, Qt.Key.Key_Return)
    assert (plain.how.text(), noisy.how.text()) == ("", "eta 1, even in √t")
    assert noisy.title == "DDIM, eta 1, even in √t, 3 steps"
    compare(qtbot, panel)
    assert not np.array_equal(plain.view.images, noisy.view.images)
    # As many evaluations of one sampler, and yet two curves, each in its column's colour.
    assert panel.plot.names() == ["DDIM", "DDIM, eta 1, even in √t"]
    assert len(panel.curves()) == 2
    assert plain.cost.text() != noisy.cost.text()
    alone = Drawing(
        model=str(small_models / "modern-sde"), count=4, sampler="ddim", steps=3,
        spacing="quadratic", options={"eta": 1.0},
    )  # fmt: skip
    assert np.array_equal(noisy.view.images, drawn_images(alone)[:, 0])


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
    ask(panel, (Column("ddpm", 6), Column("ddim", 2)), model="short")
    compare(qtbot, panel)
    refused, drawn = panel.columns
    assert refused.view.images is None
    sentence = panel.comparison.refused["draw", panel.request(refused)]
    assert "from t = 1 there are 5, not 6" in sentence
    assert refused.view.placeholder == sentence
    assert drawn.view.images is not None


def test_a_change_cancels_what_it_makes_obsolete(qtbot, panel):
    ask(panel, (Column("ddim", 1000), Column("ddim", 2)))
    qtbot.mouseClick(panel.compare_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.growing is not None, timeout=20_000)
    first = panel.piece
    panel.add_button.click()  # the piece under way is still wanted
    assert panel.piece == first
    assert panel.columns[2].steps.value() == 4
    panel.columns[0].steps.setValue(3)  # now it is not
    qtbot.waitUntil(lambda: not panel.comparing and not panel.work.busy, timeout=30_000)
    assert first[1] not in panel.comparison.drawn
    assert all(column.view.images is not None for column in panel.columns)
    before = panel.columns[1].view.images
    panel.seed.setValue(1)
    assert panel.columns[1].view.images is None
    panel.seed.setValue(0)  # kept, for whoever changes their mind
    assert np.array_equal(panel.columns[1].view.images, before)


def test_stop_keeps_what_is_done(qtbot, panel):
    ask(panel, (Column("ddim", 2), Column("ddim", 1000)))
    qtbot.mouseClick(panel.compare_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(
        lambda: len(panel.comparison.drawn) == 1 and bool(panel.growing), timeout=20_000
    )
    qtbot.mouseClick(panel.stop_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not panel.work.busy, timeout=20_000)
    assert panel.columns[0].view.images is not None
    assert panel.columns[1].view.images is None
    assert panel.compare_button.isEnabled()


def test_fid_stands_beside_its_floor(qtbot, panel):
    from trainer.data import load
    from trainer.metrics import frechet_distance, moments, spread_out, training_moments
    from trainer.metrics.features import feature_set

    ask(panel, (Column("ddim", 2),), judged=20, plot="fid")
    compare(qtbot, panel)
    data, features = load("mnist"), feature_set("digits")
    floor = frechet_distance(
        moments(features(spread_out(data.test, 20))), training_moments(data.train, features)
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
    window.files.grid(tmp_path / "grid.png")
    qtbot.waitUntil(lambda: (tmp_path / "grid.png").exists() and not window.jobs, timeout=20_000)
    ask(panel, (Column("ddim", 1),), model="modern")
    panel.comparison = Comparison()
    window.files.open(tmp_path / "grid.png")
    qtbot.waitUntil(lambda: len(panel.columns) == 3 and panel.comparing, timeout=20_000)
    qtbot.waitUntil(lambda: not panel.comparing, timeout=30_000)
    assert np.array_equal(panel.grid(), before)
    assert settings_in(tmp_path / "grid.png")["columns"][2]["sampler"] == "ddpm"


def test_columns_come_and_go(qtbot, panel):
    qtbot.mouseClick(panel.sweep_button, Qt.MouseButton.LeftButton)
    assert [c.steps.value() for c in panel.columns[3:]] == [5, 10, 20, 40, 80]
    while len(panel.columns) > 1:
        qtbot.mouseClick(panel.columns[0].remove, Qt.MouseButton.LeftButton)
        QApplication.processEvents()
    assert not panel.columns[0].remove.isEnabled()
    assert panel.columns[0].steps.value() == 80


def drawn(ask):
    return list(grow(ask, ()))[-1]


def test_images_begin_alike_whatever_their_number_and_sampler(small_models):
    few = Drawing(str(small_models / "modern-sde"), steps=2, count=3, seed=7, precision="float32")
    three, many = drawn(few), drawn(few.with_changes(count=20))
    assert np.allclose(three.final, many.final[:3], atol=1e-5)
    assert len(many.images) == 20
    assert not three.random
    ancestral = drawn(few.with_changes(sampler="ddpm"))
    assert ancestral.random
    assert np.array_equal(ancestral.images, drawn(few.with_changes(sampler="ddpm")).images)
    other = drawn(few.with_changes(sampler="ddpm", seed=8))
    assert not np.array_equal(ancestral.images, other.images)


def test_a_checkpoint_that_is_gone_is_a_problem(small_models):
    gone = Drawing(str(small_models / "modern-sde"), "00000009.safetensors", steps=2, count=3)
    with pytest.raises(Problem, match="keeps no checkpoint 00000009"):
        drawn(gone)


def test_a_comparison_knows_what_is_missing():
    draw = Drawing(steps=5, count=4)
    fine, noisy = draw.with_changes(steps=100), draw.with_changes(sampler="ddpm", steps=3)
    reference = {name: getattr(fine, name) for name in settings_of(Solver)}
    it = Comparison([draw, noisy, fine], reference, judged_count=256)
    judged = [("judge", d.with_changes(count=256)) for d in (noisy, draw, fine)]
    assert it.missing() == [("draw", draw), ("draw", noisy), ("draw", fine), *judged]
    flat = np.zeros((4, 1, 2, 2), np.float32)
    it.drawn[draw] = Drawn(flat[:, 0], flat + 0.5, 5, 1.0, "float32")
    it.drawn[fine] = Drawn(flat[:, 0], flat, 100, 1.0, "float32")
    it.refused["draw", noisy] = "No."
    it.judged[judged[1][1]] = Judged(20.0, 5.0, "digits")
    assert it.missing() == [judged[2]]
    assert it.error(draw) == 0.5
    assert it.error(fine) is None
    assert it.values("error") == {"DDIM": [(5, 0.5)]}
    assert it.values("fid") == {"DDIM": [(5, 20.0)]}
    it.drawn[draw] = replace(it.drawn[draw], random=True)
    assert it.error(draw) is None
    finer = draw.with_changes(steps=40)
    assert ("draw", finer) in it.missing()  # its own path in more steps
    it.drawn[finer] = Drawn(flat[:, 0], flat + 0.25, 40, 1.0, "float32", True)
    assert it.error(draw) == 0.25


def test_what_version_1_stored_is_read():
    old = {
        "model": "modern-sde", "checkpoint": "00000001.safetensors",
        "columns": [["ddim", 10], ["ddpm", 50]], "count": 9, "seed": 3, "class": -1,
        "guidance": 1.5, "reference": ["heun", 100], "judged": 256, "plot": "fid",
    }  # fmt: skip
    ask = Samplers.from_dict(old)
    assert [(c.sampler, c.steps) for c in ask.columns] == [("ddim", 10), ("ddpm", 50)]
    assert (ask.reference, ask.classes, ask.judged, ask.plot) == ("heun 100", "any", 256, "fid")
    assert Samplers.from_dict({**old, "reference": ["", 0]}).fine() is None
    assert Samplers().columns == work.FIRST


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
