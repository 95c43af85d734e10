"""Image sets as uint8 arrays: MNIST from assets/; IDX sets, CIFAR-10, image folders from files."""

import re
from pathlib import Path

from trainer.data.cifar import load_cifar10
from trainer.data.folders import load_image_folder
from trainer.data.idx import IDX_NAME, load_idx_folder, load_mnist
from trainer.data.image_set import ImageSet
from trainer.problems import Problem, file_problems


def load(dataset: str) -> ImageSet:
    """The image set of that name ("mnist"), or in that folder.

    A folder holds IDX files, CIFAR-10's binary files, or images; these are made 32 pixels wide
    and high, or as "folder:64" says.
    """
    if dataset == "mnist":
        return load_mnist()
    folder, side = Path(dataset), 32
    if not folder.is_dir() and (match := re.fullmatch(r"(.+):(\d{1,4})", dataset)):
        folder, side = Path(match[1]), int(match[2])
    if not folder.is_dir():
        raise Problem(
            f"There is no dataset '{dataset}': name mnist, or a folder of IDX files, of "
            "CIFAR-10's binary files, or of images."
        )
    if side < 4:
        raise Problem(f"Images of {side} pixels are too small: take at least 4.")
    with file_problems("read", folder):
        names = [path.name for path in folder.iterdir()]
    if any(IDX_NAME.fullmatch(name) for name in names):
        return load_idx_folder(folder)
    if any(re.fullmatch(r"data_batch_\d(\.bin)?", name) for name in names):
        return load_cifar10(folder)
    return load_image_folder(folder, side)
