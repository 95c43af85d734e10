"""Choosing a picture: dropped, pasted, opened, typed, drawn; on its own and in every view."""

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication, QImage
from PySide6.QtWidgets import QComboBox, QMainWindow

from diffviz.controls.fields import named
from diffviz.controls.picture import PictureField
from trainer.ask import settings_of
from trainer.data import load
from trainer.picture import ink, name_of, pixels
from trainer.requests import Encoding

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def field(qtbot):
    one = settings_of(Encoding)["image"]
    window = QMainWindow()
    qtbot.addWidget(window)
    field = named(PictureField(one), one, "mine")
    window.setCentralWidget(field)
    window.show()
    field.held = window
    return field


def shows(text):
    return pixels(text, (1, 28, 28), lambda: load("mnist"))[0]


@pytest.fixture
def nine(tmp_path):
    path = tmp_path / "nine.png"
    Image.fromarray(load("mnist").train[9, 0]).save(path)
    return path


def drop(widget, *paths):
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    buttons, keys = LEFT, Qt.KeyboardModifier.NoModifier
    widget.dropEvent(QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, mime, buttons, keys))


def menu_entry(field, name):
    menu = field.menu()
    return next(one for one in menu.actions() if one.objectName() == f"mineImageSpin{name}")


def test_a_file_is_dropped_typed_or_opened(qtbot, field, nine, monkeypatch):
    for way in (
        lambda: drop(field, nine),
        lambda: (field.selectAll(), qtbot.keyClicks(field, str(nine)),
                 qtbot.keyClick(field, Qt.Key.Key_Return)),
        lambda: menu_entry(field, "Open").trigger(),
    ):  # fmt: skip
        field.set_value("0")
        chosen = "diffviz.controls.picture.QFileDialog.getOpenFileName"
        monkeypatch.setattr(chosen, lambda *_: (str(nine), ""))
        with qtbot.waitSignal(field.taken, timeout=10_000):
            way()
        assert field.lineEdit().text() == "nine.png"
    nine.unlink()  # the pixels are kept, not where they were
    assert np.array_equal(shows(field.value()), load("mnist").train[9, 0])


