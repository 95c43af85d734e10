"""The Jacobian's first directions, against those that are known in closed form."""

import pytest
import torch

from tests.gaussian import Gaussian
from trainer.config import PRESETS
from trainer.denoiser import Denoiser, predict
from trainer.directions import directions
from trainer.exact import Images, TrainingSet
from trainer.networks import make_network
from trainer.processes import DDPM, VESDE, VPSDE

PROCESSES = [VPSDE(), VESDE(0.3, 5.0), DDPM.cosine(100)]


def generator():
    return torch.Generator().manual_seed(0)


def along(found, wanted):
    """|cos| of each direction with the wanted one."""
    return (found.flatten(1).double() * wanted.flatten(1).double()).sum(1).abs()


def test_of_a_matrix_they_are_its_singular_vectors():
    left, _ = torch.linalg.qr(torch.randn(12, 12, generator=generator(), dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(12, 12, generator=generator(), dtype=torch.float64))
    values = torch.linspace(3, 0.1, 12, dtype=torch.float64)
    matrix = left @ torch.diag(values) @ right.T
    x = torch.zeros(3, 4, dtype=torch.float64)
    turn = lambda p: (p.flatten(1) @ matrix.T).view_as(p)  # noqa: E731
    found = directions(turn, x, 4, generator(), close=1e-9)
    torch.testing.assert_close(found.values, values[:4], rtol=1e-4, atol=0)
    for mine, its in ((found.left, left.T[:4]), (found.right, right.T[:4])):
        assert mine.shape == (4, 3, 4)
        assert (along(mine, its) > 0.999).all()


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)
@pytest.mark.parametrize("time", [0.2, 0.6])
def test_of_a_gaussian_they_are_its_covariances_axes(process, time):
    data = Gaussian.random(process, 8)
    t = process.on_grid(torch.tensor([time], dtype=torch.float64))
    alpha, sigma = (float(v) for v in process.marginal(t))
    x = torch.randn(8, generator=generator(), dtype=torch.float64)
    guess = lambda p: predict(data, process, p, t.expand(len(p))).x0  # noqa: E731
    found = directions(guess, x, 3, generator(), close=1e-8)
    variance, axes = data.values.flip(0)[:3], data.axes.flip(1).T[:3]
    # x̂_0 = m + α S (α² S + σ²)^-1 (x - α m); Cov[x_0 | x_t] = S σ² / (α² S + σ²).
    shrunk = alpha * variance / (alpha**2 * variance + sigma**2)
    torch.testing.assert_close(found.values, shrunk, rtol=1e-4, atol=0)
    assert (along(found.right, axes) > 0.999).all()
    assert (along(found.left, axes) > 0.999).all()
    assert found.symmetry == pytest.approx(1, abs=1e-3)
    posterior = sigma**2 * variance / (alpha**2 * variance + sigma**2)
    torch.testing.assert_close(found.stds(alpha, sigma) ** 2, posterior, rtol=1e-4, atol=0)


def test_of_the_training_set_they_are_its_posteriors_axes():
    process = VPSDE()
    pictures = torch.randint(0, 256, (40, 1, 4, 4), generator=generator(), dtype=torch.uint8)
    images = Images(pictures, torch.zeros(40, dtype=torch.long))
    model = Denoiser(TrainingSet(images, process), process, "x0")
    t = torch.tensor([0.5])
    alpha, sigma = (float(v) for v in process.marginal(t))
    clean = pictures.flatten(1).double() / 127.5 - 1
    x = alpha * clean[0] + sigma * torch.randn(16, generator=generator()).double()
    weights = (-(x - alpha * clean).square().sum(1) / (2 * sigma**2)).softmax(0)
    centred = clean - weights @ clean
    covariance = (weights[:, None] * centred).T @ centred
    variance, axes = torch.linalg.eigh(covariance)
    guess = lambda p: predict(model, process, p, t.expand(len(p))).x0  # noqa: E731
    found = directions(guess, x.float().view(1, 4, 4), 3, generator(), close=1e-6)
    stds = found.stds(alpha, sigma).double()
    torch.testing.assert_close(stds**2, variance.flip(0)[:3], rtol=1e-2, atol=1e-5)
    assert (along(found.left, axes.flip(1).T[:3]) > 0.99).all()


@pytest.mark.parametrize("name", ["lean", "report"])
def test_of_a_network_they_are_those_of_its_whole_jacobian(name):
    torch.manual_seed(0)
    config = PRESETS["modern"].with_changes(
        network=name, network_parameters={"width": 8, "blocks": 1}, classes=0
    )
    network = make_network(config, 1).eval()
    with torch.no_grad():
        for weights in network.parameters():
            weights += 0.1 * torch.randn(weights.shape, generator=generator())
    network.requires_grad_(False)
    process, t = VPSDE(), torch.tensor([0.4])
    model = Denoiser(network, process, "v")
    guess = lambda p: predict(model, process, p, t.expand(len(p))).x0  # noqa: E731
    x = torch.randn(1, 8, 8, generator=generator())
    whole = torch.autograd.functional.jacobian(lambda p: guess(p[None])[0], x).reshape(64, 64)
    values = torch.linalg.svdvals(whole)
    found = directions(guess, x, 2, generator(), close=1e-7)
    torch.testing.assert_close(found.values, values[:2], rtol=1e-2, atol=1e-4)
    assert found.change < 1e-2
    moved = whole @ found.right.flatten(1).T
    torch.testing.assert_close(moved.T, found.values[:, None] * found.left.flatten(1),
                               rtol=0.05, atol=0.02 * float(values[0]))  # fmt: skip


def test_what_was_found_nearby_is_where_it_goes_on():
    data = Gaussian.random(VPSDE(), 8)
    t = torch.tensor([0.5], dtype=torch.float64)
    guess = lambda p: predict(data, data.process, p, t.expand(len(p))).x0  # noqa: E731
    x = torch.zeros(8, dtype=torch.float64)
    first = directions(guess, x, 3, generator(), close=1e-6)
    again = directions(guess, x, 3, generator(), first.right, close=1e-6)
    assert again.rounds < first.rounds
    torch.testing.assert_close(again.values, first.values, rtol=1e-4, atol=0)
