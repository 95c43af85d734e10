"""Exact models are chosen where runs are: in every view's chooser, with settings of their own."""

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog

from trainer.config import ExactConfig
from trainer.data import load
from trainer.drawing import drawn_images


def press(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def pick(field, title):
    field.model.setCurrentIndex(field.model.findText(title))


def test_the_gallery_draws_copies_from_the_training_set_that_was_set(qtbot, window):
    view = window.views["gallery"]
    window.stage.setCurrentWidget(view)
    field = view.form["model"]
    assert not field.settings.isVisible()
    pick(field, "the training set")
    assert field.values() == {"model": "training-set:mnist process=vp", "checkpoint": ""}
    assert field.digits
    press(qtbot, field.settings)
    dialog = view.findChild(QDialog, "galleryExactMoreDialog")
    assert dialog.isVisible()
    form = field._forms["training-set"]
    for name, text in (("images", "30"), ("classes", "10")):
        form[name].lineEdit().setText(text)
        form[name].lineEdit().setModified(True)
        qtbot.keyClick(form[name], Qt.Key.Key_Return)
    assert field.values()["model"] == "training-set:mnist process=vp images=30 classes=10"
    assert view.form["classes"].isVisible()
    view.form.set_values({"count": 4, "steps": 8, "sampler": "heun", "classes": "0"})
    view.form.set_values({"guidance": 1.0})
    press(qtbot, view.sample_button)
    qtbot.waitUntil(lambda: view.asked is not None and not view.drawing.busy, timeout=60_000)
    assert np.array_equal(view.images, drawn_images(view.asked)[:, 0])
    data = load("mnist")
    noughts = data.train[:30, 0][data.train_labels[:30] == 0].astype(int)
    assert np.abs(view.images[:, None] - noughts).max((2, 3)).min(1).max() <= 2
    asked = view.ask()
    pick(field, "modern")
    assert not field.settings.isVisible()
    view.restore(asked)
    qtbot.waitUntil(lambda: not view.drawing.busy, timeout=60_000)
    assert view.form.ask().model == asked.model
    assert form.ask(kind="training-set") == ExactConfig.from_id(asked.model)


def test_an_exact_model_follows_the_run_before_until_it_is_set(qtbot, window):
    field = window.views["samplers"].form["model"]
    pick(field, "modern-sde")
    pick(field, "its Gaussian")
    assert field.values()["model"] == "gaussian:mnist process=vp"
    pick(field, "modern")
    pick(field, "its Gaussian")
    assert field.values()["model"] == "gaussian:mnist"
    field.choose("gaussian:mnist process=flow images=100")
    assert field.model.currentText() == "its Gaussian"
    assert field.run.config.process == "flow"
    pick(field, "modern-sde")
    pick(field, "its Gaussian")
    assert field.values()["model"] == "gaussian:mnist process=flow images=100"
    with qtbot.waitSignal(window.session.problem) as told:
        field.choose("gaussian:mnist proces=flow")
    assert "no setting 'proces'" in told.args[0]


def test_a_row_of_trajectories_draws_from_an_exact_model(qtbot, window):
    stage = window.trajectories
    row = stage.rows["sde"]
    row["model"].choose("training-set:mnist process=vp images=50")
    row.set_values({"sampler": "heun", "steps": 8})
    assert window.session.models["sde"] == "training-set:mnist process=vp images=50"
    assert window.minimumSizeHint().width() <= 1280
    press(qtbot, stage.sample_button)
    qtbot.waitUntil(lambda: not stage.sampling and bool(stage.nfe), timeout=60_000)
    last = stage.shown(stage.moment("sde", "reverse", 1.0))
    images = load("mnist").train[:50, 0].astype(int)
    assert np.abs(last[:, None] - images).max((2, 3)).min(1).max() <= 2
    asked = stage.ask()
    window.session.open_model("sde", "modern-sde")
    stage.prepare(asked)
    assert window.session.models["sde"] == asked.sde.model
