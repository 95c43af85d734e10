"""Image sets as uint8 arrays: MNIST from assets/; IDX sets, CIFAR-10, image folders from files."""

import os
import re
from collections.abc import Generator
from pathlib import Path

from trainer.catalogue import DATASETS
from trainer.data.idx import load_mnist
from trainer.data.image_set import ImageSet
from trainer.events import Reading, outcome
from trainer.problems import Problem, at_home, file_problems

__all__ = ["ImageSet", "load", "load_mnist", "reading", "resolved"]


def _place(dataset: str) -> tuple[Path, str]:
    """The folder that a name means, and the side of its images as it was written, or ""."""
    if not os.path.isdir(dataset):
        dataset = at_home(dataset.strip())
    match = None if os.path.isdir(dataset) else re.fullmatch(r"(.+):([0-9]{1,4})", dataset)
    return (Path(match[1]), match[2]) if match else (Path(dataset), "")


def resolved(dataset: str) -> str:
    """The same name as another working folder finds it; what is no folder here stays as it is."""
    folder, side = _place(dataset)
    if dataset == "mnist" or not dataset.strip() or not os.path.isdir(folder):
        return dataset
    return f"{os.path.abspath(folder)}{':' if side else ''}{side}"


def load(dataset: str) -> ImageSet:
    """What `reading` comes to, without a word on the way."""
    return outcome(reading(dataset))


def reading(dataset: str) -> Generator[Reading, None, ImageSet]:
    """The image set of that name ("mnist"), or in that folder; events tell how far it is.

    The first format of trainer.catalogue.DATASETS that fits the names in the folder reads it: IDX
    files, CIFAR-10's binary files, or images; these are made 32 pixels wide and high, or as
    "folder:64" says. A format's `load(folder, side)` gives an ImageSet, or a generator that comes
    to one, as this is.
    """
    if dataset == "mnist":
        return load_mnist()
    if not dataset.strip():
        raise Problem("The dataset's name is empty: name mnist, or a folder.")
    folder, written = _place(dataset)
    side = int(written or 32)
    if not os.path.isdir(folder):
        formats = ", of ".join(entry.title for name, entry in DATASETS.items() if name != "mnist")
        raise Problem(f"There is no dataset '{dataset}': name mnist, or a folder of {formats}.")
    if side < 4:
        raise Problem(f"Images of {side} pixels are too small: take at least 4.")
    with file_problems("read", folder):
        names = [path.name for path in folder.iterdir()]
    for name, entry in DATASETS.items():
        if name != "mnist" and (form := entry.find()).fits(names):
            found = form.load(folder, side)
            whole: ImageSet = found if isinstance(found, ImageSet) else (yield from found)
            return whole
    raise Problem(f"{folder} holds nothing that can be read.")
