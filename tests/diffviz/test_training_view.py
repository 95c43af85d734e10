"""The view Training, in the real window: its settings, its run, its curves and its film."""

import json

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QFileDialog,
    QMessageBox,
)

from diffviz.shell import style
from diffviz.shell.window import MainWindow
from diffviz.views.training.view import MOST_FRAMES, about
from tests.tiny import pictures
from trainer.config import PRESETS
from trainer.events import Previewed


def test_the_button_follows_the_spin_box(window):
    assert window.training.train_button.text() == "Train 300 epochs"
    window.training.column.epochs.setValue(1)
    assert window.training.train_button.text() == "Train 1 epoch"


def test_a_preset_that_nobody_has_changed_says_so(window):
    """A training's classes are a number, though other forms choose a class."""
    assert window.training.form["classes"].value() == PRESETS["modern"].classes
    assert "changed" not in window.training.form.more_button.text()


def test_another_process_and_dataset_go_into_the_settings(window, monkeypatch, tmp_path):
    panel = window.training
    panel.column.process.setCurrentIndex(panel.column.process.findData("ve"))
    assert (panel.config().process, panel.config().prediction) == ("ve", "v")
    panel.preset.setCurrentIndex(panel.preset.findData("report-ddpm"))
    assert panel.config() == PRESETS["report-ddpm"].with_changes(epochs=300)
    panel.column.process.setCurrentIndex(panel.column.process.findData("ddpm-zero-snr"))
    assert panel.config().process_parameters["steps"] == 300
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    panel.column.dataset.setCurrentIndex(1)
    panel.column.dataset.activated.emit(1)
    assert panel.config().dataset == str(tmp_path)


def test_a_folder_that_is_read_tells_how_far_it_is(qtbot, window, monkeypatch, tmp_path):
    panel, told = window.training, []
    folder = pictures(tmp_path / "pics", 200)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    show = panel._show_reading
    monkeypatch.setattr(
        panel, "_show_reading", lambda event: (show(event), told.append(panel.status.text()))
    )
    panel.column.dataset.setCurrentIndex(1)
    panel.column.dataset.activated.emit(1)
    qtbot.waitUntil(lambda: "180 training and 20 test images" in panel.status.text())
    told.clear()
    panel.form.set_values({"batch_size": 20, "classes": 0})
    qtbot.mouseClick(panel.train_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.started is not None, timeout=30_000)
    assert "Reading the images: 64 of 200." in told
    panel.stop_button.click()
    qtbot.waitUntil(lambda: not panel.training, timeout=30_000)


def test_further_settings_go_into_the_settings(qtbot, window):
    panel = window.training
    before = panel.config()
    qtbot.mouseClick(panel.column.more_button, Qt.MouseButton.LeftButton)
    form = panel.form
    assert form["ema"].isVisible()
    form["loss_weighting"].setCurrentIndex(form["loss_weighting"].findData("min-snr"))
    form["classes"].setValue(10)
    form["ema"].setValue(0.99)
    changed = {"loss_weighting": "min-snr", "classes": 10, "ema": 0.99}
    assert panel.config() == before.with_changes(**changed)
    assert "3 changed" in panel.column.more_button.text()
    panel.preset.setCurrentIndex(1)
    assert panel.config().classes == PRESETS["modern-sde"].classes


def test_every_preset_is_what_the_form_asks_for(window):
    panel = window.training
    for name, config in PRESETS.items():
        panel.preset.setCurrentIndex(panel.preset.findData(name))
        assert panel.config() == config.with_changes(epochs=panel.column.epochs.value())
        assert "changed" not in panel.column.more_button.text()


def test_the_trainings_settings_return_on_the_next_start(qtbot, window):
    panel = window.training
    panel.preset.setCurrentIndex(panel.preset.findData("report-ddpm"))
    panel.column.epochs.setValue(7)
    panel.form.set_values({"ema": 0.9, "network": "lean"})
    asked = panel.config()
    assert asked.network_parameters == {}
    window.close()
    again = MainWindow(window.session.home)
    qtbot.addWidget(again, before_close_func=MainWindow.shutdown)
    assert again.training.config() == asked


