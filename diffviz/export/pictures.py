"""Grids and films as pixels, with their settings inside."""

import io
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin
from PySide6.QtCore import QBuffer, QIODevice
from PySide6.QtGui import QImage

from diffviz.export import SETTINGS_KEY, Shown
from diffviz.export.files import DESCRIPTION
from diffviz.widgets.mosaic import compose
from trainer.problems import Problem

REST_MS = 1500  # how long a film stays on its last frame


def enlarged(images: np.ndarray, scale: int) -> Image.Image:
    """The images' grid as a picture, each pixel drawn `scale` times as large."""
    sheet = Image.fromarray(compose(images))
    return sheet.resize((sheet.width * scale, sheet.height * scale), Image.Resampling.NEAREST)


def png(shown: Shown) -> Callable[[], bytes]:
    """A grid, or what a widget shows; the settings are a text of the PNG."""
    if shown.widget is None:
        return partial(_grid, shown)
    from diffviz.export.drawings import settle

    image = settle(shown.widget).toImage()
    if shown.settings:
        image.setText(SETTINGS_KEY, shown.text)
    return partial(_grabbed, image)


def _grid(shown: Shown) -> bytes:
    text = PngImagePlugin.PngInfo()
    if shown.settings:
        text.add_text(SETTINGS_KEY, shown.text)
    stream = io.BytesIO()
    enlarged(shown.frames[0], shown.look.scale).save(stream, "PNG", pnginfo=text)
    return stream.getvalue()


def _grabbed(image: QImage) -> bytes:
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    # The stubs want bytes, which PySide itself refuses.
    image.save(buffer, "PNG")
    return bytes(buffer.data().data())


def gif(shown: Shown) -> Callable[[], bytes]:
    """A film that loops, rests on its last frame, and has the settings as its comment."""
    return partial(_loop, shown, "GIF", comment=shown.comment.encode())


def webp(shown: Shown) -> Callable[[], bytes]:
    """The same with every colour; the settings are Exif's description."""
    exif = Image.Exif()
    exif[DESCRIPTION] = shown.comment
    return partial(_loop, shown, "WEBP", lossless=True, exif=exif.tobytes())


def _loop(shown: Shown, kind: str, **options: Any) -> bytes:
    first, *rest = [enlarged(frame, shown.look.scale) for frame in shown.frames]
    durations = [1000 // shown.look.fps] * len(rest) + [REST_MS]
    stream = io.BytesIO()
    first.save(
        stream, kind, save_all=True, append_images=rest, loop=0,
        duration=durations if rest else REST_MS, **options,
    )  # fmt: skip
    return stream.getvalue()


def mp4(shown: Shown) -> Callable[[], bytes]:
    """A film that rests on its last frame, by ffmpeg; a Problem where there is none."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise Problem("An MP4 needs ffmpeg, which is not installed. Export a GIF or WebP instead.")
    return partial(_mp4, shown, program)


def _mp4(shown: Shown, program: str) -> bytes:
    sheets = [enlarged(frame, shown.look.scale) for frame in shown.frames]
    (width, height), fps = sheets[0].size, shown.look.fps
    pixels = [sheet.convert("RGB").tobytes() for sheet in sheets]
    pixels += pixels[-1:] * (REST_MS * fps // 1000)
    with tempfile.TemporaryDirectory() as folder:
        film, said_of_it = Path(folder) / "film.mp4", Path(folder) / "comment.txt"
        # In a file, since settings with a picture may be longer than an argument.
        comment = re.sub(r"([=;#\\\n])", r"\\\1", shown.comment)
        said_of_it.write_text(f";FFMETADATA1\ncomment={comment}\n", "utf-8")
        command = [program, "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
        command += ["-s", f"{width}x{height}", "-r", str(fps), "-i", "-"]
        command += ["-f", "ffmetadata", "-i", str(said_of_it), "-map_metadata", "1"]
        # Players want 4:2:0 colour, and that wants even sides.
        command += ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p", "-q:v", "2"]
        command += ["-movflags", "+faststart", str(film)]
        done = subprocess.run(command, input=b"".join(pixels), capture_output=True, check=False)
        if done.returncode or not film.exists():
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise Problem(f"ffmpeg could not make the MP4: {said[-1] if said else 'no reason'}.")
        return film.read_bytes()
