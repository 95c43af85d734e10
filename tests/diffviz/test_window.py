"""The real window, clicked."""

import json
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import QSettings, Qt
from PySide6.QtGui import QAction
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QDialog,
    QFileDialog,
    QMessageBox,
    QPushButton,
    QWidget,
)

from diffviz.export.files import settings_in
from diffviz.shell.tour import Tour
from diffviz.shell.window import MainWindow
from diffviz.widgets.mosaic import compose

NAMES = [
    "trainButton",
    "pauseButton",
    "stopButton",
    "epochsSpin",
    "presetCombo",
    "deviceLabel",
    "lossPlot",
    "bpdPlot",
    "progressBar",
    "timestepSlider",
    "playButton",
    "speedCombo",
    "showCombo",
    "ddpmForwardView",
    "ddpmReverseView",
    "sdeForwardView",
    "sdeReverseView",
    "sampleButton",
]
ACTIONS = ("exportGridAction", "exportAnimationAction", "exportCurvesAction")


def test_every_named_part_is_there(window):
    for name in NAMES:
        assert window.findChild(QWidget, name) is not None, name
    for name in ACTIONS:
        assert window.findChild(QAction, name) is not None, name


def test_nothing_is_cut_off_at_1280_by_800(window):
    window.training.offer_resume(window.session.home, 300)  # one button more
    least = window.minimumSizeHint()
    assert least.width() <= 1280
    assert least.height() <= 800
    assert (window.width(), window.height()) == (1280, 800)
    column = window.training.column
    for field in (column.preset, column.epochs, column.rate, column.more_button):
        assert field.height() >= field.sizeHint().height()


def test_an_exported_picture_comes_back_exactly(qtbot, window, tmp_path):
    stage = window.trajectories
    stage.form["seed"].setValue(7)
    stage.rows["sde"]["sampler"].setCurrentIndex(stage.rows["sde"]["sampler"].findData("ddim"))
    qtbot.mouseClick(stage.sample_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: stage.asked.seed == 7 and bool(stage.nfe), timeout=30_000)
    stage.timeline.pause()
    stage.timeline.set_fraction(0.5)
    before = stage.grid()
    window.files.grid(tmp_path / "grid.png")
    qtbot.waitUntil(lambda: not window.jobs, timeout=10_000)
    stage.form["seed"].setValue(0)
    stage.rows["sde"]["sampler"].setCurrentIndex(0)
    stage.timeline.set_fraction(0.0)
    window.files.open(tmp_path / "grid.png")
    qtbot.waitUntil(lambda: stage.form["seed"].value() == 7, timeout=10_000)
    qtbot.waitUntil(lambda: not stage.sampling and bool(stage.nfe), timeout=30_000)
    assert np.array_equal(stage.grid(), before)


def test_a_view_is_exported_as_it_looks(qtbot, window, tmp_path):
    for name in ("view.png", "view.svg"):
        window.files.view(tmp_path / name)
    qtbot.waitUntil(lambda: not window.jobs, timeout=10_000)
    with Image.open(tmp_path / "view.png") as picture:
        assert picture.size[0] == window.trajectories.width() * window.devicePixelRatio()
    assert b"<svg" in (tmp_path / "view.svg").read_bytes()[:400]


def test_export_sizes_are_asked_once_and_kept(qtbot, window, monkeypatch, tmp_path):
    asked = []

    def answer(dialog):
        asked.append(dialog.objectName())
        dialog.findChild(QWidget, "exportScaleSpin").setValue(3)
        return True

    monkeypatch.setattr(QDialog, "exec", answer)
    path = tmp_path / "grid.png"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    for _ in range(2):
        window.findChild(QAction, "exportGridAction").trigger()
        qtbot.waitUntil(lambda: path.exists() and not window.jobs, timeout=10_000)
    assert asked == ["exportSettingsDialog"]
    with Image.open(path) as picture:  # 64 images of 28 pixels in 8 x 8 cells, 1 pixel between
        assert picture.size == ((8 * 29 - 1) * 3, (8 * 29 - 1) * 3)


def test_strip_and_hover(qtbot, window):
    stage = window.trajectories
    view = stage.views["ddpm", "reverse"]
    QTest.mouseMove(view, view.cell(5).center().toPoint())
    for other in stage.views.values():
        assert other._marked == 5
    stage.form["layout"].setCurrentIndex(1)
    assert len(view.images) == 2 * 11
    assert np.array_equal(view.images[0], stage.moment("ddpm", "reverse", 0.0).pictures["state"][0])
    assert np.array_equal(
        view.images[21], stage.moment("ddpm", "reverse", 1.0).pictures["state"][1]
    )


