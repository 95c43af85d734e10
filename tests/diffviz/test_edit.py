"""The edit panel: each tool clicked through, and held against the engine's own arrays."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from PySide6.QtCore import QEvent, QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QMouseEvent
from PySide6.QtWidgets import QApplication

from diffviz.views.edit import work as work_edit
from diffviz.widgets.mask import MaskPainter
from diffviz.widgets.mosaic import compose
from trainer.__main__ import main
from trainer.data import load
from trainer.data.samples import load_samples
from trainer.images import to_bytes, to_signed
from trainer.problems import Problem
from trainer.runs import Run
from trainer.steer import decode, encode, slerp

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
PLAIN = Qt.KeyboardModifier.NoModifier
TOOLS = ["inpaint", "encode", "interpolate"]


@pytest.fixture
def panel(qtbot, window):
    panel = window.panel_named("Edit")
    window.stage.setCurrentWidget(panel)
    qtbot.waitUntil(lambda: panel.wanted() is not None, timeout=20_000)
    panel.inpaint.steps.setValue(3)
    return panel


def turn_to(qtbot, panel, key):
    """Click the tool's tab."""
    index = TOOLS.index(key)
    qtbot.mouseClick(panel.tabs, LEFT, PLAIN, panel.tabs.tabRect(index).center())
    assert panel.tool is getattr(panel, key)
    qtbot.waitUntil(lambda: panel.wanted() is not None, timeout=20_000)


def run(qtbot, panel):
    qtbot.mouseClick(panel.run_button, LEFT)
    assert panel.stop_button.isEnabled()
    qtbot.waitUntil(lambda: panel.job is None, timeout=30_000)
    assert panel.tool.done
    assert panel.progress.value() == panel.progress.maximum()


def paint(qtbot, painter, start, end, button=LEFT):
    """Drag the mouse between two places, in image pixels."""
    places = [
        (painter.target().topLeft() + QPointF(*place) * painter.scale()).toPoint()
        for place in (start, end)
    ]
    qtbot.mousePress(painter, button, PLAIN, places[0])
    where = QPointF(places[1])
    move = QMouseEvent(
        QEvent.Type.MouseMove, where, painter.mapToGlobal(where), button, button, PLAIN
    )
    QApplication.sendEvent(painter, move)  # Qt's test moves hold no button
    qtbot.mouseRelease(painter, button, PLAIN, places[1])


def model_of(panel):
    return Run.open(panel.model.run.folder).model()


def digits(*numbers):
    return to_signed(torch.from_numpy(load("mnist").test[list(numbers)].copy()))


def last(frames):
    *_, frame = frames
    return frame


def as_pictures(x):
    return to_bytes(x)[:, 0].numpy()


def test_nothing_is_computed_before_it_is_asked_for(qtbot, panel):
    for key in TOOLS:
        turn_to(qtbot, panel, key)
        assert panel.job is None
        assert panel.jobs == [] or panel.jobs == [panel.looking]
        assert panel.grid() is None
        assert panel.status.text() == f"Press {panel.tool.verb}."
        assert panel.run_button.text() == panel.tool.verb
        assert panel.formula.sentence == panel.tool.sentence
    assert np.array_equal(panel.inpaint.painter.images[0], load("mnist").test[4, 0])
    assert np.array_equal(panel.interpolate.ends.images, load("mnist").test[:2, 0])
    assert panel.minimumSizeHint().width() <= 860
    assert panel.minimumSizeHint().height() <= 640


