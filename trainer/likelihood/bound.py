"""The variational bound on bits/dim, of any process: part by part, image by image, pixel by pixel.

Part by part it is what the prior, each level of noise and the decoder cost; they add up.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.denoiser import Beliefs, Model
from trainer.images import LEVEL, to_signed
from trainer.problems import Problem
from trainer.processes import Process, spread

# The decoder's deviations, in those of the noise that the first latent has, and how likely each is
# taken to be: a network's guess is often nearer to the image than its noisy input.
DEVIATIONS = {2.0: 0.05, 1.0: 0.8, 0.5: 0.05, 0.25: 0.05, 0.125: 0.05}
DEFENCE = 0.1  # share of a chain's timesteps that are drawn evenly in t


@dataclass(frozen=True)
class Estimate:
    """A value for each image, (B,), and its standard error, (B,).

    The error is 0 where nothing is random, and nan where one draw cannot tell. `nfe` is the number
    of network evaluations for each image, in the mean. `solver` (B,) is what an ODE's solver says
    of its own error, up to which the value is found; 0 where there is none.
    """

    value: Tensor
    error: Tensor
    nfe: float
    solver: Tensor


@dataclass(frozen=True)
class Part:
    """What a part of the bound costs: `bits` of each value of each image, like x0; (B, C, H, W).

    Their mean over an image's values is bits/dim of it. `log_snr` (B,) is where it was drawn: inf
    is the decoder's, -inf the prior's.
    """

    log_snr: Tensor
    bits: Tensor


@dataclass(frozen=True)
class Term:
    """One term of the chain's bound, bits/dim for each image (B,).

    index T is L_T, the prior's; T - 1 … 1 are the transitions' L_{t-1} of equation 5 of Ho et al.;
    0 is L_0, the decoder's.
    """

    index: int
    bits: Tensor
    nfe: int


def from_draws(draws: list[Tensor], nfe: float, solver: Tensor | None = None) -> Estimate:
    """The mean of independent estimates, each (B,)."""
    values = torch.stack(draws)
    error = values.std(0) / len(draws) ** 0.5 if len(draws) > 1 else values[0] * math.nan
    return Estimate(
        values.mean(0), error, nfe, torch.zeros_like(values[0]) if solver is None else solver
    )


def per_dim(nats: Tensor, like: Tensor) -> Tensor:
    """nats (B,) of images like `like` (B, …) as bits/dim."""
    return nats / (like[0].numel() * math.log(2))


def decoder_nats(x0: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """-log P(byte | z) in nats, like x0: the discretised Gaussian of Ho et al. 2020, equation 13.

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
    logs: Tensor = most + torch.log1p(-torch.exp(least - most))
    return -logs.to(x0.dtype)


