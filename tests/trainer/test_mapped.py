"""A folder of many images: one file that is made once and mapped, with the same pixels and bits."""

import os
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image

from tests.tiny import TINY, pictures
from trainer.data import ImageSet, folders, load, mapped, reading
from trainer.data.mapped import stacked
from trainer.events import Reading, outcome
from trainer.problems import Problem
from trainer.runs import Run
from trainer.runs.checkpoints import load_tensors
from trainer.training import lessons, train
from trainer.training.lessons import Lessons

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache folder of the test's own, which every set is large enough for."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(mapped, "LARGE", 1)
    return tmp_path / "cache" / "diffviz" / "images"


def files(cache):
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")


def coloured(folder):
    """Grey pictures, and after them, in the set's own order, some in colour."""
    pictures(folder, 30)
    order = []
    work = folders.read_folder(folder, 8)
    with pytest.MonkeyPatch.context() as patch:
        read = folders.read_image
        patch.setattr(
            folders, "read_image", lambda path, *a, **k: order.append(path) or read(path, *a, **k)
        )
        outcome(work)
    noise = np.random.default_rng(1)
    for path in order[10::7]:
        Image.fromarray(noise.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return folder


@pytest.mark.parametrize("make", [pictures, coloured])
def test_the_file_holds_the_pixels_that_reading_anew_gives(tmp_path, cache, monkeypatch, make):
    dataset = f"{make(tmp_path / 'pics')}:8"
    made = load(dataset)
    monkeypatch.setattr(folders, "read_image", None)  # nothing is read a second time
    again = load(dataset)
    monkeypatch.undo()
    anew = load(dataset)
    assert made.shape[0] == (3 if make is coloured else 1)
    assert isinstance(made.train, np.memmap)
    assert not isinstance(anew.train, np.memmap)
    for part in ("train", "train_labels", "test", "test_labels"):
        expected = getattr(anew, part)
        assert np.array_equal(getattr(made, part), expected)
        assert np.array_equal(getattr(again, part), expected)
    assert made.facts == anew.facts


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: b"",
        lambda content: content[:40],
        lambda content: content.replace(b"(20, 1", b"(10, 1"),
        lambda content: content.replace(b"|u1", b"|i1"),
    ],
)
def test_a_damaged_file_is_made_again(tmp_path, cache, damage):
    dataset = f"{pictures(tmp_path / 'pics')}:8"
    expected = np.array(load(dataset).train)
    (name,) = files(cache)
    content = (cache / name).read_bytes()
    (cache / name).write_bytes(damage(content))
    assert np.array_equal(load(dataset).train, expected)
    assert (cache / name).read_bytes() == content


def test_other_content_makes_another_file_and_the_old_one_goes(tmp_path, cache):
    folder = pictures(tmp_path / "pics")
    before = load(f"{folder}:8")
    kept = np.array(before.train)
    names = {tuple(files(cache))}
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "0" / "0.png")
    after = load(f"{folder}:8")
    names.add(tuple(files(cache)))
    path = folder / "0" / "0.png"
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))
    load(f"{folder}:8")
    names.add(tuple(files(cache)))
    path.rename(folder / "0" / "new.png")
    load(f"{folder}:8")
    names.add(tuple(files(cache)))
    assert len(names) == 4
    assert all(len(each) == 1 for each in names)
    zeros = [int((~each.any((1, 2, 3))).sum()) for each in (kept, after.train, after.test)]
    assert zeros[0] == 0
    assert zeros[1] + zeros[2] == 1
    assert np.array_equal(before.train, kept)  # who still looks at the old one sees it whole
    load(f"{folder}:9")
    assert len(files(cache)) == 2  # of another size


