"""What leaves the window: pictures and films with their settings inside, drawings, numbers.

All of it runs on workers, except `svg`, which draws a widget and so belongs to the window's thread.
"""

import io
import json
import shutil
import struct
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin
from PySide6.QtCore import QBuffer, QIODevice, QRect
from PySide6.QtGui import QImage
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QWidget

from diffviz.widgets.late import LatePlot
from diffviz.widgets.mosaic import compose
from trainer.problems import Problem, file_problems, write_file

SETTINGS_KEY = "diffviz"
MARK = f"{SETTINGS_KEY}:"  # before the settings where a format has one place for any comment
DESCRIPTION = 0x010E  # Exif's ImageDescription
LARGEST_FILE = 256 * 2**20
LARGEST_SETTINGS = 2**20
REST_MS = 1500  # how long a film stays on its last frame
# What Pillow is known to raise on damaged files, besides OSError.
DAMAGE = (ValueError, SyntaxError, EOFError, struct.error, OverflowError, IndexError, KeyError)


def enlarged(images: np.ndarray, scale: int) -> Image.Image:
    """The images' grid as a picture, each pixel drawn `scale` times as large."""
    sheet = Image.fromarray(compose(images))
    return sheet.resize((sheet.width * scale, sheet.height * scale), Image.Resampling.NEAREST)


def grid_png(path: Path, images: np.ndarray, settings: dict[str, Any], scale: int = 2) -> None:
    """Write images (N, H, W[, 3]) uint8 as one PNG; `settings` travel inside as PNG text."""
    text = PngImagePlugin.PngInfo()
    text.add_text(SETTINGS_KEY, json.dumps(settings))
    stream = io.BytesIO()
    enlarged(images, scale).save(stream, "PNG", pnginfo=text)
    write_file(path, stream.getvalue())


def settings_in(path: Path) -> dict[str, Any]:
    """The settings inside a PNG, GIF or WebP that was exported here.

    The file may come from anybody: it is a Problem, and nothing else, if it is damaged or huge, or
    if it holds no settings. What the settings say is for their reader to check.
    """
    none = f"{path} holds no DiffViz settings: only grids and films exported here do."
    with file_problems("read", path):
        if path.stat().st_size > LARGEST_FILE:
            raise Problem(f"{path} is too large to be a picture exported here.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                # Only the header is read: the pixels are never decoded.
                with Image.open(path, formats=("PNG", "GIF", "WEBP")) as image:
                    text = _embedded(image)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise Problem(f"{path} is too large to be a picture exported here.") from error
        except (Image.UnidentifiedImageError, *DAMAGE) as error:
            raise Problem(f"{path} is not a PNG, GIF or WebP that can be read.") from error
    if text is None:
        raise Problem(none)
    if len(text) > LARGEST_SETTINGS:
        raise Problem(f"{path} holds settings that are too long to come from DiffViz.")
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Problem(f"The settings in {path} are damaged: they are not JSON.") from error
    if not isinstance(settings, dict):
        raise Problem(none)
    return settings


def _embedded(image: Image.Image) -> str | None:
    """The text that an exported picture carries for `settings_in`."""
    match image.format:
        case "PNG":
            found = image.info.get(SETTINGS_KEY)
            return found if isinstance(found, str) else None
        case "GIF":
            found = image.info.get("comment", b"")
            found = found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)
        case _:
            found = str(image.getexif().get(DESCRIPTION, ""))
    return found.removeprefix(MARK) if found.startswith(MARK) else None


def animation(
    path: Path,
    frames: list[np.ndarray],
    settings: dict[str, Any],
    scale: int = 2,
    fps: int = 25,
) -> None:
    """Write frames, each images (N, H, W[, 3]) uint8, as the film that the path's ending names.

    .gif and .webp loop, rest on the last frame and carry `settings`; .mp4 needs ffmpeg.
    """
    if not frames:
        raise Problem("There is no animation yet: sample first.")
    if path.suffix not in FILMS:
        raise Problem(f"A film can be {', '.join(FILMS)}, not '{path.suffix}'.")
    sheets = [enlarged(frame, scale) for frame in frames]
    write_file(path, FILMS[path.suffix](sheets, MARK + json.dumps(settings), fps))