def decoded_nats(x0: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """-log P(image | z) in nats, shared out among the values, like x0, where the deviation fits.

    A mixture of `decoder_nats` of the deviations that DEVIATIONS names, in units of `std` (B,): one
    deviation for all of an image, none of it fitted to the others. With weights w_k it costs at
    most -log w_k more than the best of them does.
    """
    nats = torch.stack([decoder_nats(x0, mean, std * factor) for factor in DEVIATIONS])
    prior = nats.new_tensor(list(DEVIATIONS.values())).log()[:, None]
    logs = prior - nats.flatten(2).sum(2)
    mine = logs.softmax(0)  # which deviation it was: (K, B)
    # -logsumexp(logs) = sum_k mine_k (nats_k - prior_k + log mine_k)
    choice = (mine * (torch.special.xlogy(1.0, mine.clamp_min(1e-30)) - prior)).sum(0)
    weighed = (mine.view(*mine.shape, *[1] * (x0.dim() - 1)) * nats).sum(0)
    return weighed + spread(choice / x0[0].numel(), x0)


def prior_nats(process: Process, x0: Tensor) -> Tensor:
    """KL(q(x_1 | x_0) || prior) in nats, like x0 (B, …): what the last timestep still knows."""
    one = torch.ones(len(x0), device=x0.device)
    alpha, sigma = (spread(v / process.prior_std, x0) for v in process.marginal(one))
    return 0.5 * ((alpha * x0) ** 2 + sigma**2 - 1 - 2 * sigma.log())


def _noise(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(x.shape, generator=generator, device=generator.device).to(x)


def reconstruction_nats(
    believe: Beliefs, process: Process, x0: Tensor, z: Tensor, t: Tensor
) -> Tensor:
    """L_0 in nats, like x0: bytes decoded around the model's x0 at z, a draw of x_t at t (1,)."""
    alpha, sigma = process.marginal(t)
    return decoded_nats(x0, believe(z, t).x0, (sigma / alpha).expand(len(x0)))


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
    around the model's x0 (`decoded_nats`). Raises Problem for a process without a chain.
    """
    steps = process.chain_steps
    if steps is None:
        raise Problem("Only a DDPM chain has a bound of terms; use variational_bound for an SDE.")
    if variance not in ("small", "large"):
        raise Problem(f"DDPM's variance is 'small' or 'large', not '{variance}'.")
    x0 = to_signed(images)
    believe = Beliefs(model, process)

    def term(index: int, nats: Tensor) -> Term:
        return Term(index, per_dim(nats.flatten(1).sum(1), x0), believe.nfe)

    yield term(steps, prior_nats(process, x0))
    for i in range(steps, 1, -1):
        t = torch.tensor([i / steps]).to(x0)
        yield term(i - 1, _transition_nats(believe, process, x0, t, generator, variance))
    first = torch.tensor([process.earliest]).to(x0)
    z = process.diffuse(x0, first, _noise(x0, generator))
    yield term(0, reconstruction_nats(believe, process, x0, z, first))


def _transition_nats(
    believe: Beliefs,
    process: Process,
    x0: Tensor,
    t: Tensor,
    generator: torch.Generator,
    variance: str = "small",
) -> Tensor:
    """KL(q(x_{t-1} | x_t, x0) || p(x_{t-1} | x_t)) in nats, like x0, from one draw of x_t.

    With the posterior's variance it is (SNR(t-1) - SNR(t)) |x0 - guess|² / 2; with beta's, that
    times the ratio r of the two variances, and D (r - 1 - log r) / 2 for their difference.
    """
    steps = process.chain_steps
    assert steps is not None
    s = (t * steps - 1) / steps
    x = process.diffuse(x0, t, _noise(x0, generator))
    weight = 0.5 * (process.log_snr(s).exp() - process.log_snr(t).exp())
    nats = spread(weight, x0) * (x0 - believe(x, t).x0).square()
    if variance == "small":
        return nats
    ratio = (process.marginal(s)[1] / process.marginal(t)[1]) ** 2
    return spread(ratio, x0) * nats + spread(0.5 * (ratio - 1 - ratio.log()), x0)


def chain_shares(process: Process) -> Tensor:
    """How likely each of a chain's timesteps 2…T is to be drawn, (T - 1,), float64: as much as it
    would cost of pixels that are independent normals of variance 1, which is evenly in log-SNR
    where there is signal; but for a tenth that is even in t, so that none is nearly never seen."""
    steps = process.chain_steps
    assert steps is not None
    alpha, sigma = process.marginal(torch.arange(1, steps + 1, dtype=torch.float64) / steps)
    snr = (alpha / sigma) ** 2
    costs = -snr.diff() / (1 + snr[1:])
    return (1 - DEFENCE) * costs / costs.sum().clamp_min(1e-30) + DEFENCE / len(costs)


@torch.no_grad()
def bound_parts(
    believe: Beliefs, images: Tensor, generator: torch.Generator, evaluations: int
) -> Iterator[Part]:
    """The bound's parts: the prior's, `evaluations` levels of noise from little to much, and the
    decoder's. They add up to one estimate of the bound (`variational_bound`)."""
    process, x0 = believe.process, to_signed(images)
    bits, like = math.log(2), torch.ones(len(x0), device=x0.device)
    yield Part(-math.inf * like, prior_nats(process, x0) / bits)
    offset = torch.rand(len(x0), generator=generator, device=generator.device).to(x0.device)
    if (steps := process.chain_steps) is not None:
        shares = chain_shares(process).to(x0)
        every = evaluations >= steps - 1
        for k in range(min(evaluations, steps - 1)):
            place = torch.searchsorted(shares.cumsum(0), (k + offset) / evaluations)
            place = torch.full_like(place, k) if every else place.clamp_max(steps - 2)
            t = (2 + place).to(x0) / steps
            nats = _transition_nats(believe, process, x0, t, generator)
            weight = like if every else 1 / (shares[place] * evaluations)
            yield Part(process.log_snr(t), nats * spread(weight / bits, x0))
        first = torch.full((1,), process.earliest, device=x0.device)
    else:
        first = torch.full((1,), process.likelihood_time, device=x0.device)
        most, least = process.likelihood_ends
        for k in range(evaluations):
            level = most + (least - most) * (k + offset) / evaluations
            t, eps = process.time_at(level), _noise(x0, generator)
            missed = eps - believe(process.diffuse(x0, t, eps), t).eps
            yield Part(level, missed.square() * (0.5 * (most - least) / evaluations / bits))
    z = process.diffuse(x0, first, _noise(x0, generator))
    nats = reconstruction_nats(believe, process, x0, z, first)
    yield Part(math.inf * like, nats / bits)


@dataclass(frozen=True)
class Apart:
    """A bound taken apart: `values` (B,) bits/dim of each image, and in the mean over the images
    `bits` (n + 2, C, H, W) of each value: the decoder's, those of log-SNRs between `edges` (n + 1,)
    from the most to the least, and the prior's.
    """

    values: Tensor
    edges: Tensor
    bits: Tensor

    def by_level(self) -> Tensor:
        """Bits/dim (n + 2,), which add up to the mean of the values."""
        return self.bits.flatten(1).mean(1)


def taken_apart(
    model: Model,
    process: Process,
    images: Tensor,
    generator: torch.Generator,
    evaluations: int = 16,
    levels: int = 24,
) -> Apart:
    """`variational_bound`, once, and where its bits are: in which noise, at which pixels.

    images uint8 (B, C, H, W); copies of one image tell of that one alone.
    """
    edges = torch.linspace(*process.likelihood_ends, levels + 1)
    bits = torch.zeros(levels + 2, *images.shape[1:], device=images.device)
    values = torch.zeros(len(images), device=images.device)
    for part in bound_parts(Beliefs(model, process), images, generator, evaluations):
        values += part.bits.flatten(1).mean(1)
        # Edges fall: 0 is before the first, where the decoder is, and n + 1 after the last.
        place = torch.bucketize(-part.log_snr.cpu(), -edges)
        place = torch.where(part.log_snr.cpu().isfinite(), place.clamp(1, levels), place)
        bits.index_add_(0, place.to(bits.device), part.bits.to(bits) / len(images))
    return Apart(values, edges, bits)


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
    found = []
    for _ in range(draws):
        parts = bound_parts(believe, images, generator, evaluations)
        found.append(torch.stack([part.bits.flatten(1).mean(1) for part in parts]).sum(0))
    return from_draws(found, believe.nfe)


def variational_bound(
    model: Model,
    process: Process,
    images: Tensor,
    generator: torch.Generator,
    evaluations: int = 16,
) -> Tensor:
    """An upper bound on bits/dim of 8-bit images (B, C, H, W), estimated, per image (B,).

    For DDPM: L_T + sum L_{t-1} + L_0 (Ho et al. 2020, equation 5; posterior variance), the sum
    estimated from `evaluations` of the timesteps 2…T, spread by what they cost (`chain_shares`),
    with a random offset per image, each weighted by how seldom it is drawn; with evaluations >= T -
    1 every timestep is taken. For an SDE: the continuous-time bound (Kingma et al. 2021, equation
    17), times spread evenly in log-SNR between the process's likelihood_ends.
    """
    return bound_bits(model, process, images, generator, evaluations).value
