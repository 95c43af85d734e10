"""The edit view: each tool clicked through, and held against the engine's own arrays."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent

from diffviz.controls.form import read_stored
from diffviz.views.edit import work as work_edit
from diffviz.views.edit.view import EditView
from diffviz.widgets.mosaic import compose
from tests.diffviz.test_edit_settings import OLD
from tests.diffviz.test_mask import paint
from trainer.__main__ import main
from trainer.data import load
from trainer.data.samples import grid_png, load_samples
from trainer.drawing import drawn_images, open_model
from trainer.images import to_bytes, to_signed
from trainer.problems import Problem
from trainer.requests import Encoding, Inpainting, OfModel
from trainer.steer import decode, encode, slerp

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
PLAIN = Qt.KeyboardModifier.NoModifier
TOOLS = ["inpaint", "restore", "encode", "interpolate"]


PRECISIONS = ["float32", "bfloat16"]


@pytest.fixture
def view(qtbot, window):
    view = window.views["edit"]
    window.stage.setCurrentWidget(view)
    qtbot.waitUntil(lambda: view.wanted() is not None, timeout=20_000)
    view.inpaint.form.set_values({"steps": 3})
    return view


def turn_to(qtbot, view, key):
    """Click the tool's tab."""
    index = TOOLS.index(key)
    qtbot.mouseClick(view.tabs, LEFT, PLAIN, view.tabs.tabRect(index).center())
    assert view.tool is view.tools[index]
    qtbot.waitUntil(lambda: view.wanted() is not None, timeout=20_000)


def choose_image(qtbot, view, name, image):
    """Type which image is wanted, and wait for it."""
    field = view.tool.images[name]
    field.selectAll()
    qtbot.keyClicks(field, image)
    qtbot.keyClick(field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: not field.reading.busy, timeout=20_000)
    qtbot.waitUntil(lambda: view.wanted() is not None, timeout=20_000)


def run(qtbot, view):
    qtbot.mouseClick(view.run_button, LEFT)
    assert view.stop_button.isEnabled()
    qtbot.waitUntil(lambda: not view.computing.busy, timeout=30_000)
    assert view.tool.done
    assert view.progress.value() == view.progress.maximum()


def model_of(view):
    return open_model(view.wanted(), view.session.places, "cpu").model


def digits(*numbers):
    return to_signed(torch.from_numpy(load("mnist").test[list(numbers)].copy()))


def last(frames):
    *_, frame = frames
    return frame


def as_pictures(x):
    return to_bytes(x)[:, 0].numpy()


def test_nothing_is_computed_before_it_is_asked_for(qtbot, view):
    for key in TOOLS:
        turn_to(qtbot, view, key)
        assert not view.computing.busy
        assert view.grid() is None
        assert view.status.text() == f"Press {view.tool.verb}."
        assert view.run_button.text() == view.tool.verb
        assert view.formula.sentence == view.tool.sentence
    assert np.array_equal(view.inpaint.painter.images[0], load("mnist").test[4, 0])
    assert np.array_equal(view.interpolate.ends.images, load("mnist").test[:2, 0])
    assert view.minimumSizeHint().width() <= 860
    assert view.minimumSizeHint().height() <= 640