def test_layout_and_settings_return_on_the_next_start(qtbot, window):
    stage = window.trajectories
    stage.form["seed"].setValue(11)
    qtbot.mouseClick(stage.sample_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: stage.asked.seed == 11 and bool(stage.nfe), timeout=30_000)
    stage.timeline.pause()
    stage.timeline.set_fraction(0.5)
    window.stage.setCurrentWidget(window.views["runs"])
    window.close()
    again = MainWindow(window.session.home)
    qtbot.addWidget(again, before_close_func=MainWindow.shutdown)
    again.show()
    qtbot.waitUntil(lambda: again.ready, timeout=60_000)
    assert again.view_id == "runs"
    assert again.trajectories.form["seed"].value() == 11
    assert again.trajectories.timeline.fraction() == 0.5


def test_themes_are_kept(qtbot, window):
    dark = window.findChild(QAction, "themeDarkAction")
    dark.trigger()
    assert window.kept.value("theme") == "Dark"
    window.findChild(QAction, "themeSystemAction").trigger()


def test_the_slider_shows_the_frame_at_its_time(window):
    stage = window.trajectories
    for fraction in (0.0, 0.5, 1.0):
        stage.timeline.set_fraction(fraction)
        for (row, direction), view in stage.views.items():
            moment = stage.moment(row, direction)
            if row == "ddpm":  # the other row follows by noise level
                assert moment.t == pytest.approx(1 - fraction, abs=0.02)
            assert np.array_equal(view.image_array(), compose(moment.pictures["state"]))
    stage.form["show"].setCurrentIndex(1)
    stage.timeline.set_fraction(0.5)
    shown = stage.views["sde", "reverse"].images
    assert np.array_equal(shown, stage.moment("sde", "reverse").pictures["guess"])


def test_a_row_says_when_it_shows_another_models_pictures(window, tmp_path):
    stage = window.trajectories
    shown = window.session.models["ddpm"]
    assert stage.spent["ddpm"].text().startswith("6 NFE, ")
    window.session.open_model("ddpm", "another")
    assert stage.spent["ddpm"].text() == "press Sample"
    assert "drawn by modern" in stage.spent["ddpm"].toolTip()
    assert stage.spent["sde"].text().startswith("6 NFE, ")
    window.session.open_model("ddpm", shown)
    assert stage.spent["ddpm"].text().startswith("6 NFE, ")


def test_both_rows_start_from_the_same_noise(window):
    stage = window.trajectories
    stage.timeline.set_fraction(0.0)
    one, other = (stage.views[row, "reverse"].images for row in ("ddpm", "sde"))
    assert np.array_equal(one, other)


def test_sampling_starts_from_a_noised_image(qtbot, window):
    stage = window.trajectories
    qtbot.keyClick(stage.findChild(QComboBox, "startCombo"), Qt.Key.Key_Down)
    stage.form["start"].setValue(0.25)
    qtbot.mouseClick(stage.sample_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: stage.asked.start == 0.25 and bool(stage.nfe), timeout=30_000)
    assert stage.timeline.playing()
    assert stage.moment("ddpm", "reverse").t <= 0.25
    assert stage.time() <= 0.25


def test_exports(qtbot, window, tmp_path):
    window.files.grid(tmp_path / "grid.png")
    window.files.animation(tmp_path / "film.gif")
    qtbot.waitUntil(lambda: not window.jobs, timeout=20_000)
    settings = settings_in(tmp_path / "grid.png")
    assert settings["seed"] == 0
    assert settings["view"] == "trajectories"
    assert [settings[row]["sampler"] for row in ("ddpm", "sde")] == ["ddpm", "euler-maruyama"]
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 7
        assert film.width > 1.8 * 4 * 28 * 2  # forward beside reverse
    window.training.loss.append([1, 2], [0.5, 0.25])
    window.training.bpd.append([2], [3.5])
    window.files.curves(tmp_path / "curves.csv")
    qtbot.waitUntil(lambda: not window.jobs, timeout=20_000)
    text = (tmp_path / "curves.csv").read_text()
    assert text == "step,loss,bits_per_dim\n1,0.5,\n2,0.25,3.5\n"


