"""The runs view: curves equal the metrics files, checkpoints draw, folders are kept tidy."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QDesktopServices
from PySide6.QtWidgets import QFileDialog, QInputDialog, QMessageBox

from diffviz.shell.session import row_of
from diffviz.views.runs import work
from diffviz.views.runs.work import SMOOTHING, averaged, spread
from tests.tiny import TINY, measured, pictures
from trainer import figures
from trainer.config import ExperimentConfig
from trainer.drawing import drawn_images
from trainer.events import Step
from trainer.problems import Problem
from trainer.requests import Drawing
from trainer.runs import Run
from trainer.runs.checkpoints import checkpoint_facts
from trainer.runs.measures import keep
from trainer.training import resumed, train


@pytest.fixture
def runs(qtbot, window, small_models):
    """The panel, with one run of the user's: two checkpoints, thirty steps."""
    folder = window.session.home / "runs" / "mine"
    shutil.copytree(small_models / "modern", folder)
    checkpoint = folder / "checkpoints" / "00000001.safetensors"
    shutil.copy(checkpoint, folder / "checkpoints" / "00000030.safetensors")
    lines = [{"step": k, "epoch": 1, "loss": 1 / k} for k in range(1, 31)]
    lines += [{"step": 30, "epoch": 1, "bpd": 2.5}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    panel = window.views["runs"]
    window.stage.setCurrentWidget(panel)
    qtbot.waitUntil(lambda: any(r.name == "mine" for r in window.session.runs), timeout=10_000)
    return panel, folder


def test_ticked_curves_equal_the_metrics_and_are_followed(qtbot, runs):
    panel, folder = runs
    panel.tick(folder)
    qtbot.waitUntil(lambda: "mine" in panel.plot.names(), timeout=10_000)
    xs, ys = panel.plot.points("mine")
    assert np.array_equal(xs, np.arange(1, 31))
    assert np.allclose(ys, 1 / np.arange(1, 31))
    with open(folder / "metrics.jsonl", "a") as stream:  # as another program would
        stream.write(json.dumps({"step": 31, "epoch": 2, "loss": 0.5}) + "\n")
    qtbot.waitUntil(lambda: len(panel.plot.points("mine")[0]) == 31, timeout=10_000)
    panel.measure.setCurrentIndex(1)
    assert panel.plot.points("mine")[1].tolist() == [2.5]
    panel.tick(folder, False)
    assert panel.plot.names() == []


def test_checkpoints_draw_from_the_same_noise(qtbot, runs):
    panel, _ = runs
    row = next(r for r in range(panel.table.rowCount()) if panel.table.item(r, 0).text() == "mine")
    panel.table.selectRow(row)
    assert all(view.isHidden() for view in panel.stage_views)  # no empty places
    qtbot.mouseClick(panel.buttons["draw"], Qt.MouseButton.LeftButton)
    assert [view.isHidden() for view in panel.stage_views] == [False, False, True]
    qtbot.waitUntil(lambda: panel.stage_views[1].images is not None, timeout=30_000)
    # Both files hold the same weights here, so the same noise gives the same pictures.
    assert np.array_equal(panel.stage_views[0].images, panel.stage_views[1].images)
    assert panel.stage_titles[1].text() == "mine, step 30"


def test_the_emas_slider_draws_by_averages_of_another_length(qtbot, window, runs, precision):
    panel, folder = runs
    config = TINY.with_changes(limit_images=48, classes=0, precision=precision, keep_every=1)
    run = Run.create(folder.with_name("trained"), config.with_changes(preview_steps=3))
    list(train(run.config, run, "cpu"))
    window.session.refresh_runs()
    qtbot.waitUntil(lambda: any(r.name == "trained" for r in window.session.runs), timeout=10_000)
    views, slider = panel.stage_views, panel.stages.averaging.slider

    def draw(name):
        names = [panel.table.item(r, 0).text() for r in range(panel.table.rowCount())]
        panel.table.selectRow(names.index(name))
        qtbot.mouseClick(panel.buttons["draw"], Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: not panel.drawing.busy, timeout=30_000)

    def expected(ema):
        return drawn_images(
            Drawing(str(run.folder), ema=ema, steps=3, guidance=1.0, count=16, precision=precision)
        )[:, 0]

    assert slider.isHidden() or not slider.isVisible()
    draw("trained")
    assert slider.isVisible()
    assert slider.isEnabled()
    assert np.array_equal(views[1].images, expected(None))
    slider.setFocus()
    qtbot.keyClick(slider, Qt.Key.Key_End)
    qtbot.waitUntil(lambda: "EMA length 0.250" in panel.stage_titles[1].text(), timeout=30_000)
    assert np.array_equal(views[1].images, expected(0.25))
    assert not np.array_equal(views[1].images, expected(None))
    asked = panel.ask()
    assert asked.ema == pytest.approx(0.25)
    qtbot.keyClick(slider, Qt.Key.Key_Home)
    assert panel.ask().ema is None
    panel.prepare(asked.with_changes(ema=0.1))
    assert panel.ask().ema == pytest.approx(0.1, rel=0.06)  # the nearest that the slider tells
    draw("mine")  # a copy of a model that ships
    assert not slider.isEnabled()
    assert panel.stage_titles[1].text() == "mine, step 30"


@pytest.mark.parametrize("sampler", ["ddpm", "dpm-solver++"])
def test_stages_are_what_a_script_draws(runs, sampler, precision):
    _, folder = runs
    config = ExperimentConfig.from_json((folder / "config.json").read_text())
    config = config.with_changes(preview_sampler=sampler, preview_steps=4, precision=precision)
    (folder / "config.json").write_text(config.to_json())
    (stage,) = (event for event in work.stages(folder, (30,), 4, 7) if event is not None)
    ask = Drawing(
        str(folder), "00000030.safetensors", sampler=sampler, steps=4, guidance=1.0, count=4,
        seed=7, precision=precision,
    )  # fmt: skip
    assert np.array_equal(stage.images, drawn_images(ask)[:, 0])


def test_a_zoom_stays_while_a_run_goes_on(qtbot, runs):
    panel, folder = runs
    panel.tick(folder)
    qtbot.waitUntil(lambda: "mine" in panel.plot.names(), timeout=10_000)
    box = panel.plot.plot.getPlotItem().getViewBox()
    box.setRange(xRange=(5, 10), yRange=(0.1, 0.2), padding=0)
    with open(folder / "metrics.jsonl", "a") as stream:
        stream.write(json.dumps({"step": 31, "epoch": 2, "loss": 0.5}) + "\n")
    qtbot.waitUntil(lambda: len(panel.plot.points("mine")[0]) == 31, timeout=10_000)
    assert np.allclose(box.viewRange(), [(5, 10), (0.1, 0.2)])
    panel.log.setChecked(True)
    assert panel.plot.plot.getPlotItem().ctrl.logYCheck.isChecked()


def test_a_run_goes_on_with_images_that_have_moved(qtbot, runs, monkeypatch, tmp_path):
    panel, _ = runs
    run = Run.create(
        panel.session.home / "runs" / "pics",
        TINY.with_changes(dataset=f"{pictures(tmp_path / 'before')}:8"),
    )
    found, data = resumed(run.folder)
    for event in train(found.config, found, "cpu", data):
        if isinstance(event, Step):
            break
    (tmp_path / "before").rename(tmp_path / "after")
    panel.session.refresh_runs()
    qtbot.waitUntil(
        lambda: any(r.folder == run.folder and r.resumable for r in panel.session.runs),
        timeout=20_000,
    )
    names = [panel.table.item(r, 0).text() for r in range(panel.table.rowCount())]
    panel.table.selectRow(names.index("pics"))
    problems = []
    panel.session.problem.connect(problems.append)
    places = iter([str(pictures(tmp_path / "others", 7)), str(tmp_path / "after")])
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: next(places))
    assert panel.buttons["images"].isEnabled()
    qtbot.mouseClick(panel.buttons["images"], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(problems), timeout=10_000)  # those are not its images
    assert Run.open(run.folder).config.dataset.endswith("before:8")
    qtbot.mouseClick(panel.buttons["images"], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(
        lambda: Run.open(run.folder).config.dataset == f"{tmp_path / 'after'}:8", timeout=10_000
    )
    resumed(run.folder)


def test_rename_and_delete(qtbot, runs, monkeypatch):
    panel, folder = runs
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: ("better", True))
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)

    def select(name):
        names = [panel.table.item(r, 0).text() for r in range(panel.table.rowCount())]
        panel.table.selectRow(names.index(name))

    select("mine")
    qtbot.mouseClick(panel.buttons["rename"], Qt.MouseButton.LeftButton)
    renamed = folder.with_name("better")
    qtbot.waitUntil(lambda: renamed in [r.folder for r in panel.session.runs], timeout=10_000)
    select("better")
    qtbot.mouseClick(panel.buttons["delete"], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not renamed.exists(), timeout=10_000)


