"""MNIST and other IDX sets, damaged files, grey levels, and safe writing."""

import errno
import gzip
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from assets import ASSETS
from trainer.data import load, load_mnist
from trainer.data.idx import MNIST_SHA256, load_idx_folder, parse_idx, read_idx
from trainer.images import LEVEL, to_bytes, to_signed
from trainer.problems import Problem, file_problems, write_file

MNIST = ASSETS / "mnist"
LABELS = "t10k-labels-idx1-ubyte.gz"


def idx(array):
    header = b"\x00\x00\x08" + bytes([array.ndim])
    return header + np.array(array.shape, dtype=">i4").tobytes() + array.tobytes()


def write_set(folder, images, labels, zipped):
    for name in MNIST_SHA256:
        content = idx(images if "images" in name else labels)
        if zipped:
            (folder / name).write_bytes(gzip.compress(content))
        else:
            (folder / name.removesuffix(".gz")).write_bytes(content)


def test_mnist_has_its_shapes_and_its_count_of_each_digit():
    mnist = load("mnist")
    assert mnist.train.shape == (60_000, 1, 28, 28)
    assert mnist.test.shape == (10_000, 1, 28, 28)
    assert mnist.train.dtype == mnist.test.dtype == np.uint8
    assert mnist.shape == (1, 28, 28)
    assert mnist.classes == 10
    # The counts that http://yann.lecun.com/exdb/mnist/ users know by heart.
    train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(mnist.train_labels).tolist() == train
    assert np.bincount(mnist.test_labels).tolist() == test
    assert mnist.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert mnist.train.mean() / 255 == pytest.approx(0.1307, abs=1e-4)


@pytest.mark.parametrize("place", [12, -5])
def test_one_changed_byte_in_mnist_is_a_problem_that_names_the_file(tmp_path, place):
    for name in MNIST_SHA256:
        if name == LABELS:
            content = bytearray((MNIST / name).read_bytes())
            content[place] ^= 1
            (tmp_path / name).write_bytes(content)
        else:
            os.symlink(MNIST / name, tmp_path / name)
    with pytest.raises(Problem, match=LABELS):
        load_mnist(tmp_path)


@pytest.mark.parametrize("keep", [5, 200, -4])
def test_a_truncated_gzip_is_a_problem_that_names_the_file(tmp_path, keep):
    path = tmp_path / "cut.gz"
    path.write_bytes((MNIST / LABELS).read_bytes()[:keep])
    with pytest.raises(Problem, match=r"cut\.gz"):
        read_idx(path)


def test_a_gzip_with_a_damaged_middle_is_a_problem_that_names_the_file(tmp_path):
    path = tmp_path / "damaged.gz"
    content = bytearray((MNIST / LABELS).read_bytes())
    content[2000:2010] = bytes(10)
    path.write_bytes(content)
    with pytest.raises(Problem, match=r"damaged\.gz"):
        read_idx(path)


GOOD = idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(GOOD[:3], id="cut in the magic number"),
        pytest.param(GOOD[:9], id="cut in the header"),
        pytest.param(GOOD[:16], id="no data"),
        pytest.param(GOOD[:-1], id="a byte short"),
        pytest.param(GOOD + b"\x00", id="a byte long"),
        pytest.param(b"\x00\x00\x0d" + GOOD[3:], id="floats"),
        pytest.param(b"\x00\x01" + GOOD[2:], id="wrong magic"),
        pytest.param(b"\x00\x00\x08\x00", id="no axes"),
        pytest.param(GOOD[:4] + b"\xff" * 4 + GOOD[8:], id="negative axis"),
        pytest.param(GOOD[:4] + bytes(4) + GOOD[8:16], id="an axis of nothing"),
        pytest.param(b"\x00\x00\x08\x04" + b"\x00\x01\x00\x00" * 4, id="a product beyond 64 bits"),
        pytest.param(b"\x00\x00\x08\xff" + b"\x00\x00\x00\x01" * 255 + b"\x00", id="255 axes"),
    ],
)
def test_a_wrong_idx_file_is_a_problem_that_names_the_file(tmp_path, content):
    path = tmp_path / "wrong-idx"
    path.write_bytes(content)
    with pytest.raises(Problem, match="wrong-idx"):
        read_idx(path)


def test_a_missing_file_is_a_problem_that_names_the_file(tmp_path):
    with pytest.raises(Problem, match="absent"):
        read_idx(tmp_path / "absent")


@settings(max_examples=50, deadline=None)
@given(arrays(np.uint8, array_shapes(min_dims=1, max_dims=4, max_side=6)))
def test_parse_idx_reads_what_the_format_says(array):
    found = parse_idx(idx(array), "x")
    assert found.dtype == np.uint8
    assert np.array_equal(found, array)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40), st.booleans())
def test_parse_idx_gives_an_array_or_a_problem_for_any_bytes(content, prefixed):
    content = b"\x00\x00\x08" + content if prefixed else content
    try:
        array = parse_idx(content, "noise")
    except Problem:
        return
    assert idx(array) == content


