"""What is inside a network, against closed forms: counts, edges, attention."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from trainer.anatomy import anatomy, called, grid_of, look
from trainer.catalogue import NETWORKS
from trainer.config import PRESETS
from trainer.networks import make_network


def counted(network, *shape):
    x = torch.randn(1, *shape, requires_grad=True)
    return anatomy(network, lambda inside: inside(x))


class Forked(nn.Module):
    """Two ways that meet again: 3 x 3 convolutions, pooling and concatenation between."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.below = nn.ModuleList([nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU()])
        self.scale = nn.Linear(2, 6)
        self.last = nn.Conv2d(10, 5, 1, bias=False)

    def forward(self, x):
        first = self.first(x).relu() * 2
        h = first
        for part in self.below:
            h = part(h)
        bright = x.mean((1, 2, 3))[:, None].expand(-1, 2)
        h = h + self.scale(bright)[..., None, None]
        up = functional.interpolate(h, scale_factor=2)
        return self.last(torch.cat([up, first], 1))


def test_costs_are_those_of_the_closed_forms():
    found = counted(Forked(), 3, 8, 8)
    by_name = {block.name: block for block in found.blocks}
    assert list(by_name) == ["first", "below.0", "below.1", "scale", "last"]
    # A convolution: 2 C_in C_out k² operations a place of its answer, C_out (C_in k² + 1) weights.
    assert by_name["first"].flops == 2 * 3 * 4 * 9 * 64
    assert by_name["below.0"].flops == 2 * 4 * 6 * 9 * 16
    assert by_name["last"].flops == 2 * 10 * 5 * 64
    assert by_name["scale"].flops == 2 * 2 * 6
    assert [b.parameters for b in found.blocks] == [4 * 28, 6 * 37, 0, 18, 50]
    assert [b.shape for b in found.blocks] == [(4, 8, 8), (6, 4, 4), (6, 4, 4), (6,), (5, 8, 8)]
    assert found.parameters == 4 * 28 + 6 * 37 + 18 + 50
    assert found.flops == sum(block.flops for block in found.blocks)
    assert all(block.milliseconds > 0 for block in found.blocks)
    assert [block.kind for block in found.blocks][:3] == ["Conv2d", "Conv2d", "ReLU"]


def test_edges_lead_through_whatever_lies_between():
    names = ["first", "below.0", "below.1", "scale", "last"]
    found = counted(Forked(), 3, 8, 8)
    reads = {block.name: [names[k] for k in block.reads] for block in found.blocks}
    assert reads == {
        "first": [], "below.0": ["first"], "below.1": ["below.0"], "scale": [],
        "last": ["first", "below.1", "scale"],
    }  # fmt: skip


class Wrapped(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


def test_blocks_are_what_forward_calls():
    network = Forked()
    names = [name for name, _ in network.named_children() if name != "below"]
    x = torch.randn(1, 3, 8, 8)
    found = called(Wrapped(Wrapped(network)), lambda inside: inside(x))
    assert found == [network.first, *network.below, network.scale, network.last]
    assert len(names) == 3
    conv = nn.Conv2d(3, 1, 1)
    assert called(conv, lambda inside: inside(x)) == [conv]
    assert called(Wrapped(conv), lambda inside: inside(x)) == [conv]
    again = nn.Sequential(conv, nn.Conv2d(1, 3, 1), conv)
    assert [b.name for b in counted(again, 3, 4, 4).blocks] == ["0", "1", "0"]
    assert not any(module._forward_hooks for module in again.modules())


def test_a_network_that_fails_keeps_no_hooks():
    network = Forked()
    with pytest.raises(RuntimeError):
        counted(network, 7, 8, 8)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


@pytest.mark.parametrize("name", list(NETWORKS))
def test_every_network_of_the_catalogue_is_taken_apart(name):
    torch.manual_seed(0)
    config = PRESETS["modern"].with_changes(network=name, network_parameters={}, classes=10)
    network = make_network(config, 1).eval()
    x, t = torch.randn(1, 1, 28, 28, requires_grad=True), torch.tensor([0.5], requires_grad=True)
    found = anatomy(network, lambda inside: inside(x, t))
    assert sum(block.parameters for block in found.blocks) == found.parameters
    assert sum(block.flops for block in found.blocks) == found.flops
    first = next(k for k, block in enumerate(found.blocks) if block.name == "stem")
    assert first in found.blocks[first + 1].reads
    skips = [k for k, block in enumerate(found.blocks) for read in block.reads
             if k - read > 1 and len(found.blocks[read].shape) == 3]  # fmt: skip
    assert skips  # U-Nets, all of them


class Attends(nn.Module):
    """Attention over the places of (B, C, H, W), in one of three ways that people write it."""

    def __init__(self, channels, heads, way):
        super().__init__()
        self.heads, self.way = heads, way
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.torchs = nn.MultiheadAttention(channels, heads, batch_first=True)

    def tables(self, x):
        """The weights, mean of the heads, (B, n, n)."""
        q, k, _ = self.parts(x)
        return (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1).mean(1)

    def parts(self, x):
        flat = self.qkv(x).flatten(2).transpose(1, 2)
        return [p.unflatten(2, (self.heads, -1)).transpose(1, 2) for p in flat.chunk(3, 2)]

    def forward(self, x):
        if self.way == "multihead":
            flat = x.flatten(2).transpose(1, 2)
            return self.torchs(flat, flat, flat, need_weights=False)[0]
        q, k, v = self.parts(x)
        if self.way == "fused":
            return functional.scaled_dot_product_attention(q, k, v)
        return functional.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, dim=-1) @ v


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("way", ["written", "fused", "multihead"])
def test_attention_is_seen_however_it_is_written(way, heads):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), Attends(4, heads, way)).eval()
    x = torch.randn(1, 3, 4, 6, requires_grad=True)
    run = lambda inside: inside(x)  # noqa: E731
    seen = look(network, run, called(network, run))
    ((block, weights),) = seen.attention
    assert block == 1
    assert weights.shape == (1, 24, 24)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 24))
    attends, before = network[1], seen.answers[0]
    if way == "multihead":
        flat = before.flatten(2).transpose(1, 2)
        wanted = attends.torchs(flat, flat, flat)[1]
    else:
        wanted = attends.tables(before)
    torch.testing.assert_close(weights, wanted.detach(), rtol=1e-4, atol=1e-6)


def test_places_are_a_grid_of_the_images_shape():
    assert grid_of(49, 28, 28) == (7, 7)
    assert grid_of(24, 4, 6) == (4, 6)
    assert grid_of(6, 16, 24) == (2, 3)
    assert grid_of(50, 28, 28) is None