def test_everything_confirmed_is_done_however_soon_it_follows(qtbot, runs, monkeypatch):
    panel, folder = runs
    others = [shutil.copytree(folder, folder.with_name(name)) for name in ("a", "b", "c")]
    panel.session.refresh_runs()
    qtbot.waitUntil(lambda: set(others) <= {r.folder for r in panel.session.runs}, timeout=10_000)
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    for other in others:
        there = [r.folder for r in panel.session.runs]
        panel.table.selectRow(there.index(other))
        panel.delete()
    qtbot.waitUntil(lambda: not any(other.exists() for other in others), timeout=10_000)
    assert folder.exists()


def test_a_stopped_training_goes_on_from_the_list(qtbot, window):
    training, panel = window.training, window.views["runs"]
    training.column.epochs.setValue(20)
    qtbot.mouseClick(training.train_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: training.loss.points()[0].size >= 3, timeout=30_000)
    training.stop()
    qtbot.waitUntil(lambda: not training.training, timeout=30_000)
    folder = training.where.folder
    window.stage.setCurrentWidget(panel)
    qtbot.waitUntil(lambda: folder in [r.folder for r in panel.session.runs], timeout=10_000)
    panel.table.selectRow([r.folder for r in panel.session.runs].index(folder))
    assert panel.buttons["resume"].isEnabled()
    qtbot.mouseClick(panel.buttons["resume"], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: training.loss.points()[0].size > 0, timeout=30_000)
    assert training.loss.points()[0][0] > 3
    assert training.where.folder == folder


