"""One training step: its loss, its parts, its threads, and what it averages."""

from pathlib import Path

import pytest
import torch

from tests.tiny import SMALL
from trainer.data import load_mnist
from trainer.devices import set_threads, threads
from trainer.events import Evaluated
from trainer.images import to_signed
from trainer.problems import Problem
from trainer.processes import make_process
from trainer.runs import Run
from trainer.samplers import Noise
from trainer.training import loss, train
from trainer.training.learner import Learner
from trainer.training.loop import _evaluate


def learner(**changes):
    config = SMALL.with_changes(warmup_steps=0, **changes)
    return Learner(config, make_process(config.process, config.process_parameters), 1, "cpu")


def batch(count):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8, generator=generator)


def test_evaluation_tells_where_in_time_the_network_errs(tmp_path, small):
    """The buckets' losses, from the model that was saved, at the same times and noise."""
    config = small.with_changes(epochs=1, limit_images=64, process="vp", process_parameters={})
    run = Run.create(tmp_path / "run", config)
    (event,) = [e for e in train(config, run, "cpu") if isinstance(e, Evaluated)]
    assert [m["loss_by_time"] for m in run.metrics() if "bpd" in m] == [list(event.loss_by_time)]
    model, generator = run.model(), torch.Generator().manual_seed(0)
    x0 = to_signed(torch.from_numpy(load_mnist().test[:500].copy()))
    for found, k in ((event.loss_by_time[0], 0), (event.loss_by_time[9], 9)):
        t = (k + torch.rand(500, generator=generator)) / 10
        eps = torch.randn(x0.shape, generator=generator)
        alpha, sigma = (v.view(-1, 1, 1, 1) for v in model.process.marginal(t))
        with torch.no_grad():
            answer = model.output(alpha * x0 + sigma * eps, t)
        expected = (answer - (alpha * eps - sigma * x0)).square().mean()
        assert found == pytest.approx(float(expected), rel=0.15)


@pytest.mark.parametrize("weighting", ["simple", "log-normal", "min-snr", "likelihood"])
def test_the_first_loss_is_the_weighted_error_of_a_network_that_answers_nothing(
    weighting, precision
):
    """Its last layer starts at zero, so its answer is its bias, about nothing."""
    one = learner(
        loss_weighting=weighting, prediction="eps", process="vp", precision=precision, parts=1
    )
    torch.nn.init.zeros_(one.network.head.bias)
    images = batch(64)
    loss = one.step(images, None, 0, 10)
    generator = torch.Generator().manual_seed(0)
    t = one.objective.times(64, generator).t
    eps = torch.randn(images.shape, generator=generator)
    snr = one.process.log_snr(t).exp()
    weight = (5 / snr).clamp_max(1) if weighting == "min-snr" else torch.ones(64)
    expected = (weight * eps.square().mean((1, 2, 3))).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("cut", ["parts", "accumulation"])
