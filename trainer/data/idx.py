"""IDX files: MNIST's own, and sets in the same format."""

import gzip
import hashlib
import io
import math
import re
import struct
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from assets import ASSETS
from trainer.data.image_set import ImageSet
from trainer.problems import Problem, file_problems

MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "0b367032e93c5d0cea0925647cfdb18614af8ee15f83e6f2fc2ad904a6835971",  # noqa: E501
    "train-labels-idx1-ubyte.gz": "1787548bbe0bff1ec2ecdc0ef292b02df999e2d1a6002d27500982c652b17203",  # noqa: E501
    "t10k-images-idx3-ubyte.gz": "1a1a05eab793c14bb050b398624a11b0ffd1a2953baed553b1b9bd079e2a20be",
    "t10k-labels-idx1-ubyte.gz": "b91679a0acfe4ba0e50a2437a903084cba1f5f92592b016a25a7dfd00455798b",
}
DEFLATED = 1032  # bytes at most that a zipped byte stands for (zlib.net/zlib_tech.html)
IDX_NAME = re.compile(
    r"(?:.+-)?(?P<part>train|test|t10k)-(?P<kind>images|labels)[-.]idx[13]-ubyte(?:\.gz)?"
)


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
        holds = f"{len(content) - start:,}" if len(content) - start < size else "more"
        raise Problem(
            f"{name} is damaged: its header promises {size:,} bytes of data for "
            f"{' x '.join(map(str, shape))}, it holds {holds}. Fetch it again."
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
            content = _unzipped(content)
        except (OSError, EOFError, zlib.error) as error:
            raise Problem(
                f"{path} is a damaged gzip file ({error}): fetch it again from its source."
            ) from error
    return parse_idx(content, str(path))


def _unzipped(content: bytes) -> bytes:
    """A zipped IDX file, up to a byte more than its header promises: a trap may hold gigabytes."""
    with gzip.open(io.BytesIO(content)) as stream:
        head = stream.read(4)
        head += stream.read(4 * min(head[3], 32) if len(head) == 4 else 0)
        promised = math.prod(struct.unpack(f">{len(head[4:]) // 4}i", head[4 : len(head) // 4 * 4]))
        return head + stream.read(min(abs(promised), DEFLATED * len(content)) + 1)


@lru_cache(maxsize=1)
def load_mnist(folder: Path = ASSETS / "mnist") -> ImageSet:
    """MNIST: 60,000 training and 10,000 test images, (1, 28, 28); each file's SHA-256 checked.

    Read once: every view looks at the same images.
    """
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
    """Any set in IDX files, gzip or plain: Fashion-MNIST, EMNIST, KMNIST…, under their own names.

    The names must tell train from test (or t10k) and images from labels, as
    train-images-idx3-ubyte and emnist-letters-test-labels-idx1-ubyte.gz do. EMNIST stores its
    images transposed: they are set upright. Labels are counted from 0 (EMNIST letters' from 1).
    """
    found: dict[tuple[str, str], list[Path]] = {
        (part, kind): [] for part in ("train", "test") for kind in ("images", "labels")
    }
    for path in sorted(folder.iterdir()):
        if match := IDX_NAME.fullmatch(path.name):
            part = "train" if match["part"] == "train" else "test"
            found[part, match["kind"]].append(path)
    arrays = []
    for (part, kind), paths in found.items():
        # The same file may lie there twice, as it came and unpacked: either will do.
        if not paths:
            raise Problem(f"{folder} has no IDX file of {part} {kind}: put it there.")
        if len({path.name.removesuffix(".gz") for path in paths}) > 1:
            names = ", ".join(path.name for path in paths)
            raise Problem(f"{folder} holds more than one set ({names}): give each its own folder.")
        arrays.append(read_idx(paths[-1]))
    train, train_labels, test, test_labels = arrays
    for images, labels, part in ((train, train_labels, "train"), (test, test_labels, "test")):
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise Problem(
                f"{folder}: the {part} images {images.shape} and labels {labels.shape} do not "
                "belong together. Images must be (N, height, width), labels (N,)."
            )
    if train.shape[1:] != test.shape[1:]:
        raise Problem(
            f"{folder}: training images are {train.shape[1:]}, test images {test.shape[1:]}. "
            "They must be of one size."
        )
    if found["train", "images"][0].name.startswith("emnist"):
        train, test = train.transpose(0, 2, 1), test.transpose(0, 2, 1)
    first = train_labels.min().astype(np.int64)
    return ImageSet(
        folder.name,
        np.ascontiguousarray(train[:, None]),
        train_labels.astype(np.int64) - first,
        np.ascontiguousarray(test[:, None]),
        test_labels.astype(np.int64) - first,
    )


class IDX:
    """IDX files, by their names. They have a size of their own: `side` is not asked."""

    @staticmethod
    def fits(names: list[str]) -> bool:
        return any(IDX_NAME.fullmatch(name) for name in names)

    @staticmethod
    def load(folder: Path, side: int) -> ImageSet:
        return load_idx_folder(folder)
