"""Ways and their bends against a Gaussian's, known in closed form; reflow makes them straighter."""

import numpy as np
import pytest
import torch

from tests.gaussian import GaussianModel, GaussianPredictor
from trainer.denoiser import predict
from trainer.processes import DDPM, VESDE, VPSDE, CosinePath, RectifiedFlow, SubVPSDE
from trainer.straight import Flowed, bend, even, in_steps, reflow, ways
from trainer.toys import ToyStep, toy

DIMS = 4
PROCESSES = [VPSDE(), SubVPSDE(), VESDE(), DDPM.cosine(1000), CosinePath(), RectifiedFlow(),
             RectifiedFlow(shift=3.0)]  # fmt: skip


def noise(count):
    return torch.randn(count, DIMS, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("process", PROCESSES, ids=lambda one: type(one).__name__)
def test_ways_and_bends_of_a_gaussian_are_known(process):
    """Along each axis y = (1 - s) m + c(s) z with c² = (1 - s)² v + s²: so dy/ds = -m + c' z."""
    model = GaussianPredictor.random(process, DIMS)
    start = noise(200)
    way = list(ways(model, process, start, 64))
    s = torch.tensor([moment.s for moment in way]).double()
    assert torch.allclose(s.diff(), s.diff().mean(), atol=1e-6)
    scale = ((1 - s)[:, None] ** 2 * model.values + s[:, None] ** 2).sqrt()
    slope = (s[:, None] - (1 - s)[:, None] * model.values) / scale
    mean = model.mean @ model.axes
    z = (way[0].y @ model.axes - (1 - s[0]) * mean) / scale[0]
    chord = -mean + (scale[0] - scale[-1]) / (s[0] - s[-1]) * z
    total = chord.square().sum(1).mean()
    off = bend(way)
    for k, moment in enumerate(way):
        y = ((1 - s[k]) * mean + scale[k] * z) @ model.axes.T
        assert torch.allclose(moment.y, y, atol=3e-3)
        assert torch.allclose(moment.velocity, (-mean + slope[k] * z) @ model.axes.T, atol=1e-2)
        expected = (-mean + slope[k] * z - chord).square().sum(1) / total
        assert off[k] == pytest.approx(expected.numpy(), abs=0.02)
        t = torch.full((200,), moment.t).double()
        alpha, sigma = (v[:, None] for v in process.marginal(t))
        belief = predict(model, process, (alpha + sigma) * moment.y, t)
        assert torch.allclose(moment.x0, belief.x0, atol=1e-6)


def test_the_way_is_followed_to_second_order():
    process = CosinePath()
    model, start = GaussianPredictor.random(process, DIMS), noise(50)
    errors = []
    for steps in (16, 32, 64):
        *_, last = ways(model, process, start, steps)
        t = torch.tensor([last.t, 1.0]).double()
        alpha, sigma = process.marginal(t)
        exact = model.flow(start, 1.0, last.t) / (alpha[0] + sigma[0])
        errors.append(float((last.y - exact).square().mean().sqrt()))
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert orders == pytest.approx(2, abs=0.4)


def test_a_point_is_reached_straight_in_one_step():
    """All ways to one point are straight: no bend, and one step is as good as many."""
    process = VPSDE()
    model, start = GaussianModel(process, 0.3, 1e-6), noise(20)
    assert bend(list(ways(model, process, start, 8))).max() < 1e-6
    assert torch.allclose(in_steps(model, process, start, 1), torch.tensor(0.3).double(), atol=1e-3)


def test_how_a_schedule_passes_the_line_does_not_bend_it():
    bends, ends = [], []
    for process in (CosinePath(), RectifiedFlow(), RectifiedFlow(shift=5.0)):
        model = GaussianPredictor.random(process, DIMS)
        bends.append(bend(list(ways(model, process, noise(100), 32)))[:29].mean(1))
        ends.append(in_steps(model, process, noise(100), 8))
    for other, end in zip(bends[1:], ends[1:], strict=True):
        assert other == pytest.approx(bends[0], rel=0.05, abs=0.01)  # they end at other noise
        assert torch.allclose(end, ends[0], atol=0.03)


def test_ddims_step_is_eulers_along_the_line():
    process = CosinePath()
    model, start = GaussianPredictor.random(process, DIMS), noise(10)
    times = even(model, process, 5)
    alpha, sigma = process.marginal(times)
    y, s = start / (alpha + sigma)[0], sigma / (alpha + sigma)
    for k in range(5):
        belief = predict(model, process, (alpha + sigma)[k] * y, times[k].expand(10))
        y = y + ((s[k + 1] if k < 4 else 0) - s[k]) * (belief.eps - belief.x0)
    assert torch.allclose(in_steps(model, process, start, 5), y, atol=1e-4)


def test_reflow_makes_ways_straighter_and_keeps_where_they_lead():
    data = toy("eight-gaussians", torch.Generator())
    events = list(reflow(data, torch.Generator().manual_seed(0), rounds=1, steps=250))
    assert sum(isinstance(event, ToyStep) for event in events) == 500
    before, after = (event for event in events if isinstance(event, Flowed))
    assert (before.round, after.round) == (0, 1)
    assert after.bend.mean() < 0.1 * before.bend.mean()
    assert after.apart < 0.3 * before.apart
    assert np.array_equal(before.places[0], after.places[0])  # the same noise
    moved = np.linalg.norm(before.places[-1] - after.places[-1], axis=1)
    assert np.median(moved) < 0.35  # led to the same data, but where ways part
    for one in (before, after):
        near = np.linalg.norm(one.places[-1][:, None] - data.means.numpy(), axis=2).min(1)
        assert np.median(near) < 0.5
        assert one.places.shape[1:] == (300, 2)
