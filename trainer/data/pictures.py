"""One image file as bytes of grey or colour."""

import io
import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from trainer.problems import Problem

# Formats that Pillow knows of and cannot decode by itself.
_STUBS = {"BUFR", "EMF", "EPS", "FITS", "GRIB", "HDF5", "MPEG", "WMF"}
Image.init()
IMAGE_SUFFIXES = {
    suffix
    for suffix, form in Image.registered_extensions().items()
    if form in Image.OPEN and form not in _STUBS
}
Levels = dict[str, tuple[float, float]]
# What white is, by bit depth.
WHITES = (255, 1023, 4095, 16_383, 65_535, 2**24 - 1, 2**31 - 1, 2**32 - 1)
SMALL = 16  # floats below it are of no scale of bits
# What a picture may take, in bytes: so much whatever its file, which 2048 x 2048 in colour do, and
# so much for each byte of it: a PNG of a single colour takes 1,376, photographs some tens.
FREE, EACH = 2**24, 1400
DEPTH = {"1": 1, "L": 1, "I": 8, "F": 8}  # bytes that a pixel takes, by its mode: 4 by others
# What Pillow raises on damaged files: a chunk that is cut short may be asked for any of its bytes.
IMAGE_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, LookupError,
    ArithmeticError, TypeError, AttributeError, RuntimeError, Image.DecompressionBombError,
    Image.DecompressionBombWarning,
    MemoryError,  # a damaged length is asked for at once
)  # fmt: skip


Source = Path | io.BytesIO  # a file, or what would be in one


def opened(path: Source) -> Image.Image:
    """The image in that file, set upright as the camera says; a Problem if it cannot be read, or
    claims to be far larger than a file of its size is."""
    try:
        with _begun(path) as image:
            return ImageOps.exif_transpose(image)
    except IMAGE_ERRORS as error:
        raise _unreadable(path, error) from error


def size_of(path: Source) -> tuple[int, int]:
    """Width and height as the image's header tells them; raises Problem as `opened` does."""
    try:
        with _begun(path) as image:
            return image.size
    except IMAGE_ERRORS as error:
        raise _unreadable(path, error) from error


def is_deep(path: Path) -> bool:
    """Whether the header tells of more than 8 bits, so that levels have to be judged."""
    try:
        with _begun(path) as image:
            return image.mode[0] in "IF"
    except IMAGE_ERRORS:
        return True  # `opened` says what is wrong


@contextmanager
def _begun(path: Source) -> Iterator[Image.Image]:
    """The image in that file, of which no pixel is decoded; its claims are judged before."""
    if isinstance(path, Path) and path.exists() and not path.is_file():
        raise ValueError("it is no file")  # a pipe would be waited for
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with open(path, "rb") if isinstance(path, Path) else nullcontext(path) as stream:
            length = stream.seek(0, os.SEEK_END)
            for size in _inner(stream):
                _judge(size, "RGBA", length)
            stream.seek(0)
            with Image.open(stream) as image:
                _judge(image.size, image.mode, length)
                yield image


def _judge(size: tuple[int, int], mode: str, length: int) -> None:
    """A ValueError where so many pixels in a file of that length are no picture, but a trap."""
    width, height = size
    if width * height * DEPTH.get(mode.partition(";")[0], 4) > max(FREE, EACH * length):
        raise ValueError(
            f"it claims {width:,} x {height:,} pixels, and has {length:,} bytes: too few for them"
        )


def _inner(stream: BinaryIO) -> Iterator[tuple[int, int]]:
    """The sizes that Pillow makes room for while it opens a file: a WebP's canvas, icons' PNGs.

    https://developers.google.com/speed/webp/docs/riff_container
    """
    stream.seek(0)
    head = stream.read(30).ljust(30, b"\0")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        if head[12:16] == b"VP8X":
            yield 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:], "little")
        elif head[12:16] == b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            yield 1 + bits % 2**14, 1 + bits // 2**14 % 2**14
        else:
            width, height = struct.unpack("<HH", head[26:])
            yield width % 2**14, height % 2**14
    elif head[:4] in (b"\0\0\1\0", b"icns"):
        whole = head + stream.read()
        for found in re.finditer(rb"\x89PNG\r\n\x1a\n....IHDR(.{4})(.{4})", whole, re.DOTALL):
            yield int.from_bytes(found[1], "big"), int.from_bytes(found[2], "big")


