"""Degradations by their identities; guides and posterior against closed forms."""

import pytest
import torch

from tests.gaussian import Gaussian, moments
from trainer.catalogue import DEGRADATIONS
from trainer.degrade import Canvas, operator
from trainer.denoiser import predict
from trainer.drawing import draw, measure, open_model
from trainer.images import to_signed
from trainer.problems import Problem
from trainer.processes import PROCESSES, VPSDE
from trainer.requests import Restoring
from trainer.restore import Downhill, Informed, Measured, posterior
from trainer.samplers import Noise, sample
from trainer.samplers.chain import DDIM
from trainer.samplers.ode import RK45

pytestmark = pytest.mark.usefixtures("one_thread")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def made(name, height=7, width=10, **options):
    entry = DEGRADATIONS[name]
    known = randn(height, width, seed=5) > 0
    filled = {one.name: one.default for one in entry.options} | options
    return operator(name, Canvas(height, width, known, seeded(1)), filled)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_a_degradation_is_linear_and_its_adjoint_and_inverses_are_its_own(name):
    A = made(name)
    x, other = randn(2, 3, 2, 7, 10)
    y = A(x)
    z = randn(*y.shape, seed=2)
    torch.testing.assert_close(A(2 * x - other), 2 * y - A(other))
    torch.testing.assert_close((y * z).sum(), (x * A.adjoint(z)).sum())
    # Moore and Penrose: A A⁺ A = A, A⁺ A A⁺ = A⁺, and both products are symmetric.
    close = {"rtol": 0, "atol": 1e-5}  # singular values below a millionth are left out
    torch.testing.assert_close(A(A.inverse(y)), y, **close)
    back = A.inverse(z)
    torch.testing.assert_close(A.inverse(A(back)), back, rtol=1e-5, atol=1e-3)
    turned = (x * A.inverse(A(other))).sum()
    torch.testing.assert_close((A.inverse(y) * other).sum(), turned, rtol=1e-4, atol=1e-3)
    turned = (z * A(A.inverse(y))).sum()
    torch.testing.assert_close((A(back) * y).sum(), turned, rtol=1e-4, atol=1e-3)
    for ridge in (0.3, torch.tensor([0.1, 1.0, 7.0])):
        found = A.solve(z, ridge)
        column = torch.as_tensor(ridge).double().reshape(-1, *[1] * (z.dim() - 1))
        torch.testing.assert_close(A(A.adjoint(found)) + column * found, z)


def test_each_degradation_loses_what_it_says():
    even = torch.full((1, 1, 7, 10), 0.5).double()
    for name in ("blur", "smaller"):
        assert bool((made(name)(even) - 0.5).abs().max() < 1e-12), "even grey stays"
    x = randn(1, 1, 7, 10)
    half = made("smaller")(x)
    assert half.shape == (1, 1, 4, 5)
    assert float(half[0, 0, 1, 2]) == pytest.approx(float(x[0, 0, 2:4, 4:6].mean()))
    assert float(half[0, 0, 3, 0]) == pytest.approx(float(x[0, 0, 6, :2].mean()))
    assert made("smaller", factor=7)(x).shape == (1, 1, 1, 2)
    assert made("pixels")(x).shape == (1, 1, 7)
    assert torch.equal(made("noise").picture(made("noise")(x)), x)
    known = randn(7, 10, seed=5) > 0
    assert torch.equal(made("mask").picture(made("mask")(x)), x * known)
    with pytest.raises(Problem, match="Nothing"):
        operator("mask", Canvas(2, 2, torch.zeros(2, 2).bool(), seeded()), {})
    with pytest.raises(Problem, match="paint one"):
        operator("mask", Canvas(2, 2, None, seeded()), {})


class Plain(Gaussian):
    """N(mean, I) of images (1, h, w): a `Gaussian` over their pixels."""

    def __init__(self, process, mean):
        self.shape = mean.shape
        super().__init__(process, mean.flatten(), torch.eye(mean.numel()).double())

    def __call__(self, x, t):
        return super().__call__(x.flatten(1), t).view_as(x)


