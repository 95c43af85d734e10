"""Image sets as uint8 arrays: MNIST from assets/; IDX sets, CIFAR-10, image folders from files."""

import gzip
import hashlib
import math
import re
import struct
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from assets import ASSETS
from trainer.problems import Problem, file_problems

MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "0b367032e93c5d0cea0925647cfdb18614af8ee15f83e6f2fc2ad904a6835971",  # noqa: E501
    "train-labels-idx1-ubyte.gz": "1787548bbe0bff1ec2ecdc0ef292b02df999e2d1a6002d27500982c652b17203",  # noqa: E501
    "t10k-images-idx3-ubyte.gz": "1a1a05eab793c14bb050b398624a11b0ffd1a2953baed553b1b9bd079e2a20be",
    "t10k-labels-idx1-ubyte.gz": "b91679a0acfe4ba0e50a2437a903084cba1f5f92592b016a25a7dfd00455798b",
}

IDX_NAME = re.compile(
    r"(?:.+-)?(?P<part>train|test|t10k)-(?P<kind>images|labels)[-.]idx[13]-ubyte(?:\.gz)?"
)
CIFAR_RECORD = 1 + 3 * 32 * 32
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


def load_samples(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """Generated images, uint8 (N, C, H, W) with (C, H, W) = `shape`, from where they were saved.

    A PNG is one sheet of them without gaps, black where it ends (trainer.training.grid_png); an
    .npz has them as its one array of bytes, (N, C, H, W) or (N, H, W, C); a folder has an image
    file each.
    """
    channels, height, width = shape
    if path.suffix == ".npz":
        return _samples_from_npz(path, shape)
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        if not files:
            raise Problem(f"{path} holds no images.")
        found = [in_channels(read_image(file, height, width), channels) for file in files]
        return np.stack(found)
    with file_problems("read", path), open(path, "rb") as stream:
        try:
            rows, columns = (Image.open(stream).size[axis] for axis in (1, 0))
        except IMAGE_ERRORS as error:
            raise Problem(f"{path} is not an image that can be read ({error}).") from error
    if rows % height or columns % width:
        raise Problem(
            f"{path} is {columns} x {rows} pixels: no sheet of images {width} x {height}."
        )
    sheet = in_channels(read_image(path, rows, columns), channels)
    tiles = sheet.reshape(channels, rows // height, height, columns // width, width)
    tiles = tiles.transpose(1, 3, 0, 2, 4).reshape(-1, *shape)
    filled = np.flatnonzero(tiles.reshape(len(tiles), -1).any(1))
    return tiles[: filled[-1] + 1 if len(filled) else 0]


def in_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """A picture (H, W) or (H, W, 3) as (C, H, W) of that many channels, 1 or 3."""
    if channels == 1:
        grey = np.asarray(Image.fromarray(picture).convert("L"))
        return grey[None]
    coloured = np.asarray(Image.fromarray(picture).convert("RGB"))
    return coloured.transpose(2, 0, 1)


def _samples_from_npz(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    channels, height, width = shape
    try:
        with file_problems("read", path), np.load(path, allow_pickle=False) as arrays:
            found = [array for array in arrays.values() if array.dtype == np.uint8]
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise Problem(f"{path} is not an .npz file of plain arrays ({error}).") from error
    found = [array for array in found if array.ndim == 4]
    if len(found) != 1:
        raise Problem(f"{path} holds {len(found)} arrays of images as bytes; it must hold one.")
    if found[0].shape[1:] == shape:
        return found[0]
    if found[0].shape[1:] == (height, width, channels):
        return np.ascontiguousarray(found[0].transpose(0, 3, 1, 2))
    raise Problem(f"{path} holds images {found[0].shape[1:]}, not {shape}.")
