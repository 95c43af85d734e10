"""The File menu over a stand-in for the window, and over the window itself."""

import errno
import json
import os
from functools import partial

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QDialog, QFileDialog, QMessageBox, QWidget

from diffviz.controls.form import stored
from diffviz.export import FORMATS, ExportSettings, Format, formats
from diffviz.export.files import settings_in
from diffviz.jobs import Latest
from diffviz.shell.files import Files
from diffviz.shell.session import Session
from diffviz.views.view import View
from diffviz.widgets.curve import CurvePlot
from trainer.catalogue import Catalogue
from trainer.problems import Problem


class Small(View):
    """A view with a grid, a film, curves and plots, over a stand-in for the window."""

    kind = ExportSettings

    def __init__(self, frames, parent):
        super().__init__(parent.session, parent)
        self.frames, self.x = frames, ExportSettings(scale=7)
        self.loss = CurvePlot("Loss", "loss", "step", "loss", parent=self)
        self.bpd = CurvePlot("Bits", "bits", "step", "bpd", parent=self)
        for plot in (self.loss, self.bpd):
            plot.resize(200, 150)
            plot.set_points([1, 2], [0.5, 0.25])

    def ask(self):
        if not self.frames:
            raise Problem("Nothing is on view.")
        return self.x

    def grid(self):
        return self.frames[0] if self.frames else None

    def animation(self):
        return self.frames

    def curves(self):
        return {"a, b": np.ones((1, 2))} if self.frames else {}


class Stand(QWidget):
    """What `Files` needs of the window; work is done at once."""

    def __init__(self, home, frames):
        super().__init__()
        self.session = Session(home, self)
        self.kept = QSettings(str(home / "window.ini"), QSettings.Format.IniFormat)
        self.view = Small(frames, self)
        self.views = {"training": self.view}
        self.problems, self.reopened = [], []
        self.show_problem, self.reopen = self.problems.append, self.reopened.append
        self.files = Files(self)

    def start(self, make, take):
        try:
            take(list(make()))
        except Problem as problem:
            self.problems.append(str(problem))

    def settings(self):
        return stored("small", self.view.ask())

    def answer(self, monkeypatch, name, kind=""):
        """Choose that name and kind in the next dialogs; what they offered."""
        offered = []

        def dialog(*asked):
            offered.append(asked[3])
            return name and str(name), kind

        monkeypatch.setattr(QFileDialog, "getSaveFileName", dialog)
        monkeypatch.setattr(QFileDialog, "getOpenFileName", dialog)
        return offered


@pytest.fixture
def stand(qtbot, tmp_path):
    window = Stand(tmp_path, [np.full((4, 5, 6), 40 * k, np.uint8) for k in range(3)])
    qtbot.addWidget(window)
    return window


WRITES = {"grid": "grid", "film": "animation", "curves": "curves", "view": "view"}
EVERY = [(what, one) for what in WRITES for one in formats(what) if one.id != "mp4"]


@pytest.mark.parametrize(("what", "one"), EVERY)
def test_what_is_written_comes_back(stand, tmp_path, what, one):
    path = tmp_path / f"out{one.suffix}"
    getattr(stand.files, WRITES[what])(path)
    assert stand.problems == []
    assert path.stat().st_size
    assert (tmp_path / f"out-bpd{one.suffix}").exists() == (what == "curves" and one.draws)
    stand.files.open(path)
    if one.carries:
        came = stored("training" if what == "curves" else "small", stand.view.x)
        assert stand.reopened == [came]
    else:
        assert len(stand.problems) == 1


def test_a_view_that_shows_nothing_can_be_drawn_and_gives_a_sentence_otherwise(stand, tmp_path):
    stand.view.frames = []
    for name in ("a.png", "a.svg"):
        stand.files.view(tmp_path / name)
        stand.files.open(tmp_path / name)
        assert "holds no DiffViz settings" in stand.problems.pop()
    stand.files.grid(tmp_path / "b.png")
    stand.files.animation(tmp_path / "b.gif")
    stand.files.view(tmp_path / "b.csv")
    for said in ("no grid on view yet", "sample first", "no curves: export it as PNG or SVG"):
        assert said in stand.problems.pop(0)
    assert not list(tmp_path.glob("b.*"))


@pytest.mark.parametrize(("what", "name"), [("film", "a.avi"), ("grid", "a.svg"), ("view", "a")])
def test_an_ending_that_nothing_has_is_refused(stand, tmp_path, what, name):
    stand.view.grab = stand.view.animation = stand.view.grid = None  # nothing is computed first
    getattr(stand.files, WRITES[what])(tmp_path / name)
    known = ", ".join(one.suffix for one in formats(what))
    assert f"can be written as {known}, not as '{name}'" in stand.problems[0]


