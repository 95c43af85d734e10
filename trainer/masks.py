"""Masks for inpainting: which part of an image is to be forgotten."""

import numpy as np

from trainer.problems import Problem

MASKS = ("left", "right", "top", "bottom", "centre")


def forgotten(name: str, height: int, width: int) -> np.ndarray:
    """The mask of that name in MASKS, bool (height, width): true where the image is forgotten.

    A half, or the rectangle in the centre of half the height and half the width. What
    `trainer.samplers.Known` takes is its inverse: true where the image is known.
    """
    if name not in MASKS:
        raise Problem(f"There is no mask '{name}'. Choose one of: {', '.join(MASKS)}.")
    mask = np.zeros((height, width), bool)
    up, left = height // 2, width // 2
    rows, columns = {
        "left": (slice(None), slice(0, left)),
        "right": (slice(None), slice(left, None)),
        "top": (slice(0, up), slice(None)),
        "bottom": (slice(up, None), slice(None)),
        "centre": (slice(up - up // 2, up + up // 2), slice(left - left // 2, left + left // 2)),
    }[name]
    mask[rows, columns] = True
    return mask