def test_a_finished_training_goes_on_for_more_epochs(qtbot, window):
    training, panel = window.training, window.views["runs"]
    training.form.set_values({"epochs": 1, "batch_size": 128})
    qtbot.mouseClick(training.train_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: training.where is not None and not training.training, timeout=60_000)
    folder = training.where.folder
    assert not training.column.resume_row.isVisible()
    window.stage.setCurrentWidget(panel)
    qtbot.waitUntil(lambda: folder in [r.folder for r in panel.session.runs], timeout=10_000)
    panel.table.selectRow([r.folder for r in panel.session.runs].index(folder))
    qtbot.mouseClick(panel.buttons["resume"], Qt.MouseButton.LeftButton)
    assert not training.training
    assert "is finished, after epoch 1. Say" in training.status.text()
    assert training.resume_epochs.value() == 2
    training.resume_epochs.set_value(3)
    qtbot.mouseClick(training.resume_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not training.training, timeout=60_000)
    assert Run.open(folder).config.epochs == 3
    assert training.loss.points()[0].tolist() == [3, 4, 5, 6]
    assert [line for line in Run.open(folder).metrics() if "epochs" in line] == [
        {"step": 3, "epochs": 3, "steps": 6}
    ]
    qtbot.waitUntil(
        lambda: any(r.folder == folder and r.epoch == 3 for r in panel.session.runs), timeout=10_000
    )


