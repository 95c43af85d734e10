"""The grid view, clicked, against what a script draws."""

import numpy as np
import pytest
from PySide6.QtCore import Qt

from diffviz.controls.fields import choose
from diffviz.export.files import settings_in
from diffviz.shell import style
from trainer.comparing import Comparison, rms
from trainer.drawing import drawn_images
from trainer.grid import Grid, number
from trainer.requests import Drawing


@pytest.fixture
def panel(qtbot, window):
    panel = window.views["grid"]
    qtbot.waitUntil(lambda: panel.form["model"].run is not None, timeout=20_000)
    panel.form.set_values({"row_values": "ddim, ddpm", "column_values": "2 3", "count": 2,
                           "reference": "dpm-solver++ 100", "precision": "float32"})  # fmt: skip
    window.stage.setCurrentWidget(panel)  # which is all that it takes
    done(qtbot, panel)
    return panel


def done(qtbot, panel):
    qtbot.waitUntil(lambda: not panel.comparing and not panel.work.busy, timeout=90_000)


def type_into(qtbot, edit, text):
    edit.selectAll()
    qtbot.keyClicks(edit, text)
    qtbot.keyClick(edit, Qt.Key.Key_Return)


def test_cells_are_what_a_script_draws(qtbot, panel, small_models):
    where = {"model": str(small_models / "modern-sde"), "count": 2, "precision": "float32"}
    for r, sampler in enumerate(("ddim", "ddpm")):
        for c, steps in enumerate((2, 3)):
            images = drawn_images(Drawing(**where, sampler=sampler, steps=steps))
            cell = panel.cells[r][c]
            assert np.array_equal(cell.view.images, images[:, 0])
            assert f"{steps} NFE" in cell.caption.text()
    draw = panel.asked.draws()[0]
    drawn = panel.comparison.drawn
    error = rms(drawn[draw].final, drawn[panel.comparison.fine(draw)].final)
    assert f"RMS {number(error)}" in panel.cells[0][0].toolTip()
    choose(panel.form["show"], "error")
    assert panel.cells[0][0].view.value[0] == number(error)
    assert not panel.work.busy  # looked at otherwise, and not drawn anew
    curves = panel.curves()
    assert curves["DDIM: NFE"].tolist() == [[2, 2], [3, 3]]
    assert curves["DDIM: error (RMS)"][0].tolist() == pytest.approx([2, error])


def test_an_axis_is_chosen_and_its_values_typed_or_picked(qtbot, panel):
    rows, columns = panel.axes
    choose(columns.setting, "options.eta")
    assert columns.values.value() == "0 0.5 1"
    type_into(qtbot, columns.values, "0, 1")
    assert [len(row) for row in panel.cells] == [2, 2]
    assert "no option 'eta'" in panel.cells[1][0].view.placeholder
    rows.menu.aboutToShow.emit()
    offered = {action.text(): action for action in rows.menu.actions()}
    assert offered["ddpm"].isChecked()
    offered["ddpm"].trigger()
    assert panel.asked.down() == ("ddim",)
    assert not panel.form["sampler"].isEnabled()  # an axis says it
    assert panel.form["steps"].isEnabled()
    qtbot.mouseClick(panel.compare_button, Qt.MouseButton.LeftButton)
    done(qtbot, panel)
    plain, noisy = (cell.view.images for cell in panel.cells[0])
    assert not np.array_equal(plain, noisy)


def test_a_wrong_value_is_refused_visibly(qtbot, panel):
    before = panel.asked
    type_into(qtbot, panel.axes[1].values, "2 many")
    assert panel.refusal.isVisible()
    assert "a number, not 'many'" in panel.refusal.text()
    assert not panel.compare_button.isEnabled()
    assert panel.asked == before
    assert panel.cells[0][0].view.images is not None
    type_into(qtbot, panel.axes[1].values, "2 4")
    assert not panel.refusal.isVisible()
    assert panel.compare_button.isEnabled()
    assert panel.asked.across() == (2, 4)
    assert panel.cells[0][0].view.images is not None  # it was there already
    assert "Draw grid" in panel.cells[0][1].view.placeholder


def test_stop_and_a_newer_ask(qtbot, panel):
    type_into(qtbot, panel.axes[1].values, "1000 2")
    qtbot.mouseClick(panel.compare_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.growing is not None, timeout=30_000)
    first = panel.piece
    type_into(qtbot, panel.axes[1].values, "5 2")
    done(qtbot, panel)
    assert first[1] not in panel.comparison.drawn
    assert all(cell.view.images is not None for row in panel.cells for cell in row)
    type_into(qtbot, panel.axes[1].values, "2 1000")
    qtbot.mouseClick(panel.compare_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.growing is not None, timeout=30_000)
    qtbot.mouseClick(panel.stop_button, Qt.MouseButton.LeftButton)
    done(qtbot, panel)
    assert panel.cells[0][0].view.images is not None
    assert panel.cells[0][1].view.images is None


def test_an_exported_grid_comes_back(qtbot, window, panel, tmp_path):
    before, kept = panel.grid(), panel.ask()
    assert before.shape[0] == 1
    window.files.grid(tmp_path / "grid.png")
    window.files.view(tmp_path / "view.csv")
    qtbot.waitUntil(lambda: not window.jobs, timeout=20_000)
    assert settings_in(tmp_path / "grid.png")["row_values"] == "ddim, ddpm"
    assert "DDPM ancestral: NFE" in (tmp_path / "view.csv").read_text().splitlines()[0]
    panel.prepare(Grid(rows="seed", row_values="1 2"))
    panel.comparison = Comparison()
    window.files.open(tmp_path / "grid.png")
    qtbot.waitUntil(lambda: panel.asked == kept and panel.comparing, timeout=20_000)
    done(qtbot, panel)
    assert np.array_equal(panel.grid(), before)


def test_it_fits_and_follows_the_theme(qtbot, window):
    panel = window.views["grid"]
    assert window.minimumSizeHint().width() <= 1280
    panel.setPalette(style.palette(dark=True))
    cell = panel.cells[0][0]
    cell.view.show_value(("3", 0.0))
    cell.resize(80, 80)
    pixel = cell.view.grab().toImage().pixelColor(2, 2)
    assert pixel == style.palette(True).base().color()