@pytest.mark.parametrize("precision", PRECISIONS)
def test_inpainting_gives_what_the_command_line_gives_for_the_painted_mask(
    qtbot, view, tmp_path, capsys, precision
):
    tool = view.inpaint
    choose_image(qtbot, view, "image", "7")
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
    tool.form.set_values({"repeats": 2, "seed": 3, "precision": precision})
    run(qtbot, view)
    found = view.grid()
    assert found.shape == (16, 28, 28)
    assert np.array_equal(tool.view.images, found)
    assert (found[:, ~hole] == load("mnist").test[7, 0][~hole]).all()
    assert len(np.unique(found[:, hole], axis=0)) == 16
    Image.fromarray(hole.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    line = f"inpaint --run {view.model.run.folder} --out {tmp_path / 'out.npz'} --image 7 --seed 3"
    more = f"--mask {tmp_path / 'mask.png'} --steps 3 --repeats 2 --precision {precision} --json"
    assert main([*line.split(), *more.split()]) == 0
    assert np.array_equal(found, load_samples(tmp_path / "out.npz", (1, 28, 28))[:, 0])
    opened = open_model(tool.request, view.session.places)
    assert np.array_equal(found, drawn_images(tool.request, opened)[:, 0])
    assert "6 network evaluations" in view.status.text()
    assert '"nfe": 6' in capsys.readouterr().out


def test_the_timeline_leads_through_inpainting(qtbot, view):
    run(qtbot, view)
    tool = view.inpaint
    assert view.timeline is tool.timeline
    assert list(tool.frames) == [0, 1, 2, 3]
    assert len(view.animation()) == 4
    tool.timeline.set_fraction(0.0)
    assert np.array_equal(tool.view.images, tool.frames[0].guesses)
    tool.show_what.setCurrentIndex(1)
    assert np.array_equal(tool.view.images, tool.frames[0].states)
    assert np.array_equal(view.grid(), tool.frames[0].states)
    tool.timeline.set_fraction(1.0)
    assert np.array_equal(view.grid(), tool.frames[3].guesses)
    turn_to(qtbot, view, "encode")
    assert view.timeline is None
    assert view.animation() == []


def test_an_empty_mask_cannot_be_completed(qtbot, view):
    qtbot.mouseClick(view.inpaint.clear_button, LEFT)
    assert not view.run_button.isEnabled()
    assert "Paint over" in view.status.text()
    empty = Inpainting(mask=" ".join(["0" * 28] * 28))
    with pytest.raises(Problem, match="forgets nothing"):
        next(work_edit.complete(empty, view.session.places))


def test_batches_are_shown_beside_each_other(qtbot, view):
    view.inpaint.form.set_values({"count": 5, "batch": 2})
    run(qtbot, view)
    assert [len(frame) for frame in view.animation()] == [5, 5, 5, 5]
    request = view.inpaint.request
    drawn = drawn_images(request, open_model(request, view.session.places))
    assert np.array_equal(view.grid(), drawn[:, 0])


def test_an_image_file_and_a_mask_file_are_taken(qtbot, view, tmp_path, monkeypatch):
    path, train = tmp_path / "nine.png", load("mnist").train[9]
    path.write_bytes(grid_png(train[None]))
    choose_image(qtbot, view, "image", str(path))
    assert np.array_equal(view.inpaint.painter.images[0], train[0])
    choose_image(qtbot, view, "image", "train:9")
    assert np.array_equal(view.inpaint.painter.images[0], train[0])
    hole = np.zeros((28, 28), np.uint8)
    hole[2:9, 3:20] = 255
    Image.fromarray(hole).save(tmp_path / "mask.png")
    asked = lambda *_: (str(tmp_path / "mask.png"), "")  # noqa: E731
    monkeypatch.setattr("diffviz.views.edit.masked.QFileDialog.getOpenFileName", asked)
    forget = view.inpaint.forget
    forget.setCurrentIndex(forget.findData("file"))
    forget.activated.emit(forget.currentIndex())
    assert view.wanted() is None
    qtbot.waitUntil(lambda: view.wanted() is not None, timeout=20_000)
    assert np.array_equal(view.inpaint.painter.masked, hole > 0)
    assert forget.currentData() == "painted"
    assert view.wanted().mask == work_edit.words(hole > 0)


def test_an_image_that_is_not_there_is_told(qtbot, view):
    view.inpaint.images["image"].set_value("99999")
    qtbot.waitUntil(lambda: "0 to 9999" in view.status.text(), timeout=20_000)
    assert not view.run_button.isEnabled()
    choose_image(qtbot, view, "image", "5")
    assert view.run_button.isEnabled()


def test_stopping_leaves_what_is_on_view_and_exports_nothing(qtbot, view):
    view.inpaint.form.set_values({"steps": 1000})
    qtbot.mouseClick(view.run_button, LEFT)
    qtbot.waitUntil(lambda: len(view.inpaint.frames) > 1, timeout=20_000)
    qtbot.mouseClick(view.stop_button, LEFT)
    qtbot.waitUntil(lambda: not view.computing.busy, timeout=20_000)
    assert 0 < view.inpaint.share < 1
    assert view.inpaint.view.images is not None
    assert view.grid() is None
    assert "Stopped" in view.status.text()
    assert not view.stop_button.isEnabled()


def test_another_tool_takes_the_place_of_one_that_computes(qtbot, view):
    view.inpaint.form.set_values({"steps": 1000})
    qtbot.mouseClick(view.run_button, LEFT)
    qtbot.waitUntil(lambda: view.inpaint.share > 0, timeout=20_000)
    turn_to(qtbot, view, "encode")
    assert "Inpaint is computing" in view.status.text()
    view.encode.form.set_values({"tolerance": 1e-2})
    run(qtbot, view)
    turn_to(qtbot, view, "inpaint")
    assert view.inpaint.share < 1
    assert "Stopped" in view.status.text()


def test_a_dataset_that_is_gone_is_told_once_in_the_view(qtbot, window, view):
    run = view.model.run
    gone = replace(
        run,
        folder=run.folder.with_name("gone"),
        config=run.config.with_changes(dataset="/gone"),
    )
    problems = []
    window.session.problem.connect(problems.append)
    window.session.runs = [gone]
    window.session.runsChanged.emit()
    qtbot.waitUntil(lambda: "/gone" in view.status.text(), timeout=20_000)
    assert not view.run_button.isEnabled()
    view.inpaint.form.set_values({"steps": 7})
    assert not view.computing.busy
    assert not view.looking.busy
    assert problems == []


@pytest.mark.parametrize("precision", PRECISIONS)
def test_encoding_shows_the_engines_latent_and_its_way_back(qtbot, view, precision):
    turn_to(qtbot, view, "encode")
    tool = view.encode
    tool.form.set_values({"tolerance": 1e-2, "precision": precision})
    choose_image(qtbot, view, "image", "5")
    assert np.array_equal(tool.view.images[0], load("mnist").test[5, 0])
    run(qtbot, view)
    model, x0 = model_of(view), digits(5)
    there = list(encode(model, model.process, x0, work_edit.FRAMES, 1e-2))
    back = list(decode(model, model.process, there[-1].x, work_edit.FRAMES, 1e-2))
    latent = there[-1].x
    wanted = np.concatenate([as_pictures(x) for x in (x0, latent, back[-1].x)])
    assert np.array_equal(tool.view.images, wanted)
    assert np.array_equal(view.grid(), compose(wanted, columns=3)[None])
    ways = [as_pictures(frame.x)[0] for frame in [*there, *back[::-1]]]
    assert np.array_equal(tool.path.images, np.stack(ways))
    error = 127.5 * float((back[-1].x - x0).square().mean().sqrt())
    figures = [float(text) for text in re.findall(r"<b>(.*?)</b>", tool.facts.text())]
    assert figures == pytest.approx([error, float(latent.mean()), float(latent.std())], abs=6e-3)
    inside = latent[(latent > -4) & (latent < 4)].numel() / latent.numel()
    assert inside > 0.99
    assert tool.histogram.density.sum() / 8 == pytest.approx(1.0)
    choose_image(qtbot, view, "image", "6")  # another image: what was measured is not its
    assert view.grid() is None
    assert "<b>" not in tool.facts.text()


def test_several_images_are_encoded_from_one_on(qtbot, view):
    turn_to(qtbot, view, "encode")
    view.encode.form.set_values({"tolerance": 1e-2, "count": 3})
    run(qtbot, view)
    assert view.encode.view.images.shape == (9, 28, 28)
    assert np.array_equal(view.encode.view.images[::3], load("mnist").test[:3, 0])


def test_interpolating_goes_along_the_great_circle_above_blends_of_pixels(qtbot, view):
    turn_to(qtbot, view, "interpolate")
    tool = view.interpolate
    tool.form.set_values({"tolerance": 1e-2})
    choose_image(qtbot, view, "first", "2")
    choose_image(qtbot, view, "second", "3")
    run(qtbot, view)
    model, x0, weights = model_of(view), digits(2, 3), torch.linspace(0, 1, 9)
    ends = last(encode(model, model.process, x0, work_edit.FRAMES, 1e-2)).x
    path = slerp(ends[:1], ends[1:], weights)[:, 0]
    decoded = as_pictures(last(decode(model, model.process, path, work_edit.FRAMES, 1e-2)).x)
    blends = as_pictures((1 - weights.view(9, 1, 1, 1)) * x0[0] + weights.view(9, 1, 1, 1) * x0[1])
    assert np.array_equal(tool.decoded.images, decoded)
    assert np.abs(tool.blends.images.astype(int) - blends).max() <= 1
    assert view.grid().shape == compose(np.concatenate([decoded, blends]), columns=9)[None].shape
    assert "°" in view.status.text()
    tool.form["count"].setCurrentIndex(1)
    assert "changed" in view.status.text()
    assert view.ask().interpolate.count == 9


@pytest.mark.parametrize("key", TOOLS)
def test_an_exported_picture_dropped_on_the_window_gives_the_same_pixels(
    qtbot, window, view, tmp_path, key
):
    turn_to(qtbot, view, key)
    tool = view.tool
    if key == "inpaint":
        paint(qtbot, tool.painter, (3, 3), (24, 9))
        paint(qtbot, tool.painter, (8, 18), (20, 18), RIGHT)
    else:
        tool.form.set_values({"tolerance": 1e-2})
    name = next(iter(tool.images))
    choose_image(qtbot, view, name, "11")
    run(qtbot, view)
    before, request, path = view.grid().copy(), tool.request, tmp_path / "edit.png"
    window.files.grid(path)
    qtbot.waitUntil(lambda: path.exists() and not window.jobs, timeout=20_000)
    view.model.choose("modern")
    tool.images[name].set_value("12")
    if key == "inpaint":
        qtbot.mouseClick(tool.clear_button, LEFT)
        tool.form.set_values({"steps": 2})
    turn_to(qtbot, view, "encode" if key == "interpolate" else "interpolate")
    window.stage.setCurrentWidget(window.trajectories)
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    window.dropEvent(
        QDropEvent(QPointF(9, 9), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, PLAIN)
    )
    qtbot.waitUntil(lambda: window.view is view and view.computing.busy, timeout=20_000)
    assert not tool.done
    qtbot.waitUntil(lambda: not view.computing.busy and tool.done, timeout=30_000)
    assert view.tool is tool
    assert tool.request == request
    assert np.array_equal(view.grid(), before)


def test_what_is_prepared_is_what_is_asked(view):
    wanted = read_stored(EditView.kind, OLD | {"model": "modern", "checkpoint": ""})
    view.prepare(wanted)
    found = view.ask()
    of = {"model": "modern", "checkpoint": found.encode.checkpoint}
    assert found.encode == wanted.encode.with_changes(**of)
    assert found.inpaint == wanted.inpaint.with_changes(**of)
    assert found.interpolate == wanted.interpolate.with_changes(**of)
    assert (found.tool, found.show) == (wanted.tool, wanted.show)


def test_a_mask_of_another_size_makes_way_for_the_presets(qtbot, view):
    view.prepare(work_edit.Edit(inpaint=Inpainting(image="4", mask="010 000")))
    qtbot.waitUntil(lambda: view.wanted() is not None, timeout=20_000)
    assert view.inpaint.painter.masked.sum() == 14 * 14


def test_images_beyond_the_last_are_a_problem(view):
    places = view.session.places
    with pytest.raises(Problem, match="0 to 9999"):
        next(work_edit.originals(OfModel(), places, ("99999",), ""))
    with pytest.raises(Problem, match="0 to 9999"):
        list(work_edit.round_trip(Encoding(image="9999", count=2), places))