def _unreadable(path: Source, error: Exception) -> Problem:
    name = "The picture"
    if isinstance(path, Path):
        name = os.fsencode(path).decode("utf-8", "replace")
    why = str(error) or "it asks for more memory than there is"
    if isinstance(error, UnidentifiedImageError):
        why = "it is of no kind that is known here, or damaged at its beginning"
    return Problem(f"{name} is not an image that can be read ({why}): mend it or take it away.")


def levels_of(images: Iterable[Image.Image]) -> Levels:
    """Black and white of the images of more than 8 bits, judged over all of a kind: "I" whole
    numbers, "F" floats.

    White is what the bits allow, of floats below SMALL the largest, at least 1. Black is 0; where
    there is less, it is -1 for floats from -1 to 1, and the least value for any others.
    """
    found: Levels = {}
    for image in images:
        kind = image.mode[0]
        if kind in "IF":
            values = np.asarray(image, np.float64)
            low, most = found.get(kind, (0.0, 0.0))
            found[kind] = float(values.min(initial=low)), float(values.max(initial=most))
    for kind, (low, most) in found.items():
        white = next((white for white in WHITES if most <= white), most)
        if kind == "F" and most < SMALL:
            white = max(1.0, most)
        if low < 0:
            low, white = (-1.0, 1.0) if kind == "F" and low >= -1 and most <= 1 else (low, most)
        found[kind] = low, white
    return found


def read_image(
    path: Source, height: int, width: int | None = None, levels: Levels | None = None
) -> np.ndarray:
    """An image file as uint8 (height, width) or (height, width, 3), square unless `width` is given.

    It is set upright as the camera says, resized to cover that size, and cropped at the centre;
    grey where all its channels are alike, whatever the file calls it. Of more than 8 bits, or of
    floats, `levels` are black and white, by default its own (`levels_of`). What is transparent
    becomes white.
    """
    image = in_bytes(opened(path), path, levels)
    size = (width or height, height)
    return np.asarray(ImageOps.fit(image, size, Image.Resampling.LANCZOS))


def in_bytes(image: Image.Image, path: Source, levels: Levels | None = None) -> Image.Image:
    """What was read of `path` in bytes of grey (mode L) or colour (RGB), as `read_image` says."""
    try:
        if image.mode[0] in "IF":
            values = np.asarray(image, np.float64)
            if not np.isfinite(values).all():
                raise Problem(f"{path} holds values that are not finite: mend it or take it away.")
            black, white = (levels_of([image]) if levels is None else levels)[image.mode[0]]
            values -= black
            values /= max(white - black, 1e-300)
            values.clip(0, 1, out=values)
            values *= 255
            image = Image.fromarray(values.round().astype(np.uint8))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            paper = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(paper, image)
        if image.mode in ("1", "L"):
            return image.convert("L")
        image = image.convert("RGB")
        red, green, blue = np.asarray(image).transpose(2, 0, 1)
        alike = np.array_equal(red, green) and np.array_equal(red, blue)
        return image.getchannel(0) if alike else image
    except IMAGE_ERRORS as error:
        raise _unreadable(path, error) from error


def in_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """A picture (H, W) or (H, W, 3) as (C, H, W) of that many channels, 1 or 3."""
    if channels == 1:
        grey = np.asarray(Image.fromarray(picture).convert("L"))
        return grey[None]
    coloured = np.asarray(Image.fromarray(picture).convert("RGB"))
    return coloured.transpose(2, 0, 1)