def exact(A, y, noise, mean):
    """Mean and covariance over pixels of x ~ N(mean, I) given y = A x + noise, by brute force."""
    units = torch.eye(mean.numel()).double().view(-1, 1, *mean.shape[-2:])
    matrix = A(units).flatten(1).T
    gain = matrix.T @ torch.linalg.inv(
        matrix @ matrix.T + noise**2 * torch.eye(len(matrix)).double()
    )
    found = mean.flatten() + gain @ (y.flatten() - matrix @ mean.flatten())
    return found, torch.eye(mean.numel()).double() - gain @ matrix


def problem_of(name, noise=0.3):
    mean = 0.3 * randn(1, 4, 5, seed=8)
    A, truth = made(name, 4, 5), randn(1, 1, 4, 5, seed=9)
    y = A(truth) + noise * randn(*A(truth).shape, seed=10)
    return mean, Measured(A, truth, y, noise)


@pytest.mark.parametrize("name", DEGRADATIONS)
@pytest.mark.parametrize("process", ["vp", "ve", "flow"])
def test_guided_by_pigdm_a_gaussian_becomes_its_exact_posterior(name, process):
    """x_t given y is N(alpha m, alpha² C + sigma² I), m and C the posterior's: the guided model is
    that one's exact model, at every t."""
    process = PROCESSES[process].make()
    mean, measured = problem_of(name)
    found, covariance = exact(measured.operator, measured.y, measured.noise, mean)
    wanted = Gaussian(process, found, covariance)
    guided = Informed(Plain(process, mean), process, measured)
    x, t = randn(6, 1, 4, 5), torch.tensor([0.01, 0.1, 0.3, 0.6, 0.9, 0.98]).double()
    eps = wanted(x.flatten(1), t).view_as(x)
    belief = predict(guided, process, x, t)
    torch.testing.assert_close(belief.eps, eps, rtol=1e-6, atol=1e-7)
    alpha, sigma = (value.view(-1, 1, 1, 1) for value in process.marginal(t))
    torch.testing.assert_close(alpha * belief.x0 + sigma * belief.eps, x)
    torch.testing.assert_close(guided(x, t), belief.eps)


class Flattened(Informed):
    """The same on vectors (B, D), for `moments`."""

    def __init__(self, mean, measured):
        super().__init__(Plain(VPSDE(), mean), VPSDE(), measured)
        self.mean = mean.flatten()

    def predict(self, x, t):
        found = super().predict(x.view(len(x), 1, 4, 5), t)
        return type(found)(found.x0.flatten(1), found.eps.flatten(1))


@pytest.mark.parametrize("name", ["blur", "pixels"])
def test_what_is_drawn_by_pigdm_has_the_posteriors_mean_and_covariance(name):
    mean, measured = problem_of(name)
    found, covariance = exact(measured.operator, measured.y, measured.noise, mean)
    drawn, spread = moments(Flattened(mean, measured), "heun", 40, spacing="log-snr")
    assert float((drawn - found).abs().max()) < 0.01
    assert float((spread - covariance).abs().max()) < 0.02


def test_nothing_is_pulled_farther_than_images_lie_apart():
    """A network's derivative may be rough where alpha is nearly 0."""
    process, (_, measured) = VPSDE(beta_max=60.0), problem_of("noise")

    def rough(x, t):
        return x + torch.sin(50 * x)

    x, t = randn(3, 1, 4, 5), torch.ones(3).double()
    moved = Informed(rough, process, measured).predict(x, t).x0 - predict(rough, process, x, t).x0
    torch.testing.assert_close(moved.flatten(1).norm(dim=1), torch.full((3,), 2 * 20**0.5).double())


