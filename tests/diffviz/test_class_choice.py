"""Conditional models are asked for a class wherever they draw."""

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox

from diffviz.views.growing import grow
from diffviz.views.samplers.work import Column, Samplers
from trainer.drawing import drawn_images
from trainer.requests import ANY, GUIDANCE, Drawing


def press(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def view_of(qtbot, conditional, window):
    """Shows the view of that id, once its list of models is there."""

    def show(name):
        view = window.views[name]
        window.stage.setCurrentWidget(view)
        qtbot.waitUntil(lambda: view.form["model"].run is not None, timeout=20_000)
        return view

    return show


def test_each_class_in_turn(conditional, precision):
    one = Drawing(str(conditional), classes="3", sampler="ddim", steps=2, count=12,
                  precision=precision)  # fmt: skip
    (*_, alone), (*_, each) = grow(one, ()), grow(one.with_changes(classes="each"), ())
    tolerance = 1e-4 if precision == "float32" else 5e-2
    assert np.allclose(each.final[3], alone.final[3], atol=tolerance)
    assert not np.allclose(each.final[4], alone.final[4], atol=2 * tolerance)
    assert alone.nfe == 4  # two passes an evaluation


def test_the_gallery_offers_classes_where_the_model_knows_them(qtbot, view_of):
    view = view_of("gallery")
    field = view.form["classes"]
    assert not field.isVisible()
    view.form.set_values({"model": "classy", "steps": 2, "count": 16, "classes": "7"})
    assert field.isVisible()
    assert field.combo.count() == 12
    press(qtbot, view.sample_button)
    qtbot.waitUntil(lambda: not view.drawing.busy and view.known > 0, timeout=30_000)
    assert (view.asked.classes, view.asked.guidance) == ("7", GUIDANCE)
    right = int((view.labels == 7).sum())
    assert f"{right} of 16</b> are the class asked for" in view.side.summary.text()
    view.form.set_values({"model": "modern-unconditional"})  # which would refuse the hidden class
    press(qtbot, view.sample_button)
    qtbot.waitUntil(lambda: not view.drawing.busy and view.known == 16, timeout=30_000)
    assert view.asked.labels(view.model.classes) == ()
    view.form.set_values({"model": "classy"})
    assert view.form.ask().classes == "7"


def test_samplers_are_compared_on_the_class_asked_for(qtbot, view_of, conditional):
    view = view_of("samplers")
    field = view.form["classes"]
    assert not field.isVisible()
    view.prepare(
        Samplers(
            "classy", classes="5", guidance=3.0, count=4, reference="", columns=(Column("ddim", 2),)
        )
    )
    assert field.isVisible()
    press(qtbot, view.compare_button)
    qtbot.waitUntil(lambda: not view.comparing and not view.work.busy, timeout=30_000)
    alone = Drawing(str(conditional), classes="5", guidance=3.0, sampler="ddim", steps=2, count=4)
    assert np.array_equal(view.columns[0].view.images, drawn_images(alone)[:, 0])
    assert (view.ask().classes, view.ask().guidance) == ("5", 3.0)
    field.combo.setCurrentIndex(field.combo.findData(ANY))
    assert view.columns[0].view.images is None
    assert not field.spin.isEnabled()


def test_a_row_of_trajectories_asks_for_its_class(qtbot, conditional, window):
    stage = window.trajectories
    qtbot.waitUntil(lambda: any(r.folder == conditional for r in window.session.runs))
    row = stage.rows["ddpm"]
    assert not row["classes"].isVisible()
    window.session.open_model("ddpm", conditional.name)
    assert row["classes"].isVisible()
    assert not stage.rows["sde"]["classes"].isVisible()
    plain = window.session.models["sde"]
    window.session.open_model("sde", conditional.name)
    qtbot.keyClick(stage.findChild(QComboBox, "startCombo"), Qt.Key.Key_Down)
    assert window.minimumSizeHint().width() <= 1280
    qtbot.keyClick(stage.findChild(QComboBox, "startCombo"), Qt.Key.Key_Up)
    window.session.open_model("sde", plain)
    row.set_values({"classes": "4", "guidance": 2.0, "sampler": "ddim"})
    press(qtbot, stage.sample_button)
    qtbot.waitUntil(lambda: not stage.sampling and bool(stage.nfe), timeout=30_000)
    asked = stage.ask()
    alone = asked.drawing("ddpm").with_changes(model=str(conditional))
    last = stage.moment("ddpm", "reverse", 1.0)
    assert np.array_equal(stage.shown(last), drawn_images(alone)[:, 0])
    row.set_values({"classes": "each", "guidance": 1.0})
    stage.restore(asked)
    assert (row.ask().classes, row.ask().guidance) == ("4", 2.0)
