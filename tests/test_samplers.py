"""Samplers with the exact score of a Gaussian: what they draw is that Gaussian."""

import pytest
import torch

from tests.gaussian import GaussianModel
from trainer.problems import Problem
from trainer.processes import DDPM, VPSDE, CosinePath, RectifiedFlow, SubVPSDE
from trainer.samplers import SAMPLERS, noise_path, sample

MEAN, STD = 0.7, 0.4


def draw(process, sampler, steps, **options):
    generator = torch.Generator().manual_seed(1)
    x_T = process.prior_sample((4000, 2), generator)
    model = GaussianModel(process, MEAN, STD)
    return list(sample(model, process, x_T, sampler, steps, generator, **options))


@pytest.mark.parametrize("process", [VPSDE(), SubVPSDE(), DDPM.linear(1000)], ids=str)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_draws_are_the_datas_gaussian(process, sampler):
    x = draw(process, sampler, 500)[-1].x
    assert float(x.mean()) == pytest.approx(MEAN, abs=0.03)
    assert float(x.std()) == pytest.approx(STD, rel=0.05)


@pytest.mark.parametrize("variance", ["small", "large"])
def test_both_posterior_variances(variance):
    x = draw(VPSDE(), "ddpm", 500, variance=variance)[-1].x
    assert float(x.std()) == pytest.approx(STD, rel=0.05)


@pytest.mark.parametrize("sampler", ["ddim", "probability-flow"])
def test_deterministic_error_falls_with_first_order(sampler):
    process = VPSDE()
    model = GaussianModel(process, MEAN, STD)
    x_T = torch.randn(64, 1, generator=torch.Generator().manual_seed(0)).double()

    def end(steps):
        return list(sample(model, process, x_T, sampler, steps))[-1].x

    fine = end(12_800)
    coarse, finer = ((end(n) - fine).abs().mean() for n in (200, 400))
    assert 1.6 < float(coarse / finer) < 2.5


def test_frames_count_and_report_evaluations():
    frames = draw(VPSDE(), "ddim", 10)
    assert [f.index for f in frames] == list(range(11))
    assert (frames[0].t, frames[-1].t, frames[-1].nfe) == (1, 0, 10)
    assert torch.equal(frames[-1].x, frames[-1].x0)


def test_same_seed_same_bits():
    first, second = (draw(VPSDE(), "euler-maruyama", 20)[-1].x for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("process", [CosinePath(), RectifiedFlow()], ids=str)
@pytest.mark.parametrize("sampler", ["euler-maruyama", "probability-flow"])
def test_infinite_drift_is_refused_by_name(process, sampler):
    with pytest.raises(Problem, match=sampler):
        draw(process, sampler, 10)


def test_more_steps_than_the_chain_has_is_refused():
    with pytest.raises(Problem, match="300"):
        draw(DDPM.linear(300), "ddpm", 301)


def test_noise_path_ends_on_the_marginal():
    process = DDPM.linear(300)
    x0 = torch.full((4000, 1), 1.0)
    times = process.times(60).flip(0)
    *_, last = noise_path(process, x0, times, torch.Generator().manual_seed(0))
    alpha, sigma = process.marginal(torch.ones(1))
    assert float(last.x.mean()) == pytest.approx(float(alpha), abs=0.05)
    assert float(last.x.std()) == pytest.approx(float(sigma), rel=0.05)


@pytest.mark.parametrize("kind", ["ddpm", "ddim"])
def test_steps_equal_those_of_diffusers(kind):
    diffusers = pytest.importorskip("diffusers", reason="install the extra 'test'")
    betas = {"num_train_timesteps": 100, "beta_start": 1e-4, "beta_end": 0.02}
    process = DDPM.linear(100)
    model = GaussianModel(process, MEAN, STD)
    x = torch.randn(4, 1, 4, 4, generator=torch.Generator().manual_seed(3)).double()
    if kind == "ddpm":
        scheduler = diffusers.DDPMScheduler(**betas, clip_sample=False)
    else:
        scheduler = diffusers.DDIMScheduler(**betas, clip_sample=False, set_alpha_to_one=True)
    # Its own float32 table of 1 - alpha-bar loses three digits near t = 0.
    scheduler.betas, scheduler.alphas = process.betas, 1 - process.betas
    scheduler.alphas_cumprod = process.alpha_bars[1:]
    scheduler.set_timesteps(100)
    ours = list(sample(model, process, x, kind, 100, torch.Generator().manual_seed(5)))
    generator = torch.Generator().manual_seed(5)
    for frame, i in zip(ours, scheduler.timesteps, strict=False):
        assert torch.allclose(frame.x, x, atol=1e-5)
        t = torch.full((4,), (int(i) + 1) / 100, dtype=torch.float64)
        x = scheduler.step(model(x, t), i, x, generator=generator).prev_sample
    assert torch.allclose(ours[-1].x, x, atol=1e-5)
