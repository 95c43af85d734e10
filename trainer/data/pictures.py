"""One image file as bytes of grey or colour."""

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from trainer.problems import Problem

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
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


def read_image(path: Path, height: int, width: int | None = None) -> np.ndarray:
    """An image file as uint8 (height, width) or (height, width, 3), square unless `width` is given.

    It is set upright as the camera says, resized to cover that size, and cropped at the centre.
    16-bit grey keeps its upper 8 bits; what is transparent becomes white.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                image: Image.Image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I"):
            high = np.asarray(image).astype(np.int64) >> 8
            image = Image.fromarray(high.clip(0, 255).astype(np.uint8))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            paper = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(paper, image)
        image = image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
        size = (width or height, height)
        return np.asarray(ImageOps.fit(image, size, Image.Resampling.LANCZOS))
    except IMAGE_ERRORS as error:
        raise Problem(
            f"{path} is not an image that can be read ({error}): mend it or take it away."
        ) from error


def in_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """A picture (H, W) or (H, W, 3) as (C, H, W) of that many channels, 1 or 3."""
    if channels == 1:
        grey = np.asarray(Image.fromarray(picture).convert("L"))
        return grey[None]
    coloured = np.asarray(Image.fromarray(picture).convert("RGB"))
    return coloured.transpose(2, 0, 1)
