"""Toy distributions: their closed forms against calculus, and samplers against their moments."""

import math

import pytest
import torch

from trainer.catalogue import TOYS
from trainer.denoiser import predict
from trainer.exact import Mixture, MixtureModel, kernel
from trainer.problems import Problem
from trainer.processes import DDPM, PROCESSES, VESDE, VPSDE, CosinePath, RectifiedFlow, SubVPSDE
from trainer.samplers import sample
from trainer.toys import checkerboard, drawn, halves, toy, train_toy

TIMES = (0.0, 0.03, 0.31, 0.77, 1.0)


def mixture(dims: int, equal: bool = False) -> Mixture:
    means = torch.tensor([[-1.5, 0.4], [0.3, -0.8], [1.6, 1.1]]).double()[:, :dims]
    stds = torch.full((3,), 0.3) if equal else torch.tensor([0.2, 0.5, 0.35])
    return Mixture(means, stds.double(), torch.tensor([1.0, 2.0, 0.5]).double())


def at(t: float, x: torch.Tensor) -> torch.Tensor:
    return torch.full((len(x),), t, dtype=x.dtype)


@pytest.fixture(params=list(PROCESSES))
def process(request):
    return PROCESSES[request.param].make()


@pytest.mark.parametrize("t", TIMES)
def test_density_in_one_dimension_integrates_to_one(process, t):
    model = MixtureModel(mixture(1), process)
    reach = 8 * float(process.marginal(torch.tensor([t]))[1]) + 6
    x = torch.linspace(-reach, reach, 20_001).double()[:, None]
    p = model.log_density(x, at(t, x)).exp()
    assert float(torch.trapezoid(p, x[:, 0])) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("t", TIMES)
def test_score_is_the_gradient_of_log_density(process, t, equal):
    model = MixtureModel(mixture(2, equal), process)
    generator = torch.Generator().manual_seed(0)
    x = 2 * torch.randn(50, 2, generator=generator).double()
    h = 1e-5
    for axis in range(2):
        step = h * torch.eye(2)[axis].double()
        rise = model.log_density(x + step, at(t, x)) - model.log_density(x - step, at(t, x))
        assert torch.allclose(model.score(x, at(t, x))[:, axis], rise / (2 * h), atol=1e-6)


@pytest.mark.parametrize("t", [0.05, 0.3123, 0.8])
def test_density_obeys_the_fokker_planck_equation(process, t):
    """dp/dt = -d(f x p)/dx + g² / 2 d²p/dx², by finite differences in t and x."""
    model = MixtureModel(mixture(1), process)
    # Coefficients and differences must lie within one interval of a discrete chain.
    if isinstance(process, DDPM):
        t = (math.floor(t * process.steps) + 0.5) / process.steps
    scale = float(process.marginal(torch.tensor([t]).double())[1]) + 1
    x = torch.linspace(-2 * scale, 2 * scale, 41).double()[:, None]

    def p(x, t):
        return model.log_density(x, at(t, x)).exp()

    dt, dx = 1e-6, 4e-4 * scale
    f, g2 = (float(v) for v in process.coefficients(torch.tensor([t]).double()))
    rate = (p(x, t + dt) - p(x, t - dt)) / (2 * dt)
    flux = ((x + dx)[:, 0] * p(x + dx, t) - (x - dx)[:, 0] * p(x - dx, t)) / (2 * dx)
    bend = (p(x + dx, t) - 2 * p(x, t) + p(x - dx, t)) / dx**2
    # Near the prior the two terms all but cancel: what is left is judged by their size.
    size = float((f * flux).abs().max() + (g2 / 2 * bend).abs().max())
    assert torch.allclose(rate, -f * flux + g2 / 2 * bend, rtol=0, atol=1e-5 * size)


def test_eps_is_what_noise_is_expected_and_x0_goes_with_it(process):
    """E[eps | x] = -sigma score, and x = alpha E[x0 | x] + sigma E[eps | x] at every t."""
    model = MixtureModel(mixture(2), process)
    x = torch.linspace(-3, 3, 30).double().view(15, 2)
    for t in TIMES:
        alpha, sigma = (float(v[0]) for v in process.marginal(at(t, x)))
        belief = predict(model, process, x, at(t, x))
        assert torch.allclose(belief.eps, -sigma * model.score(x, at(t, x)), atol=1e-9)
        assert torch.allclose(alpha * belief.x0 + sigma * belief.eps, x, atol=1e-9)
        assert torch.equal(belief.eps, model(x, at(t, x)))