def _gif(sheets: list[Image.Image], text: str, fps: int) -> bytes:
    return _loop(sheets, "GIF", fps, comment=text.encode())


def _webp(sheets: list[Image.Image], text: str, fps: int) -> bytes:
    exif = Image.Exif()
    exif[DESCRIPTION] = text
    return _loop(sheets, "WEBP", fps, lossless=True, exif=exif.tobytes())


def _loop(sheets: list[Image.Image], kind: str, fps: int, **options: Any) -> bytes:
    durations = [1000 // fps] * (len(sheets) - 1) + [REST_MS]
    stream = io.BytesIO()
    sheets[0].save(
        stream,
        kind,
        save_all=True,
        append_images=sheets[1:],
        duration=durations if len(sheets) > 1 else REST_MS,
        loop=0,
        **options,
    )
    return stream.getvalue()


def _mp4(sheets: list[Image.Image], text: str, fps: int) -> bytes:
    program = shutil.which("ffmpeg")
    if program is None:
        raise Problem("An MP4 needs ffmpeg, which is not installed. Export a GIF or WebP instead.")
    width, height = sheets[0].size
    pixels = [sheet.convert("RGB").tobytes() for sheet in sheets]
    pixels += pixels[-1:] * (REST_MS * fps // 1000)
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.mp4"
        command = [program, "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
        command += ["-s", f"{width}x{height}", "-r", str(fps), "-i", "-"]
        # Players want 4:2:0 colour, and that wants even sides.
        command += ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p", "-q:v", "2"]
        command += ["-metadata", f"comment={text}", "-movflags", "+faststart", str(film)]
        done = subprocess.run(command, input=b"".join(pixels), capture_output=True, check=False)
        if done.returncode or not film.exists():
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise Problem(f"ffmpeg could not make the MP4: {said[-1] if said else 'no reason'}.")
        return film.read_bytes()


FILMS: dict[str, Callable[[list[Image.Image], str, int], bytes]] = {
    ".gif": _gif,
    ".webp": _webp,
    ".mp4": _mp4,
}


def pictures(drawn: dict[Path, QImage | bytes]) -> None:
    """Write each picture under its path: a QImage as PNG, what `svg` drew as it is."""
    for path, picture in drawn.items():
        if isinstance(picture, QImage):
            buffer = QBuffer()
            buffer.open(QIODevice.OpenModeFlag.WriteOnly)
            # The stubs want bytes, which PySide itself refuses.
            picture.save(buffer, "PNG")
            picture = bytes(buffer.data().data())
        write_file(path, picture)


def svg(widget: QWidget) -> bytes:
    """What the widget shows, as a drawing that can be enlarged. Call it on the window's thread."""
    plots = [widget] if isinstance(widget, LatePlot) else widget.findChildren(LatePlot)
    for plot in plots:
        assert plot.plot is not None  # made now, if nobody has looked yet
    widget.grab()  # lays out and fits what was never painted
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    generator = QSvgGenerator()
    generator.setOutputDevice(buffer)
    generator.setSize(widget.size())
    generator.setViewBox(QRect(0, 0, widget.width(), widget.height()))
    generator.setTitle(widget.accessibleName())
    widget.render(generator)
    return bytes(buffer.data().data())


def curves_csv(path: Path, curves: dict[str, np.ndarray], x: str = "step") -> None:
    """Write curves, each (n, 2) of x and y, as one CSV: a row an x, a column a curve.

    A cell is empty where a curve has no point at that x; of two points there, the last counts.
    """
    rows: dict[float, list[str]] = {}
    for column, points in enumerate(curves.values()):
        for at, value in points:
            rows.setdefault(float(at), [""] * len(curves))[column] = f"{value:.6g}"
    lines = [",".join([x, *curves])]
    lines += [",".join([f"{at:.10g}", *cells]) for at, cells in sorted(rows.items())]
    write_file(path, ("\n".join(lines) + "\n").encode())
