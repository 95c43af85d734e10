"""Muon's orthogonal updates, what it is given, and averages solved for after the fact; what another
optimiser makes of a state."""

from contextlib import suppress

import numpy as np
import pytest
import torch

from tests.tiny import TINY
from trainer import fit
from trainer.config import PRESETS
from trainer.events import Step
from trainer.networks import make_network
from trainer.problems import Problem
from trainer.runs import Run
from trainer.runs.averages import WIDTHS, averaged, averages_of, exponent
from trainer.runs.checkpoints import load_tensors, save_tensors
from trainer.training import loop
from trainer.training.optimiser import Muon, _matrix, _weight, course, optimisers, orthogonal


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 48, 432), (1, 192, 48)])
def test_newton_schulz_brings_singular_values_near_1_and_keeps_the_directions(shape, precision):
    """Of the nearest orthogonal matrix U V', which the singular value decomposition gives."""
    dtype = getattr(torch, precision)
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = orthogonal(matrices, dtype)
    values = torch.linalg.svdvals(found)
    assert float(values.min()) > 0.4
    assert float(values.max()) < 1.3
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    nearest = u @ v
    across = (found * nearest).sum((1, 2)) / (found.norm(dim=(1, 2)) * nearest.norm(dim=(1, 2)))
    assert float(across.min()) > 0.97


def test_a_step_moves_a_matrix_by_its_rate_in_every_direction():
    """From nothing, Nesterov's momentum is a multiple of the gradient, whose length is lost."""
    weight = torch.nn.Parameter(torch.zeros(16, 16))
    muon = Muon([weight], 0.1, 0.0, torch.float32)
    weight.grad = 1e3 * torch.eye(16)
    muon.step()
    moved = weight.detach()
    torch.testing.assert_close(moved, moved[0, 0] * torch.eye(16), rtol=0, atol=1e-6)
    assert -0.13 < float(moved[0, 0]) < -0.06


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_is_read_and_written_as_a_matrix(layout):
    weight = torch.randn(4, 3, 2, 5).to(memory_format=layout)
    assert _matrix(weight).shape == (4, 30)
    assert torch.equal(_weight(_matrix(weight), weight), weight)


def test_muon_takes_the_matrices_inside_and_adamw_the_rest():
    config = PRESETS["modern"].with_changes(classes=10, optimiser="muon")
    network = make_network(config, 1)
    names = {id(p): name for name, p in network.named_parameters()}
    adam, muon = optimisers(config, network, torch.float32, True)
    inside = {names[id(p)] for p in muon.param_groups[0]["params"]}
    rest = {names[id(p)] for p in adam.param_groups[0]["params"]}
    assert inside | rest == set(names.values())
    assert not inside & rest
    assert {"down.weight", "attention.qkv.weight", "lower_in.0.conv1.weight"} <= inside
    assert {"stem.weight", "head.weight", "upper_in.0.film.weight", "norm.weight"} <= rest
    assert "conditioning.labels.weight" in rest
    assert (
        len(optimisers(config.with_changes(optimiser="adamw"), network, torch.float32, True)) == 1
    )


def test_the_rate_rises_stays_and_falls_to_nothing():
    config = PRESETS["modern"].with_changes(warmup_steps=10, decay_fraction=0.4)
    assert course(config, 0, 100) == pytest.approx(0.1)
    assert course(config, 9, 100) == course(config, 60, 100) == 1
    assert course(config, 80, 100) == pytest.approx(0.5)
    assert course(config, 99, 100) < 0.01


@pytest.mark.parametrize("width", [0.05, 0.10, 0.28])
def test_the_exponent_of_a_power_function_gives_its_width(width):
    """sigma_rel is the deviation of the law with density (gamma + 1) x^gamma on [0, 1]."""
    gamma = exponent(width)
    x = (np.arange(200_000) + 0.5) / 200_000
    law = (gamma + 1) * x**gamma / len(x)
    mean = (law * x).sum()
    assert np.sqrt((law * (x - mean) ** 2).sum()) == pytest.approx(width, rel=1e-3)


def test_an_average_of_any_length_follows_from_those_kept(tmp_path):
    """Weights that wander: the average solved for is the one that was kept all along."""
    run = Run.create(tmp_path / "run", PRESETS["modern"])
    generator, steps = torch.Generator().manual_seed(0), 2000
    weights = torch.zeros(50)
    wanted = {0.03: torch.zeros(50), 0.07: torch.zeros(50), 0.15: torch.zeros(50)}
    kept = [torch.zeros(50) for _ in WIDTHS]
    for step in range(1, steps + 1):
        weights = weights + torch.randn(50, generator=generator)
        for width, average in [*wanted.items(), *zip(WIDTHS, kept, strict=True)]:
            average.lerp_(weights, 1 - (1 - 1 / step) ** (exponent(width) + 1))
        if step % 250 == 0:
            path = run.save_weights(step, {"w": weights}, {"shape": [1, 1, 1]})
            averages_of(path).parent.mkdir(exist_ok=True)
            named = {f"{k}.w": average for k, average in enumerate(kept)}
            save_tensors(averages_of(path), named, {})
    scale = float(weights.norm())
    for width, average in wanted.items():
        found = averaged(run, run.newest(), width)["w"]
        assert float((found - average).norm()) < 0.02 * scale, width
    averages_of(run.newest()).unlink()
    with pytest.raises(Problem, match="keeps no averages"):
        averaged(run, run.newest(), 0.1)


def trained(folder, stop=None, **words):
    """A run by `fit`, stopped after so many steps if asked; with the same words it goes on."""

    def each(event):
        if isinstance(event, Step) and event.step == stop:
            raise KeyboardInterrupt

    images = np.random.default_rng(0).random((20, 8, 8), np.float32)
    with suppress(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "FLUSH_SECONDS", 0.0)  # every step is told at once
        fit(folder, TINY, images, each=each, device="cpu", **words)
    return Run.open(folder)


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ({"optimiser": torch.optim.AdamW}, {}),
        ({}, {"optimiser": torch.optim.SGD}),
        ({"optimiser": torch.optim.SGD}, {"optimiser": torch.optim.Adafactor}),
    ],
)
def test_another_optimiser_cannot_go_on(tmp_path, was, now):
    trained(tmp_path / "run", 3, **was)
    with pytest.raises(Problem, match=r"was trained by .*put the optimiser back"):
        trained(tmp_path / "run", **now)
    assert trained(tmp_path / "run", **was).newest().stem == "00000006"


def test_an_optimiser_whose_state_has_other_shapes_goes_on(tmp_path):
    """Adafactor keeps means of rows and of columns."""
    words = {"optimiser": torch.optim.Adafactor}
    undisturbed = load_tensors(trained(tmp_path / "undisturbed", **words).newest())[0]
    assert trained(tmp_path / "run", 4, **words).standing()["step"] == 4
    found = load_tensors(trained(tmp_path / "run", **words).newest())[0]
    assert all(torch.equal(found[name], undisturbed[name]) for name in undisturbed)
