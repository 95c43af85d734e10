"""Copies are found where they are, and none where there are none: exact models and planted ones."""

import numpy as np
import pytest
import torch

from tests.conftest import SMALL
from trainer.config import PRESETS
from trainer.copying import SIZES, Copying, copying, distance, family, kin, rungs
from trainer.data import load
from trainer.metrics import nearest, neighbours
from trainer.networks import make_network
from trainer.problems import Problem
from trainer.runs import Run


@pytest.fixture(scope="module")
def mnist():
    return load("mnist")


def small_run(folder, seed=0, **changes):
    config = PRESETS["modern"].with_changes(**SMALL, classes=0, **changes)
    run = Run.create(folder, config)
    torch.manual_seed(seed)
    weights = make_network(config, 1).state_dict()
    run.save_weights(1, weights, {"step": 1, "epoch": 1, "shape": [1, 28, 28]})
    return run


def test_a_planted_copy_is_found_among_sixty_thousand(mnist):
    rng = np.random.default_rng(0)
    places = rng.choice(60_000, 20, replace=False)
    faint = mnist.train[places].astype(int) + rng.integers(-9, 10, (20, 1, 28, 28))
    planted = faint.clip(0, 255).astype(np.uint8)
    index, gaps = neighbours(planted, mnist.train, 3)
    assert index[:, 0].tolist() == places.tolist()
    assert gaps[:, 0] == pytest.approx(distance(planted, mnist.train[places]))
    assert (np.diff(gaps, axis=1) >= 0).all()
    # Against all distances, one by one, of a part.
    few, part = planted[:5], mnist.train[55_000:]
    wide = np.stack([distance(np.broadcast_to(one, part.shape), part) for one in few])
    index, gaps = neighbours(few, part, 3)
    assert np.sort(wide, 1)[:, :3] == pytest.approx(gaps)
    assert np.array_equal(nearest(few, part)[0], wide.argmin(1))
    assert neighbours(few, part[:2], 3)[0].shape == (5, 2)


def test_the_training_set_copies_and_its_gaussian_does_not(mnist):
    ask = Copying(count=8, steps=12, model="training-set:mnist process=vp images=50")
    whole = {rung.size: rung for rung in copying(ask.with_changes(
        also="gaussian:mnist process=vp images=200; gaussian:mnist process=vp images=200 first=200"
    ), ()) if rung.size <= 1000}  # fmt: skip
    assert list(whole) == [10, 50, 100, 200, 1000]
    for size in (10, 100, 1000):
        first, second = whole[size].drawn
        assert (first.known, second.known) == (slice(0, size), slice(size, 2 * size))
        for one in (first, second):
            assert one.copied.all()
            assert one.distances[:, 0].max() < 0.05
            assert ((one.numbers >= one.known.start) & (one.numbers < one.known.stop)).all()
            assert np.array_equal(one.nearest, mnist.train[one.numbers, 0])
            assert np.abs(one.samples.astype(int) - one.nearest).max() <= 1
    assert len(whole[50].drawn) == 1
    assert whole[50].apart is None
    gaussians = whole[200]
    assert not any(one.copied.any() for one in gaussians.drawn)
    assert all(np.median(one.distances[:, 0]) > 3 for one in gaussians.drawn)
    assert np.array_equal(gaussians.apart, distance(*(d.samples for d in gaussians.drawn)))
    # A Gaussian follows from few images better than the images themselves do.
    assert gaussians.apart.mean() < 0.6 * gaussians.chance.mean()
    assert whole[100].apart.mean() > 0.7 * whole[100].chance.mean()
    usual = [rung.drawn[0].usual.mean() for rung in whole.values()]
    assert (np.diff(usual) < 0).all()  # among more images one is nearer


def test_halves_of_a_gaussian_agree_the_more_the_more_images_they_have():
    """The way from noise to image is linear, given by mean and covariance, whose error falls as
    1 / sqrt(N): so does the distance of what two halves draw."""
    ask = Copying(count=12, steps=15, model="gaussian:mnist process=vp images=10000")
    apart = {r.size: r.apart.mean() for r in copying(ask, ()) if r.apart is not None}
    sizes = [size for size in apart if size >= 1000]  # below, the covariance is singular
    assert sizes == [1000, 10_000]
    assert apart[1000] / apart[10_000] == pytest.approx(10**0.5, rel=0.25)


def test_a_family_is_what_differs_by_its_images_alone(tmp_path):
    whole = small_run(tmp_path / "whole")
    small_run(tmp_path / "few", limit_images=100)
    small_run(tmp_path / "others", limit_images=100, first_image=100, evaluate_every=0.5)
    small_run(tmp_path / "overlapping", limit_images=100, first_image=50)
    small_run(tmp_path / "strange", limit_images=100, first_image=300, prediction="eps")
    Run.create(tmp_path / "untrained", whole.config)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "config.json").write_text("{")
    ask = Copying(model="whole", count=4, steps=2, batch=3)
    found = family(ask, (tmp_path,))
    assert found[0].folder.name == "whole"
    assert {run.folder.name for run in found} == {"whole", "few", "others", "overlapping"}
    assert kin(found[0].config) != kin(Run.open(tmp_path / "strange").config)
    ladder = rungs(found, 60_000)
    assert [(size, [r.folder.name for r, _ in pair]) for size, pair in ladder.items()] == [
        (100, ["few", "others"]), (60_000, ["whole"])
    ]  # fmt: skip
    events = list(copying(ask, (tmp_path,)))
    assert [(e.size, len(e.drawn)) for e in events] == [(100, 1), (100, 2), (60_000, 1)]
    assert events[1].drawn[0] is events[0].drawn[0]
    assert {(e.index, e.count) for e in events} == {(0, 2), (1, 2)}
    asked = family(ask.with_changes(also=f"{tmp_path / 'strange'}; gaussian:mnist"), (tmp_path,))
    assert [str(run.folder) for run in asked[-2:]] == [str(tmp_path / "strange"), "gaussian:mnist"]


def test_an_exact_models_family_is_itself_with_other_images():
    found = family(Copying(model="training-set:mnist process=flow"), ())
    assert len(found) == 1 + 2 * len(SIZES)
    ladder = rungs(found, 60_000)
    assert list(ladder) == [*SIZES, 60_000]
    assert [len(pair) for pair in ladder.values()] == [2, 2, 2, 2, 1]
    assert all(run.exact.process == "flow" for pair in ladder.values() for run, _ in pair)
    assert list(rungs(found, 15_000)) == [10, 100, 1000, 5000, 10_000, 15_000]


def test_what_cannot_be_compared_is_told(tmp_path):
    whole = small_run(tmp_path / "whole")
    ask = Copying(model="whole", count=2, steps=2)
    with pytest.raises(Problem, match="There is no model 'nowhere'"):
        list(copying(ask.with_changes(also="nowhere"), (tmp_path,)))
    other = Run.create(tmp_path / "colour" / "run", whole.config.with_changes(limit_images=9))
    weights = make_network(other.config, 3).state_dict()
    other.save_weights(1, weights, {"step": 1, "epoch": 1, "shape": [3, 28, 28]})
    with pytest.raises(Problem, match="they cannot be compared"):
        list(copying(ask.with_changes(also=str(other.folder)), (tmp_path,)))
