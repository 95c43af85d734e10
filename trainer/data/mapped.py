"""Images of a folder as one array: of many, in a file that is made once and mapped into memory.

The file is an .npy in the user's cache folder, named after the place and the content that it was
made of (names, sizes, times of change): other content makes another file, and the old one goes. All
ranks and programs share its pages, which the system reads and drops as it needs to.
"""

import contextlib
import io
import mmap
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock, Timeout

from trainer.data.pictures import in_channels
from trainer.events import Reading
from trainer.problems import cache_folders, file_problems

LARGE = 2**24  # bytes of one channel: fewer are read anew each time, in seconds
EVERY = 64  # images between two events
WAIT = 0.2  # seconds between two looks whether another program has made the file

Pictures = Callable[[], Iterator[np.ndarray]]
Made = Generator[Reading, None, np.ndarray]


def stacked(place: str, content: str, count: int, side: int, pictures: Pictures) -> Made:
    """`count` pictures (side, side) or (side, side, 3) as one array, uint8 (count, C, side, side).

    C is 1 if all are grey, else 3. `place` and `content` are digests, of where the pictures lie and
    of what is there. Small sets are read into memory; large ones too, where there is no folder to
    keep them in.
    """
    if count * side**2 >= LARGE:
        for folder in cache_folders():
            path = folder / "images" / f"{place}-{content}.npy"
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
            if os.access(path.parent, os.W_OK | os.X_OK):
                return (yield from _kept(path, place, count, side, pictures))
    stream = io.BytesIO()
    yield from _write(stream, count, side, pictures())
    stream.seek(0)
    found: np.ndarray = np.load(stream, allow_pickle=False)
    return found


def _kept(path: Path, place: str, count: int, side: int, pictures: Pictures) -> Made:
    """The array in that file, which is made if it is not there, or damaged, by one program only."""
    lock = FileLock(path.with_name(f"{place}.lock"), timeout=WAIT, thread_local=False)
    while (found := _mapped(path, count, side)) is None:
        try:
            lock.acquire()
        except Timeout:
            yield Reading(0, count)
            continue
        try:
            if _mapped(path, count, side) is None:  # nobody made it meanwhile
                with file_problems("write", path):
                    yield from _make(path, place, count, side, pictures)
        finally:
            lock.release()
    return found


def _mapped(path: Path, count: int, side: int) -> np.ndarray | None:
    try:
        found: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    shapes = [(count, channels, side, side) for channels in (1, 3)]
    return found if found.dtype == np.uint8 and found.shape in shapes else None


def _make(
    path: Path, place: str, count: int, side: int, pictures: Pictures
) -> Generator[Reading, None, None]:
    temporary = path.with_name(f".{path.name}.tmp")
    for left in [*path.parent.glob(f"{place}-*"), *path.parent.glob(f".{place}-*")]:
        with contextlib.suppress(OSError):  # some systems keep what is mapped
            left.unlink()
    try:
        with open(temporary, "w+b") as stream:
            yield from _write(stream, count, side, pictures())
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _write(
    stream: BinaryIO, count: int, side: int, pictures: Iterator[np.ndarray]
) -> Generator[Reading, None, None]:
    """An .npy of the pictures: grey until the first one in colour, which all before it then get."""
    channels, start = 1, _head(stream, (count, 1, side, side))
    for done, picture in enumerate(pictures):
        if done % EVERY == 0:
            yield Reading(done, count)
        if picture.ndim == 3 and channels == 1:
            for k in reversed(range(done)):
                stream.seek(start + k * side**2)
                grey = stream.read(side**2)
                stream.seek(start + 3 * k * side**2)
                stream.write(3 * grey)
            stream.seek(start + 3 * done * side**2)
            channels = 3
        stream.write(in_channels(picture, channels).tobytes())
    stream.seek(0)
    _head(stream, (count, channels, side, side))
    yield Reading(count, count)


def _head(stream: BinaryIO, shape: tuple[int, ...]) -> int:
    """Write the .npy's header, as long whatever the channels; where the images begin."""
    facts = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, facts)
    return stream.tell()


def let_go(images: np.ndarray) -> None:
    """Give mapped pages back: they stay in the system's cache, and count to nobody's memory."""
    held = getattr(images, "_mmap", None)
    if held is not None and hasattr(mmap, "MADV_DONTNEED"):
        held.madvise(mmap.MADV_DONTNEED)
