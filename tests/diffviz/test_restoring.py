"""Restoring in the edit view, by clicking, against the engine's own arrays."""

import numpy as np
import pytest
import torch
from PySide6.QtCore import Qt

from diffviz.controls.form import read_stored, stored
from diffviz.views.edit import work
from diffviz.views.edit.view import EditView
from tests.diffviz.test_mask import paint
from trainer.catalogue import DEGRADATIONS
from trainer.data import load
from trainer.drawing import drawn_images, measure, open_model
from trainer.images import to_bytes, to_signed
from trainer.restore import posterior

LEFT = Qt.MouseButton.LeftButton
TRAINING = 600  # so many images make the posterior, for the tests' sake


@pytest.fixture
def view(qtbot, window, monkeypatch):
    few = lambda data, config: torch.from_numpy(data.train[:TRAINING].copy())  # noqa: E731
    monkeypatch.setattr("trainer.runs.folder.training_images", few)
    view = window.views["edit"]
    window.stage.setCurrentWidget(view)
    qtbot.mouseClick(view.tabs, LEFT, pos=view.tabs.tabRect(1).center())
    assert view.tool is view.restoring
    qtbot.waitUntil(lambda: view.wanted() is not None, timeout=20_000)
    view.restoring.form.set_values({"steps": 3, "count": 4})
    return view


def run(qtbot, view):
    qtbot.mouseClick(view.run_button, LEFT)
    qtbot.waitUntil(lambda: not view.computing.busy, timeout=30_000)
    assert view.restoring.done
    return view.restoring


def rms(x):
    return float(x.double().square().mean().sqrt())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("degradation", [name for name in DEGRADATIONS if name != "mask"])
def test_what_is_restored_is_what_the_engine_restores(qtbot, view, degradation, precision):
    view.restoring.form.set_values({"degradation": degradation, "precision": precision})
    tool = run(qtbot, view)
    ask, opened = tool.request, open_model(tool.request, view.session.places, "cpu")
    measured, known = measure(ask, opened), torch.from_numpy(load("mnist").train[:TRAINING].copy())
    exact = posterior(measured, known)
    drawn = drawn_images(ask, opened)[:, 0]
    assert np.array_equal(tool.view.images, drawn)
    assert np.array_equal(view.grid(), drawn)
    shown = to_bytes(measured.operator.picture(measured.y))[:, 0].numpy()
    assert np.array_equal(tool.measured.images, shown)
    draws = known[exact.draw(4, torch.Generator().manual_seed(ask.seed))]
    assert np.array_equal(tool.exact.images, draws[:, 0].numpy())

    weighed, model = tool.told
    assert weighed.effective == pytest.approx(exact.effective)
    assert weighed.known == TRAINING
    assert weighed.error == pytest.approx(rms(exact.mean - measured.image))
    assert weighed.spreads == pytest.approx(rms(exact.std))
    assert weighed.residual == pytest.approx(rms(measured.gap(to_signed(draws))), rel=1e-4)
    x = to_signed(torch.from_numpy(drawn))  # rounded and clipped, so not to the last digit
    if x.abs().max() < 1:
        assert model.spreads == pytest.approx(rms(x.std(0, correction=0)), abs=0.005)
        assert model.error == pytest.approx(rms(x.mean(0) - measured.image), abs=0.005)
    mean = tool.exact_sum.images[0].astype(int)
    assert np.abs(mean - to_bytes(exact.mean)[0].numpy().astype(int)).max() <= 1
    spread = tool.exact_sum.images[1] / 255  # white for 1
    assert np.abs(spread - exact.std[0].numpy()).max() <= 0.5 / 255 + 1e-6
    assert f"of {TRAINING}" in tool.facts.text()


def test_painting_on_the_original_makes_a_mask_of_it(qtbot, view):
    tool = view.restoring
    assert not tool.forget.isVisible()
    paint(qtbot, tool.painter, (10, 8), (20, 8))
    assert tool.form["degradation"].value() == "mask"
    assert tool.forget.isVisible()
    assert view.wanted().mask == work.words(tool.painter.masked)
    run(qtbot, view)
    kept = ~tool.painter.masked
    original = load("mnist").test[4, 0].astype(int)
    assert np.abs(tool.measured.images[0].astype(int) - original)[kept].mean() < 20  # noise 0.1
    assert set(np.unique(tool.measured.images[0][~kept])) <= {127, 128}  # unknown: grey
    qtbot.mouseClick(tool.clear_button, LEFT)
    assert view.wanted() is None
    assert "Paint over" in view.status.text()


def test_a_restoring_is_stored_and_made_again(qtbot, view):
    view.restoring.form.set_values({"degradation": "blur", "how": {"width": 2.0}, "method": "dps"})
    tool = run(qtbot, view)
    images, kept = tool.view.images, stored("edit", view.ask())
    assert kept["tool"] == "restore"
    view.restoring.form.set_values({"degradation": "noise", "seed": 5})
    run(qtbot, view)
    assert not np.array_equal(tool.view.images, images)
    view.restore(read_stored(EditView.kind, kept))
    qtbot.waitUntil(lambda: tool.request.degradation == "blur", timeout=30_000)
    qtbot.waitUntil(lambda: not view.computing.busy, timeout=30_000)
    assert np.array_equal(tool.view.images, images)
    assert tool.request.filled("how") == {"width": 2.0}
    assert len(view.animation()) == 4
