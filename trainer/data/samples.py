"""Generated images: one sheet of them as a PNG, and reading them back."""

import io
import math
import tokenize
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from trainer.data.pictures import IMAGE_ERRORS, IMAGE_SUFFIXES, in_channels, read_image, size_of
from trainer.problems import Problem, file_problems


def grid_png(images: np.ndarray) -> bytes:
    """uint8 images (N, C, H, W) as one PNG, in rows of about sqrt(N)."""
    count, channels, height, width = images.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = np.zeros((rows * height, columns * width, channels), np.uint8)
    for k, image in enumerate(images):
        y, x = k // columns * height, k % columns * width
        sheet[y : y + height, x : x + width] = image.transpose(1, 2, 0)
    stream = io.BytesIO()
    Image.fromarray(sheet[..., 0] if channels == 1 else sheet[..., :3]).save(stream, "PNG")
    return stream.getvalue()


def load_samples(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """Generated images, uint8 (N, C, H, W) with (C, H, W) = `shape`, from where they were saved.

    A PNG is one sheet of them without gaps, black where it ends (`grid_png`);
    an .npz has them as its one array of bytes, (N, C, H, W) or (N, H, W, C); a folder has an image
    file each.
    """
    channels, height, width = shape
    if path.suffix == ".npz":
        return _samples_from_npz(path, shape)
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        if not files:
            raise Problem(f"{path} holds no images.")
        found = [in_channels(read_image(file, height, width), channels) for file in files]
        return np.stack(found)
    with file_problems("read", path), open(path, "rb"):
        columns, rows = size_of(path)
    if rows % height or columns % width:
        raise Problem(
            f"{path} is {columns} x {rows} pixels: no sheet of images {width} x {height}."
        )
    sheet = in_channels(read_image(path, rows, columns), channels)
    tiles = sheet.reshape(channels, rows // height, height, columns // width, width)
    tiles = tiles.transpose(1, 3, 0, 2, 4).reshape(-1, *shape)
    filled = np.flatnonzero(tiles.reshape(len(tiles), -1).any(1))
    return tiles[: filled[-1] + 1 if len(filled) else 0]


def _samples_from_npz(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    channels, height, width = shape
    try:
        with file_problems("read", path), np.load(path, allow_pickle=False) as arrays:
            found = [one for one in arrays.values() if getattr(one, "dtype", None) == np.uint8]
    except (*IMAGE_ERRORS, zipfile.BadZipFile, tokenize.TokenError) as error:
        raise Problem(f"{path} is not an .npz file of plain arrays ({error}).") from error
    found = [array for array in found if array.ndim == 4]
    if len(found) != 1:
        raise Problem(f"{path} holds {len(found)} arrays of images as bytes; it must hold one.")
    images: np.ndarray = found[0]
    if images.shape[1:] == shape:
        return images
    if images.shape[1:] == (height, width, channels):
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    raise Problem(f"{path} holds images {images.shape[1:]}, not {shape}.")
