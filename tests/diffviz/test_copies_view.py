"""Copies beside what they are copies of, by clicking, against the exact models."""

import numpy as np
import pytest
from PySide6.QtCore import Qt

from diffviz.shell.session import Session
from diffviz.views.copies import work
from diffviz.views.copies.view import COPY, CopiesView
from tests.trainer.test_copying import small_run
from trainer.data import load

EXACT = "training-set:mnist process=vp images=1000"


@pytest.fixture
def view(qtbot, tmp_path, small_app):
    view = CopiesView(Session(tmp_path))
    qtbot.addWidget(view, before_close_func=CopiesView.shutdown)
    view.resize(930, 720)
    view.show()
    assert view.status.text() == "Waiting for the models to be listed."
    view.form.set_values({"count": 4, "steps": 6})
    view.session.refresh_runs()
    computed(qtbot, view, 1)
    return view


def computed(qtbot, view, sizes):
    qtbot.waitUntil(lambda: len(view.levels) == sizes and not view.work.busy, timeout=120_000)


def test_where_no_models_of_few_images_are_it_says_what_to_do(view):
    assert "train some by Training, More…, Images at most" in view.status.text()
    assert "there is no other half" in view.views["second", "samples"].placeholder
    assert view.views["second", "samples"].images is None
    assert view.timeline.caption.text() == "60,000 training images"
    assert len(view.views["first", "samples"].images) == 4


def test_the_training_set_copies_whatever_its_size_and_the_slider_picks_it(qtbot, view):
    view.form["model"].choose(EXACT)
    computed(qtbot, view, 4)
    assert view.timeline.count() == 4
    train = load("mnist").train
    for place, size in enumerate((10, 100, 1000)):
        view.timeline.slider.setValue(place)
        assert view.timeline.caption.text() == f"{size:,} training images"
        assert "100% are copies" in view.status.text()
        rung = view.level().rung
        for half, drawn in zip(("first", "second"), rung.drawn, strict=True):
            samples, nearest = (view.views[half, what] for what in ("samples", "nearest"))
            assert np.array_equal(samples.images, drawn.samples)
            assert np.array_equal(nearest.images, train[drawn.numbers, 0])
            assert [note.frame for note in samples.notes] == [COPY] * 4
            assert nearest.notes[0].text == f"{drawn.distances[0, 0]:.1f}"
    curves = view.curves()
    assert curves["share of copies"].tolist() == [[s, 1] for s in (10, 100, 1000, 10_000)]
    assert curves["halves, same noise"].shape == (4, 2)
    assert {line.name for line in view.spread.lines} == {"samples", "test images"}
    qtbot.mouseMove(view.views["first", "samples"],
                    view.views["first", "samples"].cell(2).center().toPoint())  # fmt: skip
    assert view.views["second", "nearest"]._marked == 2
    assert view.grid().shape == (16, 28, 28)
    assert len(view.animation()) == 4


def test_runs_that_learnt_from_other_images_stand_beside_each_other(qtbot, view, tmp_path):
    for name, first in (("few", 0), ("others", 50)):
        small_run(tmp_path / "runs" / name, seed=first, limit_images=50, first_image=first)
    spin = view.form["seed"]
    spin.setFocus()
    qtbot.keyClick(spin, Qt.Key.Key_Up)
    computed(qtbot, view, 2)
    view.timeline.set_fraction(0)
    drawn = view.level().rung.drawn
    assert [one.name for one in drawn] == ["few", "others"]
    assert view.titles["second"].text().startswith("others, of images 50 to 99")
    assert "the two halves draw images" in view.status.text()
    view.timeline.set_fraction(1)
    assert view.views["second", "samples"].images is None
    small_run(tmp_path / "runs" / "lonely", limit_images=70)
    view.form["steps"].set_value(5)
    computed(qtbot, view, 3)
    view.timeline.set_fraction(0.5)
    assert "set Images at most to 70" in view.views["second", "samples"].placeholder
    view.timeline.set_fraction(0)
    drawn = view.level().rung.drawn
    asked, before = view.ask(), drawn[0].samples
    spin.set_value(5)
    computed(qtbot, view, 3)
    assert not np.array_equal(view.level().rung.drawn[0].samples, before)
    view.restore(work.Copies.from_dict(asked.to_dict()))
    computed(qtbot, view, 3)
    assert view.ask() == asked
    assert np.array_equal(view.level().rung.drawn[0].samples, before)


def test_what_is_wrong_is_said_in_the_view(qtbot, view):
    field = view.form["also"]
    field.set_value("nowhere")
    qtbot.waitUntil(lambda: "There is no model 'nowhere'" in view.status.text(), timeout=60_000)
