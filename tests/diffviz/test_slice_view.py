"""The plane through three images, by clicking, against closed forms."""

import numpy as np
import pytest
import torch
from PySide6.QtCore import Qt

from diffviz.shell.session import Session
from diffviz.views.slice import work
from diffviz.views.slice.view import SliceView
from trainer.data import load
from trainer.images import to_signed
from trainer.processes import VPSDE
from trainer.runs.exact import run_named
from trainer.samplers import Noise
from trainer.samplers.noise import mixed
from trainer.slices import LEAST_TIME, TIMES, Plane, grid

KNOWN, POINTS = 50, 5


@pytest.fixture
def view(qtbot, tmp_path, small_app):
    view = SliceView(Session(tmp_path))
    qtbot.addWidget(view, before_close_func=SliceView.shutdown)
    view.resize(930, 720)
    view.show()
    assert view.status.text() == "Waiting for the models to be listed."
    view.form.set_values({"points": POINTS, "known": KNOWN})
    view.session.refresh_runs()
    computed(qtbot, view)
    return view


def computed(qtbot, view):
    qtbot.waitUntil(lambda: len(view.levels) == TIMES and not view.work.busy, timeout=120_000)


def test_the_gaussians_score_adds_up_to_its_density(qtbot, view):
    """Its log-density is quadratic, which the integration takes exactly: both sides are one."""
    view.form["model"].choose(f"gaussian:mnist process=vp images={KNOWN}")
    view.form["beside"].setCurrentIndex(view.form["beside"].findText("its Gaussian"))
    computed(qtbot, view)
    data, process = load("mnist"), VPSDE()
    plane = Plane.through(to_signed(torch.tensor(data.train[:3])))
    noise = plane.beside(Noise([mixed(0, 0)], (1, 28, 28), process).start().double())
    known = run_named(f"gaussian:mnist images={KNOWN}").model().network.images
    mean, axes, values = known.moments(-1)
    for level in view.levels[:: TIMES // 3]:
        alpha, sigma = (float(v) for v in process.marginal(torch.tensor([level.t]).double()))
        x = alpha * plane.points(grid(POINTS)) + sigma * noise
        variance = alpha**2 * values + sigma**2
        along = (x.flatten(1) - alpha * mean) @ axes
        logp = (-0.5 * along**2 / variance).sum(1).numpy().reshape(POINTS, POINTS)
        expected = logp - logp.mean()
        close = 1e-3 * (1 + np.ptp(expected))  # nats: float32 rounds densities of about -1,000
        assert level.exact.logp == pytest.approx(expected, abs=close)
        assert level.learnt.logp == pytest.approx(expected, abs=close)
        assert level.learnt.rough < 1e-3
        assert level.apart == 0
    assert "0 % of the learnt score" in view.status.text()


def test_arrows_of_the_training_set_lead_to_its_images_at_little_noise(view):
    view.go(0.05)
    at = view.level()
    assert at.t == pytest.approx(LEAST_TIME)
    axis = np.linspace(-1, 1, POINTS)
    places = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)
    ends = (places + at.exact.arrows).reshape(-1, 1, 2)
    gaps = np.linalg.norm(ends - at.corners, axis=2)
    near = np.linalg.norm(places.reshape(-1, 1, 2) - at.corners, axis=2)
    assert (gaps[near.min(1) < 0.3].min(1) < 0.01).all()
    assert (near.min(1) < 0.3).sum() >= 3
    assert np.array_equal(view.plots["exact"].heat, at.exact.heat)
    assert np.array_equal(view.plots["learnt"].places, at.corners)
    assert view.plots["learnt"].letters[2].isVisible()


def test_the_slider_picks_what_is_computed_and_the_pointer_a_point(qtbot, view):
    view.timeline.slider.setValue(9)
    at = view.level()
    assert view.timeline.caption.text().startswith(f"t = {at.t:.3f}")
    qtbot.keyClick(view.timeline.slider, Qt.Key.Key_Right)
    later = view.level()
    assert later.t < at.t
    assert np.array_equal(view.plots["learnt"].heat, later.learnt.heat)
    plot = view.plots["learnt"].plot
    place = plot.getPlotItem().vb.mapViewToScene(plot.getPlotItem().vb.viewRect().center())
    plot.scene().sigMouseMoved.emit(place)
    assert view.at == POINTS * POINTS // 2
    corner = plot.getPlotItem().vb.mapViewToScene(view.plots["learnt"]._square().topLeft())
    plot.scene().sigMouseMoved.emit(corner)
    assert view.at == 0
    shown = [later.points[0], later.learnt.guesses[0], later.exact.guesses[0]]
    assert np.array_equal(view.pointed.images, np.stack(shown))
    assert set(view.curves()) == {"arrows apart", "no density's slope"}
    assert view.curves()["arrows apart"].shape == (TIMES, 2)


def test_another_image_is_another_plane_and_what_was_seen_is_made_again(qtbot, view):
    asked, before = view.ask(), view.level()
    field = view.form["second"]
    field.selectAll()
    qtbot.keyClicks(field, "train:7")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    computed(qtbot, view)
    assert np.array_equal(view.corners.images[1], load("mnist").train[7, 0])
    assert not np.allclose(view.level().exact.logp, before.exact.logp)
    field.selectAll()
    qtbot.keyClicks(field, "train:0")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: "span a plane only if they differ" in view.status.text())
    view.restore(work.Slice.from_dict(asked.to_dict()))
    computed(qtbot, view)
    assert view.ask() == asked
    assert np.array_equal(view.level().exact.logp, before.exact.logp)
