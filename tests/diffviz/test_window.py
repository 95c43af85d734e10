"""The real window, clicked."""

import json

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QDialog, QFileDialog, QMessageBox, QSpinBox, QWidget

from diffviz.export import files as export
from diffviz.shell.tour import Tour
from diffviz.shell.window import MainWindow
from diffviz.widgets.mosaic import compose
from trainer.config import PRESETS

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
    window.training.offer_resume(window.session.home)  # one button more
    least = window.minimumSizeHint()
    assert least.width() <= 1280
    assert least.height() <= 800
    assert (window.width(), window.height()) == (1280, 800)
    training = window.training
    for field in (training.preset, training.epochs, training.rate, training.more_button):
        assert field.height() >= field.sizeHint().height()


def test_the_button_follows_the_spin_box(window):
    assert window.training.train_button.text() == "Train 300 epochs"
    window.training.epochs.setValue(1)
    assert window.training.train_button.text() == "Train 1 epoch"


def test_another_process_and_dataset_go_into_the_settings(window, monkeypatch, tmp_path):
    panel = window.training
    panel.process.setCurrentIndex(panel.process.findData("ve"))
    assert (panel.config().process, panel.config().prediction) == ("ve", "v")
    panel.preset.setCurrentIndex(panel.preset.findData("report-ddpm"))
    assert panel.config() == PRESETS["report-ddpm"].with_changes(epochs=300)
    panel.process.setCurrentIndex(panel.process.findData("ddpm-zero-snr"))
    assert panel.config().process_parameters["steps"] == 300
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    panel.dataset.setCurrentIndex(1)
    panel.dataset.activated.emit(1)
    assert panel.config().dataset == str(tmp_path)


def test_further_settings_go_into_the_settings(qtbot, window):
    panel = window.training
    qtbot.mouseClick(panel.more_button, Qt.MouseButton.LeftButton)
    dialog = panel.findChild(QDialog, "trainingSettingsDialog")
    before = panel.config()
    assert dialog.changes() == {}
    dialog.fields["loss_weighting"].setCurrentText("min-snr")
    dialog.fields["classes"].setValue(10)
    dialog.fields["ema"].setValue(0.99)
    dialog.accept()
    changed = {"loss_weighting": "min-snr", "classes": 10, "ema": 0.99}
    assert panel.config() == before.with_changes(**changed)
    assert "3 changed" in panel.more_button.text()
    panel.preset.setCurrentIndex(1)
    assert panel.config().classes == 0


def test_an_exported_picture_comes_back_exactly(qtbot, window, tmp_path):
    stage = window.trajectories
    stage.seed.setValue(7)
    stage.samplers["sde"].setCurrentIndex(stage.samplers["sde"].findData("ddim"))
    qtbot.mouseClick(stage.sample_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: stage.request.seed == 7 and bool(stage.nfe), timeout=30_000)
    stage.timeline.pause()
    stage.timeline.set_fraction(0.5)
    before = stage.grid()
    window.exports.grid(tmp_path / "grid.png")
    qtbot.waitUntil(lambda: not window.jobs, timeout=10_000)
    stage.seed.setValue(0)
    stage.samplers["sde"].setCurrentIndex(0)
    stage.timeline.set_fraction(0.0)
    window.exports.open(tmp_path / "grid.png")
    qtbot.waitUntil(lambda: stage.seed.value() == 7, timeout=10_000)
    qtbot.waitUntil(lambda: not stage.sampling and bool(stage.nfe), timeout=30_000)
    assert np.array_equal(stage.grid(), before)


def test_a_view_is_exported_as_it_looks(qtbot, window, tmp_path):
    for name in ("view.png", "view.svg"):
        window.exports.view(tmp_path / name)
    qtbot.waitUntil(lambda: not window.jobs, timeout=10_000)
    with Image.open(tmp_path / "view.png") as picture:
        assert picture.size[0] == window.trajectories.width() * window.devicePixelRatio()
    assert b"<svg" in (tmp_path / "view.svg").read_bytes()[:400]


def test_export_sizes_are_asked_once_and_kept(qtbot, window, monkeypatch, tmp_path):
    asked = []

    def answer(dialog):
        asked.append(dialog.objectName())
        dialog.findChild(QSpinBox, "exportScaleSpin").setValue(3)
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
    stage.layout_combo.setCurrentIndex(1)
    assert len(view.images) == 2 * 11
    assert np.array_equal(view.images[0], stage.moment("ddpm", "reverse", 0.0).pictures["state"][0])
    assert np.array_equal(
        view.images[21], stage.moment("ddpm", "reverse", 1.0).pictures["state"][1]
    )


def test_layout_and_settings_return_on_the_next_start(qtbot, window):
    stage = window.trajectories
    stage.seed.setValue(11)
    qtbot.mouseClick(stage.sample_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: stage.request.seed == 11 and bool(stage.nfe), timeout=30_000)
    stage.timeline.pause()
    stage.timeline.set_fraction(0.5)
    window.stage.setCurrentWidget(window.panel_named("Runs"))
    window.close()
    again = MainWindow(window.session.home)
    qtbot.addWidget(again, before_close_func=MainWindow.shutdown)
    again.show()
    qtbot.waitUntil(lambda: again.ready, timeout=60_000)
    assert again.panel.title == "Runs"
    assert again.trajectories.seed.value() == 11
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
    stage.show_what.setCurrentIndex(1)
    stage.timeline.set_fraction(0.5)
    shown = stage.views["sde", "reverse"].images
    assert np.array_equal(shown, stage.moment("sde", "reverse").pictures["guess"])


