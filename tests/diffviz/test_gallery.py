"""The gallery panel, its picker, and what it asks workers for."""

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent

from diffviz.views.gallery import work
from diffviz.views.gallery.work import Labelled
from diffviz.views.growing import Drawn
from diffviz.widgets.picker import Note, Picker
from trainer.data import load
from trainer.drawing import drawn_images
from trainer.metrics import classify, nearest
from trainer.requests import Drawing

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
PLAIN = Qt.KeyboardModifier.NoModifier


@pytest.fixture
def panel(qtbot, window):
    panel = window.views["gallery"]
    window.stage.setCurrentWidget(panel)
    qtbot.waitUntil(lambda: panel.model.run is not None, timeout=20_000)
    panel.form.set_values({"sampler": "ddpm", "steps": 2, "count": 32, "seed": 3})
    return panel


def sample(qtbot, panel):
    qtbot.mouseClick(panel.sample_button, Qt.MouseButton.LeftButton)
    finish(qtbot, panel)


def finish(qtbot, panel):
    qtbot.waitUntil(lambda: not panel.drawing.busy and panel.known > 0, timeout=30_000)


def click(qtbot, picker, index, modifiers=PLAIN):
    place = picker.cell(index).center().toPoint()
    qtbot.mouseClick(picker, Qt.MouseButton.LeftButton, modifiers, place)


def test_every_sample_is_classified(qtbot, panel):
    assert panel.view.images is None
    sample(qtbot, panel)
    assert panel.view.images.shape == (32, 28, 28)
    labels, sureness = classify(panel.view.images[:, None])
    assert np.array_equal(panel.labels, labels)
    assert np.allclose(panel.sureness, sureness, atol=1e-4)
    sure = int((sureness >= 0.9).sum())
    assert f"{sure} of 32" in panel.side.summary.text()
    assert np.allclose(panel.side.balance.density, np.bincount(labels, minlength=10) / 32)
    for note, label, sureness_of in zip(panel.view.notes, labels, sureness, strict=True):
        assert note.text.split()[0] == str(label)
        assert bool(note.frame) == (sureness_of < 0.9)


def test_an_exported_grid_dropped_on_the_window_gives_the_same_pixels(
    qtbot, window, panel, tmp_path
):
    sample(qtbot, panel)
    everything = panel.grid().copy()
    click(qtbot, panel.view, 1)
    click(qtbot, panel.view, 20, CTRL)
    chosen = panel.grid().copy()
    assert np.array_equal(chosen, everything[[1, 20]])
    window.files.grid(tmp_path / "chosen.png")
    qtbot.waitUntil(lambda: (tmp_path / "chosen.png").exists() and not window.jobs, timeout=20_000)
    panel.form.set_values(
        {"model": "modern", "sampler": "ddim", "steps": 1, "count": 16, "seed": 0}
    )
    sample(qtbot, panel)
    assert not np.array_equal(panel.grid()[:2], chosen)
    window.stage.setCurrentWidget(window.trajectories)
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(tmp_path / "chosen.png"))])
    window.dropEvent(
        QDropEvent(QPointF(9, 9), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, PLAIN)
    )
    qtbot.waitUntil(lambda: window.view is panel and panel.drawing.busy, timeout=20_000)
    finish(qtbot, panel)
    assert panel.view.selected == [1, 20]
    assert np.array_equal(panel.grid(), chosen)
    panel.view.select(())
    assert np.array_equal(panel.grid(), everything)


def test_the_nearest_training_image_is_shown_beside(qtbot, panel):
    sample(qtbot, panel)
    assert not panel.side.nearest.isEnabled()
    click(qtbot, panel.view, 4)
    assert "No. 4" in panel.side.about.text()
    qtbot.mouseClick(panel.side.nearest, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: 4 in panel.neighbours, timeout=30_000)
    near, train = panel.neighbours[4], load("mnist").train.reshape(60_000, -1)
    sums = [np.square(part - panel.images[4].reshape(-1).astype(np.float32)).sum(1)
            for part in np.split(train, 60)]  # fmt: skip
    distances = np.concatenate(sums) / 255**2
    assert near.number == distances.argmin()
    assert near.distance == pytest.approx(np.sqrt(distances.min()), rel=1e-4)
    assert np.array_equal(panel.side.pairs.images, np.stack([panel.images[4], near.image]))
    assert f"training image {near.number:,}" in panel.side.distances.text()


