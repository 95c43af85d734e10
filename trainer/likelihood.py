"""Bits per dimension: a variational bound for any process, exact by the probability-flow ODE.

Images are bytes; a density over the continuous stand-in x = (byte + u)/127.5 - 1 turns into bits
by bits/dim = -log p(x) / (D ln 2) - log2(2/255)  (trainer.images.dequantise).

`bits_per_dim`, `log_likelihood` and `variational_bound` give the value for each image;
`exact_bits`, `exact_nats` and `bound_bits` the same with its random error and cost.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer import ode
from trainer.denoiser import Beliefs, Model, latest_time
from trainer.images import LEVEL, dequantise, to_signed
from trainer.problems import Problem
from trainer.processes import Process, spread


@dataclass(frozen=True)
class Estimate:
    """A value for each image, (B,), and its standard error, (B,).

    The error is 0 where nothing is random, and nan where one draw cannot tell. `nfe` is the number
    of network evaluations, each of the whole batch.
    """

    value: Tensor
    error: Tensor
    nfe: int


@dataclass(frozen=True)
class Term:
    """One term of the chain's bound, bits/dim for each image (B,).

    index T is L_T, the prior's; T - 1 … 1 are the transitions' L_{t-1} of equation 5 of Ho et al.;
    0 is L_0, the decoder's.
    """

    index: int
    bits: Tensor
    nfe: int


def _from_draws(draws: list[Tensor], nfe: int) -> Estimate:
    """The mean of independent estimates, each (B,)."""
    values = torch.stack(draws)
    error = values.std(0) / len(draws) ** 0.5 if len(draws) > 1 else values[0] * math.nan
    return Estimate(values.mean(0), error, nfe)


def decoder_nats(x0: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """-log P(bytes | z) in nats (B,): the discretised Gaussian of Ho et al. 2020, equation 13.

    x0, mean (B, …) in [-1, 1]; std (B,). The bins at the ends reach to infinity.
    """
    scale = spread(std, x0).double()
    centre, mean = x0.double(), mean.double()
    above = (centre + LEVEL / 2 - mean) / scale
    below = (centre - LEVEL / 2 - mean) / scale
    above = above.masked_fill(centre > 1 - LEVEL / 4, math.inf)
    below = below.masked_fill(centre < -1 + LEVEL / 4, -math.inf)
    # Φ(above) - Φ(below) in the lower tail, where its logarithm keeps its digits far out.
    flip = above + below > 0
    above, below = torch.where(flip, -below, above), torch.where(flip, -above, below)
    most, least = torch.special.log_ndtr(above), torch.special.log_ndtr(below)
    logs = most + torch.log1p(-torch.exp(least - most))
    nats: Tensor = -logs.flatten(1).sum(1)
    return nats.to(x0.dtype)


def prior_nats(process: Process, x0: Tensor) -> Tensor:
    """KL(q(x_1 | x_0) || prior) in nats (B,): what the last timestep still knows."""
    one = torch.ones(len(x0), device=x0.device)
    alpha, sigma = process.marginal(one)
    std = process.prior_std
    dims = x0[0].numel()
    squares = (spread(alpha, x0) * x0).flatten(1).square().sum(1)
    return 0.5 * (squares / std**2 + dims * (sigma**2 / std**2 - 1 - 2 * (sigma / std).log()))


def _noise(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(x.shape, generator=generator, device=generator.device).to(x)


def _reconstruction(
    believe: Beliefs, process: Process, x0: Tensor, t: Tensor, generator: torch.Generator
) -> Tensor:
    """L_0 in nats (B,): bytes decoded around the model's x0 at t (1,), from one draw of x_t."""
    z = process.diffuse(x0, t, _noise(x0, generator))
    alpha, sigma = process.marginal(t)
    return decoder_nats(x0, believe(z, t).x0, (sigma / alpha).expand(len(x0)))


