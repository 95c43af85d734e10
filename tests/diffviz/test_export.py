"""What leaves the window comes back; what comes from elsewhere does no harm."""

import csv
import json
import os
import shutil
import stat
import struct
import sys
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from PySide6.QtGui import QImage, QPainter
from PySide6.QtSvg import QSvgRenderer

from diffviz.export import FORMATS, ExportSettings, Shown, format_of, with_ending
from diffviz.export.files import DESCRIPTION, LARGEST_FILE, settings_in
from diffviz.export.pictures import REST_MS
from diffviz.widgets.curve import CurvePlot
from diffviz.widgets.mosaic import compose
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
    assert settings_in(tmp_path / "film.mp4") == SETTINGS
    odd = {**SETTINGS, "words": 'a=b; #c\\d "e" é', "long": "x" * 200_000}
    write(tmp_path / "odd.mp4", frames=frames, settings=odd)
    assert settings_in(tmp_path / "odd.mp4") == odd


def box(kind: bytes, inside: bytes) -> bytes:
    return (8 + len(inside)).to_bytes(4, "big") + kind + inside


def test_an_mp4s_settings_are_its_comment_wherever_that_is(tmp_path):
    text = Shown(look=ExportSettings(), settings=SETTINGS).comment
    item = box(b"data", (1).to_bytes(4, "big") + bytes(4) + text.encode())
    comment = box(
        b"moov", box(b"udta", box(b"meta", bytes(4) + box(b"ilst", box(b"\xa9cmt", item))))
    )
    start, film = box(b"ftyp", b"isom"), box(b"mdat", bytes(100))
    long = (1).to_bytes(4, "big") + b"mdat" + (116).to_bytes(8, "big") + bytes(100)
    path = tmp_path / "film.mp4"
    for order in ((start, comment, film), (start, film, comment), (start, long, comment)):
        path.write_bytes(b"".join(order))
        assert settings_in(path) == SETTINGS
    path.write_bytes(start + film)
    with pytest.raises(Problem, match="holds no DiffViz settings"):
        settings_in(path)
    for cut in range(len(start), len(start) + len(comment), 7):
        path.write_bytes((start + comment)[:cut])
        with pytest.raises(Problem):
            settings_in(path)


def test_a_side_that_a_format_cannot_have_is_refused_before_it_is_computed(monkeypatch):
    monkeypatch.setattr(Image.Image, "resize", None)
    for name, width in (("webp", 1024), ("gif", 4096)):
        one, images = FORMATS[name], np.zeros((1, 28, width), np.uint8)
        with pytest.raises(Problem, match=f"{one.most:,} pixels a side.*{16 * width:,} × 448"):
            one.begin(Shown(look=ExportSettings(scale=16), frames=[images]))
        one.begin(Shown(look=ExportSettings(scale=15), frames=[images]))


def test_what_memory_could_not_hold_is_refused_before_it_is_computed(monkeypatch):
    monkeypatch.setattr(Image.Image, "resize", None)
    frames = [np.zeros((1, 1000, 1000), np.uint8)] * 9
    with pytest.raises(Problem, match="more than memory should hold"):
        FORMATS["gif"].begin(Shown(look=ExportSettings(scale=16), frames=frames))
    FORMATS["gif"].begin(Shown(look=ExportSettings(scale=16), frames=frames[:8]))
    coloured = [np.zeros((1, 1000, 1000, 3), np.uint8)] * 3
    with pytest.raises(Problem, match="more than memory should hold"):
        FORMATS["png"].begin(Shown(look=ExportSettings(scale=16), frames=coloured))


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


def webp(side: int, chunks: bytes) -> bytes:
    """A WebP that says that it is so large, without a picture."""
    size = (side - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<II", 10, 8) + size + size + chunks
    return b"RIFF" + struct.pack("<I", len(body)) + body


def exif(description: str) -> bytes:
    found = Image.Exif()
    found[DESCRIPTION] = description
    content = found.tobytes()
    return b"EXIF" + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


GOOD = png(("diffviz", "{}"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a PNG, SVG, GIF, WebP or MP4"),
        (b"hello", "not a PNG, SVG, GIF, WebP or MP4"),
        (GOOD[:30], "not a PNG, SVG, GIF, WebP or MP4"),
        (GOOD.replace(b"IHDR", b"IHDX"), "not a PNG, SVG, GIF, WebP or MP4"),
        (png(), "holds no DiffViz settings"),
        (png(("other", "{}")), "holds no DiffViz settings"),
        (png(("diffviz", "[1]")), "holds no DiffViz settings"),
        (png(("diffviz", "null")), "holds no DiffViz settings"),
        (png(("diffviz", "{")), "not JSON"),
        (png(("diffviz", "[" * 100_000)), "not JSON"),
        (png(("diffviz", '{"a": ' + "9" * 5000 + "}")), "not JSON"),
        (png(("diffviz", '"' + "a" * 2**21 + '"')), "too long"),
        (png(("diffviz", " " * 2**24), zipped=True), "not a PNG, SVG, GIF, WebP or MP4"),
        (gif(60_000), "too large"),
        (webp(16_384, b""), "holds no DiffViz settings"),  # its canvas is made by nobody
        (webp(16_384, exif("diffviz:{")), "not JSON"),
        (webp(16_384, exif("other")), "holds no DiffViz settings"),
        (webp(8, b"EXIF" + b"\xff" * 4), "holds no DiffViz settings"),
        (webp(8, b"EXIF\x09\0\0\0Exif\0\0abc"), "not a PNG, SVG, GIF, WebP or MP4"),
        (webp(8, b"junk" + b"\xff" * 4), "holds no DiffViz settings"),
        (b"<svg><desc>diffviz:{</desc></svg>", "not JSON"),
        (b"<svg><desc>other</desc></svg>", "holds no DiffViz settings"),
        (b"<svg>" + b"<desc>diffviz:" * 100_000, "holds no DiffViz settings"),
        (b" " * 5000 + b"<svg><desc>diffviz:{}</desc></svg>", "not a PNG, SVG, GIF, WebP or MP4"),
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
