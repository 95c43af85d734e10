"""Samplers with the exact score of a Gaussian: what they draw is that Gaussian."""

import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gaussian import Gaussian, GaussianModel, GaussianPredictor, moments
from trainer.problems import Problem
from trainer.processes import (
    DDPM,
    PROCESSES,
    VESDE,
    VPSDE,
    CosinePath,
    RectifiedFlow,
    SubVPSDE,
    spread,
)
from trainer.samplers import SAMPLERS, Noise, noise_path, sample
from trainer.samplers.sde import langevin

MEAN, STD = 0.7, 0.4
# Every update of these is affine in x and in its noise; the others choose steps from the state.
AFFINE = [name for name in SAMPLERS if name not in ("predictor-corrector", "rk45")]
DETERMINISTIC = ["ddim", "probability-flow", "heun", "dpm-solver++", "rk45"]
BLOWS_UP = {"ddpm-cosine", "ddpm-sigmoid", "ddpm-zero-snr", "cosine", "flow"}


pytestmark = pytest.mark.usefixtures("one_thread")


def draw(process, sampler, steps, count=4000, **options):
    generator = torch.Generator().manual_seed(1)
    x_T = process.prior_sample((count, 2), generator)
    model = GaussianModel(process, MEAN, STD)
    return list(sample(model, process, x_T, sampler, steps, generator, **options))


def moment_error(model, sampler, steps, **options):
    mean, covariance = moments(model, sampler, steps, **options)
    return float((mean - model.mean).norm() + (covariance - model.covariance).norm())


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("sampler", AFFINE)
def test_mean_and_covariance_converge_to_the_datas(name, sampler):
    if sampler == "euler-maruyama" and name in BLOWS_UP:
        pytest.skip("refused, see below")
    model = GaussianPredictor.random(PROCESSES[name].make(), 2, seed=1)
    coarse, fine = (moment_error(model, sampler, n) for n in (20, 80))
    assert fine < 0.6 * coarse or fine < 4e-3
    # Euler in t on VE's exponential sigma is the one that is slow: first order, a large constant.
    assert fine < (0.45 if name == "ve" else 0.15)


@pytest.mark.parametrize("process", [VPSDE(), SubVPSDE(), VESDE(), DDPM.linear(1000)], ids=str)
@pytest.mark.parametrize("sampler", ["predictor-corrector", "rk45"])
def test_draws_are_the_datas_gaussian(process, sampler):
    x = draw(process, sampler, 200, 3000)[-1].x
    assert float(x.mean()) == pytest.approx(MEAN, abs=0.03)
    assert float(x.std()) == pytest.approx(STD, rel=0.07)


def test_the_corrector_improves_the_predictor():
    """What Langevin steps are for: fewer predictor steps to the same covariance."""
    plain = draw(VESDE(), "reverse-diffusion", 40)[-1].x.std()
    corrected = draw(VESDE(), "predictor-corrector", 40, corrections=2)[-1].x.std()
    assert abs(float(corrected) - STD) < 0.7 * abs(float(plain) - STD)


def test_a_langevin_step_is_song_et_als_formula():
    x, eps = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0))
    z = torch.randn(6, 3, generator=torch.Generator().manual_seed(7))
    a, sigma, snr = torch.tensor(0.9), torch.tensor(0.5), 0.16
    found = langevin(x, eps, a, sigma, snr, z)
    g = -eps / sigma
    size = 2 * 0.81 * (snr * z.norm(dim=1).mean() / g.norm(dim=1).mean()) ** 2
    torch.testing.assert_close(found, x + size * g + (2 * size) ** 0.5 * z)


@pytest.mark.parametrize("variance", ["small", "large"])
def test_both_posterior_variances(variance):
    model = Gaussian.random(VPSDE(), 2, seed=1)
    coarse, fine = (moment_error(model, "ddpm", n, variance=variance) for n in (100, 200))
    assert 1.6 < coarse / fine < 2.4


@pytest.mark.parametrize("sampler", ["euler-maruyama", "reverse-diffusion"])
@pytest.mark.parametrize("process", [VPSDE(), SubVPSDE()], ids=str)
def test_weak_error_falls_with_first_order(process, sampler):
    model = Gaussian.random(process, 2, seed=1)
    coarse, fine = (moment_error(model, sampler, n, spacing="quadratic") for n in (80, 160))
    assert 1.6 < coarse / fine < 2.6