@torch.no_grad()
def bound_terms(
    model: Model,
    process: Process,
    images: Tensor,
    generator: torch.Generator,
    variance: str = "small",
) -> Iterator[Term]:
    """Every term of a chain's variational bound, from L_T down to L_0 (Ho et al. 2020, equation 5).

    images uint8 (B, C, H, W). Each term but L_T takes one draw of noise and one evaluation.
    `variance`: the reverse transitions' is the posterior's, "small", or beta, "large". L_0 decodes
    around the model's x0 with the variance of x_1 / alpha_1. Raises Problem for a process without
    a chain.
    """
    steps = process.chain_steps
    if steps is None:
        raise Problem("Only a DDPM chain has a bound of terms; use variational_bound for an SDE.")
    if variance not in ("small", "large"):
        raise Problem(f"DDPM's variance is 'small' or 'large', not '{variance}'.")
    x0 = to_signed(images)
    bits = x0[0].numel() * math.log(2)
    believe = Beliefs(model, process)
    yield Term(steps, prior_nats(process, x0) / bits, 0)
    for i in range(steps, 1, -1):
        t = torch.tensor([i / steps]).to(x0)
        nats = _transition_nats(believe, process, x0, t, generator, variance)
        yield Term(i - 1, nats / bits, believe.nfe)
    first = torch.tensor([process.earliest]).to(x0)
    last = _reconstruction(believe, process, x0, first, generator)
    yield Term(0, last / bits, believe.nfe)


def _transition_nats(
    believe: Beliefs,
    process: Process,
    x0: Tensor,
    t: Tensor,
    generator: torch.Generator,
    variance: str = "small",
) -> Tensor:
    """KL(q(x_{t-1} | x_t, x0) || p(x_{t-1} | x_t)) in nats (B,), from one draw of x_t.

    With the posterior's variance it is (SNR(t-1) - SNR(t)) |x0 - guess|² / 2; with beta's, that
    times the ratio r of the two variances, and D (r - 1 - log r) / 2 for their difference.
    """
    steps = process.chain_steps
    assert steps is not None
    s = (t * steps - 1) / steps
    x = process.diffuse(x0, t, _noise(x0, generator))
    weight = 0.5 * (process.log_snr(s).exp() - process.log_snr(t).exp())
    error = (x0 - believe(x, t).x0).flatten(1).square().sum(1)
    if variance == "small":
        return weight * error
    ratio = (process.marginal(s)[1] / process.marginal(t)[1]) ** 2
    return ratio * weight * error + 0.5 * x0[0].numel() * (ratio - 1 - ratio.log())


def bound_bits(
    model: Model,
    process: Process,
    images: Tensor,
    generator: torch.Generator,
    evaluations: int = 16,
    draws: int = 1,
) -> Estimate:
    """`variational_bound` from several independent draws, with the standard error of their mean."""
    if draws < 1 or evaluations < 1:
        raise Problem("A bound needs at least 1 draw of at least 1 evaluation.")
    believe = Beliefs(model, process)
    found = [_bound(believe, images, generator, evaluations) for _ in range(draws)]
    return _from_draws(found, believe.nfe)


def variational_bound(
    model: Model,
    process: Process,
    images: Tensor,
    generator: torch.Generator,
    evaluations: int = 16,
) -> Tensor:
    """An upper bound on bits/dim of 8-bit images (B, C, H, W), estimated, per image (B,).

    For DDPM: L_T + sum L_{t-1} + L_0 (Ho et al. 2020, equation 5; posterior variance), the sum
    estimated from `evaluations` timesteps spread evenly over 2…T with a random offset per image;
    with evaluations >= T - 1 every timestep is taken. For an SDE: the continuous-time bound (Kingma
    et al. 2021, equation 17), times spread evenly in log-SNR between the process's likelihood_ends.
    """
    return bound_bits(model, process, images, generator, evaluations).value


@torch.no_grad()
def _bound(
    believe: Beliefs, images: Tensor, generator: torch.Generator, evaluations: int
) -> Tensor:
    process = believe.process
    x0 = to_signed(images)
    total = prior_nats(process, x0)
    offset = torch.rand(len(x0), generator=generator, device=generator.device).to(x0.device)
    if (steps := process.chain_steps) is not None:
        count = min(evaluations, steps - 1)
        for k in range(count):
            jitter = offset if count < steps - 1 else torch.full_like(offset, 0.5)
            place = (k + jitter) / count * (steps - 1)
            t = (2 + place.floor().clamp_max(steps - 2)) / steps
            nats = _transition_nats(believe, process, x0, t, generator)
            total = total + nats * (steps - 1) / count
        first = torch.full((1,), process.earliest, device=x0.device)
    else:
        first = torch.full((1,), process.likelihood_time, device=x0.device)
        most, least = process.likelihood_ends
        for k in range(evaluations):
            t = process.time_at(most + (least - most) * (k + offset) / evaluations)
            eps = _noise(x0, generator)
            guess = believe(process.diffuse(x0, t, eps), t).eps
            error = (eps - guess).flatten(1).square().sum(1)
            total = total + 0.5 * (most - least) * error / evaluations
    total = total + _reconstruction(believe, process, x0, first, generator)
    return total / (x0[0].numel() * math.log(2))


