"""One image file as bytes of grey or colour."""

import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from trainer.problems import Problem

# Formats that Pillow knows of and cannot decode by itself.
_STUBS = {"BUFR", "EMF", "EPS", "FITS", "GRIB", "HDF5", "MPEG", "WMF"}
Image.init()
IMAGE_SUFFIXES = {
    suffix
    for suffix, form in Image.registered_extensions().items()
    if form in Image.OPEN and form not in _STUBS
}
WHITES = (1, 255, 1023, 4095, 16_383, 65_535, 2**24 - 1, 2**32 - 1)  # what white is, by bit depth
IMAGE_ERRORS = (
    OSError,
    SyntaxError,  # what Pillow's PNG reader raises
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def opened(path: Path) -> Image.Image:
    """The image in that file, set upright as the camera says; a Problem if it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return ImageOps.exif_transpose(image)
    except IMAGE_ERRORS as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> Problem:
    name = os.fsencode(path).decode("utf-8", "replace")
    return Problem(f"{name} is not an image that can be read ({error}): mend it or take it away.")


def white_of(image: Image.Image) -> float:
    """What white is in an image of more than 8 bits, judged by its values; 255 in any other."""
    if not _deep(image):
        return 255
    values = np.asarray(image, np.float64)
    most = float(values.max(initial=0))
    if image.mode == "F" and most <= 1:
        return 1
    return next((white for white in WHITES[1:] if most <= white), most)


def _deep(image: Image.Image) -> bool:
    return image.mode.startswith(("I", "F"))


def read_image(
    path: Path, height: int, width: int | None = None, white: float | None = None
) -> np.ndarray:
    """An image file as uint8 (height, width) or (height, width, 3), square unless `width` is given.

    It is set upright as the camera says, resized to cover that size, and cropped at the centre;
    grey where all its channels are alike, whatever the file calls it. Of more than 8 bits, or of
    floats, `white` is 255, by default judged by its own values (`white_of`); floats from -1 to 1
    are taken as such. What is transparent becomes white.
    """
    image = opened(path)
    try:
        if _deep(image):
            values = np.asarray(image, np.float64)
            if not np.isfinite(values).all():
                raise Problem(f"{path} holds values that are not finite: mend it or take it away.")
            low, white = float(values.min()), white or white_of(image)
            grey = (values + 1) / 2 if low < 0 and white <= 1 else values.clip(0, white) / white
            image = Image.fromarray((255 * grey.clip(0, 1)).round().astype(np.uint8))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            paper = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(paper, image)
        if image.mode not in ("1", "L"):
            image = image.convert("RGB")
            red, green, blue = np.asarray(image).transpose(2, 0, 1)
            if np.array_equal(red, green) and np.array_equal(red, blue):
                image = image.getchannel(0)
        else:
            image = image.convert("L")
        size = (width or height, height)
        return np.asarray(ImageOps.fit(image, size, Image.Resampling.LANCZOS))
    except IMAGE_ERRORS as error:
        raise _unreadable(path, error) from error


def in_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """A picture (H, W) or (H, W, 3) as (C, H, W) of that many channels, 1 or 3."""
    if channels == 1:
        grey = np.asarray(Image.fromarray(picture).convert("L"))
        return grey[None]
    coloured = np.asarray(Image.fromarray(picture).convert("RGB"))
    return coloured.transpose(2, 0, 1)
