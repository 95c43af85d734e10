"""Forward processes against closed forms, autograd and simulation."""

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trainer.problems import Problem
from trainer.processes import DDPM, PROCESSES, VPSDE, make_process

NAMES = list(PROCESSES)
# Midpoints of the 1000-step chains' intervals, where their alpha is smooth.
TIMES = (torch.arange(5, 990, 7, dtype=torch.float64) + 0.5) / 1000


pytestmark = pytest.mark.usefixtures("one_thread")


def total(t, low=0.1, high=20.0):
    return low * t + (high - low) * t**2 / 2


CLOSED = {
    "vp": lambda t: ((-total(t) / 2).exp(), (1 - (-total(t)).exp()).sqrt()),
    "sub-vp": lambda t: ((-total(t) / 2).exp(), 1 - (-total(t)).exp()),
    "ve": lambda t: (t * 0 + 1, 0.001 * 50_000**t),
    "cosine": lambda t: ((math.pi / 2 * t).cos(), (math.pi / 2 * t).sin()),
    "flow": lambda t: (1 - t, t),
}


def chain_bars(name, steps):
    """alpha-bar of each named chain, i = 1…steps, written out from the papers one step a time."""

    def cosine(i):
        return math.cos((i / steps + 0.008) / 1.008 * math.pi / 2) ** 2

    def sigmoid(i):
        def at(u):
            return 1 / (1 + math.exp(-(6 * u - 3)))

        return (at(1) - at(i / steps)) / (at(1) - at(0))

    bar, bars = 1.0, []
    for i in range(1, steps + 1):
        if name in ("ddpm-linear", "ddpm-zero-snr"):
            beta = 1e-4 + (0.02 - 1e-4) * (i - 1) / (steps - 1)
        else:
            curve = cosine if name == "ddpm-cosine" else sigmoid
            beta = min(1 - curve(i) / curve(i - 1), 0.999)
        bar *= 1 - beta
        bars.append(bar)
    if name == "ddpm-zero-snr":
        first, last = math.sqrt(bars[0]), math.sqrt(bars[-1])
        bars = [((math.sqrt(b) - last) * first / (first - last)) ** 2 for b in bars]
    return torch.tensor(bars, dtype=torch.float64)


@pytest.mark.parametrize("name", CLOSED)
def test_marginal_is_the_papers_closed_form(name):
    alpha, sigma = PROCESSES[name].make().marginal(TIMES)
    expected_alpha, expected_sigma = CLOSED[name](TIMES)
    torch.testing.assert_close(alpha, expected_alpha, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(sigma, expected_sigma, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("steps", [300, 1000])
@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("ddpm")])
def test_chain_marginal_at_its_own_times_is_the_cumulative_product(name, steps):
    process = PROCESSES[name].make(steps=steps)
    bars = chain_bars(name, steps)
    i = torch.arange(1, steps + 1)
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        alpha, sigma = process.marginal(i.to(dtype) / steps)
        assert alpha.dtype == sigma.dtype == dtype
        torch.testing.assert_close(alpha.double(), bars.sqrt(), rtol=0, atol=tolerance)
        torch.testing.assert_close(sigma.double(), (1 - bars).sqrt(), rtol=tolerance, atol=1e-9)
    alpha, sigma = process.marginal(torch.zeros(1))
    assert alpha.item() == 1
    assert sigma.item() == 0


