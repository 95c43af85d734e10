"""Distances against their definitions and closed forms, coverage and nearest images by hand."""

import builtins
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from assets import ASSETS
from trainer.data import ImageSet, load
from trainer.metrics import (
    Moments,
    classify,
    coverage,
    evaluate,
    fid,
    frechet_distance,
    junk,
    moments,
    nearest,
    spread_out,
    training_moments,
)
from trainer.metrics.features import (
    DIGITS,
    Features,
    accuracy,
    digit_input,
    feature_set,
    inception,
    load_digit_network,
)
from trainer.problems import Problem
from trainer.runs.checkpoints import load_tensors


@pytest.fixture(scope="module")
def mnist():
    return load("mnist")


@pytest.fixture
def small(mnist, tmp_path, monkeypatch):
    """2,000 training and 300 test digits, with a cache folder of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return ImageSet(
        "mnist", mnist.train[:2000], mnist.train_labels[:2000], mnist.test[:300],
        mnist.test_labels[:300],
    )  # fmt: skip


def gaussian(seed, dim, rank):
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(dim, rank))
    return Moments(rng.normal(size=dim), factor @ factor.T)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_frechet_distance_is_its_definition(seed, dim):
    a, b = gaussian(seed, dim, dim + 3), gaussian(seed + 1, dim, dim + 3)
    root = sqrtm(a.covariance @ b.covariance).real
    mean = np.square(a.mean - b.mean).sum()
    expected = mean + np.trace(a.covariance + b.covariance - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-7, abs=1e-7)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b), rel=1e-9, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_frechet_distance_of_gaussians_with_common_axes_is_known(seed, dim):
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    a, b = rng.uniform(0, 3, size=(2, dim))
    b[0] = 0  # one of them flat in one direction
    shift = rng.normal(size=dim)
    first = Moments(np.zeros(dim), axes * a**2 @ axes.T)
    second = Moments(shift, axes * b**2 @ axes.T)
    expected = np.square(shift).sum() + np.square(a - b).sum()
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("rank", [1, 5, 40])
def test_frechet_distance_to_itself_is_nothing_even_where_the_covariance_is_singular(rank):
    a = gaussian(3, 40, rank)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6 * np.trace(a.covariance))


def test_moved_and_stretched_points_are_as_far_as_their_moments_say():
    points = np.random.default_rng(0).normal(size=(500, 7))
    a = moments(points)
    moved = moments(points + np.arange(7))
    assert frechet_distance(a, moved) == pytest.approx(91, rel=1e-9)  # 1 + 4 + … + 36
    centre = points.mean(0)
    stretched = moments(centre + 3 * (points - centre))
    assert frechet_distance(a, stretched) == pytest.approx(4 * np.trace(a.covariance), rel=1e-9)


def test_distance_between_draws_of_two_known_gaussians_nears_the_true_one():
    rng = np.random.default_rng(1)
    errors = []
    for count in (200, 20_000):
        a = rng.normal(size=(count, 4))
        b = 2 * rng.normal(size=(count, 4)) + 1
        errors.append(abs(frechet_distance(moments(a), moments(b)) - 8))  # 4·1² + 4·(2 - 1)²
    assert errors[1] < 0.3


def test_fid_is_zero_of_equal_sets_symmetric_and_grows_with_damage(mnist):
    a, b = mnist.test[:400], mnist.test[400:800]
    rng = np.random.default_rng(0)
    noisy = [np.clip(b + rng.normal(0, s, b.shape), 0, 255).astype(np.uint8) for s in (20, 60)]
    assert fid(a, a) == pytest.approx(0, abs=1e-4)
    assert fid(a, a[::-1].copy()) == pytest.approx(0, abs=1e-4)
    assert fid(a, b) == pytest.approx(
        fid(torch.from_numpy(b.copy()), torch.from_numpy(a.copy())), rel=1e-6
    )
    assert fid(a, b) < fid(a, noisy[0]) < fid(a, noisy[1])


def test_fid_takes_colour_and_other_sizes(mnist):
    a = mnist.test[:100]
    colour = np.repeat(a, 3, axis=1)
    assert fid(a, colour) == pytest.approx(0, abs=1e-4)
    large = np.repeat(np.repeat(a, 2, axis=2), 2, axis=3)
    assert digit_input(torch.from_numpy(large)).shape == (100, 1, 28, 28)
    assert fid(a, large) < 0.2 * fid(a, 255 - a)


@pytest.mark.parametrize(
    ("images", "features", "words"),
    [
        (np.zeros((4, 1, 28, 28), np.float32), "digits", "bytes"),
        (np.zeros((4, 28, 28), np.uint8), "digits", "bytes"),
        (np.zeros((0, 1, 28, 28), np.uint8), "digits", "bytes"),
        (np.zeros((1, 1, 28, 28), np.uint8), "digits", "at least 2"),
        (np.zeros((4, 1, 28, 28), np.uint8), "faces", "faces"),
    ],
)
def test_what_has_no_fid_is_a_problem(images, features, words):
    with pytest.raises(Problem, match=words):
        fid(images, images, features)


def test_shipped_features_know_digits_and_carry_their_checksum(mnist):
    network, name = load_digit_network()
    _, facts = load_tensors(DIGITS)
    assert facts["test_accuracy"] >= 0.994
    assert accuracy(network, mnist.test, mnist.test_labels) == pytest.approx(
        facts["test_accuracy"], abs=3e-4
    )
    assert name == feature_set().name
    assert DIGITS.stat().st_size < 1_500_000


def test_shipped_moments_are_those_of_the_training_set_in_the_shipped_features(mnist, tmp_path):
    chosen = feature_set()
    (path,) = (ASSETS / "features").glob(f"{chosen.name}-of-*.safetensors")
    idle = Features(chosen.name, lambda images: pytest.fail("the shipped file was not used"))
    shipped = training_moments(mnist.train, idle)
    assert path.is_file()
    some = chosen(mnist.train[::30]).astype(np.float64)
    spread = np.sqrt(np.diag(shipped.covariance))
    assert np.abs(some.mean(0) - shipped.mean).max() < (5 * spread / len(some) ** 0.5).max()
    assert np.trace(np.cov(some.T)) == pytest.approx(np.trace(shipped.covariance), rel=0.05)


def test_moments_of_other_training_sets_are_made_once(small):
    chosen = feature_set()
    made = training_moments(small.test, chosen)
    idle = Features(chosen.name, lambda images: pytest.fail("the cache was not used"))
    again = training_moments(small.test, idle)
    assert np.array_equal(made.mean, again.mean)
    assert np.array_equal(made.covariance, again.covariance)
    with pytest.raises(pytest.fail.Exception):
        training_moments(small.test[::-1], idle)


def test_moments_are_made_where_nothing_can_be_cached(small, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert training_moments(small.test, feature_set()).mean.shape == (128,)


def test_coverage_on_a_line():
    # Third neighbours of 0, 1, …, 9 are 3, 2, 2, …, 2, 3 away: the balls reach from -3 to 12.
    support = np.arange(10.0)[:, None]
    points = np.array([[-3.1], [-2.9], [0.5], [11.9], [12.1]])
    assert coverage(points, support) == pytest.approx(3 / 5)
    assert coverage(support, support) == 1
    assert coverage(support + 100, support) == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_coverage_is_its_definition(seed, neighbours):
    rng = np.random.default_rng(seed)
    points, support = rng.normal(size=(30, 3)), rng.normal(0.5, 1, size=(20, 3))
    inside = 0
    for point in points:
        hits = []
        for k, centre in enumerate(support):
            others = np.delete(support, k, axis=0)
            radius = np.sort(np.linalg.norm(others - centre, axis=1))[neighbours - 1]
            hits.append(np.linalg.norm(point - centre) <= radius)
        inside += any(hits)
    assert coverage(points, support, neighbours) == pytest.approx(inside / 30)


def test_half_a_distribution_is_precise_but_recalls_half():
    rng = np.random.default_rng(0)
    left = rng.normal(0, 1, size=(600, 2))
    both = np.concatenate([left[:300], rng.normal(50, 1, size=(300, 2))])
    assert coverage(left, both) > 0.9
    assert coverage(both, left) == pytest.approx(0.5, abs=0.02)


def test_coverage_by_too_few_is_a_problem():
    with pytest.raises(Problem, match="more than 3"):
        coverage(np.zeros((5, 2)), np.zeros((3, 2)))


def test_the_nearest_training_image_is_found_across_chunks():
    rng = np.random.default_rng(0)
    training = rng.integers(0, 256, (11_000, 1, 4, 5), dtype=np.uint8)
    planted = np.array([0, 4999, 5000, 10_999])
    images = training[planted].copy()
    images[3, 0, 0, 0] ^= 7
    index, distance = nearest(images, training)
    assert index.tolist() == planted.tolist()
    change = abs(int(images[3, 0, 0, 0]) - int(training[10_999, 0, 0, 0])) / 255
    assert distance == pytest.approx([0, 0, 0, change])
    others = rng.integers(0, 256, (50, 1, 4, 5), dtype=np.uint8)
    wide = others[:, None].astype(float) - training[None, :3000].astype(float)
    brute = np.sqrt(np.square(wide / 255).sum((2, 3, 4)))
    index, distance = nearest(others, training[:3000])
    assert index.tolist() == brute.argmin(1).tolist()
    assert distance == pytest.approx(brute.min(1))


def test_real_images_score_the_floor(small):
    report = evaluate(small.test, small)
    assert report.samples == report.real
    assert report.copying == 0.5
    assert report.features == feature_set().name
    assert report.samples.precision > 0.7
    assert report.samples.sure > 0.95
    assert sum(report.samples.classes) == 300
    assert report.samples.imbalance < 0.15


def test_copies_of_training_images_are_told_from_fresh_ones(small):
    copies = evaluate(spread_out(small.train, 300), small)
    assert copies.samples.nearest == 0
    assert copies.copying == 1
    assert copies.samples.precision == copies.samples.recall == 1
    assert copies.real.nearest > 3


def test_noise_and_a_lone_class_score_badly(small):
    noise = np.random.default_rng(0).integers(0, 256, (200, 1, 28, 28), dtype=np.uint8)
    bad = evaluate(noise, small)
    assert bad.samples.fid > 20 * bad.real.fid
    assert bad.samples.precision < 0.1
    assert bad.copying < 0.01
    ones = evaluate(small.train[small.train_labels == 1][:200], small)
    assert ones.samples.classes[1] >= 198
    share = (small.train_labels == 1).mean()
    assert ones.samples.imbalance == pytest.approx(1 - share, abs=0.02)
    assert ones.samples.recall < 0.5


def test_the_digit_classifier_is_silent_on_sets_that_it_does_not_know(small):
    turned = ImageSet(
        "turned", *(part[:, :, ::-1, ::-1].copy() if part.ndim == 4 else part[::-1].copy()
                    for part in (small.train, small.train_labels, small.test, small.test_labels))
    )  # fmt: skip
    report = evaluate(turned.train[:50], turned)
    assert report.samples.sure is report.samples.classes is report.real.imbalance is None
    assert report.samples.fid > 0


def test_classify_reads_digits(mnist):
    labels, sureness = classify(mnist.test[:200])
    assert (labels == mnist.test_labels[:200]).mean() > 0.97
    assert ((sureness == 0) | (sureness > 0.1)).all()  # 0: no digit
    assert (sureness > 0).mean() > 0.97
    assert sureness.max() <= 1


def test_samples_of_another_shape_are_a_problem(small):
    with pytest.raises(Problem, match="one size"):
        evaluate(np.zeros((10, 3, 32, 32), np.uint8), small)


def test_inception_without_weights_says_where_to_put_them(tmp_path):
    with pytest.raises(Problem, match="--fetch-inception"):
        inception(tmp_path / "absent.pth")


class Trap:
    def __reduce__(self):
        return (exec, ("raise SystemExit('the file was unpickled')",))


def test_inception_weights_are_never_unpickled(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps(Trap(), protocol=2))
    with pytest.raises(Problem, match="does not hold"):
        inception(path)
    torch.save({"a": Trap()}, path)
    with pytest.raises(Problem, match="does not hold"):
        inception(path)


def test_inception_without_its_library_says_how_to_install_it(tmp_path, monkeypatch):
    path = tmp_path / "weights.pth"
    torch.save({"a": torch.zeros(2)}, path)
    original = builtins.__import__

    def absent(name, *rest):
        if name.startswith("torch_fidelity"):
            raise ImportError(f"No module named '{name}'")
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(Problem, match=r"diffviz\[inception\]"):
        inception(path)


def test_parts_of_a_set_are_taken_all_along_it():
    numbers = np.arange(101)
    assert spread_out(numbers, 5).tolist() == [0, 25, 50, 75, 100]
    assert (
        spread_out(numbers, 101).tolist() == spread_out(numbers, 500).tolist() == list(range(101))
    )


def test_the_floor_falls_as_images_grow_more(mnist):
    chosen = feature_set()
    reference = training_moments(mnist.train, chosen)
    few, more = (
        frechet_distance(moments(chosen(spread_out(mnist.test, count))), reference)
        for count in (100, 1600)
    )
    assert more < few / 4
    assert more < 1


def test_junk_is_no_digit_however_sure_the_classifier_is():
    rng, test = np.random.default_rng(0), load("mnist").test
    noise = rng.integers(0, 256, (50, 1, 28, 28), dtype=np.uint8)
    blank = np.zeros((2, 1, 28, 28), np.uint8)
    stripes = np.broadcast_to((np.arange(28) % 4 < 2)[None, None, None], (2, 1, 28, 28))
    for images in (noise, blank, (255 * stripes).astype(np.uint8)):
        _, sureness = classify(images)
        assert (sureness < 0.9).all()
        assert junk(images).all()
    real = spread_out(test[1::3], 900)
    assert junk(real).mean() < 0.015
    assert (classify(real)[1] >= 0.9).mean() > 0.95