def test_measuring_puts_the_figure_into_the_card(qtbot, runs):
    panel, folder = runs
    names = [panel.table.item(r, 0).text() for r in range(panel.table.rowCount())]
    panel.table.selectRow(names.index("mine"))
    panel.measure_run("likelihood", 1)
    assert panel.stop_button.isVisible()
    qtbot.waitUntil(lambda: not panel.stop_button.isVisible(), timeout=60_000)
    kept = json.loads((folder / "measures.json").read_text())
    exact = kept[0]["values"]["exact"]
    qtbot.waitUntil(lambda: f"{exact:.2f}" in panel.card.toPlainText(), timeout=20_000)
    panel.measure_run("fid", 1024)
    panel.measure_run("fid", 256)  # waits for the other to end: stopped before it begins
    qtbot.mouseClick(panel.stop_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not panel.stop_button.isVisible(), timeout=60_000)


def test_a_run_is_used_as_its_best_fid_was_measured(qtbot, window, runs):
    panel, folder = runs
    names = [panel.table.item(r, 0).text() for r in range(panel.table.rowCount())]
    panel.table.selectRow(names.index("mine"))
    assert panel.buttons["use"].isEnabled()
    assert not panel.doing.use_best.isEnabled()
    asked = {"guidance": 1.75, "guide": "modern", "spacing": "karras"}
    run = Run.open(folder)
    row = row_of(run.config.process)
    made = measured(5.0, 256, sampler="sa-solver", options={"tau": 0.5}, **asked)
    keep(run, dataclasses.replace(made, checkpoint=checkpoint_facts(run.newest())[0]))
    window.session.refresh_runs()
    qtbot.waitUntil(panel.doing.use_best.isEnabled, timeout=10_000)
    assert "tau 0.5" in panel.doing.use_best.toolTip()
    panel.doing.use_best.trigger()
    trajectories = window.views["trajectories"]
    found = trajectories.wanted().rows[row]
    assert (found.model, found.sampler, found.steps) == ("mine", "sa-solver", 9)
    assert found.options["tau"] == 0.5
    assert {name: getattr(found, name) for name in asked} == asked
    other = next(r for name, r in trajectories.wanted().rows.items() if name != row)
    assert other.model != "mine"


@pytest.mark.parametrize("settings", [{"steps": 1}, {"sampler": "nobody's"}])
def test_a_measure_that_the_trajectories_cannot_repeat_is_told(qtbot, window, runs, settings):
    panel, folder = runs
    names = [panel.table.item(r, 0).text() for r in range(panel.table.rowCount())]
    panel.table.selectRow(names.index("mine"))
    run = Run.open(folder)
    row = row_of(run.config.process)
    made = measured(5.0, 256, spacing="karras", **settings)
    keep(run, dataclasses.replace(made, checkpoint=checkpoint_facts(run.newest())[0]))
    window.session.refresh_runs()
    qtbot.waitUntil(panel.doing.use_best.isEnabled, timeout=10_000)
    before = window.trajectories.wanted().rows[row]
    with qtbot.waitSignal(window.session.problem) as told:
        panel.doing.use_best.trigger()
    assert "must be" in told.args[0]
    after = window.trajectories.wanted().rows[row]
    assert after == before.with_changes(model="mine", checkpoint=after.checkpoint)


def test_shipped_runs_cannot_be_deleted(runs):
    panel, _ = runs
    names = [panel.table.item(r, 0).text() for r in range(panel.table.rowCount())]
    panel.table.selectRow(names.index("modern (shipped)"))
    assert not panel.buttons["delete"].isEnabled()
    assert panel.buttons["draw"].isEnabled()


