"""Noise and images of a batch, paired so that they lie near."""

from itertools import permutations

import pytest
import torch

from trainer.config import ExperimentConfig
from trainer.processes import RectifiedFlow
from trainer.training.learner import Learner
from trainer.training.pairs import optimal


def cost(x0, eps):
    return float((x0 - eps).square().sum())


def test_no_other_order_lies_nearer():
    x0, eps = torch.randn(2, 6, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    found = optimal(x0, eps)
    best = min(cost(x0, eps[list(order)]) for order in permutations(range(6)))
    assert cost(x0, found) == pytest.approx(best, rel=1e-5)
    assert best < 0.95 * cost(x0, eps)
    assert {tuple(row.flatten().tolist()) for row in found} == {
        tuple(row.flatten().tolist()) for row in eps
    }


def test_noise_stays_within_its_class():
    x0, eps = torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(8) % 2
    found = optimal(x0, eps, labels)
    for label in (0, 1):
        rows = labels == label
        assert torch.equal(found[rows], optimal(x0[rows], eps[rows]))


def test_a_training_takes_the_pairs(precision):
    config = ExperimentConfig(
        process="flow", loss_weighting="logit-normal", precision=precision, parts=2,
        network_parameters={"width": 8, "blocks": 1},
    )  # fmt: skip
    images = torch.randint(0, 256, (16, 1, 28, 28), generator=torch.Generator().manual_seed(0))
    losses = {}
    for pairs in (False, True):
        learner = Learner(config.with_changes(optimal_pairs=pairs), RectifiedFlow(), 1, "cpu")
        losses[pairs] = [
            float(learner.step(images.to(torch.uint8), None, step, 3)) for step in range(3)
        ]
    assert all(0 < loss < 10 for loss in losses[True])
    assert losses[True] != losses[False]
