"""What leaves the window: PNG with its settings inside, GIF, CSV. Runs on workers."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin
from PySide6.QtCore import QBuffer, QIODevice
from PySide6.QtGui import QImage

from diffviz.widgets.mosaic import compose
from trainer.problems import Problem, file_problems, write_file

SETTINGS_KEY = "diffviz"


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
    """The settings that `grid_png` put into that PNG."""
    with file_problems("read", path):
        try:
            with Image.open(path) as image:
                text = getattr(image, "text", {}).get(SETTINGS_KEY)
        except Image.UnidentifiedImageError as error:
            raise Problem(f"{path} is not a picture that can be read.") from error
    if text is None:
        raise Problem(f"{path} holds no DiffViz settings: only grids exported here do.")
    return json.loads(text)


def animation_gif(path: Path, frames: list[np.ndarray], scale: int = 2, fps: int = 25) -> None:
    """Write frames, each images (N, H, W[, 3]) uint8, as a looping GIF; the last frame rests."""
    if not frames:
        raise Problem("There is no animation yet: sample first.")
    sheets = [enlarged(frame, scale) for frame in frames]
    durations = [1000 // fps] * (len(sheets) - 1) + [1500]
    stream = io.BytesIO()
    sheets[0].save(
        stream, "GIF", save_all=True, append_images=sheets[1:], duration=durations, loop=0
    )
    write_file(path, stream.getvalue())


def pictures_png(pictures: dict[Path, QImage]) -> None:
    """Write each picture as a PNG under its path."""
    for path, picture in pictures.items():
        buffer = QBuffer()
        buffer.open(QIODevice.OpenModeFlag.WriteOnly)
        picture.save(buffer, b"PNG")
        write_file(path, bytes(buffer.data().data()))


def curves_csv(path: Path, losses: np.ndarray, bounds: np.ndarray) -> None:
    """Write steps with loss, and steps with bits/dim; both arrays (n, 2), as one CSV by step."""
    rows: dict[int, list[str]] = {}
    for column, points in enumerate((losses, bounds)):
        for step, value in points:
            rows.setdefault(int(step), ["", ""])[column] = f"{value:.6g}"
    lines = ["step,loss,bits_per_dim"]
    lines += [f"{step},{loss},{bpd}" for step, (loss, bpd) in sorted(rows.items())]
    write_file(path, ("\n".join(lines) + "\n").encode())
