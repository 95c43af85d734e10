"""Ways from noise to images, and reflow in the plane, by clicking."""

from functools import partial

import numpy as np
import pytest
import torch
from PySide6.QtCore import Qt

from diffviz.shell.session import Session
from diffviz.views.straight import work
from diffviz.views.straight.view import StraightView
from trainer.images import pictures
from trainer.processes import VPSDE
from trainer.runs.exact import run_named
from trainer.samplers import Noise
from trainer.samplers.noise import mixed
from trainer.straight import FEW, bend, in_steps, ways
from trainer.toys import toy

KNOWN, STEPS = 40, 6


@pytest.fixture
def view(qtbot, tmp_path, small_app, monkeypatch):
    monkeypatch.setattr(work, "flow", partial(work.flow, steps=60))
    view = StraightView(Session(tmp_path))
    qtbot.addWidget(view, before_close_func=StraightView.shutdown)
    view.resize(930, 720)
    view.show()
    assert view.status.text() == "Waiting for the models to be listed."
    view.form.set_values({"count": 4, "steps": STEPS, "rounds": 1,
                          "model": f"training-set:mnist process=vp images={KNOWN}"})  # fmt: skip
    view.session.refresh_runs()
    computed(qtbot, view)
    return view


def computed(qtbot, view):
    def done():
        return not view.work.busy and not view.flowing.busy and len(view.levels) == STEPS + 1

    qtbot.waitUntil(done, timeout=120_000)


def test_ways_and_bends_are_the_engines_and_the_slider_picks(qtbot, view):
    process = VPSDE()
    model = run_named(f"training-set:mnist process=vp images={KNOWN}").model()
    start = Noise([mixed(0, k) for k in range(4)], (1, 28, 28), process).start()
    way = list(ways(model, process, start, STEPS))
    for place, moment in enumerate(way):
        view.timeline.set_fraction(1 - moment.s)
        at = view.level()
        assert at.t == pytest.approx(moment.s)
        assert np.array_equal(view.views["guesses"].images, pictures(moment.x0))
        assert np.array_equal(view.views["states"].images, at.states)
        assert view.bends.mark.value() == at.t
        assert place == len(view.levels) - 1 - view.levels[::-1].index(at)
    lines = {line.name: line for line in view.bends.lines}
    assert list(lines) == ["learnt", "its Gaussian", "the training set"]
    # The model is the training set itself.
    assert lines["learnt"].y == pytest.approx(bend(way).mean(1)[::-1])
    assert lines["the training set"].y == pytest.approx(lines["learnt"].y)
    assert lines["its Gaussian"].y.mean() != pytest.approx(lines["learnt"].y.mean(), rel=0.05)
    few = view.level().few
    assert [one.steps for one in few] == [*FEW, STEPS]
    x = in_steps(model, process, start, 4)
    assert np.array_equal(few[2].images, pictures(x))
    gap = (x - way[-1].x0).square().mean().sqrt()
    assert few[2].apart == pytest.approx(float(gap))
    assert f"one step ends {few[0].apart:.2f}" in view.status.text()
    assert view.grid().shape == (20, 28, 28)


def test_reflow_makes_the_planes_ways_straighter(qtbot, view):
    assert "Press Reflow" in view.fields[0].note.textItem.toPlainText()
    qtbot.mouseClick(view.reflow_button, Qt.MouseButton.LeftButton)
    computed(qtbot, view)
    before, after = view.flows
    assert after.bend.mean() < before.bend.mean()
    assert f"after 1 reflow the bend is {after.bend.mean():.3f}" in view.status.text()
    view.timeline.set_fraction(0.5)
    for plot, flow in zip(view.fields, view.flows, strict=True):
        place = int(np.abs(flow.s - view.time()).argmin())
        assert np.array_equal(plot.places, flow.places[place])
        assert plot.heat is not None
    heat = view.fields[0].heat
    axis = np.linspace(-3, 3, work.HEAT)
    peak = axis[np.array(np.unravel_index(heat.argmax(), heat.shape))]
    modes = toy("eight-gaussians", torch.Generator()).means.numpy()
    assert np.linalg.norm(modes - peak, axis=1).min() < 0.1
    assert set(view.curves()) == {"learnt", "its Gaussian", "the training set", "as learnt",
                                  "1 reflow"}  # fmt: skip
    levels, asked = view.levels, view.ask()
    view.form["shape"].set_value("rings")
    assert view.flowing.busy
    assert not view.work.busy  # the model's ways stay
    computed(qtbot, view)
    assert view.levels is levels
    assert not np.array_equal(view.flows[0].places[-1], before.places[-1])
    view.restore(work.Straight.from_dict(asked.to_dict()))
    computed(qtbot, view)
    assert view.ask() == asked
    assert np.array_equal(view.flows[1].places, after.places)
    film = view.animation()
    assert len(film) == STEPS + 1
    assert not np.array_equal(film[0], film[-1])
