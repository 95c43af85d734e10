"""The gallery panel, its picker, and what it asks workers for."""

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent

from diffviz.views.gallery import work as work_gallery
from diffviz.views.gallery.work import Labelled
from diffviz.views.samplers.work import Draw, Drawn
from diffviz.widgets.picker import Note, Picker
from trainer.data import load
from trainer.metrics import classify, nearest

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
PLAIN = Qt.KeyboardModifier.NoModifier


@pytest.fixture
def panel(qtbot, window):
    window.stage.setCurrentWidget(window.panel_named("Gallery"))
    panel = window.panel_named("Gallery")
    qtbot.waitUntil(lambda: panel.model.run is not None, timeout=20_000)
    panel.prepare({"sampler": "ddpm", "steps": 2, "count": 32, "seed": 3})
    return panel


def sample(qtbot, panel):
    qtbot.mouseClick(panel.sample_button, Qt.MouseButton.LeftButton)
    finish(qtbot, panel)


def finish(qtbot, panel):
    qtbot.waitUntil(lambda: panel.job is None and panel.known > 0, timeout=30_000)


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
    window.exports.grid(tmp_path / "chosen.png")
    qtbot.waitUntil(lambda: (tmp_path / "chosen.png").exists() and not window.jobs, timeout=20_000)
    panel.prepare({"model": "modern", "sampler": "ddim", "steps": 1, "count": 16, "seed": 0})
    sample(qtbot, panel)
    assert not np.array_equal(panel.grid()[:2], chosen)
    window.stage.setCurrentWidget(window.trajectories)
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(tmp_path / "chosen.png"))])
    window.dropEvent(
        QDropEvent(QPointF(9, 9), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, PLAIN)
    )
    qtbot.waitUntil(lambda: window.panel is panel and panel.job is not None, timeout=20_000)
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
    data, request = load("mnist"), Draw(small_models / "modern", "", "ddim", 2, 4, 0)
    usual = nearest(data.test[: work_gallery.COMPARED], data.train)[1]
    middle = int(np.argsort(usual)[work_gallery.COMPARED // 2])
    chosen = {0: data.train[123, 0], 1: data.test[middle, 0]}
    copy, fresh = work_gallery.nearest_images(request, chosen)
    assert (copy.number, copy.distance, copy.usual) == (123, 0.0, 0.0)
    assert fresh.distance == pytest.approx(usual[middle])
    assert fresh.usual == pytest.approx(0.5, abs=0.02)


def test_stopping_keeps_whole_batches_that_can_be_made_again(qtbot, panel):
    panel.prepare({"sampler": "ddpm", "steps": 60, "count": 256, "seed": 1})
    qtbot.mouseClick(panel.sample_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.known >= 16, timeout=30_000)
    qtbot.mouseClick(panel.stop_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.job is None, timeout=20_000)
    count = panel.settings()["count"]
    assert count == len(panel.grid()) == panel.known < 256
    assert count % 16 == 0
    before = panel.grid().copy()
    panel.restore(panel.settings())
    finish(qtbot, panel)
    assert np.array_equal(panel.grid(), before)


def test_a_change_while_drawing_draws_what_is_asked_for_now(qtbot, panel):
    panel.steps.setValue(1000)
    qtbot.mouseClick(panel.sample_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(panel.images) > 0, timeout=20_000)
    panel.steps.setValue(2)
    qtbot.waitUntil(lambda: panel.job is None and panel.known == 32, timeout=30_000)
    assert panel.request.steps == 2


def test_labels_come_with_each_batch(small_models):
    events = list(work_gallery.gallery(Draw(small_models / "modern", "", "ddim", 2, 20, 0)))
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
