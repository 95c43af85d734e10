"""A worse model is chosen to be led away from, wherever a model draws."""

import numpy as np
import pytest
import torch
from PySide6.QtCore import Qt

from diffviz.controls.form import read_stored, stored
from trainer.drawing import drawn_images
from trainer.requests import GUIDANCE
from trainer.runs import Run


@pytest.fixture
def several(small_models, tmp_path):
    """A run of one's own with two checkpoints, and one of another process."""
    run = Run.open(small_models / "modern")
    mine = Run.create(tmp_path / "runs" / "mine", run.config)
    facts = {"step": 1, "epoch": 1, "shape": [1, 28, 28]}
    for step in (1, 2):
        torch.manual_seed(step)
        weights = run.model().network.state_dict()
        noisy = {n: torch.randn_like(w) * 0.2 if w.ndim > 1 else w for n, w in weights.items()}
        mine.save_weights(step, noisy, facts)
    other = Run.create(tmp_path / "runs" / "other", run.config.with_changes(process="flow"))
    other.save_weights(1, weights, facts)
    return mine.folder


def test_the_gallery_is_guided_by_an_earlier_checkpoint(qtbot, several, window, precision):
    view = window.views["gallery"]
    window.stage.setCurrentWidget(view)
    qtbot.waitUntil(lambda: view.form["model"].run is not None, timeout=20_000)
    view.form.set_values({"model": "mine", "steps": 2, "count": 16, "precision": precision})
    classes, guide = view.form["classes"], view.form["guide"]
    assert not classes.isVisible()
    assert [guide.itemText(k) for k in range(guide.count())] == ["none", "step 1", "modern"]
    view.form.more_button.click()
    guide.setCurrentIndex(1)
    view.form["guidance_to"].set_value(50.0)
    assert classes.spin.isVisible()
    assert classes.spin.isEnabled()
    assert not classes.combo.isVisible()
    assert view.form.more_button.text().endswith("(3 changed)")  # precision is one of them
    qtbot.mouseClick(view.sample_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not view.drawing.busy and view.known > 0, timeout=30_000)
    ask = view.ask()
    assert (ask.guide, ask.guidance, ask.guidance_to) == ("00000001.safetensors", GUIDANCE, 50.0)
    assert view.spent.startswith("3 NFE")  # at t = 1 sigma / alpha is above 50
    alone = ask.with_changes(model=str(several), checkpoint="")
    assert np.array_equal(view.images, drawn_images(alone)[:, 0])
    guide.setCurrentIndex(0)
    assert not classes.isVisible()
    view.restore(read_stored(type(ask), stored("gallery", ask)))
    assert (view.ask().guide, classes.isVisible()) == ("00000001.safetensors", True)


def test_another_runs_early_checkpoint_guides(qtbot, several, small_models, window):
    view = window.views["gallery"]
    window.stage.setCurrentWidget(view)
    qtbot.waitUntil(lambda: view.form["model"].run is not None, timeout=20_000)
    view.form.set_values({"model": "modern", "steps": 2, "count": 4, "classes": "any"})
    guide = view.form["guide"]
    assert [guide.itemText(k) for k in range(guide.count())] == ["none", "mine", "mine, step 1"]
    guide.setCurrentIndex(2)
    ask = view.ask()
    assert ask.guide == "mine/1"
    qtbot.mouseClick(view.sample_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not view.drawing.busy and view.known > 0, timeout=30_000)
    by_file = ask.with_changes(
        model=str(small_models / "modern"), guide=str(several / "checkpoints/00000001.safetensors")
    )
    assert np.array_equal(view.images, drawn_images(by_file)[:, 0])


def test_another_model_has_another_guide(qtbot, several, window):
    view = window.views["gallery"]
    window.stage.setCurrentWidget(view)
    qtbot.waitUntil(lambda: view.form["model"].run is not None, timeout=20_000)
    view.form.set_values({"model": "mine", "guide": "/a/path.safetensors"})
    assert view.form["guide"].currentText() == "/a/path.safetensors"
    assert view.form["classes"].spin.isVisible()
    view.form["model"].choose("modern-sde")
    assert view.form["guide"].value() == ""
    assert not view.form["classes"].isVisible()