def test_inpainting_gives_what_the_command_line_gives_for_the_painted_mask(
    qtbot, panel, tmp_path, capsys
):
    tool = panel.inpaint
    tool.images["image"].setValue(7)
    qtbot.waitUntil(lambda: panel.wanted() is not None, timeout=20_000)
    tool.forget.setCurrentIndex(tool.forget.findData("left"))
    tool.forget.activated.emit(tool.forget.currentIndex())
    hole = np.zeros((28, 28), bool)
    hole[:, :14] = True
    assert np.array_equal(tool.painter.masked, hole)
    tool.brush.setValue(1)
    paint(qtbot, tool.painter, (20.5, 5.5), (20.5, 12.5))
    hole[5:13, 20] = True
    assert np.array_equal(tool.painter.masked, hole)
    assert tool.forget.currentData() == "painted"
    tool.repeats.setValue(2)
    tool.seed.setValue(3)
    run(qtbot, panel)
    found = panel.grid()
    assert found.shape == (16, 28, 28)
    assert np.array_equal(tool.view.images, found)
    assert (found[:, ~hole] == load("mnist").test[7, 0][~hole]).all()
    assert len(np.unique(found[:, hole], axis=0)) == 16
    Image.fromarray(hole.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    line = f"inpaint --run {panel.model.run.folder} --out {tmp_path / 'out.npz'} --image 7 --seed 3"
    more = f"--mask {tmp_path / 'mask.png'} --steps 3 --repeats 2 --device cpu --json"
    assert main([*line.split(), *more.split()]) == 0
    assert np.array_equal(found, load_samples(tmp_path / "out.npz", (1, 28, 28))[:, 0])
    assert "6 network evaluations" in panel.status.text()
    assert '"nfe": 6' in capsys.readouterr().out


def test_the_timeline_leads_through_inpainting(qtbot, panel):
    run(qtbot, panel)
    tool = panel.inpaint
    assert panel.timeline is tool.timeline
    assert [frame.index for frame in tool.frames] == [0, 1, 2, 3]
    assert len(panel.animation()) == 4
    tool.timeline.set_fraction(0.0)
    assert np.array_equal(tool.view.images, tool.frames[0].guesses)
    tool.show_what.setCurrentIndex(1)
    assert np.array_equal(tool.view.images, tool.frames[0].states)
    assert np.array_equal(panel.grid(), tool.frames[0].states)
    tool.timeline.set_fraction(1.0)
    assert np.array_equal(panel.grid(), tool.frames[-1].guesses)
    turn_to(qtbot, panel, "encode")
    assert panel.timeline is None
    assert panel.animation() == []


def test_an_empty_mask_cannot_be_completed(qtbot, panel):
    qtbot.mouseClick(panel.inpaint.clear_button, LEFT)
    assert not panel.run_button.isEnabled()
    assert "Paint over" in panel.status.text()
    request = work_edit.Completion(panel.model.run.folder, "", 0, ("00", "00"), "ddpm", 2, 1, 0)
    with pytest.raises(Problem, match="Nothing is forgotten"):
        next(work_edit.complete(request))


def test_stopping_leaves_what_is_on_view_and_exports_nothing(qtbot, panel):
    panel.inpaint.steps.setValue(1000)
    qtbot.mouseClick(panel.run_button, LEFT)
    qtbot.waitUntil(lambda: len(panel.inpaint.frames) > 1, timeout=20_000)
    qtbot.mouseClick(panel.stop_button, LEFT)
    qtbot.waitUntil(lambda: panel.job is None, timeout=20_000)
    assert 0 < panel.inpaint.share < 1
    assert panel.inpaint.view.images is not None
    assert panel.grid() is None
    assert "Stopped" in panel.status.text()
    assert not panel.stop_button.isEnabled()


def test_another_tool_takes_the_place_of_one_that_computes(qtbot, panel):
    panel.inpaint.steps.setValue(1000)
    qtbot.mouseClick(panel.run_button, LEFT)
    qtbot.waitUntil(lambda: panel.inpaint.share > 0, timeout=20_000)
    turn_to(qtbot, panel, "encode")
    assert "Inpaint is computing" in panel.status.text()
    panel.encode.tolerance.setCurrentIndex(0)
    run(qtbot, panel)
    turn_to(qtbot, panel, "inpaint")
    assert panel.inpaint.share < 1
    assert "Stopped" in panel.status.text()
    qtbot.waitUntil(lambda: not panel.jobs, timeout=20_000)


def test_a_dataset_that_is_gone_is_told_once_in_the_panel(qtbot, window, panel):
    run = panel.model.run
    gone = replace(
        run,
        folder=run.folder.with_name("gone"),
        config=run.config.with_changes(dataset="/gone"),
    )
    problems = []
    window.session.problem.connect(problems.append)
    window.session.runs = [gone]
    window.session.runsChanged.emit()
    qtbot.waitUntil(lambda: "/gone" in panel.status.text(), timeout=20_000)
    assert not panel.run_button.isEnabled()
    panel.inpaint.steps.setValue(7)
    assert not panel.jobs or panel.jobs == [panel.looking]
    assert problems == []


def test_encoding_shows_the_engines_latent_and_its_way_back(qtbot, panel):
    turn_to(qtbot, panel, "encode")
    tool = panel.encode
    tool.images["image"].setValue(5)
    tool.tolerance.setCurrentIndex(tool.tolerance.findData(1e-2))
    qtbot.waitUntil(lambda: panel.wanted() is not None, timeout=20_000)
    assert np.array_equal(tool.view.images[0], load("mnist").test[5, 0])
    run(qtbot, panel)
    model, x0 = model_of(panel), digits(5)
    there = list(encode(model, model.process, x0, work_edit.PATH, 1e-2))
    back = list(decode(model, model.process, there[-1].x, work_edit.PATH, 1e-2))
    latent = there[-1].x
    wanted = np.concatenate([as_pictures(x) for x in (x0, latent, back[-1].x)])
    assert np.array_equal(tool.view.images, wanted)
    assert np.array_equal(panel.grid(), compose(wanted, columns=3)[None])
    ways = [as_pictures(frame.x)[0] for frame in [*there, *back[::-1]]]
    assert np.array_equal(tool.path.images, np.stack(ways))
    error = 127.5 * float((back[-1].x - x0).square().mean().sqrt())
    figures = [float(text) for text in re.findall(r"<b>(.*?)</b>", tool.facts.text())]
    assert figures == pytest.approx([error, float(latent.mean()), float(latent.std())], abs=6e-3)
    inside = latent[(latent > -4) & (latent < 4)].numel() / latent.numel()
    assert inside > 0.99
    assert tool.histogram.density.sum() / 8 == pytest.approx(1.0)
    tool.images["image"].setValue(6)  # another image: what was measured is not its
    qtbot.waitUntil(lambda: panel.wanted() is not None, timeout=20_000)
    assert panel.grid() is None
    assert "<b>" not in tool.facts.text()


def test_interpolating_goes_along_the_great_circle_above_blends_of_pixels(qtbot, panel):
    turn_to(qtbot, panel, "interpolate")
    tool = panel.interpolate
    tool.images["first"].setValue(2)
    tool.images["second"].setValue(3)
    tool.tolerance.setCurrentIndex(tool.tolerance.findData(1e-2))
    qtbot.waitUntil(lambda: panel.wanted() is not None, timeout=20_000)
    run(qtbot, panel)
    model, x0, weights = model_of(panel), digits(2, 3), torch.linspace(0, 1, 9)
    ends = last(encode(model, model.process, x0, work_edit.PATH, 1e-2)).x
    path = slerp(ends[:1], ends[1:], weights)[:, 0]
    decoded = as_pictures(last(decode(model, model.process, path, work_edit.PATH, 1e-2)).x)
    blends = as_pictures((1 - weights.view(9, 1, 1, 1)) * x0[0] + weights.view(9, 1, 1, 1) * x0[1])
    assert np.array_equal(tool.decoded.images, decoded)
    assert np.abs(tool.blends.images.astype(int) - blends).max() <= 1
    assert panel.grid().shape == compose(np.concatenate([decoded, blends]), columns=9)[None].shape
    assert "°" in panel.status.text()
    tool.count.setCurrentIndex(1)
    assert "changed" in panel.status.text()
    assert panel.settings()["interpolate"]["count"] == 9


@pytest.mark.parametrize("key", TOOLS)
def test_an_exported_picture_dropped_on_the_window_gives_the_same_pixels(
    qtbot, window, panel, tmp_path, key
):
    turn_to(qtbot, panel, key)
    tool = panel.tool
    if key == "inpaint":
        paint(qtbot, tool.painter, (3, 3), (24, 9))
        paint(qtbot, tool.painter, (8, 18), (20, 18), RIGHT)
    else:
        tool.tolerance.setCurrentIndex(tool.tolerance.findData(1e-2))
    first = next(iter(tool.images.values()))
    first.setValue(11)
    qtbot.waitUntil(lambda: panel.wanted() is not None, timeout=20_000)
    run(qtbot, panel)
    before, request, path = panel.grid().copy(), tool.request, tmp_path / "edit.png"
    window.exports.grid(path)
    qtbot.waitUntil(lambda: path.exists() and not window.jobs, timeout=20_000)
    panel.model.choose("modern")
    first.setValue(12)
    if key == "inpaint":
        qtbot.mouseClick(tool.clear_button, LEFT)
        tool.steps.setValue(2)
    turn_to(qtbot, panel, "encode" if key == "interpolate" else "interpolate")
    window.stage.setCurrentWidget(window.trajectories)
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    window.dropEvent(
        QDropEvent(QPointF(9, 9), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, PLAIN)
    )
    qtbot.waitUntil(lambda: window.panel is panel and panel.job is not None, timeout=20_000)
    assert not tool.done
    qtbot.waitUntil(lambda: panel.job is None and tool.done, timeout=30_000)
    assert panel.tool is tool
    assert tool.request == request
    assert np.array_equal(panel.grid(), before)


def test_settings_that_are_damaged_are_told(panel):
    for damaged in ({"inpaint": {"mask": ["01", "0"]}}, {"encode": {"image": "many"}}):
        with pytest.raises(ValueError, match=r"inhomogeneous|many"):
            panel.prepare({"tool": "inpaint", **damaged})


def test_a_mask_of_another_size_makes_way_for_the_presets(qtbot, panel):
    panel.prepare({"tool": "inpaint", "inpaint": {"image": 4, "mask": ["010", "000"]}})
    panel._changed()
    qtbot.waitUntil(lambda: panel.wanted() is not None, timeout=20_000)
    assert panel.inpaint.painter.masked.sum() == 14 * 14


def test_images_beyond_the_last_are_a_problem(panel):
    found = next(work_edit.originals("mnist", (99_999,)))
    assert found.numbers == (9_999,)
    assert found.total == 10_000
    request = work_edit.RoundTrip(panel.model.run.folder, "", 10_000, 1e-2)
    with pytest.raises(Problem, match="10,000 test images"):
        next(work_edit.round_trip(request))


def test_painting_with_mouse_and_keys(qtbot):
    painter = MaskPainter()
    qtbot.addWidget(painter)
    painter.resize(200, 200)
    painter.show()
    qtbot.mousePress(painter, LEFT)  # before there is an image
    painter.show_image(np.zeros((20, 20), np.uint8))
    painter.brush = 3
    paint(qtbot, painter, (4.5, 4.5), (15.5, 4.5))
    y, x = np.mgrid[:20, :20]
    line = (np.hypot(np.maximum(0, np.maximum(4 - x, x - 15)), y - 4)) <= 1.5
    assert np.array_equal(painter.masked, line)
    paint(qtbot, painter, (10.5, 4.5), (30.0, 4.5), RIGHT)  # beyond the edge
    assert painter.masked[4, :9].any()
    assert not painter.masked[:, 11:].any()
    shown = painter.grab().toImage()
    at = painter.cell(0).topLeft() + QPointF(5.5, 4.5) * painter.scale()
    assert shown.pixelColor(at.toPoint()).red() > 100  # paint over black
    painter.set_mask(np.zeros((20, 20), bool))
    told = []
    painter.painted.connect(lambda: told.append(painter.masked.sum()))
    painter.brush = 1
    for key in (Qt.Key.Key_Return, Qt.Key.Key_Right, Qt.Key.Key_Return):
        qtbot.keyClick(painter, key)
    assert told == [1, 2]
    qtbot.keyClick(painter, Qt.Key.Key_Backspace)
    assert told == [1, 2, 1]
    painter.show_image(np.zeros((8, 8, 3), np.uint8))
    assert painter.masked.shape == (8, 8)
    assert not painter.masked.any()
