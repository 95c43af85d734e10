"""The training set and its Gaussian as models, against closed forms; and the ids that name them."""

import math

import numpy as np
import pytest
import torch

from tests.gaussian import moments
from trainer import exact
from trainer.__main__ import main
from trainer.config import ExactConfig
from trainer.denoiser import Denoiser
from trainer.drawing import drawn_images, open_model
from trainer.exact import Gaussian, Images, TrainingSet
from trainer.guidance import Guided
from trainer.images import to_signed
from trainer.likelihood import exact_nats
from trainer.problems import Problem
from trainer.processes import DDPM, VESDE, VPSDE, RectifiedFlow
from trainer.requests import Drawing
from trainer.runs.exact import run_named
from trainer.samplers import sample

pytestmark = pytest.mark.usefixtures("one_thread")
PROCESSES = [VPSDE(), VESDE(), RectifiedFlow(), DDPM.cosine(100)]
TIMES = torch.tensor([0.01, 0.3, 0.6, 0.99]).double()


def made(kind, images, process=None, labels=None, classes=0):
    """A Denoiser of these images, uint8 (N, 1, H, W)."""
    labels = torch.zeros(len(images), dtype=torch.long) if labels is None else labels
    process = process or VPSDE()
    return Denoiser(kind(Images(images, labels), process, classes), process, "x0")


def some(count, side=3, seed=0, least=0, most=256):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(least, most, (count, 1, side, side), generator=generator).byte()


def signed(images):
    """The images in [-1, 1], float64."""
    return images.double() / 127.5 - 1


def noisy(images, process, count=4, seed=0):
    """(count, 1, H, W) float64: some of the images noised to TIMES."""
    noise = torch.randn(
        count, *images.shape[1:], generator=torch.Generator().manual_seed(seed)
    ).double()
    return process.diffuse(signed(images[:count]), TIMES, noise)


def by_hand(images, process, x, t):
    """E[x_0 | x_t = x] and log p_t(x) of the images themselves, straight from the definition."""
    alpha, sigma = (v[:, None] for v in process.marginal(t))
    points = signed(images).flatten(1)
    square = (x.flatten(1)[:, None] - alpha[:, None] * points).square().sum(2)
    weights = (-square / (2 * sigma**2)).softmax(1)
    dims = points.shape[1]
    logs = -square / (2 * sigma**2) - dims / 2 * (2 * math.pi * sigma**2).log()
    return (weights @ points).view_as(x), logs.logsumexp(1) - math.log(len(points))


@pytest.mark.parametrize("process", PROCESSES, ids=str)
@pytest.mark.parametrize("kind", [TrainingSet, Gaussian])
def test_one_image_is_all_that_the_model_of_one_knows(process, kind):
    image = some(1)
    model, x = made(kind, image, process), noisy(image.expand(4, -1, -1, -1), process)
    alpha, sigma = (v.view(-1, 1, 1, 1) for v in process.marginal(TIMES))
    point = signed(image)
    found = model.predict(x, TIMES)
    assert torch.allclose(found.x0, point.expand_as(x), atol=1e-6)
    assert torch.allclose(found.eps, (x - alpha * point) / sigma, rtol=1e-5, atol=1e-4)
    density = torch.distributions.Normal(alpha * point, sigma).log_prob(x).flatten(1).sum(1)
    assert torch.allclose(model.network.log_density(x, TIMES), density, rtol=1e-5)


def test_two_points_are_a_logistic():
    images, process = some(2), VPSDE()
    x = noisy(images[[0, 1, 0, 1]], process)
    alpha, sigma = (v[:, None] for v in process.marginal(TIMES))
    first, second = signed(images).flatten(1)
    along = (x.flatten(1) - alpha * (first + second) / 2) @ (second - first)
    share = torch.sigmoid(alpha[:, 0] * along / sigma[:, 0] ** 2)
    expected = first + share[:, None] * (second - first)
    assert torch.allclose(made(TrainingSet, images).predict(x, TIMES).x0.flatten(1), expected)


@pytest.mark.parametrize("process", PROCESSES, ids=str)
def test_the_training_sets_answer_is_the_definition_in_whatever_parts(monkeypatch, process):
    monkeypatch.setattr(exact, "CHUNK", 7)
    images = some(40)
    x = noisy(images, process)
    model, (x0, density) = made(TrainingSet, images, process), by_hand(images, process, x, TIMES)
    assert torch.allclose(model.predict(x, TIMES).x0, x0)
    assert torch.allclose(model.network.log_density(x, TIMES), density)
    rounded = model.predict(x.float(), TIMES.float()).x0
    assert torch.allclose(rounded, x0.float(), atol=1e-3)
    close = model.network.log_density(x.float(), TIMES.float())
    assert torch.allclose(close, density.float(), rtol=1e-3)