def test_dps_steps_downhill_after_each_update():
    """For N(m, I) under VP x0 = m + alpha (x - alpha m), so the step's length is known."""
    process, zeta = VPSDE(), 0.7
    mean, measured = problem_of("blur")
    model, x = Plain(process, mean), randn(4, 1, 4, 5)
    noise = Noise(0, tuple(x.shape), process, dtype=torch.float64)
    frames = sample(model, process, x, Downhill(DDIM(), measured, zeta), 8, noise)
    first, second = (next(frames) for _ in range(2))
    plain = sample(model, process, x, "ddim", 8, noise)
    next(plain)
    alpha = process.marginal(torch.ones(1).double())[0]
    gap = measured.gap(first.x0)
    slope = -2 * alpha * measured.operator.adjoint(gap)
    length = gap.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    torch.testing.assert_close(second.x, next(plain).x - zeta / length * slope)
    assert not second.x.requires_grad


def test_dps_ends_nearer_to_what_was_measured():
    process, (mean, measured) = VPSDE(), problem_of("smaller", 0.05)
    x = randn(16, 1, 4, 5)
    ends = [
        list(sample(Plain(process, mean), process, x, sampler, 200, seeded()))[-1].x
        for sampler in ("ddim", Downhill(DDIM(), measured, 0.2))
    ]
    free, guided = (float(measured.residual(end).mean()) for end in ends)
    assert guided < 0.25 < free
    with pytest.raises(Problem, match="another one"):
        sample(Plain(process, mean), process, x, Downhill(RK45(), measured, 1.0), 5)


def test_the_posterior_of_the_training_set_is_bayes_rule():
    images = (torch.rand(20, 1, 4, 5, generator=seeded(3)) * 255).to(torch.uint8)
    x = to_signed(images)
    for name in DEGRADATIONS:
        A = made(name, 4, 5)
        y = A(x[7:8]) + 0.3 * torch.randn(A(x[7:8]).shape, generator=seeded(4))
        found = posterior(Measured(A, x[7:8], y, 0.5), images)
        normal = torch.distributions.Normal(A(x).double(), 0.5)
        logs = normal.log_prob(y.double()).flatten(1).sum(1)
        torch.testing.assert_close(found.weights, logs.softmax(0), rtol=1e-4, atol=1e-7)
        mean = torch.einsum("n,nchw->chw", found.weights, x.double())
        square = torch.einsum("n,nchw->chw", found.weights, (x.double() - mean) ** 2)
        torch.testing.assert_close(found.mean, mean)
        torch.testing.assert_close(found.std, square.sqrt(), rtol=1e-4, atol=1e-6)
    sure = posterior(Measured(A, x[7:8], A(x[7:8]), 1e-3), images)
    assert sure.effective == pytest.approx(1)
    assert set(sure.draw(9, seeded()).tolist()) == {7}
    unsure = posterior(Measured(A, x[7:8], A(x[7:8]), 1e4), images)
    assert unsure.effective == pytest.approx(20, rel=1e-4)
    counts = torch.bincount(unsure.draw(20_000, seeded()), minlength=20)
    assert bool(((counts - 1000).abs() < 5 * 1000**0.5).all())


@pytest.mark.parametrize("method", ["pigdm", "dps"])
def test_an_ask_is_restored_alike_whatever_the_batch(run, method, precision):
    ask = Restoring(
        model=str(run.folder), degradation="pixels", how={"share": 0.5}, method=method, steps=4,
        count=3, classes="3", precision=precision,
    )  # fmt: skip
    opened = open_model(ask, device="cpu")
    measured, again = measure(ask, opened), measure(ask, opened)
    assert torch.equal(measured.y, again.y)
    assert not torch.equal(measured.y, measure(ask.with_changes(seed=1), opened).y)
    together = [s for s in draw(ask, opened) if s.last]
    apart = [s for s in draw(ask.with_changes(batch=1), opened) if s.last]
    joined = torch.cat([stage.frame.x for stage in apart])
    close = 1e-4 if precision == "float32" else 0.2
    torch.testing.assert_close(together[0].frame.x, joined, rtol=0, atol=close)
    free = [s for s in draw(ask.with_changes(noise=100.0, zeta=1e-6), opened) if s.last]
    near, far = (float(measured.residual(s[0].frame.x).mean()) for s in (together, free))
    assert near < far
