"""Image sets as one uint8 array: MNIST from assets/, any other IDX set from its files."""

import gzip
import hashlib
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assets import ASSETS
from trainer.problems import Problem, file_problems

MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "0b367032e93c5d0cea0925647cfdb18614af8ee15f83e6f2fc2ad904a6835971",  # noqa: E501
    "train-labels-idx1-ubyte.gz": "1787548bbe0bff1ec2ecdc0ef292b02df999e2d1a6002d27500982c652b17203",  # noqa: E501
    "t10k-images-idx3-ubyte.gz": "1a1a05eab793c14bb050b398624a11b0ffd1a2953baed553b1b9bd079e2a20be",
    "t10k-labels-idx1-ubyte.gz": "b91679a0acfe4ba0e50a2437a903084cba1f5f92592b016a25a7dfd00455798b",
}


@dataclass(frozen=True)
class ImageSet:
    """Training and test images, uint8 (N, C, H, W), and their labels, int64 (N,)."""

    name: str
    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return self.train.shape[1:]

    @property
    def classes(self) -> int:
        return int(self.train_labels.max()) + 1


def parse_idx(content: bytes, name: str) -> np.ndarray:
    """An IDX file's uint8 array: 2 zero bytes, type 8, the number of axes, each axis' length.

    http://yann.lecun.com/exdb/mnist/. `name` is only for the Problem, raised when the header is
    not IDX's or the data is shorter or longer than the header says.
    """
    if len(content) < 4 or content[:3] != b"\x00\x00\x08" or content[3] > 32:
        raise Problem(f"{name} is not an IDX file of bytes: fetch it again from its source.")
    axes = content[3]
    start = 4 + 4 * axes
    if axes == 0 or len(content) < start:
        raise Problem(f"{name} is cut off inside its header: fetch it again from its source.")
    shape = np.frombuffer(content[4:start], dtype=">i4").astype(int)
    size = math.prod(shape.tolist())  # np.prod would wrap around
    if (shape <= 0).any() or len(content) - start != size:
        raise Problem(
            f"{name} is damaged: its header promises {size:,} bytes of data for "
            f"{' x '.join(map(str, shape))}, it holds {len(content) - start:,}. Fetch it again."
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def read_idx(path: Path, sha256: str | None = None) -> np.ndarray:
    """The array in an IDX file, gzip or plain; with `sha256`, only if the file's bytes match."""
    with file_problems("read", path):
        content = path.read_bytes()
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise Problem(
            f"{path} is damaged: its SHA-256 is not that of the original file. "
            "Put the original back (reinstall DiffViz, or check the repository out again)."
        )
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise Problem(
                f"{path} is a damaged gzip file ({error}): fetch it again from its source."
            ) from error
    return parse_idx(content, str(path))


def load_mnist(folder: Path = ASSETS / "mnist") -> ImageSet:
    """MNIST: 60,000 training and 10,000 test images, (1, 28, 28); each file's SHA-256 checked."""
    files = [read_idx(folder / name, sha256) for name, sha256 in MNIST_SHA256.items()]
    train, train_labels, test, test_labels = files
    return ImageSet(
        "mnist",
        train[:, None],
        train_labels.astype(np.int64),
        test[:, None],
        test_labels.astype(np.int64),
    )


def load_idx_folder(folder: Path) -> ImageSet:
    """Any set under MNIST's four file names (Fashion-MNIST, EMNIST digits…), gzip or plain."""
    arrays = []
    for name in MNIST_SHA256:
        path = folder / name
        arrays.append(read_idx(path if path.exists() else path.with_suffix("")))
    train, train_labels, test, test_labels = arrays
    for images, labels, part in ((train, train_labels, "train"), (test, test_labels, "t10k")):
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise Problem(
                f"{folder}: the {part} images {images.shape} and labels {labels.shape} do not "
                "belong together. Images must be (N, height, width), labels (N,)."
            )
    return ImageSet(
        folder.name,
        train[:, None],
        train_labels.astype(np.int64),
        test[:, None],
        test_labels.astype(np.int64),
    )


def load(dataset: str) -> ImageSet:
    """The image set of that name ("mnist"), or the IDX files in that folder."""
    if dataset == "mnist":
        return load_mnist()
    folder = Path(dataset)
    if not folder.is_dir():
        raise Problem(
            f"There is no dataset '{dataset}': name mnist, or a folder with the four IDX files."
        )
    return load_idx_folder(folder)
