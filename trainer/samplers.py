"""Samplers: one generator each, over any model(x, t) -> eps, yielding a Frame a step.

All walk a list of times from the start down to 0 and evaluate the model at the upper end of each
step, so n steps cost n network evaluations (NFE) and give n + 1 frames.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from trainer.denoiser import Model, predict, score
from trainer.problems import Problem
from trainer.processes import DDPM, Process, spread


@dataclass(frozen=True)
class Frame:
    """One moment of a trajectory: x (B, …) at time t, and x0, the model's guess there.

    `nfe` counts the network evaluations spent so far. In the last frame x0 is x.
    """

    index: int
    t: float
    x: Tensor
    x0: Tensor
    nfe: int


Sampler = Callable[..., Iterator[Frame]]


def _batch(t: Tensor, x: Tensor) -> Tensor:
    return t.to(x).expand(len(x))


def _normal(x: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(x.shape, generator=generator, device=generator.device, dtype=x.dtype)
    return noise.to(x.device)


def ancestral(
    model: Model,
    process: Process,
    x: Tensor,
    times: Tensor,
    generator: torch.Generator,
    variance: str = "small",
) -> Iterator[Frame]:
    """DDPM ancestral sampling (Ho et al. 2020, algorithm 2), over any subset of the times.

    `variance`: "small" is the posterior's (beta-tilde), "large" the transition's (beta).
    """
    if variance not in ("small", "large"):
        raise Problem(f"DDPM's variance is 'small' or 'large', not '{variance}'.")
    for i, (t, s) in enumerate(pairwise(times)):
        now, then = _batch(t, x), _batch(s, x)
        belief = predict(model, process, x, now)
        yield Frame(i, float(t), x, belief.x0, i + 1)
        mean, spread_small = process.posterior(x, belief.x0, now, then)
        var = spread_small if variance == "small" else process.transition(then, now)[1]
        x = mean if s == 0 else mean + spread(var.sqrt(), x) * _normal(x, generator)
    yield Frame(len(times) - 1, 0.0, x, x, len(times) - 1)


def ddim(
    model: Model,
    process: Process,
    x: Tensor,
    times: Tensor,
    generator: torch.Generator,
    eta: float = 0.0,
) -> Iterator[Frame]:
    """DDIM (Song, Meng and Ermon 2021, arXiv:2010.02502, equation 12).

    eta = 0 is deterministic; eta = 1 adds as much noise as the ancestral sampler.
    """
    for i, (t, s) in enumerate(pairwise(times)):
        now, then = _batch(t, x), _batch(s, x)
        belief = predict(model, process, x, now)
        yield Frame(i, float(t), x, belief.x0, i + 1)
        alpha, sigma = process.marginal(then)
        if s == 0:
            x = belief.x0
            continue
        _, var = process.posterior(x, belief.x0, now, then)
        fresh = eta * var.sqrt()
        kept = (sigma**2 - fresh**2).clamp_min(0).sqrt()
        x = spread(alpha, x) * belief.x0 + spread(kept, x) * belief.eps
        if eta > 0:
            x = x + spread(fresh, x) * _normal(x, generator)
    yield Frame(len(times) - 1, 0.0, x, x, len(times) - 1)


def _refuse_infinite(process: Process, name: str) -> None:
    if not process.finite:
        raise Problem(
            f"{name} cannot run on this process: its drift and diffusion grow without bound as "
            "t -> 1, where alpha is 0. Use ddim, or ddpm, which step between marginals instead."
        )


def euler_maruyama(
    model: Model, process: Process, x: Tensor, times: Tensor, generator: torch.Generator
) -> Iterator[Frame]:
    """Euler-Maruyama on the reverse-time SDE (Song et al. 2021, equation 6):

    dx = [f(x, t) - g(t)² score] dt + g(t) dw, from t = 1 down; no noise in the last step.
    """
    _refuse_infinite(process, "euler-maruyama")
    for i, (t, s) in enumerate(pairwise(times)):
        now, h = _batch(t, x), float(t - s)
        belief = predict(model, process, x, now)
        yield Frame(i, float(t), x, belief.x0, i + 1)
        drift, g = process.sde(x, now)
        reverse = drift - spread(g**2, x) * score(belief.eps, process.marginal(now)[1])
        x = x - h * reverse
        if s > 0:
            x = x + spread(g, x) * h**0.5 * _normal(x, generator)
    yield Frame(len(times) - 1, 0.0, x, x, len(times) - 1)


def probability_flow(
    model: Model, process: Process, x: Tensor, times: Tensor, generator: torch.Generator
) -> Iterator[Frame]:
    """Euler on the probability-flow ODE (Song et al. 2021, equation 13), deterministic:

    dx = [f(x, t) - g(t)² score / 2] dt.
    """
    _refuse_infinite(process, "probability-flow")
    for i, (t, s) in enumerate(pairwise(times)):
        now, h = _batch(t, x), float(t - s)
        belief = predict(model, process, x, now)
        yield Frame(i, float(t), x, belief.x0, i + 1)
        drift, g = process.sde(x, now)
        x = x - h * (drift - 0.5 * spread(g**2, x) * score(belief.eps, process.marginal(now)[1]))
    yield Frame(len(times) - 1, 0.0, x, x, len(times) - 1)


SAMPLERS: dict[str, Sampler] = {
    "ddpm": ancestral,
    "ddim": ddim,
    "euler-maruyama": euler_maruyama,
    "probability-flow": probability_flow,
}


@torch.no_grad()
def sample(
    model: Model,
    process: Process,
    x_T: Tensor,
    sampler: str = "ddim",
    steps: int = 50,
    generator: torch.Generator | None = None,
    start: float = 1.0,
    **options: float | str,
) -> Iterator[Frame]:
    """Draw from x_T (B, …) at time `start` down to 0 in `steps` updates: steps + 1 frames.

    `generator` makes the noise of the stochastic samplers (seed 0 unless given); options go to the
    sampler (`eta` of ddim, `variance` of ddpm). Raises Problem on a name or combination that makes
    no sense.
    """
    if sampler not in SAMPLERS:
        raise Problem(f"There is no sampler '{sampler}'. Choose one of: {', '.join(SAMPLERS)}.")
    if sampler == "ddpm" and isinstance(process, DDPM) and steps > round(start * process.steps):
        raise Problem(
            f"ddpm walks the chain's own timesteps: from t = {start:g} there are "
            f"{round(start * process.steps)}, not {steps}. Take fewer steps, or another sampler."
        )
    if generator is None:
        generator = torch.Generator(x_T.device).manual_seed(0)
    times = process.times(steps, start)
    yield from SAMPLERS[sampler](model, process, x_T, times, generator, **options)


@torch.no_grad()
def noise_path(
    process: Process, x0: Tensor, times: Tensor, generator: torch.Generator
) -> Iterator[Frame]:
    """The forward process itself: one random path of x0 (B, …) through `times`, ascending from 0.

    Each step draws from q(x_t | x_s), so the path is the chain's, not a blend with fixed noise.
    """
    x = x0
    yield Frame(0, float(times[0]), x, x0, 0)
    for i, (s, t) in enumerate(pairwise(times)):
        a, var = process.transition(_batch(s, x), _batch(t, x))
        x = spread(a, x) * x + spread(var.sqrt(), x) * _normal(x, generator)
        yield Frame(i + 1, float(t), x, x0, 0)