@pytest.mark.parametrize("zipped", [True, False])
def test_a_folder_of_idx_files_is_a_set(tmp_path, zipped):
    images = np.arange(5 * 6 * 7, dtype=np.uint8).reshape(5, 6, 7)
    labels = np.array([0, 3, 1, 2, 3], dtype=np.uint8)
    write_set(tmp_path, images, labels, zipped)
    found = load(str(tmp_path))
    assert found.name == tmp_path.name
    assert found.shape == (1, 6, 7)
    assert found.classes == 4
    assert np.array_equal(found.train[:, 0], images)
    assert np.array_equal(found.test[:, 0], images)
    assert found.train_labels.dtype == np.int64
    assert found.test_labels.tolist() == labels.tolist()


def test_images_and_labels_that_do_not_belong_together_are_a_problem(tmp_path):
    write_set(tmp_path, np.zeros((5, 6, 7), np.uint8), np.zeros(4, np.uint8), False)
    with pytest.raises(Problem, match="train"):
        load_idx_folder(tmp_path)


def test_emnist_letters_are_set_upright_and_counted_from_0(tmp_path):
    images = np.arange(3 * 6 * 6, dtype=np.uint8).reshape(3, 6, 6)
    for part, labels in (("train", [1, 26, 2]), ("test", [2, 3, 26])):
        stem = f"emnist-letters-{part}"
        (tmp_path / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        content = idx(np.array(labels, np.uint8))
        (tmp_path / f"{stem}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(content))
    found = load(str(tmp_path))
    assert np.array_equal(found.train[:, 0], images.transpose(0, 2, 1))
    assert found.train.flags.c_contiguous
    assert found.train_labels.tolist() == [0, 25, 1]
    assert found.test_labels.tolist() == [1, 2, 25]
    assert found.classes == 26


def test_dots_in_idx_names_and_a_set_both_packed_and_unpacked_are_read(tmp_path):
    images, labels = np.ones((4, 5, 5), np.uint8), np.array([0, 1, 2, 3], np.uint8)
    write_set(tmp_path, images, labels, True)
    write_set(tmp_path, images, labels, False)
    (tmp_path / "t10k-labels-idx1-ubyte").rename(tmp_path / "t10k-labels.idx1-ubyte")
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    assert load(str(tmp_path)).test_labels.tolist() == [0, 1, 2, 3]


def test_two_idx_sets_in_one_folder_are_a_problem_that_names_them(tmp_path):
    write_set(tmp_path, np.ones((2, 5, 5), np.uint8), np.zeros(2, np.uint8), False)
    (tmp_path / "emnist-digits-train-images-idx3-ubyte").write_bytes(b"")
    with pytest.raises(Problem, match="emnist-digits-train"):
        load(str(tmp_path))


@pytest.mark.parametrize("name", [n.removesuffix(".gz") for n in MNIST_SHA256])
def test_an_idx_set_without_one_of_its_files_is_a_problem(tmp_path, name):
    write_set(tmp_path, np.ones((2, 5, 5), np.uint8), np.zeros(2, np.uint8), False)
    (tmp_path / name).unlink()
    part = "train" if name.startswith("train") else "test"
    kind = "images" if "images" in name else "labels"
    with pytest.raises(Problem, match=f"{part} {kind}"):
        load(str(tmp_path))


def test_training_and_test_images_of_two_sizes_are_a_problem(tmp_path):
    write_set(tmp_path, np.ones((2, 5, 5), np.uint8), np.zeros(2, np.uint8), False)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(np.ones((2, 5, 6), np.uint8)))
    with pytest.raises(Problem, match="one size"):
        load(str(tmp_path))


def test_an_unknown_dataset_is_a_problem():
    with pytest.raises(Problem, match="cifar"):
        load("cifar")


def test_grey_levels_come_back_from_signed_numbers():
    levels = torch.arange(256, dtype=torch.uint8)
    signed = to_signed(levels)
    assert (signed[0].item(), signed[-1].item()) == (-1, 1)
    assert torch.equal(to_bytes(signed), levels)
    assert torch.equal(to_bytes(signed + 0.49 * LEVEL), levels)
    assert to_bytes(torch.tensor([-7.0, 7.0])).tolist() == [0, 255]


def test_write_file_replaces_all_of_the_old_content(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old and longer")
    write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("existing", [True, False])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, existing):
    path = tmp_path / "file"
    if existing:
        path.write_bytes(b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Problem, match="disk is full") as caught:
        write_file(path, b"new")
    assert str(path) in str(caught.value)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([b"old"] if existing else [])


def test_a_write_that_is_killed_before_the_rename_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def stop(source, destination):
        assert Path(source).read_bytes() == b"new"
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write_file(path, b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "disk is full"),
        (errno.ENOENT, "no such file"),
        (errno.EACCES, "permission"),
        (errno.EROFS, "permission"),
        (errno.ENOTDIR, "in the way"),
        (errno.EIO, "input/output error"),
    ],
)
def test_file_problems_say_what_to_do(tmp_path, error, words):
    path = tmp_path / "thing"
    with pytest.raises(Problem, match=words) as caught, file_problems("save", path):
        raise OSError(error, os.strerror(error))
    assert f"Could not save {path}" in str(caught.value)


def test_writing_into_a_missing_folder_is_a_problem(tmp_path):
    shutil.rmtree(tmp_path)
    with pytest.raises(Problem, match="no such file or folder"):
        write_file(tmp_path / "file", b"new")
