"""What leaves the window comes back; what comes from elsewhere does no harm."""

import csv
import errno
import json
import os
import shutil
import stat
import struct
import sys
import zlib
from contextlib import suppress
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from PySide6.QtCore import QSettings
from PySide6.QtGui import QImage, QPainter
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QDialog, QFileDialog, QMessageBox, QWidget

from diffviz.controls.form import stored
from diffviz.export import FORMATS, ExportSettings, Format, Shown, format_of, formats, with_ending
from diffviz.export.files import LARGEST_FILE, settings_in
from diffviz.export.pictures import REST_MS
from diffviz.shell.files import Files
from diffviz.shell.session import Session
from diffviz.views.view import View
from diffviz.widgets.curve import CurvePlot
from diffviz.widgets.mosaic import compose
from trainer.catalogue import Catalogue
from trainer.problems import Problem

SETTINGS = {"panel": "Trajectories", "seed": 3, "σ": [0.5, "é\n  <&>"], "nested": {"a": None}}


def write(path, what="film", **shown):
    """Write that as the format that the path's ending names, as the window does."""
    shown["look"] = ExportSettings(scale=shown.pop("scale", 2), fps=shown.pop("fps", 25))
    path.write_bytes(format_of(path, what).begin(Shown(**shown))())


@pytest.fixture
def frames():
    """Three frames of four images in shades that GIF's palette holds exactly."""
    pixels = np.random.default_rng(0).integers(0, 8, (3, 4, 5, 6)) * 36
    return list(pixels.astype(np.uint8))


@pytest.mark.parametrize("name", ["film.gif", "film.webp"])
def test_films_keep_frames_times_and_settings(tmp_path, frames, name):
    path = tmp_path / name
    write(path, frames=frames, settings=SETTINGS, fps=20)
    assert settings_in(path) == SETTINGS
    with Image.open(path) as film:
        assert film.n_frames == 3
        assert film.info["loop"] == 0
        for index, frame in enumerate(frames):
            film.seek(index)
            film.load()
            assert film.info["duration"] == (REST_MS if index == 2 else 50)
            shown = np.asarray(film.convert("L"))[::2, ::2]
            np.testing.assert_array_equal(shown, compose(frame))


@pytest.mark.parametrize("name", ["film.gif", "film.webp"])
def test_one_frame_is_a_film(tmp_path, frames, name):
    write(tmp_path / name, frames=frames[:1], settings=SETTINGS)
    assert settings_in(tmp_path / name) == SETTINGS


def test_grids_keep_pixels_and_settings(tmp_path, frames):
    path = tmp_path / "grid.png"
    write(path, "grid", frames=frames[:1], settings=SETTINGS, scale=3)
    assert settings_in(path) == SETTINGS
    np.testing.assert_array_equal(np.asarray(Image.open(path))[1::3, 1::3], compose(frames[0]))


def stand_in(folder, body: str) -> None:
    """An executable `ffmpeg` that runs that Python."""
    program = folder / "ffmpeg"
    program.write_text(f"#!{sys.executable}\nimport sys\n{body}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script with a #! line")
def test_mp4_gives_ffmpeg_every_pixel(tmp_path, frames, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Problem, match="ffmpeg, which is not installed"):
        write(tmp_path / "film.mp4", frames=frames, settings=SETTINGS)
    stand_in(tmp_path, "open(sys.argv[-1], 'wb').write(sys.stdin.buffer.read())")
    write(tmp_path / "film.mp4", frames=frames, settings=SETTINGS, scale=1, fps=10)
    rest = REST_MS * 10 // 1000
    sheets = [compose(frame) for frame in [*frames, *frames[-1:] * rest]]
    received = np.frombuffer((tmp_path / "film.mp4").read_bytes(), np.uint8)
    expected = np.repeat(np.stack(sheets)[..., None], 3, axis=3)
    np.testing.assert_array_equal(received.reshape(expected.shape), expected)
    stand_in(tmp_path, "sys.exit('Unknown encoder')")
    with pytest.raises(Problem, match="Unknown encoder"):
        write(tmp_path / "other.mp4", frames=frames, settings=SETTINGS)
    assert not (tmp_path / "other.mp4").exists()


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_mp4_is_one(tmp_path, frames):
    write(tmp_path / "film.mp4", frames=frames, settings=SETTINGS, scale=3)
    assert (tmp_path / "film.mp4").read_bytes()[4:8] == b"ftyp"