def test_train_pause_stop_and_resume(qtbot, window):
    panel = window.training
    panel.column.epochs.setValue(200)
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
    model = window.trajectories.rows["ddpm"]["model"]
    qtbot.waitUntil(lambda: model.run and model.run.folder == panel.where.folder, timeout=20_000)
    assert window.findChild(QMessageBox, "problemBox") is None
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


def test_training_is_seen_as_curves_and_as_a_film(qtbot, window, tmp_path):
    panel = window.training
    qtbot.waitUntil(lambda: "Training would take about" in panel.status.text(), timeout=60_000)
    assert "images/s" in panel.status.text()
    qtbot.mouseClick(panel.train_button, Qt.MouseButton.LeftButton)
    assert window.view is panel
    qtbot.waitUntil(lambda: len(panel.frames) >= 2, timeout=60_000)
    qtbot.mouseClick(panel.stop_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not panel.training, timeout=20_000)
    count = panel.loss.points()[0].size
    assert [panel.curves()[name].shape for name in ("loss", "learning_rate", "gradient_norm")] == [
        (count, 2)
    ] * 3
    assert (panel.curves()["learning_rate"][:, 1] > 0).all()
    assert panel.by_time.points()[0].tolist() == pytest.approx([0.05 + 0.1 * k for k in range(10)])
    assert np.array_equal(panel.film.images, panel.frames[-1][1])
    panel.timeline.slider.setValue(0)
    first, pictures = panel.frames[0]
    assert panel.timeline.caption.text() == f"step {first.step:,}"
    assert np.array_equal(panel.grid(), pictures)
    window.files.animation(tmp_path / "film.gif")
    qtbot.waitUntil(lambda: not window.jobs, timeout=20_000)
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == len(panel.frames)


def test_a_film_keeps_its_first_and_newest_frame_however_long_it_gets(window):
    panel = window.training
    for step in range(1, 2 * MOST_FRAMES):
        panel._add_frame(Previewed(step, np.zeros((1, 1, 4, 4), np.uint8)))
    kept = [event.step for event, _ in panel.frames]
    assert MOST_FRAMES // 2 <= len(kept) <= MOST_FRAMES
    assert (kept[0], kept[-1]) == (1, 2 * MOST_FRAMES - 1)
    assert panel.timeline.count() == len(kept)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (99, "99 s"), (150, "2 min"), (7300, "2 h"), (400_000, "5 days")],
)
def test_a_time_to_come_is_told_roughly(seconds, said):
    assert about(seconds) == said


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


def test_the_first_bits_per_dim_can_be_seen(window):
    plot = window.training.bpd
    plot.append([469], [3.5])
    seen = plot.picture()
    places = ((x, y) for x in range(seen.width()) for y in range(seen.height()))
    assert style.series(plot.palette())[0].lower() in {seen.pixelColor(*p).name() for p in places}


def test_a_data_set_shows_itself_before_training(qtbot, window, monkeypatch, tmp_path):
    for kind in ("ants", "bees"):
        (tmp_path / "mine" / kind).mkdir(parents=True)
        for k in range(6):
            picture = np.full((40, 40, 3), (10 * k, 0, 90), np.uint8)
            Image.fromarray(picture).save(tmp_path / "mine" / kind / f"{k}.png")
    (tmp_path / "mine" / ".DS_Store").write_bytes(b"left behind")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "mine"))
    panel = window.training
    panel.column.dataset.setCurrentIndex(1)
    panel.column.dataset.activated.emit(1)
    qtbot.waitUntil(lambda: panel.samples.images is not None, timeout=20_000)
    assert panel.samples.images.shape == (11, 32, 32, 3)
    said = panel.status.text()
    assert "11 training and 1 test images, 32 x 32 colour, 2 classes, levels 0 to 90" in said
    assert "Left out: 1 hidden files" in said
    found = []
    window.session.problem.connect(found.append)
    (tmp_path / "mine" / "ants" / "0.png").write_bytes(b"no image")
    panel.column.dataset.activated.emit(1)
    qtbot.waitUntil(lambda: bool(found), timeout=20_000)
    assert "0.png is not an image" in found[0]