def test_dialogs_offer_the_kinds_and_follow_the_chosen_one(stand, tmp_path, monkeypatch):
    offered = stand.answer(monkeypatch, tmp_path / "view", "SVG (*.svg)")
    stand.files.ask_view()
    assert offered == ["PNG (*.png);;SVG (*.svg);;CSV (*.csv)"]
    assert (tmp_path / "view.svg").read_bytes()[:5] == b"<?xml"
    stand.answer(monkeypatch, tmp_path / "v.pdf", "PNG (*.png)")
    stand.files.ask_view()
    assert "does not end in .png" in stand.problems.pop()
    stand.answer(monkeypatch, tmp_path / "plain")  # where the system's dialog says no kind
    stand.files.ask_curves()
    assert (tmp_path / "plain.csv").exists()
    assert not list(tmp_path.glob("v.*"))
    offered = stand.answer(monkeypatch, "")
    stand.files.ask_open()
    assert offered == ["Pictures (*.png *.svg *.gif *.webp *.mp4)"]


def test_a_file_that_an_added_ending_would_replace_is_asked_about(stand, tmp_path, monkeypatch):
    (tmp_path / "view.csv").write_text("mine")
    stand.answer(monkeypatch, tmp_path / "view", "CSV (*.csv)")
    buttons = QMessageBox.StandardButton
    monkeypatch.setattr(QMessageBox, "question", lambda *_: buttons.No)
    stand.files.ask_view()
    assert (tmp_path / "view.csv").read_text() == "mine"
    monkeypatch.setattr(QMessageBox, "question", lambda *_: buttons.Yes)
    stand.files.ask_view()
    assert (tmp_path / "view.csv").read_text() == 'x,"a, b"\n1,1\n'


def raw(shown):
    """A format of a few bytes: what test_a_format_is_one_declaration adds."""
    return lambda: b"RAW" + shown.text.encode()


def in_raw(path):
    content = path.read_bytes()
    if not content.startswith(b"RAW"):
        raise ValueError("not raw")
    return content[3:].decode()


def test_a_format_is_one_declaration(stand, tmp_path, monkeypatch):
    added = Format("raw", "Raw", "", f"{__name__}:raw", suffix=".raw", takes=("film",),
                   carries=f"{__name__}:in_raw")  # fmt: skip
    monkeypatch.setitem(FORMATS, "raw", added)
    stand.kept.setValue("export/scale", 2)
    offered = stand.answer(monkeypatch, tmp_path / "film", "Raw (*.raw)")
    stand.files.ask_animation()
    assert offered == ["GIF (*.gif);;WebP (*.webp);;MP4 (*.mp4);;Raw (*.raw)"]
    stand.files.open(tmp_path / "film.raw")
    assert stand.reopened == [stand.settings()]
    stand.files.animation(tmp_path / "a.avi")
    assert ".raw" in stand.problems[0]


def test_sizes_are_kept_and_damaged_ones_are_the_usual(stand, monkeypatch):
    def answer(dialog):
        dialog.findChild(QWidget, "exportScaleSpin").setValue(3)
        return accepted

    monkeypatch.setattr(QDialog, "exec", answer)
    for accepted in (False, True):
        stand.files.ask_settings()
        assert stand.files.look == ExportSettings(scale=3 if accepted else 2)
    stand.kept.setValue("export/scale", "many")
    stand.kept.setValue("export/fps", 12)
    assert stand.files.look == ExportSettings(fps=12)


def test_every_format_is_there():
    assert isinstance(FORMATS, Catalogue)
    for one in formats():
        assert callable(one.find()), one.id
    assert len({one.suffix for one in formats()}) == len(FORMATS)


@pytest.mark.parametrize(("what", "name"), [
    ("grid", "a.png"), ("film", "a.gif"), ("curves", "a.csv"), ("view", "a.svg"), ("view", "a.png"),
])  # fmt: skip
def test_a_full_disk_or_missing_folder_gives_a_sentence(stand, tmp_path, monkeypatch, what, name):
    save = getattr(stand.files, WRITES[what])
    (tmp_path / "out").mkdir()
    file = tmp_path / "out" / "file"
    file.write_text("")
    save(tmp_path / "missing" / name)
    save(file / name)

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    save(tmp_path / "out" / name)
    for said in ("no such file or folder", "a file is in the way", "the disk is full"):
        assert said in stand.problems.pop(0)
    assert list((tmp_path / "out").iterdir()) == [file]