def exact_nats(
    model: Model,
    process: Process,
    x: Tensor,
    generator: torch.Generator | None = None,
    tolerance: float = 1e-5,
    exact_trace: bool = False,
    probes: int = 1,
) -> Estimate:
    """log p(x) in nats (B,) of continuous x (B, …), by the probability-flow ODE.

    Song et al. 2021, equation 39: log p_0(x) = log p_1(x_1) + the integral of the divergence of
    dx/dt, from the process's `likelihood_time` to 1 (0.999 where only x0 could start), by adaptive
    RK45. The divergence is Hutchinson's estimate with `probes` Rademacher vectors (Grathwohl et al.
    2019), whose scatter gives the error, or exact, dimension by dimension. Each solver's evaluation
    is one pass forward, and one backward a probe.
    """
    if probes < 1:
        raise Problem("Hutchinson's estimate needs at least 1 probe.")
    generator = generator or torch.Generator(x.device).manual_seed(0)
    shape, batch, dims = x.shape, len(x), x[0].numel()
    vectors = torch.eye(dims).to(x).view(dims, 1, *shape[1:]).expand(dims, *shape)
    if not exact_trace:
        signs = torch.randint(0, 2, (probes, *shape), generator=generator, device=generator.device)
        vectors = signs.to(x) * 2 - 1
    believe = Beliefs(model, process)

    def slope(time: float, joined: np.ndarray) -> np.ndarray:
        state = torch.from_numpy(joined[: x.numel()]).to(x).view(shape)
        now = torch.tensor([time]).to(x)
        with torch.enable_grad():
            state.requires_grad_(True)
            velocity = ode.velocity(process, believe(state, now), now)
            products = []
            for k, vector in enumerate(vectors):
                (product,) = torch.autograd.grad(
                    (velocity * vector).sum(), state, retain_graph=k < len(vectors) - 1
                )
                products.append((product * vector).flatten(1).sum(1))
        divergence = torch.stack(products)
        if exact_trace:
            divergence = divergence.sum(0, keepdim=True)
        both = torch.cat([velocity.detach().flatten(), divergence.flatten()])
        return both.double().cpu().numpy()

    rows = 1 if exact_trace else probes
    end = np.concatenate([x.detach().flatten().double().cpu().numpy(), np.zeros(rows * batch)])
    start, stop = process.likelihood_time, latest_time(model, process)
    for _, after, between in ode.solve(slope, start, stop, end, tolerance):
        end = between(after)
    solved = torch.from_numpy(end).to(x)
    nats = process.prior_logp(solved[: x.numel()].view(shape)) + solved[x.numel() :].view(-1, batch)
    if exact_trace:
        return Estimate(nats[0], torch.zeros_like(nats[0]), believe.nfe)
    return _from_draws(list(nats), believe.nfe)


def log_likelihood(
    model: Model,
    process: Process,
    x: Tensor,
    generator: torch.Generator | None = None,
    tolerance: float = 1e-5,
    exact_trace: bool = False,
) -> Tensor:
    """log p(x) in nats (B,) of continuous x (B, …): the value of `exact_nats`, with one probe."""
    return exact_nats(model, process, x, generator, tolerance, exact_trace).value


def exact_bits(
    model: Model,
    process: Process,
    images: Tensor,
    generator: torch.Generator | None = None,
    tolerance: float = 1e-5,
    draws: int = 1,
    exact_trace: bool = False,
) -> Estimate:
    """Exact bits/dim (B,) of 8-bit images (B, C, H, W), with uniform dequantisation.

    Up to the ODE's tolerance. Each of `draws` dequantises anew, with its own probe: their scatter
    gives the error.
    """
    if draws < 1:
        raise Problem("A likelihood needs at least 1 draw.")
    generator = generator or torch.Generator(images.device).manual_seed(0)
    found, nfe = [], 0
    for _ in range(draws):
        x = dequantise(images, generator)
        once = exact_nats(model, process, x, generator, tolerance, exact_trace)
        found.append(-once.value / (x[0].numel() * math.log(2)) - math.log2(LEVEL))
        nfe += once.nfe
    return _from_draws(found, nfe)


def bits_per_dim(
    model: Model,
    process: Process,
    images: Tensor,
    generator: torch.Generator | None = None,
    tolerance: float = 1e-5,
) -> Tensor:
    """Exact bits/dim (B,) of 8-bit images (B, C, H, W): the value of `exact_bits`, of one draw."""
    return exact_bits(model, process, images, generator, tolerance).value
