"""Data of one's own, and a whole training by it."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tiny import TINY
from trainer import fit
from trainer.data import ImageSet, mapped
from trainer.data.own import own
from trainer.drawing import drawn_images
from trainer.events import Reading, Step, outcome
from trainer.problems import Problem
from trainer.requests import Drawing
from trainer.runs import Run
from trainer.runs.checkpoints import load_tensors

noise = np.random.default_rng(0)
GREY = noise.integers(0, 256, (23, 6, 8), dtype=np.uint8)
COLOUR = noise.integers(0, 256, (23, 6, 8, 3), dtype=np.uint8)
LABELS = np.arange(23) % 3


class Items:
    """What torch's data sets are: a length, and items by their number."""

    def __init__(self, images, labels=None):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.images)

    def __getitem__(self, k):
        return self.images[k] if self.labels is None else (self.images[k], self.labels[k])


@pytest.fixture(params=[10**9, 1], ids=["memory", "mapped"])
def either(request, monkeypatch, tmp_path):
    """Few images, and many, which lie in a file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache" / "diffviz").mkdir(parents=True)
    monkeypatch.setattr(mapped, "LARGE", request.param)
    yield
    assert list((tmp_path / "cache" / "diffviz").iterdir()) == []


@pytest.mark.parametrize(
    ("given", "expected", "labels"),
    [
        (GREY, GREY[:, None], 0 * LABELS),
        (GREY[:, None], GREY[:, None], 0 * LABELS),
        (GREY[..., None], GREY[:, None], 0 * LABELS),
        ((GREY, LABELS), GREY[:, None], LABELS),
        ((COLOUR, LABELS.tolist()), COLOUR.transpose(0, 3, 1, 2), LABELS),
        (COLOUR.transpose(0, 3, 1, 2), COLOUR.transpose(0, 3, 1, 2), 0 * LABELS),
        (torch.from_numpy(COLOUR.transpose(0, 3, 1, 2) / 255), COLOUR.transpose(0, 3, 1, 2),
         0 * LABELS),
        (GREY.astype(np.float32) / 255, GREY[:, None], 0 * LABELS),
        (Items(GREY, LABELS), GREY[:, None], LABELS),
        (Items([Image.fromarray(one) for one in COLOUR], torch.from_numpy(LABELS)),
         COLOUR.transpose(0, 3, 1, 2), LABELS),
        (Items([*GREY[:12], *COLOUR[12:]]),
         np.concatenate([np.stack([GREY[:12]] * 3, 1), COLOUR[12:].transpose(0, 3, 1, 2)]),
         0 * LABELS),
    ],
)  # fmt: skip
def test_what_a_script_holds_is_a_set(either, given, expected, labels):
    found = outcome(own(given))
    held = np.arange(23) % 10 == 0
    assert np.array_equal(found.test, expected[held])
    assert np.array_equal(found.train, expected[~held])
    assert np.array_equal(found.test_labels, labels[held])
    assert np.array_equal(found.train_labels, labels[~held])
    assert isinstance(found.train, np.memmap) == (mapped.LARGE == 1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (GREY[:2], "at least 3 images"),
        (GREY.astype(np.float32), "floats from 0 to 1"),
        (GREY.astype(np.int64), "floats from 0 to 1"),
        (-GREY.astype(np.float32) / 255, "floats from 0 to 1"),
        (np.zeros((5, 4, 8, 8), np.uint8), "with C 1 or 3"),
        (Items(GREY, [-1] * 23), "label from 0 on"),
        (Items(GREY, [[1, 2]] * 23), "label from 0 on"),
        ([*GREY, GREY[0, :3]], r"Image 23 is \(3, 8\)"),
    ],
)
def test_what_is_no_set_is_told(given, words):
    with pytest.raises(Problem, match=words):
        outcome(own(given))


def test_an_item_that_cannot_be_read_is_named():
    class Gone(Items):
        def __getitem__(self, k):
            return open("/nowhere") if k == 20 else self.images[k]

    with pytest.raises(Problem, match=r"Image 20 .*No such file"):
        outcome(own(Gone(GREY)))


def test_a_set_of_images_is_taken_as_it_is():
    data = ImageSet("x", GREY[:, None], LABELS, GREY[:2, None], LABELS[:2])
    assert outcome(own(data)) is data


def test_fit_takes_ones_own_data_and_goes_on_with_it(tmp_path, either, precision):
    told = []
    tiny = TINY.with_changes(precision=precision, epochs=3)
    run = fit(tmp_path / "run", tiny, dataset=(GREY, LABELS), each=told.append, device="cpu")
    assert run.config.dataset == "own"
    assert run.config.classes == 3
    assert [e.done for e in told if isinstance(e, Reading)] == [0, 23]
    assert sum(isinstance(e, Step) for e in told) == 3 * 4
    assert drawn_images(Drawing(str(run.folder), count=2, steps=1)).shape == (2, 1, 6, 8)

    class EnoughError(Exception):
        pass

    def stop(event):
        if isinstance(event, Step) and event.step == 5:
            raise EnoughError

    ask = {"dataset": Items(GREY, LABELS), "device": "cpu"}
    with pytest.raises(EnoughError):
        fit(tmp_path / "broken", tiny, each=stop, **ask)
    broken = fit(tmp_path / "broken", tiny, **ask)
    one, two = (load_tensors(each.newest())[0] for each in (run, broken))
    assert all(torch.equal(one[name], two[name]) for name in one)
    plain = fit(tmp_path / "plain", tiny.with_changes(epochs=1), dataset=GREY, device="cpu")
    assert plain.config.classes == 0
    with pytest.raises(Problem, match="no dataset 'own'"):
        fit(tmp_path / "again", Run.open(run.folder).config)