def test_bad_names_and_foreign_folders_are_refused(tmp_path):
    with pytest.raises(Problem, match="cannot be a run's name"):
        list(work.rename(tmp_path / "a", "../b"))
    with pytest.raises(Problem, match="not a run folder"):
        list(work.delete(tmp_path))
    assert tmp_path.exists()


def test_long_losses_are_averaged_and_stages_spread():
    steps = np.arange(1, 30 * SMOOTHING + 1)
    xs, ys = averaged(steps, steps.astype(float))
    assert len(xs) == 30
    assert ys[0] == np.arange(1, SMOOTHING + 1).mean()
    assert spread((10, 20, 30, 40, 50, 60), 3) == (20, 40, 60)
    assert spread((10,), 3) == (10,)


def test_the_selected_runs_card_is_shown(qtbot, runs):
    panel, _ = runs
    row = next(r for r in range(panel.table.rowCount()) if panel.table.item(r, 0).text() == "mine")
    panel.table.selectRow(row)
    qtbot.waitUntil(lambda: "parameters" in panel.card.toPlainText(), timeout=30_000)
    assert panel.card.toPlainText().startswith("mine: ")
    assert "--preset modern" in panel.card.toPlainText()


def test_the_menu_makes_the_reports_page(qtbot, window, monkeypatch):
    # A figure of each kind is enough here: tests/test_figures.py draws them all.
    monkeypatch.setattr(
        figures.figures, "__defaults__", (None, ("1", "11"), (), 0, 0, "cpu", False)
    )
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", opened.append)
    window.findChild(QAction, "reportAction").trigger()
    qtbot.waitUntil(lambda: bool(opened), timeout=60_000)
    page = window.session.home / "report" / "index.html"
    assert opened[0].toLocalFile() == str(page)
    assert "Figure 11." in page.read_text()


def test_what_is_ticked_is_kept_and_what_version_1_stored_is_read(qtbot, runs):
    panel, folder = runs
    panel.prepare(work.Runs.from_dict({"ticked": ["mine"]}))
    assert panel.ticked == {folder}
    assert panel.ask().ticked == ("mine",)
    panel.prepare(work.Runs(("mine",), "bpd", True))
    assert (panel.ask().measure, panel.ask().log) == ("bpd", True)


def test_curves_pass_over_lines_that_no_reader_of_json_takes(tmp_path):
    lines = ["[" * 3000 + "]" * 3000, json.dumps({"step": 10**400, "loss": 1}), '{"step": 2, "lo']
    lines += [json.dumps({"step": 3, "loss": 0.5})]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    grown = list(work._Reader(tmp_path).read())
    assert np.concatenate([one.steps for one in grown]).tolist() == [3]


def test_curves_pass_over_values_that_are_no_numbers(tmp_path):
    lines = [
        {"step": 1, "loss": 10**400},
        {"step": 2, "loss": "0.5", "bpd": None, "loss_by_time": [0.1, "x"]},
        {"step": 3, "loss": 0.5, "bpd": 2, "loss_by_time": [0.1, 0.2]},
        {"step": [4], "loss": 0.5},
        [5],
        {"step": 6, "loss": [1], "loss_by_time": 7},
    ]
    written = "\n".join(json.dumps(line) for line in lines) + '\n{"step": 7, "loss": NaN}\n'
    (tmp_path / "metrics.jsonl").write_text(written)
    (grown,) = work._Reader(tmp_path).read()
    assert (grown.steps.tolist(), grown.losses.tolist()) == ([3], [0.5])
    assert (grown.bound_steps.tolist(), grown.bounds.tolist()) == ([3], [2])
    assert grown.by_time is not None
    assert grown.by_time.tolist() == [0.1, 0.2]
    run = Run(tmp_path, TINY)
    assert [line["step"] for line in run.metrics()] == [1, 2, 3, 6, 7]
