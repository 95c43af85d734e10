"""The settings inside files that were exported here, from whoever they come."""

import html
import json
import re
import struct
import warnings
import zlib
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile

from diffviz.export import MARK, SETTINGS_KEY, formats
from trainer.problems import Problem, file_problems

DESCRIPTION = 0x010E  # Exif's ImageDescription
LARGEST_FILE = 256 * 2**20
LARGEST_SETTINGS = 2**20
HEAD = 8 * LARGEST_SETTINGS  # where a drawing's description is looked for: a quote takes 6 letters
# What Pillow raises on damaged files, besides OSError.
DAMAGE = (
    ValueError, SyntaxError, EOFError, struct.error, zlib.error, LookupError, ArithmeticError,
    TypeError, AttributeError, RuntimeError, MemoryError,
)  # fmt: skip


def settings_in(path: Path) -> dict[str, Any]:
    """The settings inside a file that was exported here.

    The file may come from anybody: it is a Problem, and nothing else, if it is damaged or huge, or
    if it holds no settings. What the settings say is for their reader to check.
    """
    carrying = [one for one in formats() if one.carries]
    titles = [one.title for one in carrying]
    with file_problems("read", path):
        if path.stat().st_size > LARGEST_FILE:
            raise Problem(f"{path} is too large to be a picture exported here.")
        for place in dict.fromkeys(one.carries for one in carrying):
            module, _, name = place.partition(":")
            try:
                text = getattr(import_module(module), name)(path)
                break
            except DAMAGE:
                continue
        else:
            known = f"{', '.join(titles[:-1])} or {titles[-1]}"
            raise Problem(f"{path} is not a {known} that can be read.")
    return _read(text, path)


def _read(text: str | None, path: Path) -> dict[str, Any]:
    none = Problem(f"{path} holds no DiffViz settings: only what was exported here does.")
    if text is None:
        raise none
    if len(text) > LARGEST_SETTINGS:
        raise Problem(f"{path} holds settings that are too long to come from DiffViz.")
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Problem(f"The settings in {path} are damaged: they are not JSON.") from error
    if not isinstance(settings, dict):
        raise none
    return settings


def in_picture(path: Path) -> str | None:
    """The settings' text in a PNG, GIF or WebP; only the header is read, no pixel is decoded."""
    try:
        # A PNG's header costs nothing, so that a grid larger than Pillow likes can come back too.
        with PngImageFile(path) as image:
            found = image.info.get(SETTINGS_KEY)
            return found if isinstance(found, str) else None
    except SyntaxError:
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=("GIF",)) as image:
                comment = image.info.get("comment", b"")
                return _marked(comment.decode("utf-8", "replace"))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Problem(f"{path} is too large to be a picture exported here.") from error
    except UnidentifiedImageError:  # an OSError, but the disk is well
        return _in_webp(path)


def _in_webp(path: Path) -> str | None:
    """The settings' text in a WebP's Exif. Pillow would make room for the canvas it claims."""
    with open(path, "rb") as stream:
        head = stream.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WEBP":
            raise ValueError("This is no picture that is known here.")
        size, at = stream.seek(0, 2), 12
        while at + 8 <= size:  # chunks: four letters, their length, what they hold, even
            stream.seek(at)
            kind, length = struct.unpack("<4sI", stream.read(8))
            if kind == b"EXIF":
                found = Image.Exif()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # what is damaged is passed over
                    found.load(stream.read(min(length, HEAD)))
                return _marked(str(found.get(DESCRIPTION, "")))
            at += 8 + length + length % 2
    return None


def in_drawing(path: Path) -> str | None:
    """The settings' text in an SVG's description. It is searched for: no XML is parsed."""
    with open(path, "rb") as stream:
        head = stream.read(HEAD)
    if b"<svg" not in head[:4096]:
        raise ValueError("This is not an SVG.")
    found = re.search(rb"<desc[^<>]{0,200}>\s{0,200}([^<]*)</desc>", head)
    return _marked(html.unescape(found[1].decode("utf-8", "replace"))) if found else None


def in_film(path: Path) -> str | None:
    """The settings' text in an MP4's comment; the film itself is not read."""
    with open(path, "rb") as stream:
        if stream.read(8)[4:] != b"ftyp":
            raise ValueError("This is not an MP4.")
        size = stream.seek(0, 2)
        at, head = 0, b""
        while at + 8 <= size:  # boxes: their length, four letters, what they hold
            stream.seek(at)
            length, kind = struct.unpack(">I4s", stream.read(8))
            if kind == b"moov":
                head = stream.read(min(length - 8, HEAD))
                break
            if length == 1:  # a longer one
                (length,) = struct.unpack(">Q", stream.read(8))
            at += max(length, 8) if length else size
    place = head.find(MARK.encode())
    if place < 16 or head[place - 12 : place - 8] != b"data":
        return None
    end = place - 16 + int.from_bytes(head[place - 16 : place - 12], "big")
    return _marked(head[place:end].decode("utf-8", "replace"))


def _marked(text: str) -> str | None:
    return text.removeprefix(MARK) if text.startswith(MARK) else None
