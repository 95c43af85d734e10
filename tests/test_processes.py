"""Processes against closed forms, their own derivatives, and Ho et al.'s posterior."""

import math

import pytest
import torch

from trainer.denoiser import PREDICTIONS, from_output, predict, target
from trainer.problems import Problem
from trainer.processes import DDPM, PROCESSES, VPSDE, make_process

TIMES = torch.tensor([0.05, 0.2, 0.43, 0.7, 0.95], dtype=torch.float64)


@pytest.mark.parametrize("name", PROCESSES)
def test_coefficients_are_the_marginals_derivatives(name):
    process = make_process(name, {})
    t = TIMES.clone() + 1e-4  # off DDPM's grid, where the derivative jumps
    t.requires_grad_(True)
    alpha, sigma = process.marginal(t)
    (alpha_rate,) = torch.autograd.grad(alpha.sum(), t, retain_graph=True, allow_unused=True)
    (variance_rate,) = torch.autograd.grad((sigma**2).sum(), t)
    alpha_rate = torch.zeros_like(t) if alpha_rate is None else alpha_rate
    f, g2 = process.coefficients(t.detach())
    assert torch.allclose(f, alpha_rate / alpha.detach(), rtol=1e-6)
    assert torch.allclose(g2, variance_rate - 2 * f * sigma.detach() ** 2, rtol=1e-6)


def test_vp_marginal_is_song_et_al():
    t = TIMES
    total = 0.1 * t + 0.5 * t**2 * 19.9
    alpha, sigma = VPSDE().marginal(t)
    assert torch.allclose(alpha, torch.exp(-total / 2))
    assert torch.allclose(sigma**2, 1 - torch.exp(-total))


def test_ddpm_marginal_on_its_grid_is_the_cumulative_product():
    betas = torch.linspace(1e-4, 0.02, 300, dtype=torch.float64)
    bars = torch.cumprod(1 - betas, 0)
    alpha, sigma = DDPM(betas).marginal(torch.arange(1, 301, dtype=torch.float64) / 300)
    assert torch.allclose(alpha**2, bars, rtol=1e-12)
    assert torch.allclose(sigma**2, 1 - bars, rtol=1e-9)
    assert 0.03 < float(bars[-1]) < 0.06  # the report's x_T still holds signal


def test_ddpm_posterior_is_ho_et_al():
    process = DDPM.linear(300)
    i = torch.tensor([2, 77, 300])
    x, x0 = torch.randn(3, 5).double(), torch.randn(3, 5).double()
    mean, var = process.posterior(x, x0, i.double() / 300, (i.double() - 1) / 300)
    beta, bar, before = process.betas[i - 1], process.alpha_bars[i], process.alpha_bars[i - 1]
    wanted = (before.sqrt() * beta / (1 - bar))[:, None] * x0
    wanted = wanted + ((1 - beta).sqrt() * (1 - before) / (1 - bar))[:, None] * x
    assert torch.allclose(mean, wanted, rtol=1e-8)
    assert torch.allclose(var, (1 - before) / (1 - bar) * beta, rtol=1e-8)


@pytest.mark.parametrize("name", PROCESSES)
def test_transitions_compose(name):
    process = make_process(name, {})
    r, s, t = TIMES[0:1], TIMES[2:3], TIMES[3:4]
    (a1, v1), (a2, v2), (a, v) = (process.transition(*p) for p in ((r, s), (s, t), (r, t)))
    assert torch.allclose(a, a1 * a2)
    assert torch.allclose(v, a2**2 * v1 + v2)


@pytest.mark.parametrize("name", PROCESSES)
def test_time_at_inverts_log_snr(name):
    process = make_process(name, {})
    assert torch.allclose(process.time_at(process.log_snr(TIMES)), TIMES, atol=1e-6)


@pytest.mark.parametrize("name", ["vp", "sub-vp", "ddpm-linear"])
def test_simulating_the_sde_gives_the_marginal(name):
    process = make_process(name, {})
    generator = torch.Generator().manual_seed(0)
    x = torch.full((20_000, 1), 1.5)
    steps = 400
    for k in range(steps):
        drift, g = process.sde(x, torch.full((len(x),), k / steps))
        x = x + drift / steps
        x = x + (g / math.sqrt(steps))[:, None] * torch.randn(x.shape, generator=generator)
        if k == steps // 2 - 1:
            alpha, sigma = process.marginal(torch.tensor([0.5]))
            assert float(x.mean()) == pytest.approx(float(1.5 * alpha), abs=0.03)
            assert float(x.std()) == pytest.approx(float(sigma), rel=0.03)


def test_zero_terminal_snr_ends_without_signal():
    process = DDPM.linear(300).zero_terminal_snr()
    assert float(process.marginal(torch.ones(1))[0]) == 0
    assert not process.finite
    with pytest.raises(Problem, match="alpha = 0"):
        predict(lambda x, t: x, process, torch.zeros(1, 2), torch.ones(1))


@pytest.mark.parametrize("kind", PREDICTIONS)
@pytest.mark.parametrize("name", PROCESSES)
def test_from_output_inverts_target(kind, name):
    process = make_process(name, {})
    x0, eps = torch.randn(5, 3).double(), torch.randn(5, 3).double()
    x = process.diffuse(x0, TIMES, eps)
    found = from_output(kind, process, x, target(kind, process, x0, eps, TIMES), TIMES)
    assert torch.allclose(found.x0, x0, atol=1e-6)
    assert torch.allclose(found.eps, eps, atol=1e-6)


def test_wrong_parameters_are_a_problem():
    with pytest.raises(Problem, match="no process"):
        make_process("nonsense", {})
    with pytest.raises(Problem, match="does not take"):
        make_process("vp", {"gamma": 1})
    with pytest.raises(Problem, match="betas"):
        DDPM(torch.tensor([0.5, 1.5]))