def test_a_side_that_a_format_cannot_have_is_refused_before_it_is_computed(monkeypatch):
    monkeypatch.setattr(Image.Image, "resize", None)
    for name, width in (("webp", 1024), ("gif", 4096)):
        one, images = FORMATS[name], np.zeros((1, 28, width), np.uint8)
        with pytest.raises(Problem, match=f"{one.most:,} pixels a side.*{16 * width:,} × 448"):
            one.begin(Shown(look=ExportSettings(scale=16), frames=[images]))
        one.begin(Shown(look=ExportSettings(scale=15), frames=[images]))


@pytest.mark.parametrize(
    ("name", "kind", "becomes"),
    [
        ("view", "svg", "view.svg"), ("view.", "svg", "view.svg"), ("view.SVG", "svg", "view.SVG"),
        ("v.pdf", "png", None), ("v.svg", "png", None), ("run 0.5", "png", None),
    ],
)  # fmt: skip
def test_the_ending_follows_the_chosen_kind(tmp_path, name, kind, becomes):
    if becomes is None:
        with pytest.raises(Problem, match=r"does not end in \.png, but PNG was chosen"):
            with_ending(tmp_path / name, FORMATS[kind])
    else:
        assert with_ending(tmp_path / name, FORMATS[kind]) == tmp_path / becomes


def test_curves_share_rows_by_x(tmp_path):
    curves = {
        "loss": np.array([[1, 0.5], [2, 0.25], [2, 0.125]]),
        "bits_per_dim": np.array([[2, 3.5], [1000000, 1.25]]),
        "none": np.empty((0, 2)),
    }
    write(tmp_path / "a.csv", "curves", curves=curves, x="step")
    assert (tmp_path / "a.csv").read_text().splitlines() == [
        "step,loss,bits_per_dim,none", "1,0.5,,", "2,0.125,3.5,", "1000000,,1.25,",
    ]  # fmt: skip
    write(tmp_path / "b.csv", "view", curves={"alpha": np.array([[0.25, 0.75]])}, x="t")
    assert (tmp_path / "b.csv").read_text() == "t,alpha\n0.25,0.75\n"


def test_names_with_commas_and_quotes_are_one_column(tmp_path):
    names = ["DDIM, FID over NFE", 'a "b"', "c\nd"]
    write(tmp_path / "a.csv", "view", curves={name: np.ones((1, 2)) for name in names})
    with open(tmp_path / "a.csv", newline="") as stream:
        assert list(csv.reader(stream)) == [["x", *names], ["1", "1", "1", "1"]]


def test_a_plot_is_drawn_in_lines_not_pixels(qtbot, tmp_path):
    plot = CurvePlot("Loss", "loss", "step", "plot")
    qtbot.addWidget(plot)
    plot.resize(400, 300)
    plot.show()
    plot.set_points(np.arange(50), np.linspace(1, 0, 50))
    write(tmp_path / "a.svg", "curves", widget=plot, settings=SETTINGS)
    drawing = (tmp_path / "a.svg").read_bytes()
    assert drawing.count(b"<polyline") > 2
    assert b">step<" in drawing.replace(b"\n", b"").replace(b" ", b"")
    renderer = QSvgRenderer(drawing)
    picture = QImage(400, 300, QImage.Format.Format_RGB32)
    picture.fill(0)
    painter = QPainter(picture)
    renderer.render(painter)
    painter.end()
    shown = plot.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    pixels = [
        np.frombuffer(image.constBits(), np.uint8).reshape(300, 400, 4)[..., :3].astype(float)
        for image in (picture, shown)
    ]
    assert np.abs(pixels[0] - pixels[1]).mean() < 6  # the same but for the edges of lines
    write(tmp_path / "a.png", "curves", widget=plot, settings=SETTINGS)
    grabbed = QImage(str(tmp_path / "a.png")).convertToFormat(QImage.Format.Format_RGB32)
    assert grabbed == shown
    for name in ("a.svg", "a.png"):
        assert settings_in(tmp_path / name) == SETTINGS


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
def stand(qtbot, tmp_path, frames):
    window = Stand(tmp_path, frames)
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
    assert offered == ["Pictures (*.png *.svg *.gif *.webp)"]


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


