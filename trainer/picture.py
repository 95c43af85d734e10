"""A picture that an ask names, as text: a number, a file, or the pixels themselves.

`4` or `test:4` is test image 4, `train:4` training image 4; what begins with data:image/png is the
picture itself (a data URL, RFC 2397), so that the same pixels come back anywhere; anything else is
an image file's path. Importing this needs no torch.
"""

import base64
import binascii
import io
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import numpy as np

from trainer.problems import Problem

if TYPE_CHECKING:
    from trainer.data import ImageSet

HELD = "data:image/png"
MOST_SIDE = 192  # pixels that are kept of a larger file: no model here draws larger ones
FIELD, BOX, MIDDLE = 28, 20, 14.5  # MNIST's, in pixels; see `ink`
REACH, SOFT = 1.4, 1.2  # the brush's radius at half its blackness, and how wide its edge is


def numbered(asked: str) -> tuple[str, int] | None:
    """The part of the data, "train" or "test", and the number in it; None for other pictures."""
    part, _, number = asked.strip().rpartition(":")
    if not number.isdecimal() or part not in ("", "train", "test"):
        return None
    return part or "test", int(number)


def held(picture: np.ndarray, name: str) -> str:
    """A picture, uint8 (H, W) or (H, W, 3 or 4), as text that an ask keeps; `name` is for people.

    Larger ones are made smaller, to MOST_SIDE.
    """
    from PIL import Image

    from trainer.data.pictures import in_bytes

    image = in_bytes(Image.fromarray(picture), Path(name))
    image.thumbnail((MOST_SIDE, MOST_SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    letters = base64.b64encode(stream.getvalue()).decode()
    return f"{HELD};name={quote(name, safe='')};base64,{letters}"


def held_file(path: Path) -> str:
    """An image file as such a text; a Problem where it cannot be read as one."""
    from trainer.data.pictures import in_bytes, opened

    return held(np.asarray(in_bytes(opened(path), path)), path.name)


def name_of(asked: str) -> str:
    """What people read for it: a number, a path, or the name that was kept with the pixels."""
    if not asked.startswith(HELD):
        return asked
    names = [part for part in asked.partition(",")[0].split(";") if part.startswith("name=")]
    return unquote(names[0].removeprefix("name=")) if names else "picture"


def png_of(asked: str) -> bytes:
    """The PNG within a text that holds one; a Problem where it is damaged, or larger than any that
    `held` makes."""
    head, _, letters = asked.partition(",")
    try:
        if not head.endswith(";base64"):
            raise ValueError("not base64")
        found = base64.b64decode(letters, validate=True)
        width, height = struct.unpack(">II", found[16:24].rjust(8, b"\0"))  # of its header, IHDR
        if found.startswith(b"\x89PNG") and max(width, height) > MOST_SIDE:
            raise ValueError("too large")
        return found
    except (binascii.Error, ValueError) as error:
        raise Problem("The picture in the settings is damaged: choose it anew.") from error


def pixels(asked: str, shape: tuple[int, int, int], data: "Callable[[], ImageSet]") -> np.ndarray:
    """The picture that `asked` names as a model of images (C, H, W) = `shape` sees it, uint8.

    It is made to cover that size and cropped at the centre, and grey for one channel, as
    trainer.data reads a folder's. `data` gives the images that numbers count. Raises Problem.
    """
    from trainer.data.pictures import Source, in_channels, read_image

    channels, height, width = shape
    if found := numbered(asked):
        part, number = found
        images = data().train if part == "train" else data().test
        if number >= len(images):
            raise Problem(
                f"There is no {'test' if part == 'test' else 'training'} image {number}: they are "
                f"numbered from 0 to {len(images) - 1}."
            )
        return np.ascontiguousarray(images[number])
    if asked.startswith(HELD):
        source: Source = io.BytesIO(png_of(asked))
    elif asked.strip():
        source = Path(asked)
    else:
        raise Problem("No picture is named: take a test image's number, or a file.")
    return in_channels(read_image(source, height, width), channels)


def _blackness(strokes: Sequence[np.ndarray]) -> np.ndarray:
    """A soft round brush led along lines, each (n, 2) of x and y in pixels: (FIELD, FIELD), 0…1."""
    y, x = np.mgrid[:FIELD, :FIELD].reshape(2, -1) + 0.5
    nearest = np.full(FIELD * FIELD, np.inf)
    for line in strokes:
        start, way = line[:-1], np.diff(line, axis=0)
        if len(line) == 1:
            start, way = line, np.zeros((1, 2))
        off = np.stack([x, y], 1)[:, None] - start  # (pixels, pieces, 2)
        along = (off * way).sum(2) / np.maximum((way**2).sum(1), 1e-12)
        off -= along.clip(0, 1)[..., None] * way
        nearest = np.minimum(nearest, np.sqrt((off**2).sum(2)).min(1))
    found: np.ndarray = ((REACH - nearest) / SOFT + 0.5).clip(0, 1)
    return found.reshape(FIELD, FIELD)


def ink(strokes: Sequence[np.ndarray]) -> np.ndarray:
    """Strokes, each (n, 2) of x and y in any unit, as MNIST's digits are made: uint8 (28, 28).

    White on black; the longer side fills a box of 20 pixels, and the centre of mass lies in the
    middle of the field (LeCun et al. 1998), which in MNIST's files is pixel 14's. The brush is of
    one width there, however large somebody wrote.
    """
    if not strokes:
        return np.zeros((FIELD, FIELD), np.uint8)
    whole = np.concatenate(strokes)
    low, span = whole.min(0), np.ptp(whole, axis=0)
    longest = BOX - 2 * REACH - SOFT  # the brush reaches beyond the line
    scale = longest / span.max() if span.max() > 0 else 1.0
    lines = [(line - low - span / 2) * scale + MIDDLE for line in strokes]
    for _ in range(2):
        black = _blackness(lines)
        at = np.arange(FIELD) + 0.5
        middle = np.array([black.sum(0) @ at, black.sum(1) @ at]) / black.sum()
        lines = [line + MIDDLE - middle for line in lines]
    found: np.ndarray = (255 * _blackness(lines)).round().astype(np.uint8)
    return found