_INPAINT = {
    "image": 7, "forget": "left", "mask": [], "sampler": "ddim", "steps": 3, "repeats": 2,
    "seed": 5, "class": -1, "guidance": 1.0, "show": "guess", "fraction": 1.0,
}  # fmt: skip
_MODES = [{"mean": -1.0, "std": 0.25, "weight": 0.5}, {"mean": 1.5, "std": 0.5, "weight": 0.25}]
OLD = {  # what files of version 1 hold of each view, and what of it is to be seen again
    "trajectories": (
        {"panel": "Trajectories", "rows": [
            {"row": "ddpm", "folder": "modern", "sampler": "ddim", "steps": 4, "label": -1,
             "guidance": 1.0},
            {"row": "sde", "folder": "modern-sde", "sampler": "heun", "steps": 3, "label": -1,
             "guidance": 1.0}],
         "count": 16, "seed": 9, "start": 1.0, "image": 0, "show": "guess", "layout": "mosaic",
         "fraction": 0.5},
        lambda ask: (ask.ddpm.sampler, ask.sde.sampler, ask.sde.steps, ask.seed, ask.show),
        ("ddim", "heun", 3, 9, "guess"),
    ),
    "samplers": (
        {"panel": "Samplers", "model": "modern-sde", "checkpoint": "",
         "columns": [["ddim", 2], ["euler-maruyama", 3]], "count": 16, "seed": 4, "class": -1,
         "guidance": 1.0, "reference": ["ddim", 200], "judged": 0, "plot": "error"},
        lambda ask: ([(c.sampler, c.steps) for c in ask.columns], ask.seed, ask.count),
        ([("ddim", 2), ("euler-maruyama", 3)], 4, 16),
    ),
    "gallery": (
        {"panel": "Gallery", "model": "modern", "checkpoint": "", "sampler": "ddpm", "steps": 2,
         "count": 16, "seed": 6, "class": -1, "guidance": 1.0, "selected": [1, 3]},
        lambda ask: (ask.model, ask.sampler, ask.steps, ask.count, ask.seed, ask.classes),
        ("modern", "ddpm", 2, 16, 6, "any"),
    ),
    "edit": (
        {"panel": "Edit", "tool": "inpaint", "model": "modern", "checkpoint": "",
         "inpaint": _INPAINT, "encode": {"image": 2, "tolerance": 0.01},
         "interpolate": {"first": 3, "second": 4, "count": 5, "tolerance": 0.001}},
        lambda ask: (ask.tool, ask.inpaint.image, ask.inpaint.mask, ask.inpaint.repeats,
                     ask.encode.image, ask.interpolate.count),
        ("inpaint", "7", "left", 2, "2", 5),
    ),
    "runs": ({"panel": "Runs", "ticked": ["modern"]}, lambda ask: ask.ticked, ("modern",)),
    "overview": (
        {"panel": "Overview 1-D", "process": "VE SDE", "modes": _MODES, "seed": 3, "t": 0.25},
        lambda ask: (ask.process, [m.mean for m in ask.modes], ask.seed, ask.t),
        ("ve", [-1.0, 1.5], 3, 0.25),
    ),
    "plane": (
        {"panel": "Plane 2-D", "shape": "checkerboard", "process": "VP SDE", "seed": 2,
         "views": ["Probability-flow ODE, exact score", "Reverse SDE, exact score"],
         "strokes": [], "t": 0.5},
        lambda ask: (ask.process, ask.shape, ask.left, ask.right, ask.seed, ask.t),
        ("vp", "checkerboard", "flow", "reverse", 2, 0.5),
    ),
    "schedule": (
        {"panel": "Schedules", "ticked": ["VP SDE (modern-sde)"], "mended": [], "t": 0.5},
        lambda ask: (ask.ticked, ask.t),
        (("vp",), 0.5),
    ),
}  # fmt: skip


def test_files_of_version_1_open_in_every_view(qtbot, window, tmp_path):
    said = []
    window.show_problem = said.append
    window.session.problem.connect(said.append)

    def shows(name):
        busy = [w.busy for w in window.views[name].findChildren(Latest)]
        # The runs view never ends following its run.
        return window.view_id == name and not window.jobs and (name == "runs" or not any(busy))

    assert set(OLD) <= set(window.views)  # later views have no such files
    for name, (old, seen, expected) in OLD.items():
        path = tmp_path / f"{name}.png"
        text = PngImagePlugin.PngInfo()
        text.add_text("diffviz", json.dumps(old))
        Image.new("L", (4, 4)).save(path, pnginfo=text)
        window.files.open(path)
        qtbot.waitUntil(partial(shows, name), timeout=60_000)
        assert said == [], name
        assert seen(window.views[name].ask()) == expected, name


def test_what_the_window_writes_holds_ids_and_comes_back(qtbot, window, tmp_path):
    """Whole views and the training's drawn curves carry their settings as grids do."""
    said = []
    window.show_problem = said.append
    window.stage.setCurrentWidget(window.views["schedule"])
    before = window.views["schedule"].ask(), window.training.ask()
    names = ("view.png", "view.svg", "curves.png", "curves.svg")
    for name in names:
        getattr(window.files, name.partition(".")[0])(tmp_path / name)
    qtbot.waitUntil(lambda: not window.jobs, timeout=20_000)
    for name in names:
        view = "schedule" if name.startswith("view") else "training"
        expected = stored(view, before[0] if view == "schedule" else before[1])
        assert settings_in(tmp_path / name) == json.loads(json.dumps(expected))
        window.stage.setCurrentWidget(window.trajectories)
        window.files.open(tmp_path / name)
        qtbot.waitUntil(lambda: not window.jobs, timeout=20_000)
        assert window.views[view].ask() == before[view == "training"]
        assert (window.view_id == "schedule") == (view == "schedule")
    assert said == []
