"""Noise belongs to the interval and to the image: one Brownian path, whatever the steps."""

from itertools import pairwise

import pytest
import torch

from tests.gaussian import Gaussian
from trainer.processes import DDPM, VESDE, VPSDE, RectifiedFlow
from trainer.samplers import Noise, noise_path, sample
from trainer.samplers.noise import KNOWN, TICKS, mixed

PROCESSES = [VPSDE(), VESDE(), DDPM.cosine(1000), RectifiedFlow()]


def noise(seed=0, count=20_000, process=PROCESSES[0]):
    return Noise(seed, (count,), process, dtype=torch.float64)


@pytest.mark.parametrize("process", PROCESSES, ids=str)
@pytest.mark.parametrize("steps", [3, 50, 333, 20_000, 100_000])
def test_every_interval_is_a_unit_normal_of_its_own(process, steps):
    """Also where steps are finer than the ticks of the noise's clock."""
    source = noise(1, 4000, process)
    times = process.times(steps, 0.999, "time").flip(0)[-41:]
    stack = torch.stack([source.between(s, t) for s, t in pairwise(times)])
    assert (stack.std(1) - 1).abs().max() < 0.06
    assert stack.mean(1).abs().max() < 0.08
    neighbours = (stack[1:] * stack[:-1]).mean(1)
    assert neighbours.abs().max() < 0.08
    assert abs(float(neighbours.mean())) < 0.02  # together they would swell the noise of an SDE


@pytest.mark.parametrize("process", PROCESSES, ids=str)
def test_the_noise_of_a_union_is_that_of_its_parts(process):
    """Increments add up: z of [s, t] is the parts' z, weighted by the roots of their lengths."""
    source, (s, m, t) = noise(2, 100, process), (0.2, 0.45, 0.8)
    early, middle, late = (source._tick(time) for time in (s, m, t))
    whole = source.between(s, t) * (late - early) ** 0.5
    parts = source.between(s, m) * (middle - early) ** 0.5
    parts = parts + source.between(m, t) * (late - middle) ** 0.5
    torch.testing.assert_close(whole, parts, rtol=0, atol=1e-9)
    clock = [(sigma**0.5 / (sigma**0.5 + alpha**0.5)) for alpha, sigma in (
        process.marginal(torch.tensor([time], dtype=torch.float64)) for time in (s, m, t)
    )]  # fmt: skip
    assert [float(c) * TICKS for c in clock] == pytest.approx([early, middle, late], abs=0.5)


def test_a_path_is_the_same_in_any_order_of_asking():
    times = [(0.0, 0.1), (0.5, 0.7), (0.1, 0.5), (0.7, 1.0)]
    forwards, source = noise(3, 50), noise(3, 50)
    there = [forwards.between(*pair) for pair in times]
    for pair, found in reversed(list(zip(times, there, strict=True))):
        assert torch.equal(source.between(*pair), found)


def test_an_image_has_the_same_noise_whatever_is_drawn_with_it():
    shape = (1, 4, 4)
    many = Noise([7, 8, 9], shape, VPSDE())
    alone = Noise([9], shape, VPSDE())
    for draw in ("start", "extra"):
        assert torch.equal(getattr(many, draw)()[2], getattr(alone, draw)()[0])
    for s, t in ((0.4, 0.9), (0.0, 0.4)):
        assert torch.equal(many.between(s, t)[2], alone.between(s, t)[0])


def test_no_noise_comes_twice():
    source = noise(4, 3000)
    drawn = [
        source.start(), source.extra(), source.extra(), source.extra(KNOWN),
        source.between(0.3, 1),
        source.between(0.2, 0.3), source.forward().start(), source.forward().between(0, 1),
        noise(5, 3000).start(), noise(5 + 2**32, 3000).start(), noise(2**64 - 1, 3000).start(),
    ]  # fmt: skip
    together = torch.corrcoef(torch.stack(drawn)) - torch.eye(len(drawn))
    assert together.abs().max() < 0.08
    assert torch.equal(source.start(), source.start())
    assert len({mixed(a, b) for a in range(100) for b in range(100)}) == 10_000


def paths(sampler, steps, seed, **options):
    """Where the reverse SDE ends, from one start and one Brownian path, by that many steps."""
    model = Gaussian.random(VPSDE(), 2, seed=1)
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    *_, last = sample(
        model, model.process, x, sampler, steps,
        Noise(seed, (300, 2), model.process, dtype=torch.float64), spacing="quadratic", **options,
    )  # fmt: skip
    return last.x


def rms(a, b):
    return float((a - b).square().mean().sqrt())


@pytest.mark.parametrize(
    ("sampler", "options"),
    [("euler-maruyama", {}), ("ddpm", {}), ("ddim", {"eta": 1.0}), ("reverse-diffusion", {})],
)
def test_a_path_survives_a_change_of_the_number_of_steps(sampler, options):
    """Strong convergence: the error against many steps falls; another seed is another path."""
    fine = paths(sampler, 1600, 0, **options)
    errors = [rms(paths(sampler, n, 0, **options), fine) for n in (50, 200, 800)]
    assert errors[1] < 0.7 * errors[0]
    assert errors[2] < 0.7 * errors[1]
    other = rms(paths(sampler, 800, 1, **options), fine)
    assert errors[2] < 0.2 * other


def test_two_solvers_of_one_sde_come_to_one_path():
    apart = [rms(paths("euler-maruyama", n, 0), paths("ddpm", n, 0)) for n in (50, 200, 800)]
    assert apart[2] < 0.5 * apart[1] < 0.25 * apart[0]


def test_the_forward_path_survives_it_too_and_shares_no_noise_with_the_way_back():
    process, x0 = VPSDE(), torch.zeros(500, 3)
    ends = []
    for steps in (25, 100, 400):
        source = Noise(6, (500, 3), process)
        *_, last = noise_path(process, x0, process.times(steps).flip(0), source)
        ends.append(last.x)
    assert rms(ends[1], ends[2]) < 0.6 * rms(ends[0], ends[2]) < 0.15
    back = Noise(6, (500, 3), process)
    for drawn in (back.start(), back.between(0, 1)):
        mixed_up = torch.corrcoef(torch.stack([drawn.flatten(), ends[2].flatten()]))[0, 1]
        assert abs(float(mixed_up)) < 0.1