@pytest.mark.parametrize(
    ("sampler", "name", "spacing"),
    [
        ("ddim", "vp", "time"),
        ("ddim", "flow", "time"),
        ("probability-flow", "vp", "time"),
        ("probability-flow", "cosine", "time"),
        ("heun", "vp", "quadratic"),
        ("heun", "flow", "time"),
        ("heun", "cosine", "time"),
        ("heun", "ve", "time"),
        ("dpm-solver++", "vp", "quadratic"),
        ("dpm-solver++", "flow", "log-snr"),
        ("dpm-solver++", "ve", "time"),
    ],
)
def test_deterministic_error_falls_with_the_samplers_order(sampler, name, spacing):
    """Against the closed form of the path, from a state of the model's own p_1."""
    order = SAMPLERS[sampler].find().order
    process = PROCESSES[name].make(**({"sigma_min": 1e-3} if name == "ve" else {}))
    model = GaussianPredictor.random(process, 2, seed=1)
    x_T = model.flow(model.draw(32), 0.0, 1.0)
    wanted = model.flow(x_T, 1.0, 0.0)
    errors = []
    for n in (60, 120):
        *_, last = sample(model, process, x_T, sampler, n, spacing=spacing)
        errors.append(float((last.x - wanted).norm()))
    assert 0.8 * 2**order < errors[0] / errors[1] < 1.35 * 2**order


@pytest.mark.parametrize("name", PROCESSES)
def test_rk45_follows_the_closed_form_at_every_frame(name):
    process = PROCESSES[name].make()
    model = GaussianPredictor.random(process, 2, seed=1)
    x_T = model.flow(model.draw(16), process.earliest, 1.0)
    frames = list(sample(model, process, x_T, "rk45", 8, tolerance=1e-6))
    for frame in frames[1:-1]:
        exact = model.flow(x_T, 1.0, frame.t)
        assert float((frame.x - exact).abs().max()) < 2e-3 * process.prior_std
    assert float((frames[-1].x - model.flow(x_T, 1.0, 0.0)).abs().max()) < 4e-3


@pytest.mark.parametrize(
    ("name", "spacing", "points", "order"),
    [
        ("vp", "log-snr", 1, 2),
        ("vp", "log-snr", 2, 3),
        ("vp", "karras", 2, 3),
        ("flow", "log-snr", 2, 3),
        ("vp", "karras", 3, 4),
    ],
)
def test_unipcs_error_falls_with_one_order_more_than_its_points(name, spacing, points, order):
    """Up to the last time above 0, from where every sampler takes x0 for the data."""
    process = PROCESSES[name].make()
    model = GaussianPredictor.random(process, 2, seed=1)
    x_T, errors = model.flow(model.draw(32), 0.0, 1.0), []
    for n in (30, 60):
        frames = sample(model, process, x_T, "unipc", n, spacing=spacing, points=points)
        *_, before, _ = frames
        errors.append(float((before.x - model.flow(x_T, 1.0, before.t)).norm()))
    assert 0.75 * 2**order < errors[0] / errors[1] < 1.6 * 2**order


@pytest.mark.parametrize("name", ["vp", "flow"])
@pytest.mark.parametrize("tau", [0.5, 1.0])
def test_sa_solvers_mean_and_covariance_are_the_datas_to_third_order(name, tau):
    model = GaussianPredictor.random(PROCESSES[name].make(), 2, seed=1)
    coarse, fine = (
        moment_error(model, "sa-solver", n, spacing="log-snr", tau=tau) for n in (20, 40)
    )
    assert 5 < coarse / fine < 12
    assert fine < 0.2 * moment_error(model, "ddpm", 40, spacing="log-snr")


def test_sa_solver_without_noise_is_unipc_and_tau_obeys_its_range():
    how = GaussianModel(VPSDE(), MEAN, STD), VPSDE(), torch.ones(2, 3).double()
    *_, wanted = sample(*how, "unipc", 12)
    for options in ({"tau": 0.0}, {"tau_from": 1e4}, {"tau_to": 1e-4}):
        *_, last = sample(*how, "sa-solver", 12, **options)
        assert torch.equal(last.x, wanted.x)
    *_, last = sample(*how, "sa-solver", 12, tau_from=0.1, tau_to=1.0)
    assert not torch.allclose(last.x, wanted.x, atol=0.01)