def test_the_way_back_through_the_training_set_is_the_definitions(monkeypatch):
    monkeypatch.setattr(exact, "CHUNK", 7)
    images, process = some(40, least=100, most=140), VPSDE()
    labels = torch.arange(40) % 2
    asked = torch.tensor([0, 1, -1, 0])
    x = noisy(images, process).requires_grad_(True)
    model = made(TrainingSet, images, process, labels, 2).conditioned(asked)
    grad = torch.randn(x.shape, generator=torch.Generator().manual_seed(3)).double()
    (found,) = torch.autograd.grad((model.predict(x, TIMES).x0 * grad).sum(), x)
    sets = [images[labels == k] if k >= 0 else images for k in asked.tolist()]
    rows = [by_hand(s, process, x[k : k + 1], TIMES[k : k + 1])[0] for k, s in enumerate(sets)]
    (expected,) = torch.autograd.grad((torch.cat(rows) * grad).sum(), x)
    assert float(expected.abs().max()) > 0.01
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("kind", [TrainingSet, Gaussian])
def test_asked_for_a_class_it_is_the_model_of_that_class_and_guidance_goes_beyond(kind):
    images, labels, process = some(30), torch.arange(30) % 3, VPSDE()
    model, x = made(kind, images, process, labels, 3), noisy(images, process)
    plain = model.predict(x, TIMES).x0
    asked = torch.tensor([2, 0, 2, -1])
    wanted = [made(kind, images[labels == k]) if k >= 0 else model for k in asked.tolist()]
    alone = torch.cat([m.predict(x[k : k + 1], TIMES[k : k + 1]).x0 for k, m in enumerate(wanted)])
    assert torch.allclose(model.conditioned(asked).predict(x, TIMES).x0, alone, atol=1e-6)
    guided = Guided(model.conditioned(asked), model, process, 3.0).predict(x, TIMES).x0
    assert torch.allclose(guided, plain + 3 * (alone - plain), atol=1e-5)
    densities = [
        m.network.log_density(x[k : k + 1], TIMES[k : k + 1]) for k, m in enumerate(wanted)
    ]
    assert torch.allclose(model.network.log_density(x, TIMES, asked), torch.cat(densities))
    with pytest.raises(Problem, match="no image of class 3"):
        model.conditioned(torch.full((4,), 3)).predict(x, TIMES)


@pytest.mark.parametrize("process", PROCESSES, ids=str)
def test_the_gaussian_is_the_wiener_filter_also_of_pixels_that_never_vary(process):
    images = some(50)
    images[:, :, 0] = 7  # a row of pixels without any variance
    points = signed(images).flatten(1)
    mean, covariance = points.mean(0), points.T.cov(correction=0)
    x = noisy(images, process)
    model = made(Gaussian, images, process)
    alpha, sigma = process.marginal(TIMES)
    for k, (a, s) in enumerate(zip(alpha, sigma, strict=True)):
        whole = a**2 * covariance + s**2 * torch.eye(9).double()
        offset = x[k].flatten() - a * mean
        expected = mean + a * covariance @ torch.linalg.solve(whole, offset)
        found = model.predict(x[k : k + 1], TIMES[k : k + 1]).x0.flatten()
        assert torch.allclose(found, expected, atol=1e-5)
        density = torch.distributions.MultivariateNormal(a * mean, whole).log_prob(x[k].flatten())
        logp = model.network.log_density(x[k : k + 1], TIMES[k : k + 1])
        assert float(logp) == pytest.approx(float(density), rel=1e-5)
    assert float(model.predict(x.float(), TIMES.float()).x0[0, 0, 0].std()) < 1e-5


def test_samples_of_the_gaussian_have_the_images_mean_and_covariance():
    images = some(50, side=2)
    model = made(Gaussian, images)
    points = signed(images).flatten(1)
    model.mean = points.mean(0)
    mean, covariance = moments(model, "heun", 200, spacing="log-snr")
    assert torch.allclose(mean, points.mean(0), atol=0.01)
    assert torch.allclose(covariance, points.T.cov(correction=0), atol=0.01)


