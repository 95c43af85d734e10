"""The networks: shapes, the time embedding, and the parts that the report names."""

import math

import pytest
import torch
from torch import nn

from trainer.config import PRESETS
from trainer.networks import NETWORKS, make_network
from trainer.networks.fine import FineUNet
from trainer.networks.lean import UNet
from trainer.networks.parts import Attention, padded, time_embedding
from trainer.networks.report import ReportBlock, ReportUNet, functional
from trainer.problems import Problem

pytestmark = pytest.mark.usefixtures("one_thread")


def small(name, **options):
    torch.manual_seed(0)
    network = NETWORKS[name].find()(width=8, **options)
    for parameter in network.parameters():  # the zero-initialised ones too, so that all have effect
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.2)
    return network.eval()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("channels", "height", "width"), [(1, 28, 28), (1, 7, 9), (3, 32, 32), (3, 13, 30), (1, 1, 5)]
)
def test_answer_has_the_images_shape(name, channels, height, width):
    x = torch.randn(2, channels, height, width)
    answer = small(name, channels=channels)(x, torch.tensor([0.1, 0.9]))
    assert answer.shape == x.shape
    assert answer.dtype == x.dtype
    assert bool(answer.isfinite().all())
    assert answer.std() > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_time_and_class_change_the_answer_and_no_class_is_minus_one(name):
    network = small(name, classes=10)
    x, t = torch.randn(1, 1, 12, 12), torch.tensor([0.3])
    plain = network(x, t)
    assert torch.equal(plain, network(x, t, torch.tensor([-1])))
    for other in (network(x, t + 0.4), network(x, t, torch.tensor([9]))):
        assert not torch.allclose(other, plain, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_has_a_gradient(name):
    network = small(name, classes=3).train()
    answer = network(torch.randn(4, 1, 12, 12), torch.rand(4), torch.tensor([-1, 0, 1, 2]))
    answer.square().mean().backward()
    missing = [n for n, p in network.named_parameters() if p.grad is None]
    assert missing == []


@pytest.mark.parametrize("dim", [2, 8, 64])
def test_time_embedding_is_sines_then_cosines_of_falling_frequencies(dim):
    t = torch.tensor([0.0, 0.001, 0.25, 1.0])
    found = time_embedding(t, dim)
    half = dim // 2
    for row, time in zip(found.tolist(), (0.0, 1.0, 250.0, 1000.0), strict=True):
        for k in range(half):
            angle = time * 10_000.0 ** (-k / max(half - 1, 1))
            assert row[k] == pytest.approx(math.sin(angle), abs=2e-3)
            assert row[half + k] == pytest.approx(math.cos(angle), abs=2e-3)


def test_padded_repeats_the_far_edges_only_where_needed():
    x = torch.arange(6.0).view(1, 1, 2, 3)
    grown = padded(x, 4)
    assert grown.shape == (1, 1, 4, 4)
    assert torch.equal(grown[..., :2, :3], x)
    assert grown[0, 0, :, 3].tolist() == [2, 5, 5, 5]
    assert padded(grown, 4) is grown


@pytest.mark.parametrize(("height", "width"), [(3, 5), (17, 19)])
def test_attention_mixes_pixels_as_the_formula_says(height, width):
    """Vaswani et al. 2017, equation 1, for few pixels and for many."""
    torch.manual_seed(0)
    attention = Attention(4).eval()
    nn.init.normal_(attention.out.weight)
    x = torch.randn(2, 4, height, width)
    tokens = attention.qkv(attention.norm(x)).flatten(2).transpose(1, 2)
    q, k, v = tokens.split(4, dim=2)
    mixed = torch.softmax(q @ k.transpose(1, 2) / 4**0.5, dim=-1) @ v
    expected = x + attention.out(mixed.transpose(1, 2).reshape(x.shape))
    torch.testing.assert_close(attention(x), expected, rtol=1e-4, atol=1e-5)


def test_attention_starts_as_the_identity_but_for_its_bias():
    attention = Attention(4).eval()
    x = torch.randn(1, 4, 3, 3)
    torch.testing.assert_close(attention(x), x + attention.out.bias.view(1, 4, 1, 1))


def test_report_unet_has_each_element_that_the_report_names(monkeypatch):
    network = small("report").train()
    inputs, outputs = {}, {}

    def note(module, given, answer):
        inputs[module], outputs[module] = given[0], answer

    for module in network.modules():
        module.register_forward_hook(note)
    relu, rectified = functional.relu, []
    monkeypatch.setattr(functional, "relu", lambda x: rectified.append(x) or relu(x))
    network(torch.randn(2, 1, 28, 28), torch.tensor([0.2, 0.8]))

    def used(kind):
        return [module for module in outputs if isinstance(module, kind)]

    strided = [conv for conv in used(nn.Conv2d) if conv.stride == (2, 2)]
    assert len(strided) == len(used(nn.AvgPool2d)) == 2
    for down, conv, pool in zip(network.down, strided, used(nn.AvgPool2d), strict=True):
        assert outputs[conv].shape == outputs[pool].shape
        torch.testing.assert_close(outputs[down], outputs[conv] + outputs[pool])
    assert [up.mode for up in used(nn.Upsample)] == ["nearest", "nearest"]
    blocks = used(ReportBlock)
    levels = [*network.encoder, network.middle, *network.decoder]
    assert all(len(level.blocks) >= 2 for level in levels)
    assert len(rectified) == 2 * len(blocks) == 2 * sum(len(level.blocks) for level in levels)
    for block in blocks:
        assert {block.norm1, block.norm2, block.dropout} <= set(outputs)
        assert isinstance(block.norm1, nn.BatchNorm2d)
        assert isinstance(block.norm2, nn.BatchNorm2d)
        assert isinstance(block.dropout, nn.Dropout)
        assert block.dropout.p > 0
    for level in levels:
        assert isinstance(level.attention, Attention)
        assert torch.equal(outputs[level], outputs[level.attention])
    sizes = [outputs[level].shape[-1] for level in levels]
    assert sizes == [28, 14, 7, 7, 7, 14, 28]
    for encoder, decoder in zip(network.encoder, reversed(network.decoder), strict=True):
        width = outputs[encoder].shape[1]
        assert torch.equal(inputs[decoder][:, -width:], outputs[encoder])


def test_report_dropout_acts_in_training_only():
    network = small("report", dropout=0.5)
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([0.2, 0.8])
    assert torch.equal(network(x, t), network(x, t))
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.train()
    assert not torch.equal(network(x, t), network(x, t))


def test_report_guesses_are_as_documented():
    network = ReportUNet()
    assert network.stem.out_channels == 32
    assert [level.blocks[0].conv1.out_channels for level in network.encoder] == [32, 64, 64]
    assert {m.p for m in network.modules() if isinstance(m, nn.Dropout)} == {0.1}


def test_octaves_tell_neighbouring_bytes_apart():
    """One grey level is 2/255 of x; the wave of k = 7 turns by 2^7 pi of that, a full pi."""
    networks = [UNet(width=8, blocks=1, octaves=octaves).eval() for octaves in (0, 5)]
    seen = []
    for network in networks:
        network.stem.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        for level in (100, 101):
            x = torch.full((1, 1, 28, 28), level / 127.5 - 1)
            assert network(x, torch.ones(1)).shape == x.shape
    plain, magnified = (float((b - a).abs().max()) for a, b in (seen[:2], seen[2:]))
    assert plain == pytest.approx(2 / 255, rel=1e-3)
    assert magnified > 0.9


@pytest.mark.parametrize("reach", [1, 3])
def test_the_fine_head_begins_as_the_lean_network_and_sees_every_pixel_alone(reach):
    torch.manual_seed(0)
    fine = FineUNet(width=8, reach=reach).eval()
    lean = UNet(width=8, octaves=5).eval()
    x, t = torch.rand(2, 1, 9, 11) - 0.5, torch.tensor([0.1, 0.7])
    nn.init.normal_(fine.head.weight)
    lean.load_state_dict({name: fine.state_dict()[name] for name in lean.state_dict()})
    assert torch.equal(fine(x, t), lean(x, t))
    nn.init.normal_(fine.head_fine.weight)
    nn.init.zeros_(fine.told.weight)  # what is left is the head alone, told nothing by the rest
    nn.init.zeros_(fine.head.weight)
    nudged = x.clone()
    nudged[:, :, 4, 5] += 1 / 255
    moved = (fine(nudged, t) - fine(x, t)).abs()[0, 0] > 0
    near = torch.zeros(9, 11, dtype=torch.bool)
    near[4 - (reach - 1) : 5 + (reach - 1), 5 - (reach - 1) : 6 + (reach - 1)] = True
    assert bool(moved[4, 5])
    assert not bool(moved[~near].any())


def test_a_networks_own_mistake_is_not_told_as_a_wrong_option(monkeypatch):
    def own(channels, classes, **options):
        raise TypeError("of its own")

    config = PRESETS["modern"]
    monkeypatch.setattr("trainer.networks.lean.UNet", own)
    with pytest.raises(TypeError, match="of its own"):
        make_network(config, 1)
    monkeypatch.setattr("trainer.networks.lean.UNet", lambda channels: None)
    with pytest.raises(Problem, match="does not take"):
        make_network(config, 1)
