"""The view of a learnt denoiser beside the exact ones, by clicking, against the engine."""

import numpy as np
import pytest
import torch
from PySide6.QtCore import Qt

from diffviz.shell.session import Session
from diffviz.views.exact import work
from diffviz.views.exact.view import ExactView
from trainer.data import load
from trainer.denoiser import Denoiser
from trainer.exact import Images, TrainingSet
from trainer.images import pictures, to_signed
from trainer.processes import VPSDE
from trainer.samplers import Noise
from trainer.samplers.noise import mixed
from trainer.truth import PAIRS, TIMES

KNOWN = 60


@pytest.fixture
def view(qtbot, tmp_path, small_app):
    view = ExactView(Session(tmp_path))
    qtbot.addWidget(view, before_close_func=ExactView.shutdown)
    view.resize(930, 720)
    view.show()
    assert view.status.text() == "Waiting for the models to be listed."
    assert view.grid() is None
    view.form.set_values({"count": 4, "known": KNOWN})
    view.session.refresh_runs()
    computed(qtbot, view)
    return view


def computed(qtbot, view):
    qtbot.waitUntil(lambda: len(view.levels) == TIMES and not view.work.busy, timeout=120_000)


def test_the_curves_and_pictures_are_the_engines(view):
    assert list(view.curves()) == list(PAIRS)
    data, process = load("mnist"), VPSDE()
    known = Images(torch.tensor(data.train[:KNOWN]), torch.tensor(data.train_labels[:KNOWN]))
    exact = Denoiser(TrainingSet(known, process), process, "x0")
    images = to_signed(torch.tensor(data.test[:4]))
    noise = Noise([mixed(0, k) for k in range(4)], (1, 28, 28), process).start()
    at = view.level()
    t = torch.full((4,), at.t)
    x = process.diffuse(images, t, noise)
    guess = exact.predict(x, t).x0
    assert np.array_equal(view.views["training-set"].images, pictures(guess))
    (mean, axes, values), (alpha, sigma) = known.moments(-1), process.marginal(t[:1].double())
    along = (x.double().flatten(1) - alpha * mean) @ axes
    wiener = mean + along * (alpha * values / (alpha**2 * values + sigma**2)) @ axes.T
    apart = (guess.flatten(1) - wiener).square().mean(1).sqrt()
    assert at.distances["between both"] == pytest.approx(apart.numpy(), abs=1e-4)
    assert view.curves()["between both"][:, 1].max() > 0.1


def test_the_slider_and_the_mark_pick_what_is_computed(qtbot, view):
    view.timeline.slider.setValue(12)
    middle = view.level()
    assert view.timeline.caption.text().startswith(f"t = {middle.t:.3f}")
    assert view.plot.mark.value() == middle.t
    qtbot.keyClick(view.timeline.slider, Qt.Key.Key_Right)
    later = view.level()
    assert later.t < middle.t
    assert np.array_equal(view.views["noisy"].images, later.pictures["noisy"])
    view.plot.marked.emit(middle.t)
    assert view.level() is middle
    assert len(view.grid()) == 4 * len(view.views)
    assert len(view.animation()) == TIMES


def test_the_training_set_itself_only_remembers(qtbot, view):
    field = view.form["model"]
    field.model.setCurrentIndex(field.model.findText("the training set"))
    field.choose(f"training-set:mnist process=vp images={KNOWN}")
    computed(qtbot, view)
    curves = view.curves()
    assert curves["learnt to training set"][:, 1].max() == 0
    assert np.array_equal(curves["learnt to Gaussian"], curves["between both"])
    assert "by 0.000 and more" in view.status.text()


def test_what_was_seen_is_made_again(qtbot, view):
    view.timeline.set_fraction(0.5)
    asked, curves = view.ask(), view.curves()
    view.form.set_values({"seed": 3, "known": 10})
    computed(qtbot, view)
    assert not np.array_equal(view.curves()["between both"], curves["between both"])
    view.restore(work.Exact.from_dict(asked.to_dict()))
    computed(qtbot, view)
    assert view.ask() == asked
    assert np.array_equal(view.curves()["between both"], curves["between both"])


def test_what_is_wrong_is_said_and_can_be_mended(qtbot, view):
    view.form["model"].choose("gaussian:/nowhere process=vp")
    qtbot.waitUntil(lambda: "There is no dataset '/nowhere'" in view.status.text())
    view.form["model"].choose("modern-sde")
    computed(qtbot, view)
    assert "furthest apart" in view.status.text()