def test_a_row_says_when_it_shows_another_models_pictures(window, tmp_path):
    stage = window.trajectories
    shown = stage.request.rows[0].folder
    assert stage.spent["ddpm"].text() == "6 NFE"
    window.session.open_model("ddpm", tmp_path / "another")
    assert stage.spent["ddpm"].text() == "press Sample"
    assert "drawn by modern" in stage.spent["ddpm"].toolTip()
    assert stage.spent["sde"].text() == "6 NFE"
    window.session.open_model("ddpm", shown)
    assert stage.spent["ddpm"].text() == "6 NFE"


def test_both_rows_start_from_the_same_noise(window):
    stage = window.trajectories
    stage.timeline.set_fraction(0.0)
    one, other = (stage.views[row, "reverse"].images for row in ("ddpm", "sde"))
    assert np.array_equal(one, other)


def test_sampling_starts_from_a_noised_image(qtbot, window):
    stage = window.trajectories
    stage.begin_at.setCurrentIndex(1)
    stage.start.setValue(0.25)
    qtbot.mouseClick(stage.sample_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: stage.request.start == 0.25 and bool(stage.nfe), timeout=30_000)
    assert stage.timeline.playing()
    assert stage.moment("ddpm", "reverse").t <= 0.25
    assert stage.time() <= 0.25


def test_train_pause_stop_and_resume(qtbot, window):
    panel = window.training
    panel.epochs.setValue(200)
    qtbot.mouseClick(panel.train_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.bpd.points()[0].size >= 2, timeout=60_000)
    qtbot.mouseClick(panel.pause_button, Qt.MouseButton.LeftButton)
    assert panel.pause_button.text() == "Resume"
    qtbot.wait(400)
    held = panel.loss.points()[0].size
    qtbot.wait(300)
    assert panel.loss.points()[0].size == held
    qtbot.mouseClick(panel.pause_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.loss.points()[0].size > held, timeout=20_000)
    qtbot.mouseClick(panel.stop_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not panel.training, timeout=20_000)
    assert panel.samples.images is not None
    lines = (panel.where.folder / "metrics.jsonl").read_text().splitlines()
    written = [json.loads(line) for line in lines]
    losses = [line["loss"] for line in written if "loss" in line]
    assert np.allclose(panel.loss.points()[1], losses)
    assert panel.resume_button.isVisible()
    qtbot.mouseClick(panel.resume_button, Qt.MouseButton.LeftButton)
    first = len(losses) + 1
    qtbot.waitUntil(lambda: panel.loss.points()[0].size > 0, timeout=20_000)
    assert panel.loss.points()[0][0] == first


def test_closing_while_training_asks_and_saves(qtbot, window, monkeypatch):
    panel = window.training
    qtbot.mouseClick(panel.train_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.loss.points()[0].size > 2, timeout=60_000)
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]
    monkeypatch.setattr(QMessageBox, "question", lambda *_: answers.pop(0))
    assert not window.close()
    assert panel.training
    assert window.close()
    assert (panel.where.folder / "state.safetensors").exists()


def test_exports(qtbot, window, tmp_path):
    window.exports.grid(tmp_path / "grid.png")
    window.exports.animation(tmp_path / "film.gif")
    qtbot.waitUntil(lambda: not window.jobs, timeout=20_000)
    settings = export.settings_in(tmp_path / "grid.png")
    assert settings["seed"] == 0
    assert [row["sampler"] for row in settings["rows"]] == ["ddpm", "euler-maruyama"]
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 7
    window.training.loss.append([1, 2], [0.5, 0.25])
    window.training.bpd.append([2], [3.5])
    window.exports.curves(tmp_path / "curves.csv")
    qtbot.waitUntil(lambda: not window.jobs, timeout=20_000)
    text = (tmp_path / "curves.csv").read_text()
    assert text == "step,loss,bits_per_dim\n1,0.5,\n2,0.25,3.5\n"


def test_an_unwritable_place_gives_a_sentence(qtbot, window, tmp_path):
    found = []
    window.session.problem.connect(found.append)
    window.exports.grid(tmp_path / "nowhere" / "grid.png")
    qtbot.waitUntil(lambda: bool(found), timeout=10_000)
    assert "no such file or folder" in found[0]


def test_the_tour(qtbot, tmp_path, small_app):
    tour = Tour(tmp_path / "tour")
    assert tour.play() == 0
    facts = json.loads((tmp_path / "tour" / "tour.json").read_text())
    assert facts["last_loss"] < facts["first_loss"]
    looked = [path.stem[3:] for path in sorted((tmp_path / "tour").glob("[0-9]*.png"))]
    assert {"noise", "digits", "training", "dark"} < set(looked)
    titles = [panel.title.lower().replace(" ", "-") for panel in tour.window.panels]
    assert set(titles) - {"trajectories"} < set(looked)