def test_posterior_mean_matches_weighing_draws():
    """E[x0 | x_t = x] by importance sampling from the data distribution."""
    process, data = VPSDE(), mixture(1)
    model = MixtureModel(data, process)
    x0 = data.sample(400_000, torch.Generator().manual_seed(0))
    alpha, sigma = process.marginal(torch.tensor([0.3]).double())
    for x in (-1.0, 0.2, 0.9):
        weights = torch.exp(-((x - alpha * x0[:, 0]) ** 2) / (2 * sigma**2))
        point = torch.tensor([[x]]).double()
        found = model.predict(point, at(0.3, point)).x0.item()
        assert found == pytest.approx(float(weights @ x0[:, 0] / weights.sum()), abs=0.01)


@pytest.mark.parametrize("equal", [True, False])
def test_grid_density_is_the_density(equal):
    model = MixtureModel(mixture(2, equal), VPSDE())
    axis = torch.linspace(-3, 3, 25).double()
    points = torch.cartesian_prod(axis, axis)
    for t in (0.0, 0.4, 1.0):
        expected = model.log_density(points, at(t, points)).exp().view(25, 25)
        assert torch.allclose(model.density_on_grid(axis, t), expected, atol=1e-12)


def test_draws_have_the_mixtures_moments():
    data = mixture(2)
    x = data.sample(200_000, torch.Generator().manual_seed(1))
    assert torch.allclose(x.mean(0), data.mean(), atol=0.01)
    assert torch.allclose(x.T.cov(), data.covariance(), atol=0.02)
    again = data.sample(200_000, torch.Generator().manual_seed(1))
    assert torch.equal(x, again)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
@pytest.mark.parametrize(
    "process",
    [VPSDE(), SubVPSDE(), VESDE(), DDPM.linear(1000), DDPM.cosine(300), CosinePath(),
     RectifiedFlow()],
    ids=lambda process: type(process).__name__,
)  # fmt: skip
def test_samplers_with_the_exact_model_reproduce_the_moments(process, sampler):
    data = mixture(2)
    generator = torch.Generator().manual_seed(0)
    x = process.prior_std * torch.randn(4000, 2, generator=generator).double()
    for frame in sample(MixtureModel(data, process), process, x, sampler, 150, generator):
        last = frame.x
    # Standard errors at 4,000 draws are about 0.02; the rest is the discretisation's.
    assert torch.allclose(last.mean(0), data.mean(), atol=0.09)
    assert torch.allclose(last.T.cov(), data.covariance(), atol=0.12)