@pytest.mark.parametrize("spacing", ["log-snr", "karras"])
@pytest.mark.parametrize("sampler", AFFINE)
def test_spacings_by_noise_serve_every_sampler(sampler, spacing):
    model = GaussianPredictor.random(VPSDE(), 2, seed=1)
    coarse, fine = (moment_error(model, sampler, n, spacing=spacing) for n in (20, 60))
    assert fine < 0.6 * coarse
    assert fine < 0.2


@pytest.mark.parametrize(
    "sampler", [name for name in SAMPLERS if name not in ("probability-flow", "rk45")]
)
@pytest.mark.parametrize("name", PROCESSES)
def test_data_of_one_point_is_found_in_few_steps(sampler, name):
    """Where x0 is constant these samplers end in it after any steps: none leaves noise."""
    if sampler == "euler-maruyama" and name in BLOWS_UP:
        pytest.skip("Euler-Maruyama refuses it")
    process, point = PROCESSES[name].make(), 0.3

    def model(x, t):
        alpha, sigma = (spread(v, x) for v in process.marginal(t))
        return (x - alpha * point) / sigma

    x_T = process.prior_sample((5, 2), torch.Generator().manual_seed(0)).double()
    *_, last = sample(model, process, x_T, sampler, 3)
    torch.testing.assert_close(last.x, torch.full_like(x_T, point), rtol=0, atol=1e-5)


def test_frames_count_and_report_evaluations():
    frames = draw(VPSDE(), "ddim", 10)
    assert [f.index for f in frames] == list(range(11))
    assert (frames[0].t, frames[-1].t, frames[-1].nfe) == (1, 0, 10)
    assert torch.equal(frames[-1].x, frames[-1].x0)


@pytest.mark.parametrize(
    ("sampler", "process", "nfe"),
    [
        ("ddpm", VESDE(), 10),
        ("euler-maruyama", VPSDE(), 10),
        ("euler-maruyama", VESDE(), 11),
        ("predictor-corrector", VPSDE(), 20),
        ("probability-flow", VESDE(), 11),
        ("heun", VPSDE(), 19),
        ("dpm-solver++", VPSDE(), 10),
        ("unipc", VPSDE(), 10),
        ("sa-solver", VESDE(), 10),
    ],
)
def test_cost_of_ten_steps(sampler, process, nfe):
    assert draw(process, sampler, 10, 4)[-1].nfe == nfe


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(SAMPLERS)),
    st.sampled_from(list(PROCESSES)),
    st.sampled_from(["time", "quadratic", "log-snr", "karras"]),
    st.lists(st.integers(1, 4), min_size=2, max_size=4),
    st.integers(1, 12),
    st.sampled_from([torch.float32, torch.float64]),
    st.integers(0, 2**31),
)
def test_any_sampler_on_any_process(sampler, name, spacing, shape, steps, dtype, seed):
    process = PROCESSES[name].make()
    exact = GaussianModel(process, MEAN, STD)
    calls = 0

    def model(x, t):
        nonlocal calls
        calls += 1
        assert x.shape == tuple(shape)
        assert t.shape == (shape[0],)
        assert t.dtype == dtype
        return exact(x, t)

    x_T = process.prior_sample(tuple(shape), torch.Generator().manual_seed(seed)).to(dtype)

    def frames():
        generator = torch.Generator().manual_seed(seed)
        return list(sample(model, process, x_T, sampler, steps, generator, spacing=spacing))

    times = process.times(steps, 1.0 if process.finite else 0.999, spacing)
    f, _ = process.coefficients(times[:1].double())
    if sampler == "euler-maruyama" and float(-f * (times[0] - times[1])) > 10:
        with pytest.raises(Problem, match="euler-maruyama"):
            frames()
        return
    found = frames()
    assert [f.index for f in found] == list(range(steps + 1))
    assert found[-1].nfe == calls
    assert found[-1].t == 0
    for frame in found:
        assert frame.x.shape == frame.x0.shape == x_T.shape
        assert frame.x.dtype == frame.x0.dtype == dtype
        assert bool(frame.x.isfinite().all())
    assert torch.equal(found[0].x, x_T) or sampler == "edm-heun"
    assert torch.equal(found[-1].x, found[-1].x0)
    assert torch.equal(found[-1].x, frames()[-1].x)


