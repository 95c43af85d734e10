"""Muon: against the singular value decomposition, and against Adam's size of step."""

import pytest
import torch
from torch import nn

from trainer.muon import ADAM_SIZE, Muon, is_hidden, orthogonalised


@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (16, 144), (96, 24)])
def test_orthogonalised_keeps_directions_and_levels_their_sizes(rows, columns):
    torch.manual_seed(0)
    matrices = torch.randn(3, rows, columns)
    u, sizes, vt = torch.linalg.svd(matrices, full_matrices=False)
    found = orthogonalised(matrices)
    there = u.mT @ found @ vt.mT
    diagonal = there.diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(there, torch.diag_embed(diagonal), rtol=0, atol=1e-4)
    # The iteration promises 0.7…1.2 (Jordan et al.) for all but the smallest of them.
    large = sizes > 0.02 * sizes[:, :1]
    assert diagonal[large].min() > 0.6
    assert diagonal[large].max() < 1.25


def test_a_step_follows_nesterovs_momentum_and_is_as_large_as_adams():
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(32, 8, 3, 3).to(memory_format=torch.channels_last))
    before = weight.detach().clone()
    optimizer = Muon([weight], lr=0.1, momentum=0.9, weight_decay=0.5)
    gradients = torch.randn(2, 32, 8, 3, 3)
    average = torch.zeros(32, 72)
    for gradient in gradients:
        weight.grad = gradient.clone().to(memory_format=torch.channels_last)
        before = weight.detach().clone()
        optimizer.step()
        flat = gradient.flatten(1)
        average = 0.9 * average + 0.1 * flat
        u, _, vt = torch.linalg.svd(0.9 * average + 0.1 * flat, full_matrices=False)
        taken = (before * (1 - 0.1 * 0.5) - weight.detach()).flatten(1)
        assert torch.cosine_similarity(taken.flatten(), (u @ vt).flatten(), dim=0) > 0.97
        assert taken.square().mean().sqrt() == pytest.approx(0.1 * ADAM_SIZE, rel=0.25)


def test_muon_leaves_weights_without_a_gradient_alone():
    weight = nn.Parameter(torch.ones(16, 16))
    Muon([weight], lr=0.1, weight_decay=0.5).step()
    assert torch.equal(weight, torch.ones(16, 16))


def test_hidden_are_matrices_of_some_width():
    for shape in ((16, 16), (48, 4, 3, 3)):
        assert is_hidden(torch.zeros(shape))
    for shape in ((32,), (4, 48, 3, 3), (11, 96)):
        assert not is_hidden(torch.zeros(shape))
