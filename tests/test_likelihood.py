"""Likelihood against the closed form of Gaussian data."""

import math

import pytest
import torch

from tests.gaussian import GaussianModel
from trainer.likelihood import bits_per_dim, log_likelihood, variational_bound
from trainer.processes import DDPM, VPSDE, SubVPSDE

MEAN, STD = 0.3, 0.5


@pytest.mark.parametrize("process", [VPSDE(), SubVPSDE()], ids=str)
@pytest.mark.parametrize("dims", [2, 64])
def test_exact_likelihood_is_the_closed_form(process, dims):
    # Mean 0: with another, alpha(1) > 0 leaves p_1 a little off the prior that likelihood uses.
    x = STD * torch.randn(4, dims, generator=torch.Generator().manual_seed(0)).double()
    found = log_likelihood(GaussianModel(process, 0.0, STD), process, x)
    wanted = torch.distributions.Normal(0.0, STD).log_prob(x).sum(1)
    assert float((found - wanted).abs().max()) / dims < 1e-3


def gaussian_images(std):
    x = MEAN + std * torch.randn(64, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def exact_bits(images, std):
    density = torch.distributions.Normal(MEAN, std).log_prob(images.float() / 127.5 - 1)
    return -density.flatten(1).mean(1) / math.log(2) - math.log2(2 / 255)


def test_continuous_bound_is_tight_for_the_exact_model():
    process, images = VPSDE(), gaussian_images(0.2)
    generator = torch.Generator().manual_seed(0)
    bound = variational_bound(GaussianModel(process, MEAN, 0.2), process, images, generator, 500)
    gap = bound - exact_bits(images, 0.2)
    assert abs(float(gap.mean())) < 4 * float(gap.std()) / 8


@pytest.mark.parametrize("process", [DDPM.linear(1000), DDPM.cosine(200)], ids=["linear", "cosine"])
def test_chain_bound_is_its_closed_form(process):
    """Each L_t is (SNR(t-1) - SNR(t)) / 2 times the posterior variance of x_0 given x_t."""
    images, std = gaussian_images(0.2), 0.2
    generator = torch.Generator().manual_seed(0)
    bound = variational_bound(GaussianModel(process, MEAN, std), process, images, generator, 1000)
    bars = process.alpha_bars[1:]
    snr = bars / (1 - bars)
    variance = 1 / (1 / std**2 + snr)
    middle = 0.5 * ((snr[:-1] - snr[1:]) * variance[1:]).sum()
    scale2 = 1 / snr[0]
    decoder = 0.5 * torch.log(2 * math.pi * scale2) + variance[0] / (2 * scale2)
    wanted = float((middle + decoder) / math.log(2) - math.log2(2 / 255))
    assert float(bound.mean()) == pytest.approx(wanted, abs=0.12)
    assert float((bound - exact_bits(images, std)).mean()) > 0


def test_bits_per_dim_adds_the_grey_levels():
    process = VPSDE()
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(90, 200, (4, 1, 4, 4), generator=generator, dtype=torch.uint8)
    found = bits_per_dim(GaussianModel(process, MEAN, STD), process, images)
    density = torch.distributions.Normal(MEAN, STD).log_prob(images.float() / 127.5 - 1)
    wanted = -density.flatten(1).mean(1) / math.log(2) - math.log2(2 / 255)
    assert torch.allclose(found, wanted, atol=0.02)