@pytest.mark.parametrize("process", [CosinePath(), RectifiedFlow(), DDPM.cosine(1000)], ids=str)
def test_infinite_drift_is_refused_by_name(process):
    with pytest.raises(Problem, match="euler-maruyama"):
        draw(process, "euler-maruyama", 10)
    assert bool(draw(process, "euler-maruyama", 50, start=0.8)[-1].x.isfinite().all())


@pytest.mark.parametrize(
    ("sampler", "options", "words"),
    [
        ("nonsense", {}, "no sampler 'nonsense'"),
        ("ddim", {"churn": 1.0}, "no option 'churn'; it takes eta"),
        ("heun", {"eta": 1.0}, "takes none"),
        ("ddim", {"eta": 1.5}, "eta"),
        ("ddpm", {"variance": "middle"}, "middle"),
        ("ddpm", {"spacing": "odd"}, "'odd'"),
        ("edm-heun", {"churn": -1.0}, "churn"),
        ("predictor-corrector", {"snr": 0.0}, "snr"),
        ("rk45", {"tolerance": 0.0}, "tolerance"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(sampler, options, words):
    with pytest.raises(Problem, match=words):
        draw(VPSDE(), sampler, 5, 4, **options)


def test_more_steps_than_the_chain_has_is_refused():
    with pytest.raises(Problem, match="300"):
        draw(DDPM.linear(300), "ddpm", 301)


def test_a_model_that_is_not_finite_stops_rk45_with_a_problem():
    x = torch.zeros(2, 2)
    with pytest.raises(Problem, match="not smooth"):
        list(sample(lambda x, t: x * float("nan"), VPSDE(), x, "rk45", 5))


@pytest.mark.parametrize("process", [DDPM.linear(300), VESDE()], ids=str)
def test_noise_path_ends_on_the_marginal(process):
    x0 = torch.full((4000, 1), 1.0)
    times = process.times(60).flip(0)
    for frame in noise_path(process, x0, times, torch.Generator().manual_seed(0)):
        alpha, sigma = process.marginal(torch.tensor([frame.t]))
        assert float(frame.x.mean()) == pytest.approx(float(alpha), abs=0.08 * float(sigma) + 1e-6)
        assert float(frame.x.std()) == pytest.approx(float(sigma), rel=0.06, abs=1e-6)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_catalogue_tells_each_samplers_options(name):
    entry = SAMPLERS[name]
    signature = inspect.signature(entry.find().__init__).parameters
    told = {one.name: one.default for one in entry.options}
    taken = [p for p in list(signature.values())[1:] if p.kind == p.POSITIONAL_OR_KEYWORD]
    assert told == {p.name: p.default for p in taken}
    assert entry.find().__doc__


def test_a_forgotten_process_is_told_at_once():
    model = GaussianModel(VPSDE(), MEAN, STD)
    x = torch.zeros(2, 2)
    for wrong in ((model,), (model, x), (model, x, VPSDE()), (model, VPSDE(), "ddim")):
        with pytest.raises(Problem, match="its process, and the noise x_T"):
            sample(*wrong)


class Counted(Noise):
    """Counts what is drawn of it."""

    drawn = 0

    def _normal(self, stream, place):
        self.drawn += 1
        return super()._normal(stream, place)


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_that_say_they_are_not_random_draw_no_noise(name):
    sampler = SAMPLERS[name].make()
    noise = Counted(0, (2, 3), VPSDE(), dtype=torch.float64)
    x = torch.ones(2, 3, dtype=torch.float64)
    for _ in sample(GaussianModel(VPSDE(), MEAN, STD), VPSDE(), x, name, 5, noise):
        pass
    assert (noise.drawn > 0) == sampler.random


@pytest.mark.parametrize(
    ("name", "option"), [("ddim", "eta"), ("edm-heun", "churn"), ("sa-solver", "tau")]
)
def test_an_option_makes_a_sampler_random(name, option):
    assert not SAMPLERS[name].make(**{option: 0.0}).random
    assert SAMPLERS[name].make(**{option: 1.0}).random