@pytest.mark.parametrize("name", NAMES)
def test_coefficients_are_the_derivatives_of_the_marginal(name):
    process = PROCESSES[name].make()
    t = TIMES.clone().requires_grad_()
    alpha, sigma = process.marginal(t)
    slope = torch.zeros_like(t)
    if alpha.requires_grad:
        (slope,) = torch.autograd.grad(alpha.log().sum(), t, retain_graph=True)
    (growth,) = torch.autograd.grad(sigma.square().sum(), t)
    f, g2 = process.coefficients(TIMES)
    torch.testing.assert_close(f, slope, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(g2, growth - 2 * slope * sigma.detach() ** 2, rtol=1e-7, atol=1e-9)
    drift, diffusion = process.sde(torch.full((len(TIMES), 2, 3), 3.0).double(), TIMES)
    torch.testing.assert_close(drift[:, 1, 2], 3 * f)
    torch.testing.assert_close(diffusion, g2.sqrt())


@pytest.mark.parametrize("name", NAMES)
def test_slopes_are_the_derivatives_of_alpha_and_sigma(name):
    process = PROCESSES[name].make()
    t = TIMES.clone().requires_grad_()
    for value, found in zip(process.marginal(t), process.slopes(TIMES), strict=True):
        wanted = torch.zeros_like(t)
        if value.requires_grad:
            (wanted,) = torch.autograd.grad(value.sum(), t, retain_graph=True)
        torch.testing.assert_close(found, wanted, rtol=1e-7, atol=1e-9)
    assert all(bool(v.isfinite().all()) for v in process.slopes(torch.ones(1)))


@pytest.mark.parametrize("name", NAMES)
def test_particles_that_follow_the_sde_have_the_marginals_mean_and_spread(name):
    process = PROCESSES[name].make()
    generator = torch.Generator().manual_seed(1)
    start, count, dt = 2.0, 6000, 1e-3
    alpha, sigma = process.marginal(torch.zeros(1))
    x = alpha * start + sigma * torch.randn(count, generator=generator)
    f, g2 = process.coefficients((torch.arange(700, dtype=torch.float64) + 0.5) / 1000)
    for a, g in zip((1 + f * dt).tolist(), (g2 * dt).sqrt().tolist(), strict=True):
        x = a * x + g * torch.randn(count, generator=generator)
    alpha, sigma = process.marginal(torch.tensor([0.7]))
    error = sigma.item() / math.sqrt(count)
    assert x.mean().item() == pytest.approx(alpha.item() * start, abs=4.5 * error + 0.01)
    assert x.std().item() == pytest.approx(sigma.item(), rel=0.05)


def test_posterior_is_equations_6_and_7_of_ho_et_al():
    steps = 300
    process = DDPM.linear(steps)
    beta = torch.linspace(1e-4, 0.02, steps, dtype=torch.float64)
    bar = torch.cumprod(1 - beta, 0)
    before = torch.cat([torch.ones(1).double(), bar[:-1]])
    i = torch.arange(1, steps + 1, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    x, x0 = torch.randn(2, steps, 1, 2, 2, generator=generator, dtype=torch.float64)
    mean, variance = process.posterior(x, x0, i / steps, (i - 1) / steps)
    from_x0 = before.sqrt() * beta / (1 - bar)
    from_x = (1 - beta).sqrt() * (1 - before) / (1 - bar)
    expected = from_x0.view(-1, 1, 1, 1) * x0 + from_x.view(-1, 1, 1, 1) * x
    torch.testing.assert_close(mean, expected, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(variance, (1 - before) / (1 - bar) * beta, rtol=1e-6, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NAMES), st.lists(st.integers(1, 989), min_size=3, max_size=3, unique=True))
def test_transitions_compose_and_lead_from_marginal_to_marginal(name, indices):
    process = PROCESSES[name].make()
    r, s, t = (torch.tensor([i / 1000]).double() for i in sorted(indices))
    (a1, v1), (a2, v2) = process.transition(r, s), process.transition(s, t)
    a, v = process.transition(r, t)
    torch.testing.assert_close(a, a1 * a2, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(v, a2**2 * v1 + v2, rtol=1e-8, atol=1e-10)
    alpha, sigma = process.marginal(r)
    expected_alpha, expected_sigma = process.marginal(t)
    torch.testing.assert_close(a * alpha, expected_alpha)
    torch.testing.assert_close(a**2 * sigma**2 + v, expected_sigma**2)


@pytest.mark.parametrize("name", NAMES)
def test_time_at_inverts_the_log_snr_which_falls(name):
    process = PROCESSES[name].make()
    snr = process.log_snr(TIMES)
    alpha, sigma = process.marginal(TIMES)
    torch.testing.assert_close(snr.exp(), alpha**2 / sigma**2)
    assert bool((snr.diff() < 0).all())
    torch.testing.assert_close(process.time_at(snr), TIMES, rtol=0, atol=2e-6)


def test_diffuse_scales_each_sample_by_its_own_time():
    process = PROCESSES["flow"].make()
    x0, noise = torch.full((2, 1, 2, 2), 4.0), torch.full((2, 1, 2, 2), 8.0)
    x = process.diffuse(x0, torch.tensor([0.25, 0.5]), noise)
    assert x.flatten(1).unique(dim=1).tolist() == [[5.0], [6.0]]


def test_zero_terminal_snr_ends_without_signal_and_keeps_its_first_step():
    plain, mended = DDPM.linear(300), DDPM.linear(300).zero_terminal_snr()
    assert plain.finite
    assert not mended.finite
    alpha, sigma = mended.marginal(torch.ones(1))
    assert alpha.item() == 0
    assert sigma.item() == 1
    assert mended.alpha_bars[1].item() == pytest.approx(plain.alpha_bars[1].item(), rel=1e-12)
    assert (plain.mendable, mended.mendable, VPSDE().mendable) == (True, False, False)
    with pytest.raises(Problem, match="chain"):
        VPSDE().zero_terminal_snr()


@pytest.mark.parametrize("name", NAMES)
def test_finite_tells_where_the_coefficients_are_finite_at_the_end(name):
    process = PROCESSES[name].make()
    alpha, _ = process.marginal(torch.ones(1))
    assert process.finite == (alpha.item() > 0)


@pytest.mark.parametrize("name", NAMES)
def test_prior_is_a_gaussian_of_the_last_marginals_width(name):
    process = PROCESSES[name].make()
    _, sigma = process.marginal(torch.ones(1))
    assert process.prior_std == pytest.approx(sigma.item(), rel=0.01)
    x = process.prior_sample((4, 1, 20, 50), torch.Generator().manual_seed(0))
    assert x.std().item() == pytest.approx(process.prior_std, rel=0.05)
    normal = torch.distributions.Normal(0, process.prior_std)
    torch.testing.assert_close(process.prior_logp(x), normal.log_prob(x).flatten(1).sum(1))


def test_terminal_snr_tells_what_the_prior_leaves_out():
    """The report's 300 linear steps leave alpha-bar of 0.05; its mended form leaves nothing."""
    bar = math.exp(sum(math.log1p(-1e-4 - (0.02 - 1e-4) * i / 299) for i in range(300)))
    assert DDPM.linear(300).terminal_snr == pytest.approx(bar / (1 - bar))
    assert bar == pytest.approx(0.048, abs=0.001)
    assert DDPM.linear(300).zero_terminal_snr().terminal_snr == 0
    assert PROCESSES["ve"].make().terminal_snr == pytest.approx(1 / 2500)
    assert PROCESSES["flow"].make().terminal_snr == PROCESSES["cosine"].make().terminal_snr == 0


@pytest.mark.parametrize("name", ["vp", "sub-vp", "ve", "cosine", "flow"])
def test_times_are_spaced_as_asked(name):
    process = PROCESSES[name].make()
    torch.testing.assert_close(process.times(4, 0.5), torch.tensor([0.5, 0.375, 0.25, 0.125, 0.0]))
    torch.testing.assert_close(
        process.times(4, 0.5, "quadratic").sqrt().diff(), torch.full((4,), -(0.5**0.5) / 4)
    )
    inner = process.times(20, 0.9, "log-snr").double()[:-1]
    gaps = process.log_snr(inner).diff()
    torch.testing.assert_close(gaps, gaps.mean().expand(19), rtol=1e-2, atol=0)
    inner = process.times(20, 0.9, "karras").double()[:-1]
    gaps = (-process.log_snr(inner) / 14).exp().diff()
    torch.testing.assert_close(gaps, gaps.mean().expand(19), rtol=1e-2, atol=0)
    assert inner[-1].item() == pytest.approx(1e-3, rel=1e-3)


@settings(max_examples=100, deadline=None)
@example("ddpm-linear", 1001, 1, "log-snr")  # steps below what a chain tells from 0
@given(
    st.sampled_from(NAMES),
    st.integers(1, 1200),
    st.integers(1, 1000),
    st.sampled_from(["time", "quadratic", "log-snr", "karras"]),
)
def test_sampler_times_fall_from_the_start_to_zero(name, steps, start, spacing):
    times = PROCESSES[name].make().times(steps, start / 1000, spacing)
    assert len(times) == steps + 1
    assert times[0].item() == pytest.approx(start / 1000)
    assert times[-1].item() == 0
    assert bool((times.diff() < 0).all())


def test_chain_times_lie_on_the_chain_where_they_fit():
    process = DDPM.linear(300)
    places = process.times(70) * 300
    torch.testing.assert_close(places, places.round(), rtol=0, atol=1e-3)
    assert process.index(process.times(300)).tolist() == list(range(300, -1, -1))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("nonsense", {}),
        ("ddpm-linear", {"steps": 0}),
        ("ddpm-linear", {"steps": -1}),
        ("ddpm-linear", {"steps": 2.5}),
        ("ddpm-linear", {"beta_start": 0.0}),
        ("ddpm-linear", {"beta_end": 1.5}),
        ("ddpm-linear", {"beta_end": math.nan}),
        ("ddpm-cosine", {"steps": 0}),
        ("ddpm-cosine", {"steps": -3}),
        ("ddpm-sigmoid", {"steps": -1}),
        ("ddpm-sigmoid", {"start": 1.0, "end": 1.0}),
        ("ddpm-zero-snr", {"steps": 1}),
        ("vp", {"beta_min": 0.0}),
        ("vp", {"beta_min": 2.0, "beta_max": 1.0}),
        ("vp", {"beta_min": "a"}),
        ("vp", {"beta": 1.0}),
        ("sub-vp", {"beta_max": math.nan}),
        ("ve", {"sigma_min": -1.0}),
        ("ve", {"sigma_min": 1.0, "sigma_max": 1.0}),
        ("flow", {"steps": 3}),
    ],
)
def test_bad_parameters_are_a_problem(name, parameters):
    with pytest.raises(Problem):
        make_process(name, parameters)


@pytest.mark.parametrize(("steps", "start"), [(0, 1.0), (10, 0.0), (10, 1.1), (10, math.nan)])
def test_bad_sampler_times_are_a_problem(steps, start):
    for process in (VPSDE(), DDPM.linear(10)):
        with pytest.raises(Problem):
            process.times(steps, start)


def test_make_process_passes_its_parameters_on():
    process = make_process("ddpm-linear", {"steps": 300, "beta_end": 0.03})
    assert isinstance(process, DDPM)
    assert process.steps == 300
    assert process.betas[-1].item() == pytest.approx(0.03)
