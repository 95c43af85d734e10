"""Folders of image files; subfolders are classes."""

import hashlib
import os
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trainer.catalogue import DATASETS
from trainer.data.image_set import ImageSet
from trainer.data.mapped import stacked
from trainer.data.pictures import IMAGE_SUFFIXES, is_deep, levels_of, opened, read_image
from trainer.events import Reading
from trainer.problems import Problem, file_problems

# What systems leave in folders, besides names that begin with a dot.
LEFT = {
    "__MACOSX", "Thumbs.db", "ehthumbs.db", "desktop.ini", "@eaDir", "$RECYCLE.BIN",
    "System Volume Information", "lost+found",
}  # fmt: skip
READER = b"1"  # another one where the same files would be read as other pixels
TRAIN = {"train", "training", "trn"}
TEST = ({"test", "testing", "tst"}, {"val", "valid", "validation", "eval"})  # the first one counts


@dataclass
class _Found:
    """The image files of a folder, and how many others there were, by why they are left out."""

    paths: list[Path] = field(default_factory=list)
    hidden: int = 0
    others: int = 0
    elsewhere: int = 0
    beside: int = 0

    @property
    def left_out(self) -> str:
        parts = [
            f"{count:,} {what}"
            for count, what in (
                (self.hidden, "hidden files and folders"),
                (self.others, "files that are no images"),
                (self.elsewhere, "files that are neither in the training nor in the test folder"),
                (self.beside, "images beside the folders of classes"),
            )
            if count
        ]
        return f"Left out: {' and '.join(parts)}." if parts else ""


def _walk(folder: Path) -> _Found:
    """What lies in the folder and below; links are followed, but never in a circle."""
    found, seen = _Found(), {os.path.realpath(folder)}
    for here, inside, files in os.walk(folder, followlinks=True):
        kept = []
        for name in sorted(inside):
            real = os.path.realpath(os.path.join(here, name))
            if _hidden(name):
                found.hidden += 1
            elif real not in seen:
                seen.add(real)
                kept.append(name)
        inside[:] = kept
        for name in files:
            path = Path(here, name)
            if _hidden(name):
                found.hidden += 1
            elif path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
                found.paths.append(path)
            else:
                found.others += 1
    return found


def _hidden(name: str) -> bool:
    """Whether a name is one that systems leave behind: .DS_Store, ._0.png, __MACOSX, Thumbs.db."""
    return name.startswith((".", "~$")) or name in LEFT


def _in_order(name: str) -> list[tuple[int, int, str]]:
    """A key by which 2 comes before 10, in names that hold numbers."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def _part(name: str) -> str:
    """A folder's name as TRAIN and TEST have it: train_images, Test-Set and train2017 too."""
    plain = re.sub(r"[\W_]*(images|imgs|set|data|\d+)$", "", name.lower())
    return plain or name.lower()


def _parts(root: Path, paths: list[Path]) -> tuple[list[Path], list[Path]] | None:
    """Training and test files, where the folder keeps them apart under their usual names."""
    by_part: dict[str, list[Path]] = {}
    for path in paths:
        by_part.setdefault(_part(path.relative_to(root).parts[0]), []).append(path)
    train = [name for name in by_part if name in TRAIN]
    for names in TEST:
        test = [name for name in by_part if name in names]
        if train and test:
            return by_part[train[0]], by_part[test[0]]
    return None


def _root(folder: Path, paths: list[Path]) -> Path:
    """The folder in which the images part ways: one around all of them is no class."""
    around = {path.parent.relative_to(folder) for path in paths}
    return folder / os.path.commonpath(around) if len(around) > 1 else folder


def read_folder(folder: Path, side: int = 32) -> Generator[Reading, None, ImageSet]:
    """A folder of image files as squares of `side` pixels. Subfolders are the classes, if at least
    half of the images lie in them; what lies beside them has none, and is left out.

    Folders named train and test (or validation) are those two sets. Else a tenth of the images,
    chosen by their names' SHA-256, is the test set: the same folder always splits alike. Grey if
    every image is, else in colour; white is judged over all images. Hidden files, and what is no
    image, are left out, and counted. Raises Problem on the first image that cannot be read.
    """
    found = _walk(folder)
    if len(found.paths) < 2:
        titles = {name: entry.title for name, entry in DATASETS.items()}
        files = ", nor ".join(titles[name] for name in titles if name not in ("mnist", "images"))
        raise Problem(
            f"{folder} holds neither {files}, nor at least two images (.png, .jpg and the other "
            f"endings that Pillow reads). {found.left_out}".strip()
        )

    def place(path: Path) -> bytes:
        return hashlib.sha256(os.fsencode(path.relative_to(folder).as_posix())).digest()

    root = _root(folder, found.paths)
    paths, parts = sorted(found.paths, key=place), _parts(root, found.paths)
    depth = 1 if parts is None else 2
    group = {path: _group(path.relative_to(root).parts, depth) for path in paths}
    loose = sum(not name for name in group.values())
    if 2 * loose > len(paths):
        group = dict.fromkeys(paths, "")
    elif loose:
        found.beside = loose
        paths = [path for path in paths if group[path]]
    held = max(1, len(paths) // 10)
    if parts is not None:
        train, test = ([path for path in paths if path in part] for part in map(set, parts))
        found.elsewhere = len(paths) - len(train) - len(test)
        paths = [*test, *train]
        held = len(test) if train and test else max(1, len(paths) // 10)
    groups = [group[path] for path in paths]
    names = sorted(set(groups), key=_in_order)
    number = {name: k for k, name in enumerate(names)}
    labels = np.array([number[group] for group in groups], np.int64)

    def pictures() -> Iterator[np.ndarray]:
        levels = levels_of(opened(path) for path in paths if is_deep(path))
        return (read_image(path, side, levels=levels) for path in paths)

    here = hashlib.sha256(os.fsencode(f"{os.path.realpath(folder)}:{side}")).hexdigest()[:16]
    images = yield from stacked(here, _content(folder, paths), len(paths), side, pictures)
    return ImageSet(
        folder.name, images[held:], labels[held:], images[:held], labels[:held], found.left_out,
        tuple(os.fsencode(name).decode("utf-8", "replace") for name in names),
    )  # fmt: skip


def _content(folder: Path, paths: list[Path]) -> str:
    """A digest of the files' names, sizes and times of change."""
    total = hashlib.sha256(READER)
    with file_problems("read", folder):
        for path in paths:
            facts = path.stat()
            name = os.fsencode(path.relative_to(folder).as_posix())
            total.update(name + b"\0%d %d\n" % (facts.st_size, facts.st_mtime_ns))
    return total.hexdigest()[:32]


def _group(parts: tuple[str, ...], depth: int) -> str:
    """The class that a file's place names, below `depth` - 1 folders."""
    return parts[depth - 1] if len(parts) > depth else ""


class Images:
    """Any other folder: image files in it, or in its subfolders."""

    @staticmethod
    def fits(names: list[str]) -> bool:
        return True

    @staticmethod
    def load(folder: Path, side: int) -> Generator[Reading, None, ImageSet]:
        return read_folder(folder, side)
