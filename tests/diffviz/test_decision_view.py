"""When an image is decided, by clicking."""

import numpy as np
import pytest
import torch
from PySide6.QtCore import Qt

from diffviz.shell.session import Session
from diffviz.views.decision import work
from diffviz.views.decision.view import OTHER, DecisionView
from trainer.data import load
from trainer.processes import VPSDE

TIMES, COUNT, KNOWN = 5, 4, 6


@pytest.fixture
def view(qtbot, tmp_path, small_app):
    view = DecisionView(Session(tmp_path))
    qtbot.addWidget(view, before_close_func=DecisionView.shutdown)
    view.resize(930, 720)
    view.show()
    assert view.status.text() == "Waiting for the models to be listed."
    view.form.set_values({"times": TIMES, "count": COUNT, "continuations": 4, "steps": 8,
                          "model": f"training-set:mnist process=vp images={KNOWN}",
                          "image": "train:0"})  # fmt: skip
    view.session.refresh_runs()
    computed(qtbot, view)
    return view


def computed(qtbot, view, count=COUNT):
    def done():
        told = view.told
        return told is not None and len(told.own) == count and not view.work.busy

    qtbot.waitUntil(done, timeout=120_000)


def test_images_that_are_known_come_back_and_the_slider_picks(qtbot, view):
    """The training set can only draw its own images: with little noise, the very one."""
    images = load("mnist").train[:KNOWN, 0]
    view.go(0.25)
    at = view.level()
    assert at.t == pytest.approx(0.25)
    assert np.abs(at.ends[:, :].astype(int) - images[:COUNT, None]).max() <= 1
    assert np.array_equal(view.turn.images[0], images[0])
    assert np.array_equal(view.turn.images[1], at.states[0])
    assert np.array_equal(view.ends.images, at.ends[0])
    own = view.told.own
    assert f"4 of 4 come back as a {own[0]}" in view.timeline.caption.text()
    assert view.entropies.mark.value() == view.classes.mark.value() == at.t
    view.go(1.0)
    ends = view.level().ends.reshape(-1, 28, 28).astype(int)
    gaps = np.abs(ends[:, None] - images).max((2, 3))
    assert (gaps.min(1) <= 1).all()  # at all noise any of those it knows
    assert len(set(gaps.argmin(1).tolist())) > 2
    framed = [note.frame == OTHER for note in view.ends.notes]
    assert framed == [int(note.text.split()[0]) != own[0] for note in view.ends.notes]


def test_clicking_an_image_shows_what_comes_back_of_it(qtbot, view):
    place = view.images.cell(2).center().toPoint()
    qtbot.mouseClick(view.images, Qt.MouseButton.LeftButton, pos=place)
    assert view.chosen == 2
    view.go(0.5)
    assert np.array_equal(view.ends.images, view.level().ends[2])
    assert np.array_equal(view.classes.values, view.told.shares[:, 2])
    lines = {line.name: line for line in view.entropies.lines}
    assert np.array_equal(lines["this image"].y, view.told.entropy[::-1, 2])
    assert np.array_equal(lines["mean of all"].y, view.told.entropy[::-1].mean(1))
    (theory,) = (line for name, line in lines.items() if name.startswith("theory"))
    variance = np.linalg.eigvalsh(
        np.cov(load("mnist").train.reshape(60_000, -1) / np.float32(127.5), rowvar=False)
    )[-1]
    expected = float(VPSDE().time_at(-np.log(variance) * torch.ones(1)))
    assert theory.x == pytest.approx(expected, abs=1e-3)
    assert view.histogram.values.sum() == COUNT
    assert view.histogram.values[view.told.decided[2], view.told.own[2]] >= 1
    assert f"This {view.told.own[2]} is decided from" in view.status.text()


def test_what_was_seen_is_made_again_and_exported(qtbot, view):
    view.images.select([1])
    view.go(0.5)
    asked, before = view.ask(), view.level()
    assert asked.chosen == 1
    assert view.grid().shape == (TIMES * 4, 28, 28)
    assert len(view.animation()) == TIMES
    curves = view.curves()
    assert curves["entropy, bits: this image"].shape == (TIMES, 2)
    assert sum(curves[f"decided: {digit}"][:, 1].sum() for digit in range(10)) == COUNT
    view.form["begin"].set_value("noise")
    computed(qtbot, view)
    assert not np.array_equal(view.level().states, before.states)
    view.restore(work.Deciding.from_dict(asked.to_dict()))
    computed(qtbot, view)
    assert view.ask() == asked
    assert np.array_equal(view.level().ends, before.ends)


def test_a_sampler_without_noise_is_refused_with_a_sentence(qtbot, view):
    view.form["sampler"].set_value("heun")
    assert "Choose a sampler with noise" in view.status.text()
    view.form["sampler"].set_value("ddpm")
    computed(qtbot, view)
    assert "is decided from" in view.status.text()


def test_a_picture_of_ones_own_comes_back_too(qtbot, view):
    view.form["begin"].set_value("noise")
    own = 255 - np.zeros((28, 28), np.uint8)
    view.form["image"].take(own, "white")
    computed(qtbot, view, 1)
    assert view.form["begin"].value() == "image"
    assert np.array_equal(view.turn.images[0], own)
