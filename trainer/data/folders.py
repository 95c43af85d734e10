"""Folders of image files; subfolders are classes."""

import hashlib
from pathlib import Path

import numpy as np

from trainer.data.image_set import ImageSet
from trainer.data.pictures import IMAGE_SUFFIXES, in_channels, read_image
from trainer.problems import Problem


def load_image_folder(folder: Path, side: int = 32) -> ImageSet:
    """A folder of image files as squares of `side` pixels; subfolders, if any, are the classes.

    Grey if every image is, else in colour. A tenth of the images, chosen by their names' SHA-256,
    is the test set: the same folder always splits alike. Raises Problem on the first file that
    cannot be read.
    """
    paths = [p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()]
    if len(paths) < 2:
        raise Problem(
            f"{folder} holds neither IDX files, nor CIFAR-10's binary files, nor at least two "
            f"images ({', '.join(sorted(IMAGE_SUFFIXES))})."
        )
    names = {path: path.relative_to(folder).as_posix() for path in paths}
    paths.sort(key=lambda path: hashlib.sha256(names[path].encode()).digest())
    groups = [names[path].rpartition("/")[0].partition("/")[0] for path in paths]
    classes = {group: label for label, group in enumerate(sorted(set(groups)))}
    labels = np.array([classes[group] for group in groups], np.int64)
    pictures = [read_image(path, side) for path in paths]
    channels = 3 if any(picture.ndim == 3 for picture in pictures) else 1
    images = np.stack([in_channels(picture, channels) for picture in pictures])
    held = max(1, len(images) // 10)
    return ImageSet(folder.name, images[held:], labels[held:], images[:held], labels[:held])


class Images:
    """Any other folder: image files in it, or in its subfolders."""

    @staticmethod
    def fits(names: list[str]) -> bool:
        return True

    @staticmethod
    def load(folder: Path, side: int) -> ImageSet:
        return load_image_folder(folder, side)
