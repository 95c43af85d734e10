"""Many images as one array: in a file that is made once and mapped into memory.

A folder's file is an .npy in the user's cache folder, named after the place and the content that it
was made of (names, sizes, times of change): other content makes another file, and the old one goes.
All ranks and programs share its pages, which the system reads and drops as it needs to.
"""

import contextlib
import io
import math
import mmap
import os
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import IO

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
    of what is there. Few are read into memory, and where there is no folder to keep them in, many
    into a file for this program alone.
    """
    if count * side**2 >= LARGE:
        for folder in cache_folders():
            path = folder / "images" / f"{place}-{content}.npy"
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
            if os.access(path.parent, os.W_OK | os.X_OK):
                return (yield from _kept(path, place, count, side, pictures))
    return (yield from held(count, (side, side), pictures()))


def held(count: int, size: tuple[int, int], pictures: Iterator[np.ndarray]) -> Made:
    """`count` pictures of that height and width as one array, for this program alone.

    Of many, in a file without a name that goes when nobody looks at the array any more.
    """
    few = count * size[0] * size[1] < LARGE
    folder = next((one for one in cache_folders() if os.access(one, os.W_OK | os.X_OK)), None)
    with (
        file_problems("write images to", folder or Path(tempfile.gettempdir())),
        io.BytesIO() if few else tempfile.TemporaryFile(dir=folder) as stream,
    ):
        shape = yield from _write(stream, count, size, pictures)
        stream.seek(0)
        if few:
            found: np.ndarray = np.load(stream, allow_pickle=False)
            return found
        start = _head(io.BytesIO(), shape)
        return np.memmap(stream, np.uint8, "r", start, shape)


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
    """The array in that file; None unless its header and length are as they were made."""
    for channels in (1, 3):
        shape = (count, channels, side, side)
        head = io.BytesIO()
        start = _head(head, shape)
        with contextlib.suppress(OSError), open(path, "rb") as stream:
            whole = os.fstat(stream.fileno()).st_size == start + math.prod(shape)
            if whole and stream.read(start) == head.getvalue():
                return np.memmap(stream, np.uint8, "r", start, shape)
    return None


def _make(
    path: Path, place: str, count: int, side: int, pictures: Pictures
) -> Generator[Reading, None, None]:
    temporary = path.with_name(f".{path.name}.tmp")
    for left in [*path.parent.glob(f"{place}-*"), *path.parent.glob(f".{place}-*")]:
        with contextlib.suppress(OSError):  # some systems keep what is mapped
            left.unlink()
    try:
        with open(temporary, "w+b") as stream:
            yield from _write(stream, count, (side, side), pictures())
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _write(
    stream: IO[bytes], count: int, size: tuple[int, int], pictures: Iterator[np.ndarray]
) -> Generator[Reading, None, tuple[int, ...]]:
    """An .npy of the pictures: grey until the first one in colour, which all before it then get.

    Gives its shape.
    """
    channels, start, plane = 1, _head(stream, (count, 1, *size)), size[0] * size[1]
    for done, picture in enumerate(pictures):
        if done % EVERY == 0:
            yield Reading(done, count)
        if picture.ndim == 3 and channels == 1:
            for k in reversed(range(done)):
                stream.seek(start + k * plane)
                grey = stream.read(plane)
                stream.seek(start + 3 * k * plane)
                stream.write(3 * grey)
            stream.seek(start + 3 * done * plane)
            channels = 3
        stream.write(in_channels(picture, channels).tobytes())
    stream.seek(0)
    _head(stream, (count, channels, *size))
    yield Reading(count, count)
    return count, channels, *size


def _head(stream: IO[bytes], shape: tuple[int, ...]) -> int:
    """Write the .npy's header, as long whatever the channels; where the images begin."""
    facts = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, facts)
    return stream.tell()


def let_go(images: np.ndarray) -> None:
    """Give mapped pages back: they stay in the system's cache, and count to nobody's memory."""
    held = getattr(images, "_mmap", None)
    if held is not None and hasattr(mmap, "MADV_DONTNEED"):
        held.madvise(mmap.MADV_DONTNEED)
