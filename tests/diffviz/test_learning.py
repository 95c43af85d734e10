"""The learning view: the same noise by every checkpoint, clicked, against what a script draws."""

import numpy as np
import pytest
import torch
from PySide6.QtCore import QPointF, Qt

from diffviz.views.learning import work
from diffviz.views.view import View
from trainer.config import PRESETS
from trainer.drawing import drawn_images
from trainer.learning import from_the_ends, learn
from trainer.networks import make_network
from trainer.runs import Run

STEPS, COUNT = 3, 4


@pytest.fixture
def taught(tmp_path):
    """A run of three checkpoints, among the window's own."""
    small = {"network_parameters": {"width": 8, "blocks": 1}, "classes": 0}
    run = Run.create(tmp_path / "runs" / "taught", PRESETS["modern"].with_changes(**small))
    for k in range(3):
        torch.manual_seed(k)
        weights = {
            name: torch.randn_like(w) * 0.3 if w.is_floating_point() and w.ndim > 1 else w
            for name, w in make_network(run.config, 1).state_dict().items()
        }
        step = 10 * (k + 1)
        facts = {"step": step, "epoch": k, "shape": [1, 28, 28], "images_seen": 1000 * (k + 1)}
        run.save_weights(step, weights, facts)
    return run


@pytest.fixture
def panel(qtbot, taught, window):
    panel = window.views["learning"]
    qtbot.waitUntil(lambda: any(r.folder == taught.folder for r in window.session.runs))
    panel.form.set_values({"steps": STEPS, "count": COUNT, "model": "taught"})
    window.stage.setCurrentWidget(panel)  # which is all that it takes
    done(qtbot, panel)
    return panel


def done(qtbot, panel):
    qtbot.waitUntil(lambda: len(panel.drawn) == 3 and not panel.work.busy, timeout=60_000)


def click(qtbot, mosaic, index):
    place = mosaic.cell(index).center()
    qtbot.mouseClick(mosaic, Qt.MouseButton.LeftButton, pos=QPointF(place).toPoint())


def test_each_place_of_training_shows_what_that_checkpoint_draws(panel, taught):
    for k, path in enumerate(taught.checkpoints()):
        panel.training.slider.setValue(k)
        panel.timeline.slider.setValue(STEPS)
        ask = panel.ask().with_changes(model=str(taught.folder), checkpoint=path.name)
        assert np.array_equal(panel.images.images, drawn_images(ask)[:, 0])
        words = f"step {10 * (k + 1)}, {k + 1},000 images seen"
        assert panel.training.caption.text() == words
    assert panel.training.slider.maximum() == 2
    assert panel.timeline.slider.maximum() == STEPS


def test_the_noisy_end_shows_a_guess_and_no_image(panel):
    panel.timeline.slider.setValue(0)
    first = panel.images.images.copy()
    assert panel.timeline.caption.text() == "t = 1.000"
    panel.timeline.slider.setValue(STEPS)
    assert not np.array_equal(first, panel.images.images)


def test_a_click_on_the_table_goes_to_its_place_and_on_an_image_brings_it_there(qtbot, panel):
    columns = STEPS + 1
    assert len(panel.table.images) == 3 * columns
    click(qtbot, panel.table, 1 * columns + 2)  # the second checkpoint's third time
    assert panel.training.slider.value() == 1
    assert panel.timeline.slider.value() == 2
    assert np.array_equal(panel.images.images, panel.drawn[1].guesses[2])
    click(qtbot, panel.images, 3)
    assert panel.chosen == 3
    for row in range(3):
        for column in range(columns):
            cell = panel.table.images[row * columns + column]
            assert np.array_equal(cell, panel.drawn[row].guesses[column, 3])


def test_the_curve_is_the_distance_from_the_last_checkpoints_images(panel, taught):
    last, first = (
        drawn_images(
            panel.ask().with_changes(
                model=str(taught.folder), checkpoint=taught.checkpoints()[k].name
            )
        )
        / 255
        for k in (-1, 0)
    )
    curves = panel.curves()
    apart = np.sqrt(((first - last) ** 2).mean((1, 2, 3)))
    assert curves["all images"][:, 0].tolist() == [1, 2, 3]
    assert curves["all images"][0, 1] == pytest.approx(apart.mean(), rel=1e-5)
    assert curves["the image in the table"][0, 1] == pytest.approx(apart[0], rel=1e-5)
    assert curves["all images"][-1, 1] == 0


def test_what_it_shows_is_stored_and_made_again(qtbot, panel):
    panel.training.slider.setValue(1)
    panel.timeline.slider.setValue(1)
    click(qtbot, panel.images, 2)
    kept = work.Learning.from_json(panel.ask().to_json())
    shown = panel.images.images.copy()
    panel.training.slider.setValue(0)
    panel.restore(kept)
    done(qtbot, panel)
    assert np.array_equal(panel.images.images, shown)
    assert panel.chosen == 2
    assert len(panel.animation()) == 3 + STEPS + 1
    assert isinstance(panel, View)


def test_an_exact_model_has_learnt_nothing():
    from trainer.problems import Problem

    with pytest.raises(Problem, match="learnt nothing"):
        list(learn(work.Learning("gaussian:mnist images=10"), ()))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
def test_the_ends_draw_first_and_all_draw_once(count):
    order = from_the_ends(count)
    assert sorted(order) == list(range(count))
    assert order[0] == count - 1
    assert order[min(1, count - 1)] == 0
