"""What the edit view stores, and has stored; and its field for images."""

import pytest
from PySide6.QtCore import Qt

from diffviz.controls.fields import named
from diffviz.controls.form import read_stored, stored
from diffviz.controls.picture import PictureField
from diffviz.views.edit import work as work_edit
from diffviz.views.edit.view import EditView
from trainer.ask import settings_of
from trainer.problems import Problem
from trainer.requests import Encoding, Inpainting, Interpolation

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton


def test_settings_that_are_damaged_are_told():
    for damaged in ({"tool": "paint"}, {"inpaint": {"steps": "many"}}, {"encode": "all"}):
        with pytest.raises(Problem):
            read_stored(EditView.kind, {"view": "edit", **damaged})


OLD = {
    "panel": "Edit", "tool": "encode", "model": "modern-sde", "checkpoint": "1.safetensors",
    "inpaint": {
        "image": 7, "forget": "painted", "mask": ["010", "000"], "sampler": "ddim", "steps": 9,
        "repeats": 2, "seed": 3, "class": -1, "guidance": 1.5, "show": "state", "fraction": 0.25,
    },
    "encode": {"image": 5, "tolerance": 0.01},
    "interpolate": {"first": 2, "second": 3, "count": 12, "tolerance": 0.001},
}  # fmt: skip


def test_what_version_1_stored_is_read():
    of = {"model": "modern-sde", "checkpoint": "1.safetensors"}
    found = read_stored(EditView.kind, OLD)
    assert found == work_edit.Edit(
        tool="encode",
        inpaint=Inpainting(
            **of, image="7", mask="010 000", sampler="ddim", steps=9, repeats=2, seed=3,
            classes="any", guidance=1.5,
        ),
        encode=Encoding(**of, image="5", tolerance=0.01),
        interpolate=Interpolation(**of, first="2", second="3", count=12),
        show="state",
        fraction=0.25,
    )  # fmt: skip
    named = read_stored(EditView.kind, {**OLD, "inpaint": {"forget": "left", "mask": ["010"]}})
    assert named.inpaint.mask == "left"
    assert named.inpaint.image == "4"
    assert read_stored(EditView.kind, stored("edit", found)) == found
    assert read_stored(EditView.kind, {}) == work_edit.Edit()


def test_images_are_stepped_through(qtbot):
    one = settings_of(Inpainting)["image"]
    field = named(PictureField(one), one, "inpaint")
    qtbot.addWidget(field)
    assert field.objectName() == "inpaintImageSpin"
    for key, wanted in ((Qt.Key.Key_Up, "1"), (Qt.Key.Key_Down, "0"), (Qt.Key.Key_Down, "0")):
        qtbot.keyClick(field, key)
        assert field.value() == wanted
    field.set_value("train:7")
    qtbot.keyClick(field, Qt.Key.Key_Up)
    assert field.value() == "train:8"
    field.set_value("")
    assert field.value() == "train:8"
    field.set_value("my.png")
    qtbot.keyClick(field, Qt.Key.Key_Up)
    assert field.value() == "my.png"