@pytest.mark.parametrize("name", TOYS)
def test_toys_are_seeded_smooth_and_of_unit_scale(name):
    one, other, third = (toy(name, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(one.means, other.means)
    if "gaussians" not in name:
        assert not torch.equal(one.means, third.means)
    assert 0.5 < float(one.covariance().diagonal().mean().sqrt()) < 1.3
    assert float(one.mean().norm()) < 0.3
    assert float(one.means.abs().max()) < 2.2


def test_checkerboard_fills_the_dark_squares_evenly():
    points = checkerboard(800, torch.Generator().manual_seed(0)) / 0.85 + 2
    square = points.floor().long()
    assert bool(((square.sum(1) % 2) == 0).all())
    assert (square[:, 0] * 4 + square[:, 1]).bincount().tolist().count(100) == 8


def test_strokes_become_evenly_spaced_points():
    line = torch.tensor([[0.0, 0.0], [0.1, 0.0], [1.0, 0.0]])
    corner = torch.tensor([[0.0, 1.0], [0.0, 2.0], [1.0, 2.0]])
    found = drawn([line, corner, torch.empty(0, 2)], points=300)
    assert len(found.means) == 300
    first, second = found.means[:100], found.means[100:]
    assert torch.allclose(first[:, 0], (torch.arange(100) + 0.5) / 100, atol=1e-5)
    assert float((second[1:] - second[:-1]).norm(dim=1).max()) < 0.0101
    dot = drawn([torch.tensor([[0.5, -0.5]])])
    assert torch.allclose(dot.mean(), torch.tensor([0.5, -0.5]))


def test_bad_input_is_explained():
    with pytest.raises(Problem, match="no toy distribution 'donut'"):
        toy("donut", torch.Generator())
    with pytest.raises(Problem, match="Nothing is drawn"):
        drawn([])
    with pytest.raises(Problem, match="width above 0"):
        kernel(torch.zeros(2, 2), 0.0)
    with pytest.raises(Problem, match="not be negative"):
        Mixture(torch.zeros(2, 1), torch.ones(2), torch.tensor([1.0, -1.0]))
    with pytest.raises(Problem, match="one width and one weight"):
        Mixture(torch.zeros(2, 1), torch.ones(3))


def test_a_small_network_learns_the_exact_model():
    data, process = toy("three-gaussians", torch.Generator()), VPSDE()
    generator = torch.Generator().manual_seed(0)
    events = list(train_toy(data, process, generator, steps=150, batch_size=128))
    assert [event.step for event in events] == list(range(1, 151))
    exact, learnt = MixtureModel(data, process), events[-1].model
    x0 = data.sample(1000, generator)
    t = torch.rand(1000, generator=generator) * 0.9 + 0.1
    x = process.diffuse(x0, t, torch.randn(x0.shape, generator=generator))
    with torch.no_grad():
        error = (learnt(x, t) - exact(x, t)).square().mean()
    assert float(error) < 0.03 * float(exact(x, t).square().mean())


def test_toy_training_is_seeded():
    def losses(seed):
        data = toy("two-moons", torch.Generator().manual_seed(0))
        generator = torch.Generator().manual_seed(seed)
        return [e.loss for e in train_toy(data, VPSDE(), generator, steps=3, seed=seed)]

    assert losses(0) == losses(0)
    assert losses(0) != losses(1)


@pytest.mark.parametrize("prediction", ["v", "eps", "flow"])
def test_a_small_network_learns_classes_by_any_objective(prediction):
    """Asked for a half it tells the half's noise, asked for none the whole's."""
    data, process = toy("three-gaussians", torch.Generator()), VPSDE()
    labels, generator = halves(data), torch.Generator().manual_seed(0)
    *_, last = train_toy(
        data, process, generator, steps=400, prediction=prediction, labels=labels
    )  # fmt: skip
    x0, t = data.sample(1000, generator), torch.rand(1000, generator=generator) * 0.7 + 0.2
    x = process.diffuse(x0, t, torch.randn(x0.shape, generator=generator))
    for label in (-1, 0, 1):
        chosen = data if label < 0 else data.only(labels == label)
        exact = MixtureModel(chosen, process)(x, t)
        with torch.no_grad():
            learnt = last.model.conditioned(torch.full((1000,), label))(x, t)
        near = exact.norm(dim=1) < 2.5  # the half is hardly ever where the other is
        error = (learnt - exact)[near].square().mean() / exact[near].square().mean()
        assert float(error) < 0.15


def test_halves_are_left_and_right_of_the_mean():
    data = mixture(2)
    assert halves(data).tolist() == [0, 1, 1]
    right = data.only(halves(data) == 1)
    assert torch.equal(right.means, data.means[1:])
    assert right.weights.tolist() == pytest.approx([0.8, 0.2])
    with pytest.raises(Problem, match="draw it wider"):
        halves(drawn([torch.tensor([[0.5, -0.5]])]))


def test_pairs_are_learnt_instead_of_draws():
    """All pairs of one point: the way is known, whatever the mixture."""
    data, process = toy("two-moons", torch.Generator().manual_seed(0)), RectifiedFlow()
    generator = torch.Generator().manual_seed(0)
    pairs = torch.tensor([[1.0, -0.5]]).repeat(10, 1), torch.randn(10, 2, generator=generator)
    *_, last = train_toy(data, process, generator, 200, prediction="flow", pairs=pairs)
    t = torch.full((10,), 0.5)
    with torch.no_grad():
        belief = predict(last.model, process, process.diffuse(pairs[0], t, pairs[1]), t)
    assert float((belief.x0 - pairs[0]).square().mean().sqrt()) < 0.1
