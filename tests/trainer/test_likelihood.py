"""Likelihood against the closed form of Gaussian data."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from tests.gaussian import Gaussian, GaussianModel, GaussianPredictor, LevelsModel
from trainer.data import load
from trainer.devices import set_threads
from trainer.drawing import open_model
from trainer.images import LEVEL
from trainer.likelihood import (
    bits_per_dim,
    bound_bits,
    bound_terms,
    chain_shares,
    decoder_nats,
    dequantised,
    exact_bits,
    exact_nats,
    log_likelihood,
    variational_bound,
)
from trainer.likelihood.bound import DEVIATIONS
from trainer.likelihood.judge import judge, summary
from trainer.metrics import spread_out
from trainer.problems import Problem
from trainer.processes import DDPM, PROCESSES, VESDE, VPSDE, CosinePath, RectifiedFlow, SubVPSDE
from trainer.processes.base import MOST_LOG_SNR
from trainer.requests import Likelihood

MEAN, STD = 0.3, 0.5


pytestmark = pytest.mark.usefixtures("one_thread")


def pulled_back(model, x, end=1.0):
    """log-density of the prior carried back by the exact flow: prior(x_1) |dx_1/dx|, closed form.

    The density of the data itself only where the prior is exactly p_1.
    """
    start = model.process.likelihood_time
    latent = model.flow(x, start, end)
    jacobian = model.logp(x, start) - model.logp(latent, end)
    return model.process.prior_logp(latent) + jacobian


@pytest.mark.parametrize("process", [VPSDE(), SubVPSDE(), VESDE()], ids=str)
@pytest.mark.parametrize("dims", [2, 64])
def test_exact_likelihood_is_the_closed_form(process, dims):
    model = Gaussian.random(process, dims, seed=1)
    x = model.draw(2)
    tolerance = 1e-5 if dims == 2 else 1e-4
    found = exact_nats(model, process, x, exact_trace=True, tolerance=tolerance)
    assert float((found.value - pulled_back(model, x)).abs().max()) / dims < 5e-4
    assert bool((found.error == 0).all())
    assert 20 < found.nfe < 150


@pytest.mark.parametrize(
    "process",
    [VPSDE(0.1, 40.0), SubVPSDE(0.1, 40.0), VESDE(0.001, 5000.0), CosinePath(), RectifiedFlow()],
    ids=str,
)
def test_exact_likelihood_is_the_datas_where_the_prior_is_p_1(process):
    """Schedules that end closer to their prior; VE's own data is blurred by sigma_min."""
    model = GaussianPredictor.random(process, 2, seed=1)
    x = model.draw(16)
    found = exact_nats(model, process, x, exact_trace=True, tolerance=1e-5)
    assert float((found.value - model.logp(x, process.likelihood_time)).abs().max()) / 2 < 1e-3


@pytest.mark.parametrize("name", PROCESSES)
def test_exact_likelihood_of_an_eps_model_on_every_process(name):
    process = PROCESSES[name].make()
    model = Gaussian.random(process, 2, seed=1)
    x = model.draw(8)
    found = exact_nats(model, process, x, exact_trace=True, tolerance=1e-5).value
    wanted = pulled_back(model, x, 1.0 if process.finite else 0.999)
    assert float((found - wanted).abs().max()) / 2 < 1e-3


def test_hutchinsons_error_is_what_it_says():
    """Over many samples the deviation from the exact trace is the stated standard error."""
    process = VPSDE()
    model = Gaussian.random(process, 8, seed=3)
    x = model.draw(200)
    exact = exact_nats(model, process, x, exact_trace=True, tolerance=1e-4).value
    found = exact_nats(model, process, x, tolerance=1e-4, probes=8)
    z = (found.value - exact) / found.error
    assert 0.8 < float(z.std()) < 1.5  # Student's t of 7 degrees: 1.18
    assert abs(float(z.mean())) < 0.4
    assert bool(log_likelihood(model, process, x[:2], exact_trace=True).isfinite().all())
    assert bool(exact_nats(model, process, x[:2]).error.isnan().all())