def test_reading_tells_how_far_it_is_and_stopped_leaves_nothing(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(mapped, "EVERY", 6)
    work = reading(f"{pictures(tmp_path / 'pics')}:8")
    assert [next(work), next(work)] == [Reading(0, 20), Reading(6, 20)]
    assert len(files(cache)) == 1
    work.close()
    assert files(cache) == []
    told = []
    outcome(reading(f"{tmp_path / 'pics'}:8"), told.append)
    assert [event.done for event in told] == [0, 6, 12, 18, 20]


def test_what_cannot_be_read_leaves_nothing(tmp_path, cache):
    folder = pictures(tmp_path / "pics")
    (folder / "1" / "7.png").write_bytes(b"no image")
    with pytest.raises(Problem, match=r"7\.png"):
        load(f"{folder}:8")
    assert files(cache) == []


def test_one_program_makes_the_file_and_others_wait_for_it(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(mapped, "WAIT", 0.01)
    dataset = f"{pictures(tmp_path / 'pics')}:8"
    first, second = reading(dataset), reading(dataset)
    next(first)
    assert [next(second), next(second)] == [Reading(0, 20)] * 2
    made = outcome(first)
    monkeypatch.setattr(folders, "read_image", None)
    assert np.array_equal(outcome(second).train, made.train)


def test_a_program_that_was_killed_while_it_made_the_file_is_in_nobodys_way(tmp_path, cache):
    dataset = f"{pictures(tmp_path / 'pics')}:8"
    code = (
        "import os; from trainer.data import mapped, reading; mapped.LARGE = 1;"
        f"work = reading({dataset!r}); next(work); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert [name[-4:] for name in files(cache)] == [".tmp"]
    assert len(load(dataset).train) == 18
    assert [name[-4:] for name in files(cache)] == [".npy"]


def test_where_nothing_may_be_kept_the_images_lie_in_a_file_without_a_name(tmp_path, cache):
    dataset = f"{pictures(tmp_path / 'pics')}:8"
    expected = np.array(load(dataset).train)
    shutil.rmtree(cache)
    cache.write_bytes(b"in the way")
    assert np.array_equal(load(dataset).train, expected)
    assert cache.read_bytes() == b"in the way"
    assert list(cache.parent.iterdir()) == [cache]


def test_a_full_disk_is_told(tmp_path, cache, monkeypatch):
    def full(*_):
        yield Reading(0, 20)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mapped, "_write", full)
    with pytest.raises(Problem, match="the disk is full"):
        load(f"{pictures(tmp_path / 'pics')}:8")
    assert files(cache) == []


def test_training_from_the_file_leaves_the_same_bits(tmp_path, cache, monkeypatch, precision):
    dataset = f"{pictures(tmp_path / 'pics', 50)}:8"
    config = TINY.with_changes(dataset=dataset, precision=precision, classes=2, epochs=3)
    weights = []
    for name, least in (("mapped", 1), ("read", 10**9)):
        monkeypatch.setattr(mapped, "LARGE", least)
        run, data = Run.create(tmp_path / name, config), load(dataset)
        assert isinstance(data.train, np.memmap) == (name == "mapped")
        assert list(train(config, run, "cpu", data))
        weights.append(load_tensors(run.newest())[0])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def many(cache, count=20_000, side=32):
    """A large set that was never a folder."""
    rows = np.arange(side**2, dtype=np.uint8).reshape(side, side)

    def shades():
        return (rows + np.uint8(k % 256) for k in range(count))

    made = outcome(stacked("a", "b", count, side, shades))
    labels = np.arange(count) % 2
    return ImageSet("many", made[9:], labels[9:], made[:9], labels[:9])


def resident(mapped: np.memmap) -> int:
    """Bytes of the file that are mapped into this program and lie in memory."""
    found, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ")[0]:  # an area's first line ends in its file
            ours = line.endswith(str(mapped.filename))
        elif ours and line.startswith("Rss:"):
            found += 1024 * int(line.split()[1])
    return found


def test_a_large_set_takes_no_more_memory_than_a_small_one(tmp_path, cache):
    config = TINY.with_changes(batch_size=500, epochs=1, classes=2, evaluate_every=0.5)
    peaks = []
    for name, count in (("imports all that is needed", 1000), ("small", 1000), ("large", 20_000)):
        if peaks:
            tracemalloc.start()
            tracemalloc.reset_peak()
        data = many(cache, count)
        events = train(config, Run.create(tmp_path / name, config), "cpu", data)
        for _ in range(12):
            next(events, None)
        events.close()
        peaks.append(tracemalloc.get_traced_memory()[1])  # nothing before it has begun
    tracemalloc.stop()
    assert peaks[2] - peaks[1] < data.train.nbytes / 10


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_what_was_read_of_a_large_set_does_not_stay_mapped(cache):
    data = many(cache)
    course = Lessons(TINY.with_changes(batch_size=100, epochs=1, classes=2), data, "cpu")
    course.at(0)
    before = resident(data.train)
    for step in range(course.steps):
        images, labels = course.at(step)
        assert torch.equal(images[:, 0, 0, 0] % 2, labels.to(torch.uint8))
    assert course.steps == 200
    assert resident(data.train) - before < data.train.nbytes / 3
    assert np.array(data.train).nbytes == data.train.nbytes  # as another reader would take it
    assert resident(data.train) - before > data.train.nbytes / 3
    mapped.let_go(data.train)
    assert resident(data.train) - before < data.train.nbytes / 3


def test_batches_are_the_same_in_any_order_of_asking(cache):
    data = many(cache, 1000, 8)
    config = TINY.with_changes(batch_size=64, epochs=2, classes=2)
    ahead = Lessons(config, data, "cpu")
    plain = Lessons(
        config, ImageSet("x", *map(np.array, (data.train, data.train_labels)), data.test,
                         data.test_labels), "cpu",
    )  # fmt: skip
    for step in (0, 1, 2, 14, 15, 16, 3, 3, 31, 0):
        for one, other in zip(ahead.at(step), plain.at(step), strict=True):
            assert torch.equal(one, other)


def test_an_accelerator_keeps_what_is_few_and_streams_what_is_many(cache, monkeypatch):
    data = many(cache, 300, 8)  # "cpu:0" is a device that is not called "cpu"
    config = TINY.with_changes(batch_size=64, epochs=2, classes=2)
    few, plain = (Lessons(config, data, device) for device in ("cpu:0", "cpu"))
    monkeypatch.setattr(lessons, "RESIDENT", 1)
    streamed = Lessons(config, data, "cpu:0")
    assert few.resident is not None
    assert streamed.resident is None
    for step in range(plain.steps):
        for one in (few, streamed):
            for a, b in zip(one.at(step), plain.at(step), strict=True):
                assert torch.equal(a, b)


def test_a_lock_that_nobody_holds_is_no_obstacle(tmp_path, cache):
    dataset = f"{pictures(tmp_path / 'pics')}:8"
    load(dataset)
    (lock,) = cache.glob("*.lock")
    with FileLock(lock):
        assert len(load(dataset).train) == 18  # what is made already needs no lock