def test_the_clipboard_is_pasted(qtbot, field):
    digit = load("mnist").test[2, 0].copy()
    image = QImage(digit.data, 28, 28, 28, QImage.Format.Format_Grayscale8).copy()
    QGuiApplication.clipboard().setImage(image)
    field.setFocus()
    with qtbot.waitSignal(field.taken, timeout=10_000):
        qtbot.keyClick(field, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    assert np.array_equal(shows(field.value()), digit)
    with qtbot.waitSignal(field.taken, timeout=10_000):
        menu_entry(field, "Invert").trigger()
    assert np.array_equal(shows(field.value()), 255 - digit)
    QGuiApplication.clipboard().setText("17")
    field.set_value("3")
    field.selectAll()
    qtbot.keyClick(field, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert field.value() == "17"
    menu_entry(field, "Paste").trigger()
    assert "no picture on the clipboard" in field.window().statusBar().currentMessage()
    assert not menu_entry(field, "Invert").isEnabled()  # a number's pixels are the data's


def test_a_wrong_file_changes_nothing_and_is_told(qtbot, field, tmp_path):
    wrong = tmp_path / "wrong.png"
    wrong.write_text("words")
    field.set_value("8")
    with qtbot.waitSignal(field.reading.failed, timeout=10_000):
        drop(field, wrong)
    assert "wrong.png is not an image" in field.window().statusBar().currentMessage()
    assert field.value() == field.lineEdit().text() == "8"


def stroke(qtbot, paper, *places):
    side = paper.paper()
    points = [(side.topLeft() + QPointF(x, y) * side.width()).toPoint() for x, y in places]
    qtbot.mousePress(paper, LEFT, pos=points[0])
    for point in points[1:]:
        qtbot.mouseMove(paper, point)
    qtbot.mouseRelease(paper, LEFT, pos=points[-1])


def test_a_digit_is_drawn_undone_and_cleared(qtbot, field):
    menu_entry(field, "Draw").trigger()
    canvas = field.canvas
    qtbot.waitExposed(canvas)
    paper = canvas.paper
    assert not canvas.buttons["Undo"].isEnabled()
    with qtbot.waitSignal(field.taken, timeout=10_000):
        stroke(qtbot, paper, (0.3, 0.2), (0.5, 0.25), (0.7, 0.2))
    first = field.value()
    assert name_of(first) == "drawn"
    with qtbot.waitSignal(field.taken, timeout=10_000):
        stroke(qtbot, paper, (0.7, 0.2), (0.6, 0.5), (0.4, 0.9))
    wanted = ink([np.array(line) for line in paper.strokes])
    assert [len(line) for line in paper.strokes] == [3, 3]
    assert np.array_equal(shows(field.value()), wanted)
    assert np.array_equal(canvas.seen.images[0], wanted)
    image = paper.grab().toImage()
    seen = [image.pixelColor(QPoint(round(x * image.width()), round(y * image.height()))).value()
            for x, y in ((0.5, 0.22), (0.9, 0.9))]  # fmt: skip
    assert seen[0] > 200 > seen[1]
    with qtbot.waitSignal(field.taken, timeout=10_000):
        qtbot.mouseClick(canvas.buttons["Undo"], LEFT)
    assert field.value() == first
    with qtbot.waitSignal(field.taken, timeout=10_000):
        qtbot.mouseClick(canvas.buttons["Clear"], LEFT)
    assert not shows(field.value()).any()
    assert not canvas.buttons["Clear"].isEnabled()


TAKING = {
    "trajectories": "image", "samplers": "image", "gallery": "image", "edit": "image",
    "exact": "image", "slice": "first", "spectrum": "image",
}  # fmt: skip


def test_every_view_takes_a_picture_that_is_dropped_on_the_window(qtbot, window, nine):
    for name, setting in TAKING.items():
        view = window.views[name]
        window.stage.setCurrentWidget(view)
        form = view.tool.form if name == "edit" else view.form
        assert view.picture_field() is form[setting]
        with qtbot.waitSignal(form[setting].taken, timeout=10_000):
            drop(window, nine)
        ask = form.ask(model="modern") if name == "edit" else form.ask()
        assert np.array_equal(shows(getattr(ask, setting)), load("mnist").train[9, 0])
        again = type(ask).from_json(ask.to_json())
        assert again == ask
        if combo := view.findChild(QComboBox, view.form.prefix + "StartCombo") if (
            name in ("samplers", "gallery")
        ) else None:  # fmt: skip
            assert (combo.currentData(), ask.start) == ("picture", 0.5)
            qtbot.keyClick(combo, Qt.Key.Key_Up)
            assert view.form.ask().start == 1
            assert not form[setting].isVisible()
    for name in ("runs", "plane"):
        assert window.views[name].picture_field() is None


def test_a_gallery_begins_at_a_picture(qtbot, window, nine):
    view = window.views["gallery"]
    window.stage.setCurrentWidget(view)
    view.form.set_values({"count": 2, "steps": 3})
    with qtbot.waitSignal(view.form["image"].taken, timeout=10_000):
        drop(window, nine)
    view.form["start"].set_value(0.02)
    qtbot.mouseClick(view.sample_button, LEFT)
    qtbot.waitUntil(lambda: not view.drawing.busy and view.known == 2, timeout=30_000)
    nine_itself = load("mnist").train[9, 0].astype(float)
    off = np.abs(view.images.astype(float) - nine_itself).mean((1, 2))
    assert (off < 40).all()  # hardly noised, it is hardly changed
    kept = window.settings()
    assert kept["image"].startswith("data:image/png")
    view.form.set_values({"image": "0", "start": 1.0})
    images = view.images
    window.reopen(kept)
    qtbot.waitUntil(lambda: not view.drawing.busy and view.known == 2, timeout=30_000)
    assert np.array_equal(view.images, images)