def gaussian_images(std, count=64):
    x = MEAN + std * torch.randn(count, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def exact_density_bits(images, std):
    density = torch.distributions.Normal(MEAN, std).log_prob(images.float() / 127.5 - 1)
    return -density.flatten(1).mean(1) / math.log(2) - math.log2(2 / 255)


def test_the_decoder_is_a_distribution_over_bytes_and_keeps_its_digits_far_out():
    levels = torch.arange(256).float().view(256, 1) / 127.5 - 1
    for mean, std in ((0.1, 0.05), (-0.99, 0.004), (1.2, 0.3)):
        nats = decoder_nats(levels, torch.full((256, 1), mean), torch.full((256,), std))
        assert float((-nats.double()).exp().sum()) == pytest.approx(1, abs=1e-5)
    far = decoder_nats(torch.zeros(1, 1), torch.full((1, 1), 0.5), torch.tensor([0.01]))
    nearer_edge = (0.5 - 1 / 255) / 0.01
    assert float(far) == pytest.approx(-stats.norm.logsf(nearer_edge), rel=1e-3)


def test_continuous_bound_is_tight_for_the_exact_model():
    process, images = VPSDE(), gaussian_images(0.2)
    generator, model = torch.Generator().manual_seed(0), LevelsModel(process, MEAN, 0.2)
    gap = variational_bound(model, process, images, generator, 200) - model.bits(images)
    assert abs(float(gap.mean())) < 4 * float(gap.std()) / 8


@pytest.mark.parametrize("name", [name for name in PROCESSES if name != "ddpm-zero-snr"])
def test_the_bound_is_never_below_the_exact_value_beyond_its_error(name):
    process, images = PROCESSES[name].make(), gaussian_images(0.2, 16)
    model = GaussianModel(process, MEAN, 0.2)
    found = bound_bits(model, process, images, torch.Generator().manual_seed(0), 40, draws=5)
    gap = found.value - exact_density_bits(images, 0.2)
    error = float(found.error.square().mean().sqrt()) / 4
    assert float(gap.mean()) > -3 * error
    assert float((gap / found.error).min()) > -20  # Student's t of 4 degrees, 16 images
    assert found.nfe == 5 * 41


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
    # Of the deviations that the decoder knows the best; its choice costs 36 values log 20 at most.
    costs = {}
    for factor, weight in DEVIATIONS.items():
        scale2 = factor**2 / snr[0]
        cost = 0.5 * torch.log(2 * math.pi * scale2) + variance[0] / (2 * scale2)
        costs[factor] = float(cost) - math.log(weight) / 36
    wanted = float((middle + min(costs.values())) / math.log(2) - math.log2(2 / 255))
    assert float(bound.mean()) == pytest.approx(wanted, abs=0.05)
    assert float((bound - exact_density_bits(images, std)).mean()) > 0


@pytest.mark.parametrize("variance", ["small", "large"])
def test_every_term_of_the_chains_bound_is_its_closed_form(variance):
    """L_t from the KL of two Gaussians in closed form, term by term, in expectation."""
    process, std = DDPM.linear(20, 1e-3, 0.3), 0.2
    images = gaussian_images(std, 256)
    x0 = images.double().flatten(1) / 127.5 - 1
    model = GaussianModel(process, MEAN, std)
    terms = list(bound_terms(model, process, images, torch.Generator().manual_seed(0), variance))
    assert [term.index for term in terms] == list(range(20, -1, -1))
    assert terms[-1].nfe == 20
    bars, nats = process.alpha_bars, 36 * math.log(2)
    last = 0.5 * (bars[20] * x0**2 - bars[20] - torch.log(1 - bars[20])).sum(1) / nats
    torch.testing.assert_close(terms[0].bits.double(), last, rtol=1e-4, atol=1e-6)
    offset = float(((x0 - MEAN) ** 2).mean()) / std**2  # 1 but for the draw of these images
    for term in terms[1:-1]:
        t = term.index + 1
        beta, bar, before = 1 - bars[t] / bars[t - 1], bars[t], bars[t - 1]
        posterior = (1 - before) / (1 - bar) * beta
        reverse = posterior if variance == "small" else beta
        # |x0 - E[x0 | x_t]|²: the mean over x_t for the images' own spread.
        k = bar * std**2 / (bar * std**2 + 1 - bar)
        miss = (1 - k) ** 2 * offset * std**2 + k**2 * (1 - bar) / bar
        distance = (before.sqrt() * beta / (1 - bar)) ** 2 * miss
        kl = 0.5 * ((posterior + distance) / reverse - 1 - (posterior / reverse).log())
        found = term.bits.double()
        error = float(found.std()) / 16
        wanted = float(kl / math.log(2))
        assert float(found.mean()) == pytest.approx(wanted, abs=5 * error + 1e-5)
    total = sum(term.bits for term in terms)
    if variance == "small":
        again = variational_bound(model, process, images, torch.Generator().manual_seed(1), 19)
        assert abs(float((total - again).mean())) < 5 * float((total - again).std()) / 16
    assert float((total - exact_density_bits(images, std)).mean()) > 0


@pytest.mark.parametrize("process", [DDPM.linear(1000), DDPM.cosine(200)], ids=["linear", "cosine"])
def test_a_chains_bound_from_few_timesteps_is_that_from_all_and_trembles_little(process):
    """Drawn by what they cost: at most a thirtieth of the variance of those drawn evenly in t."""
    shares = chain_shares(process)
    assert float(shares.sum()) == pytest.approx(1)
    images, model = gaussian_images(0.2, 128), GaussianModel(process, MEAN, 0.2)
    every = variational_bound(model, process, images, torch.Generator().manual_seed(0), 2000)
    few = variational_bound(model, process, images, torch.Generator().manual_seed(1), 16)
    gap = few - every
    error = float(gap.std()) / 128**0.5
    assert abs(float(gap.mean())) < 4 * error
    bars, steps = process.alpha_bars[1:], process.steps
    snr = bars / (1 - bars)
    # What a timestep costs, over how often it is taken.
    costs = 0.5 * (snr[:-1] - snr[1:]) / (1 / 0.2**2 + snr[1:]) / math.log(2)
    even = float((costs * (steps - 1)).var())
    ours = float((shares * (costs / shares - costs.sum()) ** 2).sum())
    assert ours < even / 30


def test_an_eps_model_has_no_bound_where_the_chain_leaves_no_signal():
    process, images = PROCESSES["ddpm-zero-snr"].make(steps=20), gaussian_images(0.2, 2)
    model = GaussianModel(process, MEAN, 0.2)
    with pytest.raises(Problem, match="alpha = 0"):
        variational_bound(model, process, images, torch.Generator(), 19)


def test_only_a_chain_has_terms():
    with pytest.raises(Problem, match="variational_bound"):
        next(bound_terms(lambda x, t: x, VPSDE(), gaussian_images(0.2, 2), torch.Generator()))


def test_bits_per_dim_adds_the_grey_levels():
    process = VPSDE()
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(90, 200, (4, 1, 4, 4), generator=generator, dtype=torch.uint8)
    model = GaussianModel(process, MEAN, STD)
    found = bits_per_dim(model, process, images, tolerance=1e-4, how="uniform")
    wanted = exact_density_bits(images, STD)
    assert torch.allclose(found, wanted, atol=0.02)
    several = exact_bits(model, process, images, draws=3, tolerance=1e-4, how="uniform")
    assert bool(((several.value - wanted).abs() < 8 * several.error + 0.01).all())


@pytest.mark.parametrize("process", [VPSDE(), VESDE(), CosinePath()], ids=str)
def test_noise_within_a_level_is_what_a_model_of_levels_knows(process):
    """The truncated normal's value is the discrete one but for what is cut off, 2 (1 - Φ(3)) of it;
    even noise costs the divergence between both."""
    images, model = gaussian_images(0.2, 16), LevelsModel(process, MEAN, 0.2)
    found, wanted = {}, model.bits(images)
    for how in ("truncated-normal", "normal", "uniform"):
        generator = torch.Generator().manual_seed(0)
        once = exact_bits(model, process, images, generator, 1e-3, how=how)  # J is diagonal
        found[how] = once.value - wanted
        assert float(once.solver.max()) < 0.02
    assert found["truncated-normal"].tolist() == pytest.approx([0.0] * 16, abs=0.02)
    # The decoder's deviations have a weight each: here the one of the noise, 0.8, is the best.
    assert 0 < float(found["normal"].mean()) < 0.02 - math.log2(0.8) / 36
    # From even noise to that of the levels next to it, of which each is as likely.
    near = torch.linspace(-0.5, 0.5, 1001).double()[:, None] - torch.arange(-1, 2)
    law = torch.distributions.Normal(0.0, math.exp(-MOST_LOG_SNR / 2) / LEVEL)
    divergence = -float(law.log_prob(near).logsumexp(1).mean()) / math.log(2)
    even = found["uniform"]
    assert float(even.mean()) == pytest.approx(divergence, abs=float(even.std()))  # of 16: 4 errors


@pytest.mark.parametrize("how", ["truncated-normal", "normal", "uniform"])
def test_dequantised_images_are_drawn_from_the_density_that_is_told(how):
    process, count = VPSDE(), 4096
    images = torch.full((count, 1, 2, 2), 100, dtype=torch.uint8)
    x, logs = dequantised(images, process, how, torch.Generator().manual_seed(0))
    alpha, sigma = (float(v) for v in process.marginal(torch.tensor([process.likelihood_time])))
    noise = (x.double() - alpha * (100 / 127.5 - 1)) / sigma
    reach = alpha * LEVEL / 2 / sigma
    law = {
        "truncated-normal": stats.truncnorm(-reach, reach),
        "normal": stats.norm(),
        "uniform": stats.uniform(-reach, 2 * reach),
    }[how]
    assert stats.kstest(noise.flatten().numpy(), law.cdf).pvalue > 0.01
    wanted = (law.logpdf(noise.clamp(-reach, reach)) if how != "normal" else law.logpdf(noise)) - (
        math.log(sigma)
    )
    assert np.allclose(logs.numpy(), wanted.reshape(count, -1).sum(1), atol=1e-2)


def test_its_value_does_not_depend_on_its_company_nor_its_class_on_its_place():
    images = torch.from_numpy(spread_out(load("mnist").test, 3).copy())
    model = open_model(Likelihood(model="gaussian:mnist process=vp images=900 classes=10")).model
    x, _ = dequantised(images, model.process, "uniform", torch.Generator().manual_seed(0))

    def nats(labels, part):
        asked = model.conditioned(torch.tensor(labels))
        return exact_nats(asked, model.process, part, tolerance=2e-2).value

    together, alone = nats([3, 1, 4], x), nats([3], x[:1])
    assert float(together[0]) == pytest.approx(float(alone), rel=1e-4)
    assert float(nats([1], x[:1])) != pytest.approx(float(alone), rel=1e-2)


def test_its_error_falls_with_the_tolerance_and_is_of_the_size_that_it_says():
    process = VPSDE()
    model = GaussianPredictor.random(process, 16, seed=1)
    x = model.draw(32)
    wanted, before = pulled_back(model, x), math.inf
    for tolerance in (1e-2, 1e-3, 1e-4, 1e-5):
        found = exact_nats(model, process, x, exact_trace=True, tolerance=tolerance)
        wrong = float((found.value - wanted).square().mean().sqrt())
        assert wrong < before / 3
        assert 0.2 < float(found.solver.square().mean().sqrt()) / wrong < 20
        before = wrong


def test_what_is_asked_of_a_network_is_near_in_both_precisions(run, precision):
    """Of the same noise; over 12 images bfloat16 moves the mean by less than 0.02 bits/dim."""
    images = torch.from_numpy(spread_out(load("mnist").test, 12).copy())
    process = run.process
    found = [
        exact_bits(
            run.model(precision=one), process, images, torch.Generator().manual_seed(0), 5e-3
        )
        for one in ("float32", precision)
    ]
    assert float((found[0].value - found[1].value).mean()) == pytest.approx(0, abs=0.02)
    assert bool(found[1].solver.isfinite().all())


def test_judging_is_the_same_on_any_number_of_threads():
    images = torch.from_numpy(spread_out(load("mnist").test, 5).copy())
    ask = Likelihood(model="gaussian:mnist process=vp images=500", batch=2, evaluations=4)
    opened, found = open_model(ask), []
    for count in (1, 2):
        set_threads(count)
        judged = list(judge(ask, opened, images))
        assert [one.first for one in judged] == [0, 2, 4]
        found.append(torch.cat([one.exact.value for one in judged]))
        facts = summary(judged)
    assert torch.allclose(*found, atol=1e-4)
    assert facts["exact"] == pytest.approx(float(found[1].mean()))
    assert facts["exact_error"] == pytest.approx(float(found[1].std() / 5**0.5))
    assert facts["nfe"] > 20


class Uniform:
    """The exact model of data uniform on [-1 - 1/255, 1 + 1/255] in each dimension."""

    def __init__(self, process):
        self.process = process

    def __call__(self, x, t):
        alpha, sigma = (v.view(-1, *[1] * (x.dim() - 1)) for v in self.process.marginal(t))
        edge = 1 + 1 / 255
        low, high = (x - alpha * edge) / sigma, (x + alpha * edge) / sigma
        # log of Φ(high) - Φ(low) is p_t; its gradient by the densities at both ends.
        flip = low > 0
        a, b = torch.where(flip, -high, low), torch.where(flip, -low, high)
        most = torch.special.log_ndtr(b)
        mass = most + torch.log1p(-torch.exp(torch.special.log_ndtr(a) - most))
        ends = [torch.exp(-0.5 * u**2 - mass) / math.sqrt(2 * math.pi) for u in (high, low)]
        return ends[1] - ends[0]


def test_uniform_noise_takes_eight_bits_a_dimension():
    process = RectifiedFlow()
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (24, 1, 4, 4), generator=generator, dtype=torch.uint8)
    model, how = Uniform(process), "uniform"
    found = exact_bits(model, process, images, generator, 1e-4, exact_trace=True, how=how)
    assert float(found.value.mean()) == pytest.approx(8, abs=0.01)


def test_counts_below_one_are_refused():
    process, images = VPSDE(), gaussian_images(0.2, 2)
    model = GaussianModel(process, MEAN, STD)
    for call in (
        lambda: exact_bits(model, process, images, draws=0),
        lambda: exact_nats(model, process, images.float(), probes=0),
        lambda: bound_bits(model, process, images, torch.Generator(), draws=0),
    ):
        with pytest.raises(Problem, match="at least 1"):
            call()
