"""When a class is decided, against two Gaussians, whose classes at x_t are known exactly."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import binom, norm

from trainer.decision import (
    BEGINNINGS,
    Decision,
    begun,
    decided,
    decisions,
    digits,
    entropy,
    largest_variance,
    shares,
    speciation,
    turns,
)
from trainer.drawing import open_model
from trainer.exact import Mixture, MixtureModel
from trainer.problems import Problem
from trainer.processes import DDPM, VPSDE, RectifiedFlow
from trainer.samplers import Noise

DIMS, COUNT, KEPT = 3, 80, 8


def two(apart=1.0, width=0.2):
    """Two Gaussians at -apart and apart along the first axis."""
    means = torch.zeros(2, DIMS)
    means[:, 0] = torch.tensor([-apart, apart])
    return Mixture(means, torch.full((2,), width))


def side(x):
    return (x[:, 0] > 0).long().numpy(), np.ones(len(x))


def came_back(mixture, process, times, **changes):
    """All labels (F, n, k) from these times on, and the paths (F, n, D)."""
    ask = Decision(count=COUNT, continuations=KEPT, steps=12, **changes)
    x0 = mixture.sample(COUNT, torch.Generator().manual_seed(3))
    noise = Noise(list(range(COUNT)), (DIMS,), process).start()
    paths = torch.stack([process.diffuse(x0, t.expand(COUNT), noise) for t in times[:-1]] + [x0])
    found = [[] for _ in times]
    for turn in turns(ask, MixtureModel(mixture, process), process, times, paths, side):
        assert turn.first == len(found[turn.index])
        assert torch.equal(turn.states, paths[turn.index, turn.first :][: len(turn.labels)])
        found[turn.index].extend(turn.labels)
    return np.array(found), paths


def logits(mixture, process, t):
    """p_t's log odds of the right one at x are 2 alpha apart x_1 / v; of its own draws they are
    N(2 rho, 4 rho), rho = (alpha apart)² / v."""
    alpha, sigma = (float(v) for v in process.marginal(torch.tensor([t]).double()))
    apart, width = float(mixture.means[1, 0]), float(mixture.stds[0])
    variance = (alpha * width) ** 2 + sigma**2
    return 2 * alpha * apart / variance, (alpha * apart) ** 2 / variance


@pytest.mark.parametrize(
    ("process", "sampler"),
    [(VPSDE(), "sa-solver"), (RectifiedFlow(), "ddpm"), (DDPM.cosine(1000), "ddpm")],
    ids=["vp", "flow", "chain"],
)
def test_what_comes_back_are_draws_of_the_classes_at_x(process, sampler):
    mixture = two()
    times = process.on_grid(torch.tensor([0.98, 0.6, 0.4, 0.2]))
    times = torch.cat([times, torch.zeros(1)])
    labels, paths = came_back(mixture, process, times, sampler=sampler)
    own = labels[-1, :, 0]
    assert (labels[-1] == own[:, None]).all()
    assert np.array_equal(own, side(paths[-1])[0])
    for k, t in enumerate(times[:-1].tolist()):
        slope, _ = logits(mixture, process, t)
        p = 1 / (1 + np.exp(-slope * paths[k, :, 0].double().numpy()))
        off = (labels[k].mean(1) - p).mean()
        assert abs(off) < 4 * np.sqrt((p * (1 - p)).mean() / (COUNT * KEPT)) + 1e-3
        # The plug-in entropy of KEPT draws, expected exactly.
        draws = np.arange(KEPT + 1)
        bits = entropy(np.stack([draws, KEPT - draws], 1) / KEPT)
        weights = binom.pmf(draws, KEPT, p[:, None])
        expected = weights @ bits
        spread = np.sqrt((weights @ bits**2 - expected**2).clip(0).mean() / COUNT)
        assert abs(entropy(shares(labels[k], 2)).mean() - expected.mean()) < 4 * spread + 5e-3


def test_half_is_decided_at_the_speciation_time():
    """Of narrow Gaussians rho is 1 there, and of copies 0.775 agree (Biroli et al. 2024)."""
    mixture, process = two(width=0.02), VPSDE()
    variance = float(mixture.covariance()[0, 0])
    t = speciation(process, variance)
    alpha, sigma = (float(v) for v in process.marginal(torch.tensor([t]).double()))
    assert alpha**2 * variance == pytest.approx(sigma**2)
    _, rho = logits(mixture, process, t)
    z = np.linspace(-9, 9, 4001)
    p = 1 / (1 + np.exp(-(2 * rho + 2 * np.sqrt(rho) * z)))
    expected = float((norm.pdf(z) * p).sum() * (z[1] - z[0]))
    assert expected == pytest.approx(0.775, abs=0.003)
    labels, _ = came_back(mixture, process, torch.tensor([t, 0.0]))
    own = labels[-1, :, :1]
    agree = (labels[0] == own).mean(1)
    assert agree.mean() == pytest.approx(expected, abs=4 * agree.std() / np.sqrt(COUNT))
    # A wider gap is decided at more noise.
    assert speciation(process, 9 * variance) > t > speciation(process, variance / 9)


def test_decision_times_are_those_of_the_exact_posterior():
    mixture, process = two(), VPSDE()
    times = torch.cat([process.on_grid(torch.linspace(0.9, 0.1, 9)), torch.zeros(1)])
    labels, paths = came_back(mixture, process, times)
    sign = np.where(labels[-1, :, 0] > 0, 1, -1)
    exact = np.stack([
        1 / (1 + np.exp(-sign * logits(mixture, process, t)[0] * x[:, 0].double().numpy()))
        for t, x in zip(times[:-1].tolist(), paths[:-1], strict=True)
    ] + [np.ones(COUNT)])  # fmt: skip
    found = decided((labels == labels[-1, :, :1]).mean(-1), 0.75)
    gap = found - decided(exact, 0.75)
    assert abs(np.median(gap)) <= 1
    assert (np.abs(gap) <= 2).mean() > 0.7


def test_shares_entropies_and_decisions_of_known_numbers():
    labels = np.array([[0, 0, 1, 1], [2, 2, 2, 2]])
    assert np.array_equal(shares(labels, 3), [[0.5, 0.5, 0], [0, 0, 1]])
    assert entropy(shares(labels)).tolist() == [1, 0]
    assert entropy(np.full(10, 0.1)) == pytest.approx(np.log2(10))
    agreement = np.array([[0.9, 0.2], [0.7, 0.8], [0.8, 0.8], [1, 1]])
    assert decided(agreement, 0.75).tolist() == [2, 1]
    assert decided(agreement, 0.1).tolist() == [0, 0]
    assert decided(agreement, 1.0).tolist() == [3, 3]


@pytest.mark.parametrize("begin", [choice.id for choice in BEGINNINGS])
def test_digits_come_back_alike_for_equal_asks(begin, precision):
    ask = Decision(count=3, continuations=2, steps=3, times=3, begin=begin, precision=precision,
                   image="7")  # fmt: skip
    opened = open_model(ask)
    both = [list(decisions(ask, opened)) for _ in range(2)]
    assert [(t.index, t.first, len(t.labels)) for t in both[0]] == [
        (0, 0, 1), (2, 0, 1), (1, 0, 1), (0, 1, 2), (2, 1, 2), (1, 1, 2)
    ]  # fmt: skip
    for a, b in zip(*both, strict=True):
        assert torch.equal(a.ends, b.ends)
        assert a.ends.shape == (len(a.labels), 2, 1, 28, 28)
        assert np.array_equal(digits(a.ends[:, 1])[0], a.labels[:, 1])
    times, paths = begun(ask, opened)
    assert times[-1] == 0
    if begin == "image":
        x0 = torch.cat([opened.image(str(k)) for k in (7, 8, 9)])
        assert torch.equal(paths[-1], x0)


def test_a_file_is_one_image(tmp_path):
    from PIL import Image

    Image.new("L", (28, 28), 200).save(tmp_path / "grey.png")
    ask = Decision(count=5, image=str(tmp_path / "grey.png"), times=3)
    _, paths = begun(ask, open_model(ask))
    assert paths.shape == (3, 1, 1, 28, 28)


def test_the_largest_variance_is_the_covariances():
    opened = open_model(Decision())
    flat = opened.data.train.reshape(60_000, -1).astype(np.float32) / 127.5
    values = np.linalg.eigvalsh(np.cov(flat, rowvar=False))
    assert largest_variance(opened) == pytest.approx(values[-1], rel=1e-3)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(Problem, match="takes no noise of its own"):
        Decision(sampler="heun")
    with pytest.raises(Problem, match="There is no test image 10000"):
        begun(Decision(image="10000", count=2), open_model(Decision()))
    strange = SimpleNamespace(shape=(3, 32, 32), data=SimpleNamespace(name="boats"))
    with pytest.raises(Problem, match="digits only, not boats"):
        list(decisions(Decision(), strange))
