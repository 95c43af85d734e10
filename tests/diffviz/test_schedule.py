"""The schedule panel against the processes themselves."""

import numpy as np
import pytest
import torch
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from diffviz.shell import style
from diffviz.shell.session import Session
from diffviz.views.schedule.view import ScheduleView
from diffviz.views.schedule.work import Schedules, ending, first_entries
from trainer.config import PRESETS
from trainer.processes import DDPM, make_process


@pytest.fixture
def panel(qtbot, tmp_path):
    panel = ScheduleView(Session(tmp_path))
    qtbot.addWidget(panel, before_close_func=ScheduleView.shutdown)
    panel.resize(860, 640)
    panel.show()
    qtbot.waitUntil(lambda: len(panel.found) == len(panel.entries), timeout=60_000)
    for part in (panel.levels, panel.ratio):
        _ = part.plot  # each would be made in a turn of its own
    return panel


def row_of(panel, part):
    return next(row for row, entry in enumerate(panel.entries) if part in entry.title)


def test_every_preset_has_its_row():
    entries = first_entries()
    for name, config in PRESETS.items():
        (entry,) = [e for e in entries if name in e.presets]
        assert (entry.process, entry.parameters) == (config.process, config.process_parameters)
        assert name in entry.title
    assert len({entry.title for entry in entries}) == len(entries)


@pytest.mark.parametrize("t", [0.0, 0.25, 1.0])
def test_the_table_shows_each_process_at_t(panel, t):
    panel.session.timeChanged.emit(t)
    assert panel.levels.mark.value() == t
    assert panel.ratio.mark.value() == t
    for row, entry in enumerate(panel.entries):
        process = make_process(entry.process, entry.parameters)
        alpha, sigma = (float(v) for v in process.marginal(torch.tensor([t]).double()))
        shown = [panel.table.item(row, column).text() for column in (1, 2)]
        assert shown == [f"{alpha:.3f}", f"{sigma:.3f}"]


def test_ticked_schedules_are_drawn(panel):
    row = row_of(panel, "rectified flow")
    assert "flow" not in panel.ticked()
    panel.table.item(row, 0).setCheckState(Qt.CheckState.Checked)
    drawn = {line.name: line for line in panel.levels.lines}
    assert drawn["α rectified flow (modern-flow)"].y == pytest.approx(
        1 - drawn["α rectified flow (modern-flow)"].x
    )
    assert drawn["σ rectified flow (modern-flow)"].y == pytest.approx(
        drawn["σ rectified flow (modern-flow)"].x
    )
    assert "rectified flow (modern-flow)" in [line.name for line in panel.ratio.lines]
    assert len(panel.levels.lines) == 2 * len(panel.ticked())
    panel.table.item(row, 0).setCheckState(Qt.CheckState.Unchecked)
    assert "rectified flow (modern-flow)" not in [line.name for line in panel.ratio.lines]


def test_log_snr_is_drawn_where_it_is_finite(panel):
    line = next(line for line in panel.ratio.lines if line.name.startswith("VP SDE"))
    t = torch.from_numpy(line.x[1:-1])
    expected = make_process("vp", {}).log_snr(t).numpy()
    assert line.y[1:-1] == pytest.approx(expected)
    assert not np.isfinite(line.y[0])  # log-SNR is infinite at t = 0


def test_the_reports_chain_is_warned_of_and_mended(qtbot, panel):
    row = row_of(panel, "(report-ddpm)")
    panel.table.selectRow(row)
    bars = DDPM.linear(300).alpha_bars[-1].item()
    assert bars == pytest.approx(0.048, abs=1e-3)
    assert f"ᾱ = {bars:.3f}" in panel.ends.text()
    assert panel.ends.text().startswith("⚠")
    assert panel.table.item(row, 4).text().startswith("⚠")
    qtbot.mouseClick(panel.mend_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(panel.found) == len(panel.entries), timeout=60_000)
    before, after = panel.entries[row], panel.selected()
    assert after.presets == ("report-ddpm-mended",)
    row = panel.table.currentRow()
    assert {before.id, after.id} <= set(panel.ticked())
    assert panel.found[after.id].terminal_snr == 0
    assert panel.table.item(row, 4).text() == "0"
    assert "exactly 0" in panel.ends.text()
    assert not panel.mend_button.isEnabled()
    lines = {line.name: line.y for line in panel.levels.lines}
    expected = DDPM.linear(300).zero_terminal_snr().alpha_bars.sqrt().numpy()
    assert lines[f"α {after.title}"][::4] == pytest.approx(expected[::3], abs=1e-9)
    assert lines[f"α {before.title}"][-1] == pytest.approx(np.sqrt(bars))


def test_any_chain_is_mended_beside_itself(qtbot, panel):
    row = row_of(panel, "sigmoid")
    panel.table.selectRow(row)
    qtbot.mouseClick(panel.mend_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(panel.found) == len(panel.entries), timeout=60_000)
    before, after = panel.entries[row], panel.entries[row + 1]
    assert after.title == f"{before.title}, mended"
    assert panel.found[before.id].terminal_snr > 0
    assert panel.found[after.id].terminal_snr == 0
    assert {before.id, after.id} <= set(panel.ticked())
    kept = panel.ask()
    other = ScheduleView(panel.session)
    qtbot.addWidget(other)
    other.restore(kept)
    assert other.ask() == kept


def test_endings_in_words(panel):
    said = {entry.process: ending(panel.found[entry.id]) for entry in panel.entries}
    assert "exactly 0" in said["flow"]
    assert "exactly 0" in said["cosine"]
    assert said["vp"].startswith("At t = 1 the SNR is 4.3e-05")
    assert said["ve"].startswith("At t = 1 the SNR is 4.0e-04")


def test_only_a_chain_with_signal_left_can_be_mended(panel):
    panel.table.selectRow(row_of(panel, "VP SDE"))
    assert not panel.mend_button.isEnabled()
    panel.table.selectRow(row_of(panel, "DDPM, linear betas, T = 1000"))
    assert panel.mend_button.isEnabled()


def test_dragging_the_mark_moves_both(panel):
    panel.levels.mark.setValue(0.125)
    panel.levels.mark.sigDragged.emit(panel.levels.mark)
    assert panel.ratio.mark.value() == pytest.approx(0.125)
    assert panel.time.value() == pytest.approx(0.125)


def test_colours_and_names(panel):
    panel.setPalette(style.palette(dark=True))
    first = panel.levels._drawn[0][1].opts["pen"].color().name().upper()
    assert first in style.SERIES_ON_DARK
    for name in ("scheduleTable", "scheduleTimeSpin", "mendButton", "levelsPlot", "ratioPlot"):
        assert panel.findChild(QWidget, name).accessibleName(), name
    assert panel.grid().shape == (1, 640, 860, 3)


def test_what_version_1_stored_is_read():
    old = {
        "ticked": ["DDPM, linear betas, T = 300 (report-ddpm)", "VP SDE (modern-sde)", "gone"],
        "mended": ["DDPM, linear betas, T = 1000, mended"],
        "t": 0.3,
    }
    ask = Schedules.from_dict(old)
    assert ask.ticked == ("ddpm-linear steps=300", "vp")
    assert (ask.mended, ask.t) == (("ddpm-linear",), 0.3)
