"""A data set of one's own: arrays, or any object with a length whose items are images."""

from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from trainer.data.image_set import ImageSet
from trainer.data.mapped import held
from trainer.events import Reading
from trainer.problems import Problem

NAME = "own"  # as config.json has it; nobody can load it by that


def own(images: Any) -> Generator[Reading, None, ImageSet]:
    """The image set of what a script holds.

    `images` is an ImageSet as it is; or an array of images, or a pair of one and its labels (N,);
    or anything with a length whose items are images or pairs of an image and its label, as torch's
    data sets are. An image is bytes, or floats from 0 to 1, (H, W), (C, H, W) or (H, W, C) with C
    1 or 3: an array, a tensor, or a picture of Pillow's. All are of one size. They are read once,
    into a file that is mapped if there are many; every tenth is held out.
    """
    if isinstance(images, ImageSet):
        return images
    if isinstance(images, tuple) and len(images) == 2 and np.ndim(images[1]) == 1:
        images = list(zip(*images, strict=True))
    count = len(images)
    if count < 3:
        raise Problem(f"A data set of one's own needs at least 3 images, and this one has {count}.")
    order = [*range(0, count, 10), *(k for k in range(count) if k % 10)]
    labels: list[int] = []
    size = _picture(_apart(images[0])[0], 0).shape[:2]

    def pictures() -> Iterator[np.ndarray]:
        for k in order:
            try:
                image, label = _apart(images[k])
            except OSError as error:
                raise Problem(f"Image {k} of the data set cannot be read ({error}).") from error
            labels.append(label)
            picture = _picture(image, k)
            if picture.shape[:2] != size:
                raise Problem(f"Image {k} is {picture.shape[:2]}, others are {size}: resize them.")
            yield picture

    found = yield from held(count, size, pictures())
    test = (count + 9) // 10
    numbers = np.array(labels, np.int64)
    return ImageSet(NAME, found[test:], numbers[test:], found[:test], numbers[:test])


def _apart(item: Any) -> tuple[Any, int]:
    """An item as an image and its label, 0 if it has none."""
    if not isinstance(item, tuple | list):
        return item, 0
    if len(item) == 2 and np.ndim(item[1]) == 0 and 0 <= int(item[1]) < 2**31:
        return item[0], int(item[1])
    raise Problem("An item of a data set is an image, or a pair of an image and a label from 0 on.")


def _picture(image: Any, place: int) -> np.ndarray:
    """An image as bytes, (H, W) or (H, W, 3)."""
    found = np.asarray(image)
    if found.ndim == 3 and found.shape[0] in (1, 3):
        found = found.transpose(1, 2, 0)
    if found.ndim == 3 and found.shape[2] == 1:
        found = found[..., 0]
    if found.ndim not in (2, 3) or (found.ndim == 3 and found.shape[2] != 3):
        raise Problem(
            f"Image {place} has the shape {np.shape(image)}: make it (H, W), (C, H, W) or "
            "(H, W, C) with C 1 or 3."
        )
    if found.dtype == np.uint8:
        return found
    if not (found.dtype.kind == "f" and found.min() >= 0 and found.max() <= 1):
        raise Problem(f"Image {place} must be of bytes, or of floats from 0 to 1.")
    return (255 * found).round().astype(np.uint8)