def png(*texts: tuple[str, str], size: tuple[int, int] = (2, 2), zipped: bool = False) -> bytes:
    """A PNG, written by hand, that holds those texts."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0))
    for key, text in texts:
        if zipped:
            content += chunk(b"zTXt", key.encode() + b"\0\0" + zlib.compress(text.encode()))
        else:
            content += chunk(b"tEXt", key.encode() + b"\0" + text.encode())
    return content + chunk(b"IDAT", zlib.compress(b"\0\0\0" * 2)) + chunk(b"IEND", b"")


def gif(side: int) -> bytes:
    """A GIF that says that it is so large."""
    frame = b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x4c\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(6) + frame + b";"


GOOD = png(("diffviz", "{}"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a PNG, SVG, GIF or WebP"),
        (b"hello", "not a PNG, SVG, GIF or WebP"),
        (GOOD[:30], "not a PNG, SVG, GIF or WebP"),
        (GOOD.replace(b"IHDR", b"IHDX"), "not a PNG, SVG, GIF or WebP"),
        (png(), "holds no DiffViz settings"),
        (png(("other", "{}")), "holds no DiffViz settings"),
        (png(("diffviz", "[1]")), "holds no DiffViz settings"),
        (png(("diffviz", "null")), "holds no DiffViz settings"),
        (png(("diffviz", "{")), "not JSON"),
        (png(("diffviz", "[" * 100_000)), "not JSON"),
        (png(("diffviz", '{"a": ' + "9" * 5000 + "}")), "not JSON"),
        (png(("diffviz", '"' + "a" * 2**21 + '"')), "too long"),
        (png(("diffviz", " " * 2**24), zipped=True), "not a PNG, SVG, GIF or WebP"),
        (gif(60_000), "too large"),
        (b"<svg><desc>diffviz:{</desc></svg>", "not JSON"),
        (b"<svg><desc>other</desc></svg>", "holds no DiffViz settings"),
        (b"<svg>" + b"<desc>diffviz:" * 100_000, "holds no DiffViz settings"),
        (b" " * 5000 + b"<svg><desc>diffviz:{}</desc></svg>", "not a PNG, SVG, GIF or WebP"),
        (b"<svg><desc>diffviz:" + b"1" * 2**21 + b"</desc></svg>", "too long"),
    ],
)
def test_hostile_pictures_give_a_sentence(tmp_path, content, said):
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(Problem, match=said):
        settings_in(path)


def test_a_large_grid_comes_back(tmp_path):
    """1,024 images at 16 pixels a pixel: only the header is read, so that size costs nothing."""
    path = tmp_path / "grid.png"
    path.write_bytes(png(("diffviz", '{"a": 1}'), size=(14_848, 14_848)))
    assert settings_in(path) == {"a": 1}


def test_pictures_that_cannot_be_read_give_a_sentence(tmp_path):
    with pytest.raises(Problem, match="no such file"):
        settings_in(tmp_path / "nowhere.png")
    with pytest.raises(Problem, match="Could not read"):
        settings_in(tmp_path)
    huge = tmp_path / "huge.png"
    with open(huge, "wb") as stream:
        stream.truncate(LARGEST_FILE + 1)
    with pytest.raises(Problem, match="too large"):
        settings_in(huge)


def test_other_programs_comments_are_no_settings(tmp_path):
    image = Image.new("L", (4, 4))
    image.save(tmp_path / "a.gif", comment=json.dumps(SETTINGS).encode())
    image.save(tmp_path / "a.webp")
    text = PngImagePlugin.PngInfo()
    text.add_itxt("diffviz", json.dumps(SETTINGS))
    image.save(tmp_path / "a.png", pnginfo=text)
    for name in ("a.gif", "a.webp"):
        with pytest.raises(Problem, match="holds no DiffViz settings"):
            settings_in(tmp_path / name)
    assert settings_in(tmp_path / "a.png") == SETTINGS


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_damage_is_a_problem_or_harmless(tmp_path, frames, data):
    name = data.draw(st.sampled_from(["film.gif", "film.webp", "grid.png"]))
    path = tmp_path / name
    if name == "grid.png":
        write(path, "grid", frames=frames[:1], settings=SETTINGS)
    else:
        write(path, frames=frames[:2], settings=SETTINGS)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content) - 1, 200)))] = data.draw(
            st.integers(0, 255)
        )
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with suppress(Problem):
        assert isinstance(settings_in(path), dict)


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
        works = window.views[name].works
        return window.view_id == name and not window.jobs and not any(w.busy for w in works)

    assert set(OLD) == set(window.views) - {"training"}
    for name, (old, seen, expected) in OLD.items():
        path = tmp_path / f"{name}.png"
        path.write_bytes(png(("diffviz", json.dumps(old))))
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
