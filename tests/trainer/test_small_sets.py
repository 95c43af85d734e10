"""Sets that are too small, or no digits: told before anything is drawn, and beside the figure."""

import dataclasses
import json

import numpy as np
import pytest

from tests.tiny import TINY, pictures
from trainer import metrics
from trainer.__main__ import main
from trainer.data import load_mnist
from trainer.data.image_set import ImageSet
from trainer.data.samples import load_samples
from trainer.metrics.features import Features, feature_set
from trainer.networks import make_network
from trainer.problems import Problem
from trainer.requests import Drawing
from trainer.runs import Run
from trainer.runs.cards import card as card_of
from trainer.runs.cards import card_text, describe
from trainer.runs.measures import Measure, classes_of, measure_samples, measures


def noise_set(train=40, test=40, side=8, channels=1):
    rng = np.random.default_rng(0)
    images, held = (
        rng.integers(0, 256, (n, channels, side, side), dtype=np.uint8) for n in (train, test)
    )
    return ImageSet("noise", images, np.arange(train) % 2, held, np.arange(test) % 2)


@pytest.fixture
def run(tmp_path):
    """An untrained run on 18 + 2 pictures of noise."""
    config = TINY.with_changes(dataset=f"{pictures(tmp_path / 'pics')}:8")
    run = Run.create(tmp_path / "run", config)
    weights = make_network(config, 1).state_dict()
    run.save_weights(1, weights, {"step": 1, "epoch": 1, "shape": [1, 8, 8]})
    return run


@pytest.mark.parametrize("command", ["evaluate --count 8 --steps 1", "measure --samples 8"])
def test_too_few_test_images_are_told_before_anything_is_drawn(run, command, capsys, monkeypatch):
    monkeypatch.setattr("trainer.samplers.base.sample", None)  # drawing would fail loudly
    monkeypatch.setattr("trainer.drawing.sample", None)
    first, *rest = command.split()
    assert main([first, "--run", str(run.folder), *rest, "--device", "cpu"]) == 2
    assert "only 2 test images in pics" in capsys.readouterr().err
    assert not (run.folder / "measures.json").exists()


@pytest.mark.parametrize(
    ("count", "shape", "data", "words"),
    [
        (3, (1, 8, 8), noise_set(), "only 3 samples"),
        (9, (1, 8, 8), noise_set(train=3), "only 3 training images"),
        (9, (1, 8, 8), noise_set(test=3), "only 3 test images"),
        (9, (1, 28, 28), noise_set(), "must be of one size"),
        (9, (3, 8, 8), noise_set(), "must be of one size"),
    ],
)
def test_what_cannot_be_measured_is_a_sentence(count, shape, data, words):
    with pytest.raises(Problem, match=words):
        metrics.refuse(count, shape, data)
    metrics.refuse(4, noise_set(4, 4).shape, noise_set(4, 4))
    samples = np.zeros((count, *shape), np.uint8)
    with pytest.raises(Problem, match=words):
        metrics.evaluate(samples, data)


def test_the_features_limits_are_told_where_they_matter():
    digits, chosen = load_mnist(), feature_set()
    assert metrics.limits(digits, chosen, 1024) == ""
    few = metrics.limits(digits, chosen, chosen.dimensions)
    assert few.startswith("128 images are not more than the 128 features")
    grey = metrics.limits(noise_set(200, 200, 28), chosen, 200)
    assert grey.startswith(f"{chosen.name} is a classifier of MNIST's digits: on other images")
    assert "sees images grey and 28 x 28" in metrics.limits(noise_set(channels=3), chosen, 200)
    other = Features("inception-12345678", chosen.extract, 2048)
    told = metrics.limits(digits, other, 2048)
    assert "photographs" in told
    assert "2,048 images are not more than the 2,048 features" in told


def test_reports_measures_and_cards_carry_them(tmp_path, run, capsys):
    data = noise_set()
    samples = tmp_path / "samples.npz"
    np.savez(samples, images=data.test[:6])
    other = f"{pictures(tmp_path / 'b', 60)}:8"
    words = ["evaluate", "--samples", str(samples), "--dataset", other]
    assert main(words) == 0
    assert "is a classifier of MNIST's digits; it sees images grey" in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    assert "compares with no published figure" in json.loads(capsys.readouterr().out)["limits"]
    work = measure_samples(run, data, (50,), "ddim", 1)
    while True:
        try:
            next(work)
        except StopIteration as end:
            (made,) = end.value
            break
    assert made.values["floor_images"] == 40
    text = card_text(card_of(run))
    assert "(all 40, which are fewer, test images:" in text
    assert f"in the features {feature_set().name}. {feature_set().name} is a classifier" in text
    plain = dataclasses.replace(made, values=made.values | {"limits": "", "floor_images": 50})
    assert "(as many test images:" in describe(Measure(**dataclasses.asdict(plain)))
    assert "features" not in describe(plain)
    path = run.folder / "measures.json"
    (entry,) = json.loads(path.read_text())
    for wrong in (None, 3, ["ddim"]):
        damaged = entry | {"settings": entry["settings"] | {"sampler": wrong}}
        path.write_text(json.dumps([damaged]))
        assert card_of(run)["measures"] == []


@pytest.mark.parametrize("flag", [0x01, 0x40])  # encrypted, and strongly so
def test_an_npz_that_calls_itself_encrypted_is_told(tmp_path, flag):
    path = tmp_path / "samples.npz"
    np.savez(path, images=np.zeros((3, 1, 8, 8), np.uint8))
    content = bytearray(path.read_bytes())
    for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(magic) + place] |= flag
    path.write_bytes(content)
    with pytest.raises(Problem, match="file of plain arrays"):
        load_samples(path, (1, 8, 8))


def test_classes_are_measured_as_often_as_the_data_have_them():
    held = np.array([90, 500, 10, 400])
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(4), held))
    for count in (10, 137, 1000, 9999):  # as evenly as whole numbers can be, but for two
        found = np.bincount(classes_of(labels, count), minlength=4)
        assert np.abs(found - count * held / 1000).max() < 3
        assert np.array_equal(classes_of(labels, 9999)[:count], classes_of(labels, count))


def test_a_measure_asks_for_the_classes_of_the_data(tmp_path, monkeypatch):
    """All but one image are of class 1: so are the samples that are asked for."""
    config = TINY.with_changes(dataset=f"{pictures(tmp_path / 'pics')}:8", classes=2)
    run = Run.create(tmp_path / "run", config)
    weights = make_network(config, 1).state_dict()
    run.save_weights(1, weights, {"step": 1, "epoch": 1, "shape": [1, 8, 8]})
    data = dataclasses.replace(noise_set(), train_labels=(np.arange(40) > 0).astype(int))
    asked = []

    class Watched(Drawing):
        def labels(self, known):
            asked.append(super().labels(known))
            return asked[-1]

    monkeypatch.setattr("trainer.runs.measures.Drawing", Watched)
    *_, _ = measure_samples(run, data, (8, 20), "ddim", 1)
    assert np.bincount(asked[0]).tolist() == np.bincount(classes_of(data.train_labels, 20)).tolist()
    assert sum(asked[0][:20]) >= 19
    assert all("as in the data" in describe(one) for one in measures(run))
    assert len(measures(run)) == 2