def test_a_copy_is_told_from_a_test_image(small_models):
    data, request = load("mnist"), Drawing(str(small_models / "modern"), steps=2, count=4)
    usual = nearest(data.test[: work.COMPARED], data.train)[1]
    middle = int(np.argsort(usual)[work.COMPARED // 2])
    chosen = {0: data.train[123, 0], 1: data.test[middle, 0]}
    copy, fresh = work.nearest_images(request, (), chosen)
    assert (copy.number, copy.distance, copy.usual) == (123, 0.0, 0.0)
    assert fresh.distance == pytest.approx(usual[middle])
    assert fresh.usual == pytest.approx(0.5, abs=0.02)


def test_stopping_keeps_whole_batches_that_can_be_made_again(qtbot, panel):
    panel.form.set_values({"sampler": "ddpm", "steps": 60, "count": 256, "seed": 1, "batch": 16})
    qtbot.mouseClick(panel.sample_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.known >= 16, timeout=30_000)
    qtbot.mouseClick(panel.stop_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not panel.drawing.busy, timeout=20_000)
    count = panel.ask().count
    assert count == len(panel.grid()) == panel.known < 256
    assert count % 16 == 0
    before = panel.grid().copy()
    panel.restore(panel.ask())
    finish(qtbot, panel)
    assert np.array_equal(panel.grid(), before)


def test_a_change_while_drawing_draws_what_is_asked_for_now(qtbot, panel):
    panel.form["steps"].setValue(1000)
    qtbot.mouseClick(panel.sample_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(panel.images) > 0, timeout=20_000)
    panel.form["steps"].setValue(2)
    qtbot.waitUntil(lambda: not panel.drawing.busy and panel.known == 32, timeout=30_000)
    assert panel.asked.steps == 2


def test_labels_come_with_each_batch(small_models):
    ask = Drawing(str(small_models / "modern"), steps=2, count=20, batch=16)
    events = list(work.gallery(ask, ()))
    assert [(e.first, len(e.labels)) for e in events if isinstance(e, Labelled)] == [
        (0, 16),
        (16, 4),
    ]
    assert isinstance(events[-1], Drawn)


def test_picking(qtbot):
    picker = Picker()
    qtbot.addWidget(picker)
    picker.resize(300, 300)
    picker.show()
    picker.show_images(np.zeros((9, 8, 8), np.uint8))
    picker.show_notes([Note("7 99"), Note("1 50", "#E69F00")])
    changes = []
    picker.selectionChanged.connect(lambda: changes.append(picker.selected))
    click(qtbot, picker, 2)
    click(qtbot, picker, 5, SHIFT)
    click(qtbot, picker, 4, CTRL)
    click(qtbot, picker, 8, CTRL)
    assert changes == [[2], [2, 3, 4, 5], [2, 3, 5], [2, 3, 5, 8]]
    qtbot.keyClick(picker, Qt.Key.Key_Up)
    assert picker.selected == [5]
    qtbot.keyClick(picker, Qt.Key.Key_Right)  # 6 begins the next row
    qtbot.keyClick(picker, Qt.Key.Key_Right, SHIFT)
    assert picker.selected == [6, 7]
    qtbot.keyClick(picker, Qt.Key.Key_A, CTRL)
    assert len(picker.selected) == 9
    picker.show_images(np.zeros((4, 8, 8), np.uint8))
    assert picker.selected == [0, 1, 2, 3]
    qtbot.keyClick(picker, Qt.Key.Key_Escape)
    assert picker.selected == []
    painted = picker.grab().toImage()
    edge = picker.cell(1).topLeft().toPoint()
    assert painted.pixelColor(edge.x() + 1, edge.y() + 1).name() == "#e69f00"


def test_the_window_draws_what_a_script_draws(qtbot, panel, small_models, precision):
    panel.form.set_values({"precision": precision, "spacing": "quadratic", "steps": 3})
    sample(qtbot, panel)
    ask = panel.ask().with_changes(model=str(small_models / "modern-sde"))
    assert np.array_equal(panel.images, drawn_images(ask)[:, 0])
    assert precision in panel.status.text()
    other = {"float32": "bfloat16", "bfloat16": "float32"}[precision]
    assert not np.array_equal(panel.images, drawn_images(ask.with_changes(precision=other))[:, 0])


def test_what_version_1_stored_is_read():
    old = {
        "model": "modern", "checkpoint": "00000001.safetensors", "sampler": "heun", "steps": 12,
        "count": 32, "seed": 5, "class": 7, "guidance": 1.5, "selected": [3, 1],
    }  # fmt: skip
    ask = work.Gallery.from_dict(old)
    assert (ask.sampler, ask.steps, ask.classes, ask.selected) == ("heun", 12, "7", (3, 1))
    assert work.Gallery.from_dict({**old, "class": -2}).classes == "each"
    assert work.Gallery.from_dict({**old, "class": -1}).classes == "any"
