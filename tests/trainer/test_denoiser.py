"""The conversions between eps, x0, v and score, and what the network is shown."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from trainer.denoiser import PREDICTIONS, Denoiser, from_output, predict, score, target
from trainer.problems import Problem
from trainer.processes import PROCESSES, VPSDE, RectifiedFlow, spread

pytestmark = pytest.mark.usefixtures("one_thread")


def draw(seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, 1, 4, 5, generator=generator, dtype=dtype)


class Oracle(nn.Module):
    """Answers what a perfect network would, and keeps what it was shown."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x, t):
        self.seen, self.seen_t = x, t
        return self.answer


class Echo(nn.Module):
    """Answers the label of each sample, -1 for none, as a constant image."""

    classes = 10

    def forward(self, x, t, labels=None):
        labels = torch.full_like(t, -1) if labels is None else labels
        return torch.zeros_like(x) + spread(labels.to(x.dtype), x)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(PREDICTIONS),
    st.sampled_from(list(PROCESSES)),
    st.lists(st.floats(0.01, 0.95), min_size=3, max_size=3),
    st.integers(0, 2**31),
)
def test_from_output_inverts_target(kind, name, times, seed):
    process = PROCESSES[name].make()
    x0, eps = draw(seed)
    t = torch.tensor(times, dtype=torch.float64)
    x = process.diffuse(x0, t, eps)
    found = from_output(kind, process, x, target(kind, process, x0, eps, t), t)
    torch.testing.assert_close(found.x0, x0, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found.eps, eps, rtol=1e-5, atol=1e-7)


def test_targets_are_what_their_names_say():
    process = VPSDE()
    x0, eps = draw(0)
    t = torch.tensor([0.1, 0.4, 0.8], dtype=torch.float64)
    alpha, sigma = (value.view(3, 1, 1, 1) for value in process.marginal(t))
    assert torch.equal(target("eps", process, x0, eps, t), eps)
    assert torch.equal(target("x0", process, x0, eps, t), x0)
    torch.testing.assert_close(target("v", process, x0, eps, t), alpha * eps - sigma * x0)
    # The score of N(alpha x0, sigma²) at x, by autograd, times sigma.
    x = process.diffuse(x0, t, eps).requires_grad_()
    logp = -((x - alpha * x0) ** 2 / (2 * sigma**2)).sum()
    (gradient,) = torch.autograd.grad(logp, x)
    torch.testing.assert_close(target("score", process, x0, eps, t), sigma * gradient)
    torch.testing.assert_close(score(eps, process.marginal(t)[1]), gradient)


@pytest.mark.parametrize("kind", PREDICTIONS)
@pytest.mark.parametrize("name", PROCESSES)
def test_denoiser_with_a_perfect_network_finds_x0_and_eps(kind, name):
    process = PROCESSES[name].make()
    x0, eps = draw(1, torch.float32)
    t = torch.tensor([0.2, 0.5, 0.7])
    x = process.diffuse(x0, t, eps)
    oracle = Oracle(target(kind, process, x0, eps, t))
    model = Denoiser(oracle, process, kind)
    found = model.predict(x, t)
    torch.testing.assert_close(found.x0, x0, rtol=1e-3, atol=2e-4)
    torch.testing.assert_close(found.eps, eps, rtol=1e-3, atol=2e-4)
    assert torch.equal(model(x, t), found.eps)
    assert torch.equal(predict(model, process, x, t).x0, found.x0)
    alpha, sigma = process.marginal(t)
    torch.testing.assert_close(oracle.seen, x / (alpha**2 + sigma**2).sqrt().view(3, 1, 1, 1))
    assert torch.equal(oracle.seen_t, t)


@pytest.mark.parametrize("kind", ["v", "x0"])
@pytest.mark.parametrize("name", ["cosine", "flow", "ddpm-zero-snr"])
def test_x0_and_v_networks_can_start_where_no_signal_is_left(kind, name):
    process = PROCESSES[name].make()
    x0, eps = draw(2, torch.float32)
    t = torch.ones(3)
    model = Denoiser(Oracle(target(kind, process, x0, eps, t)), process, kind)
    found = predict(model, process, process.diffuse(x0, t, eps), t)
    torch.testing.assert_close(found.x0, x0)
    torch.testing.assert_close(found.eps, eps)


def test_conditioned_leaves_the_original_alone_and_keeps_its_settings():
    model = Denoiser(Echo(), VPSDE(), "x0", torch.bfloat16).eval()
    other = model.conditioned(torch.tensor([1]))
    assert model.labels is None
    assert other.network is model.network
    assert (other.prediction, other.precision, other.training) == ("x0", torch.bfloat16, False)


def test_a_model_without_classes_refuses_labels():
    with pytest.raises(Problem, match="without classes"):
        Denoiser(Oracle(None), VPSDE()).conditioned(torch.tensor([1]))


def test_an_unknown_prediction_kind_is_a_problem():
    with pytest.raises(Problem, match="epsilon"):
        Denoiser(Oracle(None), VPSDE(), "epsilon")


def test_predict_takes_any_callable_of_eps():
    process = VPSDE()
    x0, eps = draw(3)
    t = torch.tensor([0.1, 0.3, 0.6], dtype=torch.float64)
    found = predict(lambda x, t: eps, process, process.diffuse(x0, t, eps), t)
    torch.testing.assert_close(found.x0, x0)


def test_predict_refuses_an_eps_model_where_no_signal_is_left():
    x = torch.zeros(2, 1, 2, 2)
    with pytest.raises(Problem, match="alpha = 0"):
        predict(lambda x, t: x, RectifiedFlow(), x, torch.tensor([0.5, 1.0]))


def test_lower_precision_reaches_the_network_and_not_the_answer():
    seen = []

    class Probe(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 1)

        def forward(self, x, t):
            seen.append(self.conv(x).dtype)
            return self.conv(x)

    x, t = torch.zeros(1, 1, 2, 2), torch.tensor([0.5])
    for precision in (torch.bfloat16, torch.float32):
        assert Denoiser(Probe(), VPSDE(), "eps", precision)(x, t).dtype == torch.float32
    assert seen == [torch.bfloat16, torch.float32]
