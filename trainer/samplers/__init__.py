"""Samplers: one generator each, over any model(x, t) -> eps, yielding a Frame a step.

All walk a list of falling times, and give a frame at each. A time of 0 means the data itself: where
the process leaves noise there (VE), the last move goes on to the model's x0. Writing s for the next
time after t, and (alpha, sigma) for the marginal:

    the chain    ddpm, ddim: draw from q(x_s | x_t, x0) with the model's x0
    the SDE      euler-maruyama, reverse-diffusion, predictor-corrector: dx = f dt + g dw, reversed
    the ODE      probability-flow, heun, dpm-solver++, rk45: the same marginals without noise
    in between   edm-heun: the ODE, with noise put back before each step
"""

import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from trainer import ode
from trainer.denoiser import Beliefs, Model, Prediction, latest_time, score
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


def _now(t: Tensor, x: Tensor) -> Tensor:
    """t as (1,), in x's type and place: coefficients there broadcast over any batch."""
    return t.to(x).view(1)


def _level(process: Process, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """(alpha, sigma) at t, shaped to broadcast over x; the clean data, (1, 0), at t = 0."""
    now = _now(t, x)
    alpha, sigma = process.marginal(now) if t > 0 else (torch.ones_like(now), now)
    return spread(alpha, x), spread(sigma, x)


def _normal(x: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(x.shape, generator=generator, device=generator.device, dtype=x.dtype)
    return noise.to(x.device)


def _noisy(process: Process, t: Tensor, x: Tensor) -> bool:
    """Whether q(x_t | x_0) has any noise: at every t > 0, and at 0 for VE."""
    return bool(process.marginal(_now(t, x))[1] > 0)


def _last(believe: Beliefs, times: Tensor, x: Tensor) -> Frame:
    """The frame at the end, of a state that is clean if it is at t = 0."""
    return Frame(len(times) - 1, float(times[-1]), x, x, believe.nfe)


def _denoised(believe: Beliefs, process: Process, times: Tensor, x: Tensor) -> Tensor:
    """x at the end of the times, denoised by one more evaluation if noise is left at 0 (VE)."""
    end = times[-1]
    return believe(x, end).x0 if end == 0 and _noisy(process, end, x) else x


def ancestral(
    believe: Beliefs,
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
        belief = believe(x, t)
        yield Frame(i, float(t), x, belief.x0, believe.nfe)
        if s == 0:
            x = belief.x0
            continue
        now, then = _now(t, x), _now(s, x)
        mean, small = process.posterior(x, belief.x0, now, then)
        var = small if variance == "small" else process.transition(then, now)[1]
        x = mean + spread(var.sqrt(), x) * _normal(x, generator)
    yield _last(believe, times, x)


def ddim(
    believe: Beliefs,
    process: Process,
    x: Tensor,
    times: Tensor,
    generator: torch.Generator,
    eta: float = 0.0,
) -> Iterator[Frame]:
    """DDIM (Song, Meng and Ermon 2021, arXiv:2010.02502, equation 12).

    eta = 0 is deterministic; eta = 1 adds as much noise as the ancestral sampler.
    """
    if not 0 <= eta <= 1:
        raise Problem(f"DDIM's eta lies in [0, 1], not at {eta:g}.")
    for i, (t, s) in enumerate(pairwise(times)):
        belief = believe(x, t)
        yield Frame(i, float(t), x, belief.x0, believe.nfe)
        alpha, sigma = _level(process, s, x)
        if eta == 0 or s == 0:
            x = alpha * belief.x0 + sigma * belief.eps
            continue
        _, var = process.posterior(x, belief.x0, _now(t, x), _now(s, x))
        fresh = eta * spread(var.sqrt(), x)
        kept = (sigma**2 - fresh**2).clamp_min(0).sqrt()
        x = alpha * belief.x0 + kept * belief.eps + fresh * _normal(x, generator)
    yield _last(believe, times, x)


def euler_maruyama(
    believe: Beliefs, process: Process, x: Tensor, times: Tensor, generator: torch.Generator
) -> Iterator[Frame]:
    """Euler-Maruyama on the reverse-time SDE (Song et al. 2021, equation 6):

    dx = [f(x, t) - g(t)² score] dt + g(t) dw, from t = 1 down; no noise where sigma(s) = 0.
    """
    f, _ = process.coefficients(times[:1].double())
    if not float(-f * (times[0] - times[1])) <= 10:
        raise Problem(
            "euler-maruyama blows up on this process: its drift and diffusion grow without bound "
            "as t -> 1, where alpha nears 0. Use ddpm or reverse-diffusion, which step between "
            "marginals instead, or start at a smaller t."
        )
    for i, (t, s) in enumerate(pairwise(times)):
        now, h = _now(t, x), float(t - s)
        belief = believe(x, t)
        yield Frame(i, float(t), x, belief.x0, believe.nfe)
        drift, g = process.sde(x, now)
        reverse = drift - spread(g**2, x) * score(belief.eps, process.marginal(now)[1])
        x = x - h * reverse
        if _noisy(process, s, x):
            x = x + spread(g, x) * h**0.5 * _normal(x, generator)
    yield _last(believe, times, _denoised(believe, process, times, x))


def reverse_diffusion(
    believe: Beliefs, process: Process, x: Tensor, times: Tensor, generator: torch.Generator
) -> Iterator[Frame]:
    """The reverse diffusion predictor (Song et al. 2021, appendix E, equation 46).

    The forward step q(x_t | x_s) = N(a x, v I) is run backwards as x_s = (2 - a) x + v score +
    sqrt(v) z; no noise where sigma(s) = 0.
    """
    yield from predictor_corrector(believe, process, x, times, generator, corrections=0)


def langevin(
    x: Tensor, eps: Tensor, a: Tensor, sigma: Tensor, snr: float, generator: torch.Generator
) -> Tensor:
    """One step of Langevin dynamics at x (Song et al. 2021, algorithms 4 and 5), like x.

    x + e score + sqrt(2 e) z with e = 2 a² (snr |z| / |score|)², norms averaged over the batch;
    a² is the step's 1 - beta (1 for VE). a and sigma broadcast over x.
    """
    noise = _normal(x, generator)
    gradient = -eps / sigma
    size = noise.flatten(1).norm(dim=1).mean() / gradient.flatten(1).norm(dim=1).mean()
    step = 2 * a**2 * (snr * size) ** 2
    return x + step * gradient + (2 * step).sqrt() * noise


def predictor_corrector(
    believe: Beliefs,
    process: Process,
    x: Tensor,
    times: Tensor,
    generator: torch.Generator,
    snr: float = 0.16,
    corrections: int = 1,
) -> Iterator[Frame]:
    """Predictor-corrector sampling (Song et al. 2021, algorithm 1), corrector first as in its code.

    `corrections` Langevin steps at t with signal-to-noise ratio `snr`, then the reverse diffusion
    predictor to s: corrections + 1 evaluations a step.
    """
    if not (snr > 0 and corrections >= 0):
        raise Problem("The corrector needs a snr above 0, and a number of corrections from 0 on.")
    for i, (t, s) in enumerate(pairwise(times)):
        belief = believe(x, t)
        yield Frame(i, float(t), x, belief.x0, believe.nfe)
        a, var = (spread(value, x) for value in process.transition(_now(s, x), _now(t, x)))
        _, sigma = _level(process, t, x)
        for _ in range(int(corrections)):
            x = langevin(x, belief.eps, a, sigma, snr, generator)
            belief = believe(x, t)
        x = (2 - a) * x - var / sigma * belief.eps
        if _noisy(process, s, x):
            x = x + var.sqrt() * _normal(x, generator)
    yield _last(believe, times, _denoised(believe, process, times, x))


def probability_flow(
    believe: Beliefs, process: Process, x: Tensor, times: Tensor, generator: torch.Generator
) -> Iterator[Frame]:
    """Euler on the probability-flow ODE in t (Song et al. 2021, equation 13), deterministic."""
    for i, (t, s) in enumerate(pairwise(times)):
        belief = believe(x, t)
        yield Frame(i, float(t), x, belief.x0, believe.nfe)
        x = x - float(t - s) * ode.velocity(process, belief, _now(t, x))
    yield _last(believe, times, _denoised(believe, process, times, x))


def _on_circle(process: Process, t: Tensor, belief: Prediction) -> tuple[Tensor, Tensor, Tensor]:
    """(r, a, v) at t: alpha = r cos(a), sigma = r sin(a), v = cos(a) eps - sin(a) x0."""
    alpha, sigma = _level(process, t, belief.x0)
    r = torch.hypot(alpha, sigma)
    v = (alpha * belief.eps - sigma * belief.x0) / r
    return r, torch.atan2(sigma, alpha), v


def edm_heun(
    believe: Beliefs,
    process: Process,
    x: Tensor,
    times: Tensor,
    generator: torch.Generator,
    churn: float = 40.0,
    churn_noise: float = 1.0,
) -> Iterator[Frame]:
    """Stochastic Heun (Karras et al. 2022, arXiv:2206.00364, algorithm 2) for any process.

    With r = sqrt(alpha² + sigma²) and the angle a = atan(sigma / alpha), the probability-flow ODE
    of y = x/r is dy/da = v = cos(a) eps - sin(a) x0, whatever the process, and finite at alpha = 0.
    The trapezoid y + tan(da / 2) (v + v at s) is exact where x0 and eps stay constant, as DDIM is.
    Before each step the noise is raised to (1 + g) sigma/alpha, g = min(churn / steps, 2^½ - 1);
    the frame shows that state. Two evaluations a step, one for a step to 0.
    """
    if not (churn >= 0 and churn_noise >= 0):
        raise Problem("Heun's churn and churn_noise are numbers from 0 on.")
    steps = len(times) - 1
    grow = 1 + min(churn / steps, 2**0.5 - 1)
    for i, (t, s) in enumerate(pairwise(times)):
        if grow > 1:
            raised = process.time_at(process.log_snr(t.double().view(1)) - 2 * math.log(grow))
            risen = raised.to(t)[0]
            if t < risen < 1:
                a, var = process.transition(_now(t, x), _now(risen, x))
                fresh = churn_noise * spread(var.sqrt(), x)
                x, t = spread(a, x) * x + fresh * _normal(x, generator), risen
        belief = believe(x, t)
        yield Frame(i, float(t), x, belief.x0, believe.nfe)
        alpha, sigma = _level(process, s, x)
        euler = alpha * belief.x0 + sigma * belief.eps
        if s == 0:
            x = euler
            continue
        r, angle, v = _on_circle(process, t, belief)
        next_r, next_angle, next_v = _on_circle(process, s, believe(euler, s))
        x = next_r * (x / r + torch.tan((next_angle - angle) / 2) * (v + next_v))
    yield _last(believe, times, x)


def heun(
    believe: Beliefs, process: Process, x: Tensor, times: Tensor, generator: torch.Generator
) -> Iterator[Frame]:
    """Heun on the probability-flow ODE (Karras et al. 2022, algorithm 1): second order."""
    yield from edm_heun(believe, process, x, times, generator, churn=0.0)


def dpm_solver(
    believe: Beliefs, process: Process, x: Tensor, times: Tensor, generator: torch.Generator
) -> Iterator[Frame]:
    """DPM-Solver++ 2M (Lu et al. 2022, arXiv:2211.01095, algorithm 2): second order, one
    evaluation a step.

    With lambda = log(alpha/sigma) and h its growth over the step, x_s = (sigma_s/sigma_t) x -
    alpha_s (e^-h - 1) D, D = x0 + (x0 - x0 before) h / (2 h before). The first and last steps take
    D = x0.
    """
    before: tuple[Tensor, Tensor] | None = None
    for i, (t, s) in enumerate(pairwise(times)):
        belief = believe(x, t)
        yield Frame(i, float(t), x, belief.x0, believe.nfe)
        (alpha, sigma), (next_alpha, next_sigma) = (_level(process, u, x) for u in (t, s))
        h = (next_alpha / next_sigma).log() - (alpha / sigma).log()
        guess = belief.x0
        if before is not None and s > 0:
            earlier, earlier_h = before
            guess = guess + (guess - earlier) * h / (2 * earlier_h)
        # -alpha_s (e^-h - 1), in a form that is finite at alpha = 0 and at sigma = 0.
        kept = next_sigma / sigma
        x = kept * x + (next_alpha - kept * alpha) * guess
        before = belief.x0, h
    yield _last(believe, times, x)


def rk45(
    believe: Beliefs,
    process: Process,
    x: Tensor,
    times: Tensor,
    generator: torch.Generator,
    tolerance: float = 1e-4,
) -> Iterator[Frame]:
    """Adaptive RK45 on the probability-flow ODE (Song et al. 2021, appendix D.4).

    The solver chooses its own steps, the same for the whole batch; frames lie evenly on `times`
    by its dense output. It ends at the process's `earliest` time, and goes to 0 by the x0 there.
    """
    wanted = times.clone()
    if times[-1] == 0:
        wanted[-1] = min(process.earliest, float(times[-2]) / 2)
    for i, (state, guess) in enumerate(ode.flow(believe, process, x, wanted, tolerance)):
        if i < len(times) - 1:
            yield Frame(i, float(times[i]), state, guess, believe.nfe)
        else:
            yield _last(believe, times, guess if times[-1] == 0 else state)


SAMPLERS: dict[str, Sampler] = {
    "ddpm": ancestral,
    "ddim": ddim,
    "euler-maruyama": euler_maruyama,
    "reverse-diffusion": reverse_diffusion,
    "predictor-corrector": predictor_corrector,
    "probability-flow": probability_flow,
    "heun": heun,
    "edm-heun": edm_heun,
    "dpm-solver++": dpm_solver,
    "rk45": rk45,
}


def walk(
    believe: Beliefs,
    x: Tensor,
    times: Tensor,
    sampler: str,
    generator: torch.Generator,
    **options: float | str,
) -> Iterator[Frame]:
    """Any sampler from x (B, …) along given falling `times`, which need not end at 0.

    A frame at each time. Raises Problem on an unknown sampler or option.
    """
    if sampler not in SAMPLERS:
        raise Problem(f"There is no sampler '{sampler}'. Choose one of: {', '.join(SAMPLERS)}.")
    known = list(inspect.signature(SAMPLERS[sampler]).parameters)[5:]
    for name in options:
        if name not in known:
            raise Problem(
                f"The sampler {sampler} has no option '{name}'; it takes "
                f"{', '.join(known) or 'none'}."
            )
    return SAMPLERS[sampler](believe, believe.process, x, times, generator, **options)


@torch.no_grad()
def sample(
    model: Model,
    process: Process,
    x_T: Tensor,
    sampler: str = "ddim",
    steps: int = 50,
    generator: torch.Generator | None = None,
    start: float = 1.0,
    spacing: str = "time",
    **options: float | str,
) -> Iterator[Frame]:
    """Draw from x_T (B, …) at time `start` down to 0 in `steps` updates: steps + 1 frames.

    `generator` makes the noise of the stochastic samplers (seed 0 unless given); `spacing` places
    the times (trainer.processes.Process.times); options go to the sampler (`eta` of ddim,
    `variance` of ddpm, `snr` and `corrections` of predictor-corrector, `churn` of edm-heun,
    `tolerance` of rk45). A model of eps starts at t = 0.999 where alpha(1) = 0. Raises Problem on
    a name or combination that makes no sense.
    """
    if sampler == "ddpm" and isinstance(process, DDPM) and steps > round(start * process.steps):
        raise Problem(
            f"ddpm walks the chain's own timesteps: from t = {start:g} there are "
            f"{round(start * process.steps)}, not {steps}. Take fewer steps, or another sampler."
        )
    if generator is None:
        generator = torch.Generator(x_T.device).manual_seed(0)
    if start > 1:
        raise Problem(f"Sampling starts at a time in (0, 1], not at {start:g}.")
    times = process.times(steps, min(start, latest_time(model, process)), spacing)
    yield from walk(Beliefs(model, process), x_T, times, sampler, generator, **options)


def noise_step(
    process: Process, x: Tensor, s: Tensor | None, t: Tensor, generator: torch.Generator
) -> Tensor:
    """A draw of q(x_t | x_s = x), like x, for s <= t; of q(x_t | x_0 = x) where s is None.

    The two differ at s = 0 for VE alone, whose state there is noisy.
    """
    if s is None:
        a, std = process.marginal(_now(t, x))
    else:
        a, var = process.transition(_now(s, x), _now(t, x))
        std = var.sqrt()
    return spread(a, x) * x + spread(std, x) * _normal(x, generator)


@torch.no_grad()
def noise_path(
    process: Process, x0: Tensor, times: Tensor, generator: torch.Generator
) -> Iterator[Frame]:
    """The forward process itself: one random path of x0 (B, …) through `times`, ascending from 0.

    Each step draws from q(x_t | x_s), so the path is the chain's, not a blend with fixed noise.
    """
    x = noise_step(process, x0, None, times[0], generator) if _noisy(process, times[0], x0) else x0
    yield Frame(0, float(times[0]), x, x0, 0)
    # All transitions at once: one by one they take longer than the noise.
    scales, variances = process.transition(times[:-1].to(x0), times[1:].to(x0))
    for i, (a, std) in enumerate(zip(scales, variances.sqrt(), strict=True)):
        x = a * x + std * _normal(x, generator)
        yield Frame(i + 1, float(times[i + 1]), x, x0, 0)