def test_an_unwritable_place_gives_a_sentence(qtbot, window, tmp_path):
    found = []
    window.session.problem.connect(found.append)
    window.files.grid(tmp_path / "nowhere" / "grid.png")
    qtbot.waitUntil(lambda: bool(found), timeout=10_000)
    assert "no such file or folder" in found[0]


def test_the_tour(qtbot, tmp_path, small_app):
    tour = Tour(tmp_path / "tour")
    assert tour.play() == 0
    facts = json.loads((tmp_path / "tour" / "tour.json").read_text())
    assert facts["last_loss"] < facts["first_loss"]
    looked = [path.stem[3:] for path in sorted((tmp_path / "tour").glob("[0-9]*.png"))]
    assert {"noise", "digits", "training", "dark"} < set(looked)
    assert set(tour.window.views) - {"trajectories", "training"} < set(looked)


def test_space_plays_unless_a_button_has_the_focus(qtbot, window):
    stage = window.trajectories
    window.setFocus()
    qtbot.keyClick(window, Qt.Key.Key_Space)
    assert stage.timeline.playing()
    stage.timeline.pause()
    button = window.findChild(QPushButton, "pauseButton")
    pressed = []
    button.setEnabled(True)
    button.clicked.connect(lambda: pressed.append(True))
    qtbot.keyClick(button, Qt.Key.Key_Space)
    assert pressed
    assert not stage.timeline.playing()


def test_no_shortcut_types_a_letter_with_alt_gr(window):
    for action in window.findChildren(QAction):
        keys = action.shortcut().toString()
        assert "Ctrl+Alt" not in keys, action.objectName()


def test_an_old_window_file_is_read_once(qtbot, tmp_path, small_app):
    old = QSettings(str(tmp_path / "window.ini"), QSettings.Format.IniFormat)
    rows = [
        {"row": "ddpm", "folder": "modern-sde", "sampler": "ddim", "steps": 9, "label": -1,
         "guidance": 1.0},
        {"row": "sde", "folder": "modern", "sampler": "heun", "steps": 5, "label": 3,
         "guidance": 2.5},
    ]  # fmt: skip
    kept = {"rows": rows, "count": 4, "seed": 6, "start": 0.4, "image": 12, "show": "guess",
            "layout": "strip", "fraction": 0.25}  # fmt: skip
    old.setValue("settings/Trajectories", json.dumps(kept))
    old.setValue("settings/Runs", json.dumps({"ticked": ["mine"]}))
    old.setValue("panel", "Gallery")
    old.sync()
    window = MainWindow(tmp_path)
    qtbot.addWidget(window, before_close_func=MainWindow.shutdown)
    ask = window.trajectories.ask()
    assert (ask.ddpm.model, ask.ddpm.sampler, ask.ddpm.steps) == ("modern-sde", "ddim", 9)
    assert (ask.ddpm.classes, ask.sde.classes, ask.sde.guidance) == ("any", "3", 2.5)
    assert (ask.count, ask.seed, ask.start, ask.image) == (4, 6, 0.4, "train:12")
    assert (ask.show, ask.layout, ask.fraction) == ("guess", "strip", 0.25)
    window.show()
    qtbot.waitUntil(lambda: window.ready, timeout=60_000)
    assert window.view_id == "gallery"
    assert window.views["runs"].ask().ticked == ("mine",)
    window.close()
    again = QSettings(str(tmp_path / "window.ini"), QSettings.Format.IniFormat)
    assert json.loads(again.value("views/trajectories"))["version"] == 2


def test_what_nobody_foresaw_is_told_once_and_can_be_reported(qtbot, window, caplog):
    from diffviz.shell import faults

    faults.begin(window.session.home, window.show_fault)
    hooks = sys.excepthook, threading.excepthook
    try:
        error = ZeroDivisionError(f"in {Path.home() / 'secret'}")
        sys.excepthook(type(error), error, None)
        sys.excepthook(type(error), error, None)
        boxes = window.findChildren(QMessageBox, "faultBox")
        assert len(boxes) == 1
        assert "Nothing was lost" in boxes[0].text()
        copy = next(b for b in boxes[0].buttons() if b.text() == "Copy report")
        qtbot.mouseClick(copy, Qt.MouseButton.LeftButton)
        said = QApplication.clipboard().text()
        assert "ZeroDivisionError" in said
        assert "torch" in said
        assert str(Path.home()) not in said
        assert faults.log_file(window.session.home).exists()
    finally:
        sys.excepthook, threading.excepthook = hooks
        caplog.clear()
