"""Image sets as uint8 arrays: MNIST from assets/; IDX sets, CIFAR-10, image folders from files."""

import re
from pathlib import Path

from trainer.catalogue import DATASETS
from trainer.data.idx import load_mnist
from trainer.data.image_set import ImageSet
from trainer.problems import Problem, file_problems

__all__ = ["ImageSet", "load", "load_mnist"]


def load(dataset: str) -> ImageSet:
    """The image set of that name ("mnist"), or in that folder.

    The first format of trainer.catalogue.DATASETS that fits the names in the folder reads it: IDX
    files, CIFAR-10's binary files, or images; these are made 32 pixels wide and high, or as
    "folder:64" says.
    """
    if dataset == "mnist":
        return load_mnist()
    folder, side = Path(dataset), 32
    if not dataset.strip():
        raise Problem("The dataset's name is empty: name mnist, or a folder.")
    if not folder.is_dir() and (match := re.fullmatch(r"(.+):(\d{1,4})", dataset)):
        folder, side = Path(match[1]), int(match[2])
    if not folder.is_dir():
        formats = ", of ".join(entry.title for name, entry in DATASETS.items() if name != "mnist")
        raise Problem(f"There is no dataset '{dataset}': name mnist, or a folder of {formats}.")
    if side < 4:
        raise Problem(f"Images of {side} pixels are too small: take at least 4.")
    with file_problems("read", folder):
        names = [path.name for path in folder.iterdir()]
    for name, entry in DATASETS.items():
        if name != "mnist" and (form := entry.find()).fits(names):
            found: ImageSet = form.load(folder, side)
            return found
    raise Problem(f"{folder} holds nothing that can be read.")