def test_the_training_sets_ode_ends_on_training_images():
    images, process = some(20), VPSDE()
    x = process.prior_sample((16, 1, 3, 3), torch.Generator().manual_seed(0))
    model = made(TrainingSet, images)
    *_, last = sample(model, process, x, "heun", 60, spacing="log-snr")
    distance = torch.cdist(last.x.flatten(1), to_signed(images).flatten(1))
    assert float(distance.min(1).values.max()) < 1e-3
    assert len(distance.argmin(1).unique()) > 4  # and not on one alone


@pytest.mark.parametrize("kind", [TrainingSet, Gaussian])
def test_its_likelihood_by_the_ode_is_its_density(kind):
    images, process = some(40, side=2, least=90, most=160), VPSDE(0.1, 40.0)
    model = made(kind, images, process)
    x = signed(images[:6]) + 0.001
    t = torch.full((6,), process.likelihood_time).double()
    found = exact_nats(model, process, x, exact_trace=True, tolerance=1e-6)
    assert torch.allclose(found.value, model.network.log_density(x, t), atol=0.02)


def test_an_exact_model_is_asked_by_its_id_wherever_a_run_is(tmp_path, precision):
    name = "training-set:mnist process=vp beta_max=30 images=40 classes=10"
    ask = Drawing(
        model=name, count=3, steps=8, sampler="heun", classes="3", guidance=1.0, precision=precision
    )
    opened = open_model(ask, device="cpu")
    assert opened.model.precision == torch.float32
    assert opened.model.process.beta_max == 30
    drawn = drawn_images(ask, opened)
    threes = opened.data.train[:40][opened.data.train_labels[:40] == 3]
    nearest = np.abs(drawn[:, None].astype(int) - threes[None]).max((2, 3, 4)).min(1)
    assert nearest.max() <= 2
    out = tmp_path / "three.npz"
    options = "--count 3 --steps 8 --sampler heun --class 3 --device cpu --guidance 1"
    said = ["sample", "--run", name, *options.split(), "--precision", precision, "--out", str(out)]
    assert main(said) == 0
    assert np.array_equal(np.load(out)["images"], drawn)


def test_the_gaussian_of_one_class_is_of_its_images_alone():
    run = run_named("gaussian:mnist images=500 only=7")
    beyond = run_named("gaussian:mnist first=200 images=300 only=7")
    mean, _, values = run.model().network.images.moments(-1)
    data = open_model(Drawing(model="gaussian:mnist"), device="cpu").data
    later = data.train[200:500][data.train_labels[200:500] == 7]
    assert torch.equal(beyond.model().network.images.bytes.cpu(), torch.tensor(later).flatten(1))
    sevens = data.train[:500][data.train_labels[:500] == 7]
    assert torch.allclose(mean, to_signed(torch.tensor(sevens)).double().mean(0).flatten())
    assert float(values.sum()) == pytest.approx(
        to_signed(torch.tensor(sevens)).double().var(0, correction=0).sum().item(), rel=1e-4
    )
    with pytest.raises(Problem, match="no checkpoint"):
        run.newest()
    with pytest.raises(Problem, match="none of that class"):
        run_named("gaussian:mnist images=1 only=7").model()


@pytest.mark.parametrize(
    "one",
    [
        ExactConfig(),
        ExactConfig("gaussian", "mnist", "vp", {"beta_max": 12.5}, 1000, 3, 10),
        ExactConfig("training-set", "/a folder's/of it:64", "ve", only=0),
        ExactConfig("gaussian", r"C:\pictures"),
    ],
)
def test_an_id_says_all_that_the_model_is(one):
    assert ExactConfig.from_id(one.id) == one
    assert ExactConfig.from_dict(one.to_dict()) == one


def test_ids_of_people_are_read_or_refused_in_a_sentence():
    assert ExactConfig().id == "training-set:mnist"
    assert ExactConfig.from_id("modern") is None
    assert ExactConfig.from_id("runs/first:64") is None
    assert ExactConfig.from_id("gaussian:") == ExactConfig("gaussian")
    for text, words in (
        ("gaussian:mnist proces=vp", "no setting 'proces'"),
        ("gaussian:mnist process=vpp", "must be one of"),
        ("gaussian:mnist images=0", "at least 1"),
        ("gaussian:mnist sigma_max=20", "no setting 'sigma_max'"),
        ("gaussian:'mnist", "never closed"),
    ):
        with pytest.raises(Problem, match=words):
            ExactConfig.from_id(text)
