"""CIFAR-10's binary files."""

import re
from pathlib import Path

import numpy as np

from trainer.data.image_set import ImageSet
from trainer.problems import Problem, file_problems

CIFAR_RECORD = 1 + 3 * 32 * 32


def read_cifar_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, 32, 32) and labels (N,) of one CIFAR-10 binary file.

    A record is a label byte and 3,072 pixel bytes: red, green, blue, each row by row
    (https://www.cs.toronto.edu/~kriz/cifar.html).
    """
    with file_problems("read", path):
        content = path.read_bytes()
    if not content or len(content) % CIFAR_RECORD:
        raise Problem(
            f"{path} is damaged: {len(content):,} bytes are not whole records of "
            f"{CIFAR_RECORD:,}. Fetch it again."
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, CIFAR_RECORD)
    if records[:, 0].max() > 9:
        raise Problem(f"{path} is damaged: it has labels above 9. Fetch it again.")
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)


def load_cifar10(folder: Path) -> ImageSet:
    """CIFAR-10 from the files of its binary version, data_batch_1.bin … and test_batch.bin."""
    paths = sorted(folder.glob("data_batch_*.bin"))
    if not paths:
        raise Problem(
            f"{folder} holds CIFAR-10 without data_batch_1.bin: its Python version is made of "
            "pickles, which can run any code and are never opened here. Fetch the binary "
            "version, cifar-10-binary.tar.gz."
        )
    images, labels = zip(*(read_cifar_batch(path) for path in paths), strict=True)
    test, test_labels = read_cifar_batch(folder / "test_batch.bin")
    return ImageSet("cifar-10", np.concatenate(images), np.concatenate(labels), test, test_labels)


class CIFAR:
    """CIFAR-10's files, by their names; 32 pixels a side whatever is asked."""

    @staticmethod
    def fits(names: list[str]) -> bool:
        return any(re.fullmatch(r"data_batch_\d(\.bin)?", name) for name in names)

    @staticmethod
    def load(folder: Path, side: int) -> ImageSet:
        return load_cifar10(folder)
