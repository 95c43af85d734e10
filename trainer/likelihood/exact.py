"""Exact likelihood, by the probability-flow ODE.

Written on the circle y = x / r, r = sqrt(alpha² + sigma²), the ODE is the same for every process:
with the angle a = atan(sigma / alpha) and u = log tan(a / 2) = -asinh(alpha / sigma),
    dy/du = sin(a) v,   v = cos(a) eps - sin(a) x0.
At the data u is half of log-SNR (but for sign and log 2), so that each factor of the noise takes
its share of the steps; at pure noise, alpha = 0, it is 0, and nothing is infinite. How far off y is
counts in deviations of the noise, sin(a): these are what a density is as fine as.
"""

import math

import torch
from torch import Tensor

from trainer import ode
from trainer.catalogue import DEQUANTISATIONS
from trainer.denoiser import Beliefs, Model, latest_time, passes, predict
from trainer.images import LEVEL, to_signed
from trainer.likelihood.bound import Estimate, from_draws, per_dim, reconstruction_nats
from trainer.problems import Problem
from trainer.processes import Process, spread

TOLERANCE = 5e-3


def _of(model: Model, rows: Tensor) -> Model:
    """The model asking for the classes of these rows alone, where it asks for any."""
    labels: Tensor | None = getattr(model, "labels", None)
    return model if labels is None else model.conditioned(labels[rows])  # type: ignore[attr-defined]


def exact_nats(
    model: Model,
    process: Process,
    x: Tensor,
    generator: torch.Generator | None = None,
    tolerance: float = TOLERANCE,
    exact_trace: bool = False,
    probes: int = 1,
) -> Estimate:
    """log p(x) in nats (B,) of x (B, …) at the process's `likelihood_time`, by the ODE from there
    to t = 1 (0.999 where only x0 could start).

    Song et al. 2021, equation 39: log p_0(x) = log p_1(x_1) + the integral of the divergence of
    dx/dt. The divergence is Hutchinson's estimate with `probes` Rademacher vectors (Grathwohl et
    al. 2019), whose scatter gives the error, or exact, dimension by dimension. Each solver's
    evaluation is one pass forward, and one backward a probe. Each image takes steps of its own,
    so that its value does not depend on its company.

    `solver` adds up what each step's estimated error, of the divergence and of y, changes in log p
    to first order.
    """
    if probes < 1:
        raise Problem("Hutchinson's estimate needs at least 1 probe.")
    generator = generator or torch.Generator(x.device).manual_seed(0)
    shape, batch, dims = x.shape, len(x), x[0].numel()
    vectors = torch.eye(dims).to(x).view(dims, 1, *shape[1:]).expand(dims, *shape)
    if not exact_trace:
        signs = torch.randint(0, 2, (probes, *shape), generator=generator, device=generator.device)
        vectors = signs.to(x) * 2 - 1
    times = process.likelihood_time, latest_time(model, process)
    alpha, sigma = process.marginal(torch.tensor(times, dtype=torch.float64))
    first, last = torch.hypot(alpha, sigma).tolist()
    start, stop = (-(alpha / sigma).asinh()).tolist()
    asked = 0

    def slope(place: Tensor, state: Tensor, rows: Tensor) -> Tensor:
        nonlocal asked
        t = process.time_at(2 * torch.sinh(-place).log()).clamp(*times)
        asked += len(rows) * passes(model, t)
        radius = torch.hypot(*process.marginal(t))
        r, sin, cos = (spread(v.to(x), x) for v in (radius, 1 / place.cosh(), -place.tanh()))
        with torch.enable_grad():
            y = state[:, :dims].view(-1, *shape[1:]).to(x).requires_grad_(True)
            belief = predict(_of(model, rows), process, y * r, t.to(x))
            speed = sin * (cos * belief.eps - sin * belief.x0)
            products = []
            for k, vector in enumerate(vectors[:, rows]):
                kept = k < len(vectors) - 1
                (product,) = torch.autograd.grad((speed * vector).sum(), y, retain_graph=kept)
                products.append((product * vector).flatten(1).to(state).sum(1) / dims)
        grown = torch.stack(products, 1)
        grown = grown.sum(1, keepdim=True) if exact_trace else grown
        return torch.cat([speed.detach().flatten(1).to(state), grown], 1)

    def size(error: Tensor, state: Tensor, place: Tensor) -> Tensor:
        y = error[:, :dims] * place.cosh()[:, None]
        return torch.cat([y, error[:, dims:]], 1).square().mean(1).sqrt()

    y = ode.wide(x).flatten(1) / first
    end = torch.cat([y, y.new_zeros(batch, 1 if exact_trace else probes)], 1)
    wrong = y.new_zeros(batch)
    for step in ode.solve(slope, start, stop, end.clone(), tolerance, size):
        end[step.rows] = step.state
        sin, cos = (v[:, None] for v in (1 / step.after.cosh(), -step.after.tanh()))
        eps = sin * step.state[:, :dims] + cos / sin * step.slopes[-1][:, :dims]
        moved = (eps / sin * step.error[:, :dims]).mean(1)  # -score times how far y is off
        wrong[step.rows] += (step.error[:, dims:].mean(1) - moved).abs()
    nats = process.prior_logp(end[:, :dims] * last) + dims * math.log(last / first)
    found = (nats[:, None] + dims * end[:, dims:]).T.to(x)
    solver, nfe = (dims * wrong).to(x), asked / batch
    if exact_trace:
        return Estimate(found[0], torch.zeros_like(found[0]), nfe, solver)
    return from_draws(list(found), nfe, solver)


