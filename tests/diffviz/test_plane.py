"""The two-dimensional panel, driven as a person would, against the exact model."""

from functools import partial

import numpy as np
import pytest
import torch
from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication, QWidget

from diffviz.shell import style
from diffviz.shell.session import Session
from diffviz.views.plane import work
from diffviz.views.plane.view import PlaneView
from diffviz.views.plane.work import HAND, Plane
from trainer.exact import MixtureModel
from trainer.problems import Problem
from trainer.processes import VPSDE
from trainer.toys import halves, toy


def settle(qtbot, panel):
    qtbot.waitUntil(lambda: not panel.work.busy and not panel.learning.busy, timeout=60_000)


@pytest.fixture
def panel(qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr(work, "PARTICLES", 60)
    monkeypatch.setattr(work, "learn", partial(work.learn, steps=30))
    monkeypatch.setattr(work, "LEARN_EVERY", 15)
    panel = PlaneView(Session(tmp_path))
    qtbot.addWidget(panel, before_close_func=PlaneView.shutdown)
    panel.shape.set_value("eight-gaussians")  # few modes: quick
    panel.resize(860, 640)
    panel.show()
    qtbot.waitUntil(lambda: len(panel.paths) == 3, timeout=60_000)
    settle(qtbot, panel)
    return panel


@pytest.fixture
def exact():
    return MixtureModel(toy("eight-gaussians", torch.Generator()), VPSDE())


def stroke(plot, points):
    """Draw through `points`, in the plot's own coordinates, with the left button held."""
    kinds = [QEvent.Type.MouseButtonPress, *[QEvent.Type.MouseMove] * (len(points) - 1)]
    kinds.append(QEvent.Type.MouseButtonRelease)
    for kind, at in zip(kinds, [*points, points[-1]], strict=True):
        place = plot.plot.mapFromScene(plot.item.vb.mapViewToScene(QPointF(*at)))
        event = QMouseEvent(
            kind, QPointF(place), QPointF(plot.plot.viewport().mapToGlobal(place)),
            Qt.MouseButton.LeftButton, Qt.MouseButton.LeftButton, Qt.KeyboardModifier(0),
        )  # fmt: skip
        QApplication.sendEvent(plot.plot.viewport(), event)


def test_the_slider_shows_the_frame_at_its_time_in_both_views(panel):
    for fraction in (0.0, 0.33, 1.0):
        panel.timeline.set_fraction(fraction)
        k = round(100 * (1 - fraction))
        for plot, kind in zip(panel.plots, ("reverse", "flow"), strict=True):
            assert np.array_equal(plot.places, panel.paths[kind, False][k])
            x, y = plot.dots.getData()
            assert np.array_equal(np.column_stack([x, y]), plot.places)
            assert np.array_equal(plot.image.image, panel.field.heat[k])
            assert np.array_equal(plot.field, panel.field.arrows[k])


def test_sde_and_ode_start_at_the_same_noise(panel):
    reverse, flow = panel.paths["reverse", False], panel.paths["flow", False]
    assert np.array_equal(reverse[-1], flow[-1])
    assert not np.array_equal(reverse[0], flow[0])


def test_heat_and_arrows_are_the_exact_models(panel, exact):
    axis = torch.linspace(-3, 3, 128)
    points = torch.cartesian_prod(axis, axis)
    for k in (10, 100):
        p = exact.log_density(points, torch.full((len(points),), k / 100)).exp()
        expected = 255 * (p / p.max()).sqrt().view(128, 128).numpy()
        assert np.abs(panel.field.heat[k] - expected).max() <= 0.51
        at = torch.cartesian_prod(*[torch.from_numpy(panel.field.arrow_axis)] * 2)
        t = torch.full((len(at),), k / 100)
        sigma = VPSDE().marginal(t)[1]
        expected = (sigma[:, None] * exact.score(at, t)).view(15, 15, 2).numpy()
        assert panel.field.arrows[k] == pytest.approx(expected, abs=1e-3)


def test_particles_end_on_the_data(panel, exact):
    means = exact.mixture.means.numpy()
    for kind in ("forward", "reverse", "flow"):
        ends = panel.paths[kind, False][0]
        nearest = np.linalg.norm(ends[:, None] - means, axis=2).min(1)
        assert np.sqrt((nearest**2).mean()) == pytest.approx(0.16 * np.sqrt(2), rel=0.35)


def test_each_view_shows_what_is_chosen(panel):
    panel.views[0].setCurrentText("Forward SDE")
    panel.set_time(0.6)
    assert np.array_equal(panel.plots[0].places, panel.paths["forward", False][60])
    x, _ = panel.plots[0].trails.getData()
    assert np.isnan(x).sum() == 30  # one gap after each trail
    panel.trails.setChecked(False)
    panel.arrows.setChecked(False)
    assert len(panel.plots[0].field) == 0
    assert panel.plots[0].trails.getData()[0] is None


def test_a_network_trains_live_beside_the_exact_score(qtbot, panel):
    qtbot.mouseClick(panel.train_button, Qt.MouseButton.LeftButton)
    assert panel.stop_button.isEnabled()
    assert panel.views[1].currentText() == "Reverse SDE, learnt score"
    qtbot.waitUntil(lambda: panel.learnt is not None, timeout=60_000)
    settle(qtbot, panel)
    steps, losses = panel.loss.points()
    assert steps.tolist() == list(range(1, 31))
    assert losses[-10:].mean() < losses[:5].mean()
    k = panel.moment()
    assert np.array_equal(panel.plots[0].field, panel.field.arrows[k])
    assert np.array_equal(panel.plots[1].field, panel.learnt.arrows[k])
    assert np.array_equal(panel.plots[1].places, panel.paths["reverse", True][k])
    noise = panel.paths["reverse", False][-1]
    assert np.array_equal(panel.paths["reverse", True][-1], noise)
    assert f"{panel.score_error(k):.0%}" in panel.facts.text()
    assert panel.score_error(100) < panel.score_error(20)  # noise is the easy end


def test_stopping_and_changing_give_training_up(qtbot, panel, monkeypatch):
    monkeypatch.setattr(work, "learn", partial(work.learn.func, steps=100_000))
    qtbot.mouseClick(panel.train_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.loss.points()[0].size > 0, timeout=60_000)
    qtbot.mouseClick(panel.stop_button, Qt.MouseButton.LeftButton)
    settle(qtbot, panel)
    assert panel.loss.points()[0].size < 100_000
    assert panel.train_button.isEnabled()
    qtbot.mouseClick(panel.train_button, Qt.MouseButton.LeftButton)
    panel.process.set_value("flow")
    settle(qtbot, panel)
    assert panel.learnt is None
    assert panel.loss.points()[0].size == 0


def test_a_distribution_is_drawn_with_the_mouse(qtbot, panel):
    panel.draw.setChecked(True)
    assert panel.shape.value() == HAND
    assert "Draw here" in panel.plots[0].note.textItem.toPlainText()
    stroke(panel.plots[0], [(-2.0, -1.0), (0.0, -1.0), (2.0, -1.0)])
    qtbot.waitUntil(lambda: len(panel.paths) == 3, timeout=60_000)
    stroke(panel.plots[1], [(-2.0, 1.5), (2.0, 1.5)])
    settle(qtbot, panel)
    assert len(panel.strokes) == 2
    heat = panel.field.heat[0].astype(float)
    rows = np.linspace(-3, 3, 128)[heat.sum(0) > 0.3 * heat.sum(0).max()]
    assert np.abs(rows[:, None] - [-1.0, 1.5]).min(1).max() < 0.25
    ends = panel.paths["flow", False][0]
    assert np.abs(ends[:, 1:] - [-1.0, 1.5]).min(1).mean() < 0.2
    assert np.array_equal(panel.plots[0].heat, panel.field.heat[0])
    kept = panel.ask()
    qtbot.mouseClick(panel.clear, Qt.MouseButton.LeftButton)
    assert panel.strokes == []
    assert panel.field is None
    panel.restore(kept)
    settle(qtbot, panel)
    assert np.abs(panel.field.heat[0] - heat).max() < 20


def test_training_on_nothing_is_explained(qtbot, panel):
    found = []
    panel.session.problem.connect(found.append)
    panel.shape.set_value(HAND)
    panel.draw.setChecked(False)
    assert "Press Draw" in panel.plots[0].note.textItem.toPlainText()
    qtbot.mouseClick(panel.train_button, Qt.MouseButton.LeftButton)
    assert "Nothing is drawn yet" in found[0]


def test_ve_fits_the_view(qtbot, panel):
    panel.process.set_value("ve")
    settle(qtbot, panel)
    for places in panel.paths.values():
        assert np.abs(places).mean() < 2
        assert 0.8 < places[-1].std() < 1.2


def test_it_exports_and_restores(qtbot, panel):
    film = panel.animation()
    assert len(film) == 26
    assert film[0].shape == film[-1].shape
    assert not np.array_equal(film[0], film[-1])
    assert panel.grid().shape == (1, 640, 860, 3)
    kept = panel.ask()
    first = panel.paths["reverse", False].copy()
    panel.seed.setValue(5)
    settle(qtbot, panel)
    assert not np.array_equal(panel.paths["reverse", False], first)
    panel.restore(kept)
    settle(qtbot, panel)
    assert np.array_equal(panel.paths["reverse", False], first)
    assert panel.ask() == kept


def test_what_version_1_stored_is_read():
    old = {
        "shape": "two moons", "process": "VE SDE", "seed": 4,
        "views": ["Forward SDE", "Reverse SDE, learnt score"], "strokes": [[[0, 1], [0.5, 2]]],
        "t": 0.5,
    }  # fmt: skip
    ask = Plane.from_dict(old)
    assert (ask.shape, ask.process, ask.left, ask.right) == (
        "two-moons", "ve", "forward", "reverse learnt",
    )  # fmt: skip
    (stroke,) = work.from_words(ask.strokes)
    assert np.array_equal(stroke, np.array([[0, 1], [0.5, 2]], np.float32))
    assert Plane.from_dict({**old, "shape": "drawn by hand"}).shape == HAND
    for words in ("1 x", "1 2 3", "nan 1"):
        with pytest.raises(Problem):
            work.from_words(words)


def test_colours_and_names(panel):
    panel.setPalette(style.palette(dark=True))
    assert panel.plots[1].dots.opts["brush"].color().name() == "#ffffff"
    panel.setPalette(style.palette(dark=False))
    assert panel.plots[1].dots.opts["brush"].color().name() == "#000000"
    for name in ("shapeCombo", "drawButton", "toyTrainButton", "toyStopButton", "leftViewCombo",
                 "leftFieldPlot", "toyLossPlot", "planeSeedSpin"):  # fmt: skip
        assert panel.findChild(QWidget, name).accessibleName(), name
    assert panel.minimumSizeHint().width() <= 860


def test_dots_find_the_shape_while_the_network_learns(qtbot, panel):
    qtbot.mouseClick(panel.train_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: ("reverse", True) in panel.paths, timeout=60_000)
    early = panel.paths["reverse", True]
    assert panel.learning.busy
    assert np.array_equal(panel.plots[1].places, early[panel.moment()])
    settle(qtbot, panel)
    late = panel.paths["reverse", True]
    assert np.array_equal(early[-1], late[-1])  # the same noise
    assert not np.array_equal(early[0], late[0])


def test_another_objective_is_another_network_of_the_same_field(qtbot, panel):
    qtbot.mouseClick(panel.train_button, Qt.MouseButton.LeftButton)
    settle(qtbot, panel)
    field, arrows = panel.field, panel.learnt.arrows
    for kind, words in (("eps", "Ho et al. 2020"), ("flow", "Liu et al. 2022")):
        panel.form["objective"].set_value(kind)
        assert panel.learnt is None
        assert ("reverse", True) not in panel.paths
        assert words in panel.formula.lines[1][1]
        qtbot.mouseClick(panel.train_button, Qt.MouseButton.LeftButton)
        settle(qtbot, panel)
        assert not np.array_equal(panel.learnt.arrows, arrows)
        assert np.isfinite(panel.learnt.arrows).all()
    assert panel.field is field
    panel.process.set_value("flow")  # whose last t leaves no signal, where eps tells nothing
    settle(qtbot, panel)
    panel.form["objective"].set_value("eps")
    qtbot.mouseClick(panel.train_button, Qt.MouseButton.LeftButton)
    settle(qtbot, panel)
    assert np.isfinite(panel.paths["flow", True]).all()


def test_guidance_leads_from_the_other_half_as_the_exact_scores_say(qtbot, panel, exact):
    assert not panel.form["guidance"].isEnabled()
    panel.form.set_values({"half": "right", "guidance": 3.0})
    settle(qtbot, panel)
    assert panel.form["guidance"].isEnabled()
    half = MixtureModel(exact.mixture.only(halves(exact.mixture) == 1), VPSDE())
    at = torch.cartesian_prod(*[torch.from_numpy(panel.field.arrow_axis)] * 2)
    for k in (20, 80):
        t = torch.full((len(at),), k / 100)
        sigma = VPSDE().marginal(t)[1][:, None]
        of_class, of_all = half.score(at, t), exact.score(at, t)
        expected = sigma * (of_all + 3 * (of_class - of_all))
        assert panel.field.arrows[k] == pytest.approx(expected.view(15, 15, 2).numpy(), abs=5e-3)
    axis = torch.linspace(-3, 3, 128)
    p = half.density_on_grid(axis, 0.5)
    assert np.abs(panel.field.heat[50] - (255 * (p / p.max()).sqrt()).numpy()).max() <= 0.51
    guided = {kind: panel.paths[kind, False][0] for kind in ("reverse", "flow")}
    panel.form["guidance"].set_value(1.0)
    settle(qtbot, panel)
    for kind, ends in guided.items():
        plain = panel.paths[kind, False][0]
        assert (plain[:, 0] > -0.4).all()
        assert ends[:, 0].mean() > plain[:, 0].mean() + 0.05
    qtbot.mouseClick(panel.train_button, Qt.MouseButton.LeftButton)
    settle(qtbot, panel)
    asked, right = panel.ask(), panel.learnt.arrows
    panel.form["half"].set_value("left")
    settle(qtbot, panel)
    assert panel.learnt is None
    qtbot.mouseClick(panel.train_button, Qt.MouseButton.LeftButton)
    settle(qtbot, panel)
    middle = panel.learnt.arrows[90].mean((0, 1)) - right[90].mean((0, 1))
    assert middle[0] < 0  # of the other half the arrows point to the left
    panel.restore(asked)
    settle(qtbot, panel)
    assert panel.ask() == asked
