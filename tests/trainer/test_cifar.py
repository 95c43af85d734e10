"""CIFAR-10's binary files."""

import numpy as np
import pytest

from trainer.data import load
from trainer.problems import Problem


def write_cifar(folder, count=4):
    pixels = np.random.default_rng(0).integers(0, 256, (6, count, 3072), dtype=np.uint8)
    labels = np.arange(6 * count, dtype=np.uint8).reshape(6, count, 1) % 10
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    for name, batch in zip(names, np.concatenate([labels, pixels], 2), strict=True):
        (folder / name).write_bytes(batch.tobytes())
    return pixels, labels


def test_cifar10_comes_from_its_binary_files(tmp_path):
    pixels, labels = write_cifar(tmp_path)
    found = load(str(tmp_path))
    assert found.name == "cifar-10"
    assert found.shape == (3, 32, 32)
    assert len(found.train) == 20
    assert found.train_labels.tolist() == labels[:5].ravel().tolist()
    # The file's order is the whole red plane, then green, then blue, each row by row.
    assert found.train[0, 1, 2, 3] == pixels[0, 0, 1024 + 2 * 32 + 3]
    assert np.array_equal(found.test.reshape(4, -1), pixels[5])


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: b"\x0a" + b[1:]])
def test_a_damaged_cifar_file_is_a_problem_that_names_it(tmp_path, damage):
    write_cifar(tmp_path)
    path = tmp_path / "data_batch_3.bin"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(Problem, match="data_batch_3"):
        load(str(tmp_path))


def test_a_cifar_without_its_test_file_is_a_problem(tmp_path):
    write_cifar(tmp_path)
    (tmp_path / "test_batch.bin").unlink()
    with pytest.raises(Problem, match="test_batch"):
        load(str(tmp_path))


def test_cifars_pickles_are_never_opened(tmp_path):
    for name in ("data_batch_1", "test_batch"):
        (tmp_path / name).write_bytes(b"cos\nsystem\n(S'touch %s/ran'\ntR." % bytes(tmp_path))
    with pytest.raises(Problem, match=r"pickles.*binary version"):
        load(str(tmp_path))
    assert not (tmp_path / "ran").exists()