def log_likelihood(
    model: Model,
    process: Process,
    x: Tensor,
    generator: torch.Generator | None = None,
    tolerance: float = TOLERANCE,
    exact_trace: bool = False,
) -> Tensor:
    """log p(x) in nats (B,) of continuous x (B, …): the value of `exact_nats`, with one probe."""
    return exact_nats(model, process, x, generator, tolerance, exact_trace).value


def dequantised(
    images: Tensor, process: Process, how: str, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """x at the process's `likelihood_time`, like images (B, …) but float32; and log q(x) (B,).

    log P(bytes) >= E_q[log p(x) - log q(x)]. `how` (catalogue.DEQUANTISATIONS) is the noise:

    uniform  one grey level wide around alpha times the value (Theis et al. 2016, arXiv:1511.01844).
    truncated-normal  sigma eps, as training has it, but no farther than half a level (Zheng et al.
             2023, arXiv:2305.03935, section 4.1): the noise that p knows.
    normal   sigma eps. The bytes are then told by the decoder, whose bits come in addition.
    """
    t = torch.tensor([process.likelihood_time], dtype=torch.float64)
    alpha, sigma = (float(v) for v in process.marginal(t))
    x0, half = to_signed(images), alpha * LEVEL / 2
    u = torch.rand(images.shape, generator=generator, device=generator.device, dtype=torch.float64)
    if how == "uniform":
        noise = half * (2 * u - 1)
        logs = torch.full_like(u, -math.log(2 * half))
    else:
        low = 0.0 if how == "normal" else float(torch.special.ndtr(torch.tensor(-half / sigma)))
        eps = torch.special.ndtri((low + (1 - 2 * low) * u).clamp_min(1e-300))
        noise = sigma * eps
        logs = -0.5 * eps**2 - math.log(sigma * (1 - 2 * low) * math.sqrt(2 * math.pi))
    x = alpha * x0 + noise.to(x0)
    return x, logs.flatten(1).sum(1).to(x0)


def exact_bits(
    model: Model,
    process: Process,
    images: Tensor,
    generator: torch.Generator | None = None,
    tolerance: float = TOLERANCE,
    draws: int = 1,
    exact_trace: bool = False,
    how: str = "normal",
) -> Estimate:
    """Exact bits/dim (B,) of 8-bit images (B, C, H, W), dequantised (`dequantised`).

    Each of `draws` dequantises anew, with its own probe: their scatter gives the error.
    """
    if draws < 1:
        raise Problem("A likelihood needs at least 1 draw.")
    if how not in (known := [choice.id for choice in DEQUANTISATIONS]):
        raise Problem(f"Bytes are dequantised by one of {', '.join(known)}, not by '{how}'.")
    generator = generator or torch.Generator(images.device).manual_seed(0)
    found, nfe, solver = [], 0.0, torch.zeros(len(images), device=images.device)
    for _ in range(draws):
        x, logs = dequantised(images, process, how, generator)
        once = exact_nats(model, process, x, generator, tolerance, exact_trace)
        nats = logs - once.value
        if how == "normal":
            with torch.no_grad():
                believe, t = Beliefs(model, process), x.new_tensor([process.likelihood_time])
                told = reconstruction_nats(believe, process, to_signed(images), x, t)
            nats, nfe = nats + told.flatten(1).sum(1), nfe + believe.nfe
        found.append(per_dim(nats, x))
        nfe += once.nfe
        solver = solver + per_dim(once.solver, x) / draws
    return from_draws(found, nfe, solver)


def bits_per_dim(
    model: Model,
    process: Process,
    images: Tensor,
    generator: torch.Generator | None = None,
    tolerance: float = TOLERANCE,
    how: str = "normal",
) -> Tensor:
    """Exact bits/dim (B,) of 8-bit images (B, C, H, W): the value of `exact_bits`, of one draw."""
    return exact_bits(model, process, images, generator, tolerance, how=how).value