@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_parts_add_up_to_the_batch(cut, optimiser):
    """With batch norm's statistics frozen (in evaluation mode) the parts are independent.

    In float32: sums in another order are compared.
    """
    shapes = {"parts": 1, "accumulation": 1, "precision": "float32", "optimiser": optimiser}
    whole, parts = (learner(**{**shapes, cut: n}) for n in (1, 3))
    for one in (whole, parts):
        one.network.eval()
        torch.nn.init.normal_(one.network.head.weight, generator=torch.Generator().manual_seed(0))
        one.loss = one.step(batch(8), None, 0, 10)
    torch.testing.assert_close(parts.loss, whole.loss)
    torch.testing.assert_close(parts.gradient_norm, whole.gradient_norm, rtol=1e-4, atol=0)
    for a, b in zip(parts.network.parameters(), whole.network.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("network", ["lean", "report"])  # the second draws dropout in every part
def test_the_number_of_threads_changes_no_bit(network, precision):
    options = {"width": 8, "blocks": 1}
    found = []
    before = threads()
    for count, cut in (
        (1, {"parts": 4}),
        (2, {"parts": 4}),
        (4, {"parts": 2, "accumulation": 2}),
    ):
        set_threads(count)
        try:
            one = learner(
                network=network, network_parameters=options, precision=precision,
                **{"accumulation": 1, **cut},
            )  # fmt: skip
            for step in range(3):
                one.step(batch(11), None, step, 10)
        finally:
            set_threads(before)
        found.append(one.state())
    assert found[0].keys() == found[1].keys() == found[2].keys()
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name
        assert torch.equal(value, found[2][name]), name


def test_times_drawn_by_the_losses_depend_on_neither_threads_nor_a_stop(monkeypatch, precision):
    monkeypatch.setattr(loss, "LEVELS", 4)
    monkeypatch.setattr(loss, "ENOUGH", 2.0)
    options = {"loss_weighting": "likelihood", "process": "vp", "precision": precision}

    def states(count, stop=None):
        set_threads(count)
        one = learner(**options, parts=2)
        for step in range(5):
            if step == stop:
                kept = {name: value.clone() for name, value in one.state().items()}
                one = learner(**options, parts=2)
                one.restore(kept, Path("state"))
            one.step(batch(11), None, step, 10)
        assert float(one.objective.density().std()) > 0.01
        with pytest.raises(Problem, match="another shape"):
            learner(**options, parts=2).restore(
                one.state() | {"objective.seen": torch.ones(3)}, Path("state")
            )
        return one.state()

    whole = states(1)
    for other in (states(2), states(1, stop=3)):
        assert whole.keys() == other.keys()
        assert all(torch.equal(whole[name], other[name]) for name in whole)


def test_running_statistics_are_the_mean_over_the_parts():
    """Batch norm's first statistics: a tenth of each part's, and nine of the 0 it begins with."""
    one = learner(parts=2, precision="float32")
    norm, seen = one.network.upper_in[0].norm, []
    for network in one.parts.networks:
        network.upper_in[0].norm.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    one.step(batch(10), None, 0, 10)
    means = torch.stack([x.float().mean((0, 2, 3)) for x in seen])
    assert [len(x) for x in seen] == [5, 5]
    torch.testing.assert_close(norm.running_mean, 0.1 * means.mean(0), rtol=1e-4, atol=1e-6)
    assert int(norm.num_batches_tracked) == 1


@pytest.mark.parametrize(("dropout", "seen"), [(0.0, {3}), (1.0, {-1}), (0.5, {3, -1})])
def test_label_dropout_hides_that_share_of_the_labels(monkeypatch, dropout, seen, precision):
    one, found = learner(classes=10, label_dropout=dropout, precision=precision, parts=1), []
    forward = one.network.forward
    monkeypatch.setattr(
        one.network, "forward", lambda x, t, labels: found.append(labels) or forward(x, t, labels)
    )
    one.step(batch(64), torch.full((64,), 3), 0, 10)
    assert set(found[0].tolist()) == seen
    if dropout == 0.5:
        assert 16 < int((found[0] == -1).sum()) < 48


def test_no_noise_of_an_evaluation_comes_twice(monkeypatch):
    """Whatever the bound, the losses, x_T and the sampler's fresh noise draw is uncorrelated."""
    drawn, randn, normal = {}, torch.randn, Noise._normal

    def noted(made, key):  # a part of a path that is asked again is the same part
        if made.numel() % 784 == 0:
            drawn[key] = made.reshape(-1, 784)
        return made

    one = learner(preview_sampler="ddpm", preview_images=3, preview_steps=4, seed=3)
    monkeypatch.setattr(torch, "randn", lambda *a, **k: noted(randn(*a, **k), len(drawn)))
    monkeypatch.setattr(Noise, "_normal", lambda self, *key: noted(normal(self, *key), key))
    _evaluate(one, load_mnist(), 1, 1)
    noise = torch.cat(list(drawn.values()))
    assert len(noise) > 4 * (16 + 10) + 3 * 4
    alike = (noise @ noise.T / 784).fill_diagonal_(0)
    assert float(alike.abs().max()) < 0.25  # chance gives 1 / 28
