"""Conditional models are asked for a class wherever they draw."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PySide6.QtCore import Qt

from diffviz.views.edit import work as work_edit
from diffviz.views.samplers.work import Draw, draw
from diffviz.work import ANY_CLASS, EACH_CLASS
from trainer.__main__ import main
from trainer.data.samples import load_samples
from trainer.images import to_bytes
from trainer.runs import Run
from trainer.samplers import sample


def press(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def panel_of(qtbot, conditional, window):
    """Shows the panel of that name, once its list of models is there."""

    def show(name):
        panel = window.panel_named(name)
        window.stage.setCurrentWidget(panel)
        qtbot.waitUntil(lambda: panel.model.run is not None, timeout=20_000)
        return panel

    return show


def test_each_class_in_turn(conditional):
    one = Draw(conditional, "", "ddim", 2, 12, 0, label=3)
    alone = list(draw(one))[-1].final
    each = list(draw(replace(one, label=EACH_CLASS)))[-1].final
    assert np.allclose(each[3], alone[3], atol=1e-4)
    assert not np.allclose(each[4], alone[4], atol=1e-2)


def test_the_gallery_offers_classes_where_the_model_knows_them(qtbot, panel_of):
    panel = panel_of("Gallery")
    assert not panel.asking.isVisible()
    panel.prepare({"model": "classy", "sampler": "ddim", "steps": 2, "count": 16, "class": 7,
                   "guidance": 2.0})  # fmt: skip
    assert panel.asking.isVisible()
    assert panel.asking.combo.count() == 12
    press(qtbot, panel.sample_button)
    qtbot.waitUntil(lambda: panel.job is None and panel.known > 0, timeout=30_000)
    assert (panel.request.label, panel.request.guidance) == (7, 2.0)
    right = int((panel.labels == 7).sum())
    assert f"{right} of 16</b> are the class asked for" in panel.side.summary.text()


def test_samplers_are_compared_on_the_class_asked_for(qtbot, panel_of, conditional):
    panel = panel_of("Samplers")
    assert not panel.asking.isVisible()
    panel.prepare({"model": "classy", "columns": [["ddim", 2]], "count": 4, "class": 5,
                   "reference": ["", 0], "guidance": 3.0})  # fmt: skip
    assert panel.asking.isVisible()
    press(qtbot, panel.compare_button)
    qtbot.waitUntil(lambda: not panel.comparing and panel.job is None, timeout=30_000)
    expected = list(draw(Draw(conditional, "", "ddim", 2, 4, 0, 5, 3.0)))[-1].images
    assert np.array_equal(panel.columns[0].view.images, expected)
    assert (panel.settings()["class"], panel.settings()["guidance"]) == (5, 3.0)
    panel.asking.combo.setCurrentIndex(panel.asking.combo.findData(ANY_CLASS))
    assert panel.columns[0].view.images is None
    assert not panel.asking.spin.isEnabled()


def test_a_hole_is_filled_by_the_class_asked_for(qtbot, panel_of, conditional, tmp_path):
    panel = panel_of("Edit")
    tool = panel.inpaint
    assert not tool.asking.isVisible()
    hole = work_edit.words(np.pad(np.ones((28, 14), bool), ((0, 0), (0, 14))))
    asked = {"image": 4, "mask": list(hole), "steps": 2, "sampler": "ddim", "class": 6,
             "guidance": 2.0}  # fmt: skip
    panel.prepare({"tool": "inpaint", "model": "classy", "inpaint": asked})
    assert tool.asking.isVisible()
    assert panel.minimumSizeHint().width() <= 860
    qtbot.waitUntil(lambda: panel.wanted() is not None, timeout=20_000)
    press(qtbot, panel.run_button)
    qtbot.waitUntil(lambda: panel.job is None and tool.done, timeout=30_000)
    assert (tool.settings()["class"], tool.settings()["guidance"]) == (6, 2.0)
    *_, last = work_edit.complete(tool.request)
    assert np.array_equal(panel.grid(), last.guesses)
    out = tmp_path / "completed.npz"
    words = "--image 4 --mask left --steps 2 --sampler ddim --class 6 --guidance 2 --out"
    assert main(["inpaint", "--run", str(conditional), *words.split(), str(out)]) == 0
    assert np.array_equal(load_samples(out, (1, 28, 28))[:, 0], last.guesses)
    *_, plain = work_edit.complete(replace(tool.request, label=ANY_CLASS, guidance=1.0))
    assert np.array_equal(plain.guesses[:, :, 14:], last.guesses[:, :, 14:])
    assert not np.array_equal(plain.guesses[:, :, :14], last.guesses[:, :, :14])


def test_a_row_of_trajectories_asks_for_its_class(qtbot, conditional, window):
    stage = window.trajectories
    qtbot.waitUntil(lambda: any(r.folder == conditional for r in window.session.runs))
    assert not stage.asking["ddpm"].isVisible()
    window.session.open_model("ddpm", conditional)
    assert stage.asking["ddpm"].isVisible()
    assert not stage.asking["sde"].isVisible()
    stage.asking["ddpm"].prepare({"class": 4, "guidance": 2.0})
    stage.samplers["ddpm"].setCurrentIndex(stage.samplers["ddpm"].findData("ddim"))
    press(qtbot, stage.sample_button)
    qtbot.waitUntil(lambda: not stage.sampling and bool(stage.nfe), timeout=30_000)
    asked = stage.settings()
    model = Run.open(conditional).model().conditioned(torch.full((16,), 4), 2.0)
    noise = torch.randn((16, 1, 28, 28), generator=torch.Generator().manual_seed(0))
    drawn = list(sample(model, model.process, noise, "ddim", 6))[-1].x
    last = stage.moment("ddpm", "reverse", 1.0)
    assert np.array_equal(stage.shown(last), to_bytes(drawn)[:, 0].numpy())
    stage.asking["ddpm"].prepare({})
    stage.restore(asked)
    assert (stage.asking["ddpm"].label, stage.asking["ddpm"].guidance) == (4, 2.0)
