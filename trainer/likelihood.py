"""Bits per dimension: a variational bound for any process, exact by the probability-flow ODE.

Images are bytes; a density over the continuous stand-in x = (byte + u)/127.5 - 1 turns into bits
by bits/dim = -log p(x) / (D ln 2) - log2(2/255)  (trainer.images.dequantise).
"""

import math

import torch
from scipy.integrate import RK45
from torch import Tensor

from trainer.denoiser import Model, predict, score
from trainer.images import LEVEL, dequantise, to_signed
from trainer.processes import DDPM, Process, spread

LEAST_TIME = 1e-4


def decoder_nats(x0: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """-log P(bytes | z) in nats (B,): the discretised Gaussian of Ho et al. 2020, equation 13.

    x0, mean (B, …) in [-1, 1]; std (B,). The bins at the ends reach to infinity.
    """
    normal = torch.distributions.Normal(0.0, 1.0)
    scale = spread(std, x0).double()
    centre, mean = x0.double(), mean.double()
    above = normal.cdf((centre + LEVEL / 2 - mean) / scale)
    below = normal.cdf((centre - LEVEL / 2 - mean) / scale)
    above = torch.where(centre > 1 - LEVEL / 4, torch.ones_like(above), above)
    below = torch.where(centre < -1 + LEVEL / 4, torch.zeros_like(below), below)
    return -(above - below).clamp_min(1e-12).log().flatten(1).sum(1).to(x0.dtype)


def prior_nats(process: Process, x0: Tensor) -> Tensor:
    """KL(q(x_1 | x_0) || prior) in nats (B,): what the last timestep still knows."""
    one = torch.ones(len(x0), device=x0.device)
    alpha, sigma = process.marginal(one)
    std = process.prior_std
    dims = x0[0].numel()
    squares = (spread(alpha, x0) * x0).flatten(1).square().sum(1)
    return 0.5 * (squares / std**2 + dims * (sigma**2 / std**2 - 1 - 2 * (sigma / std).log()))


@torch.no_grad()
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
    with evaluations >= T - 1 every timestep is taken. For an SDE: the continuous-time bound
    (Kingma et al. 2021, equation 17), times spread evenly in log-SNR from t = 1e-4 to 1.
    """
    x0 = to_signed(images)
    dims = x0[0].numel()
    total = prior_nats(process, x0)
    offset = torch.rand(len(x0), generator=generator, device=generator.device).to(x0.device)

    def noise() -> Tensor:
        return torch.randn(x0.shape, generator=generator, device=generator.device).to(x0.device)

    if isinstance(process, DDPM):
        count = min(evaluations, process.steps - 1)
        for k in range(count):
            jitter = offset if count < process.steps - 1 else torch.full_like(offset, 0.5)
            place = (k + jitter) / count * (process.steps - 1)
            i = 2 + place.floor().clamp_max(process.steps - 2)
            t, s = i / process.steps, (i - 1) / process.steps
            eps = noise()
            guess = predict(model, process, process.diffuse(x0, t, eps), t).x0
            weight = 0.5 * (process.log_snr(s).exp() - process.log_snr(t).exp())
            error = (x0 - guess).flatten(1).square().sum(1)
            total = total + weight * error * (process.steps - 1) / count
        first = torch.full((len(x0),), 1 / process.steps, device=x0.device)
    else:
        first = torch.full((len(x0),), LEAST_TIME, device=x0.device)
        most = process.log_snr(first)
        # Where alpha(1) = 0 the log-SNR has no lower end; below -12 nothing is left to count.
        least = process.log_snr(torch.ones_like(first)).clamp_min(-12.0)
        for k in range(evaluations):
            t = process.time_at(most + (least - most) * (k + offset) / evaluations)
            eps = noise()
            guess = predict(model, process, process.diffuse(x0, t, eps), t).eps
            error = (eps - guess).flatten(1).square().sum(1)
            total = total + 0.5 * (most - least) * error / evaluations
    z = process.diffuse(x0, first, noise())
    alpha, sigma = process.marginal(first)
    total = total + decoder_nats(x0, predict(model, process, z, first).x0, sigma / alpha)
    return total / (dims * math.log(2))


def log_likelihood(
    model: Model,
    process: Process,
    x: Tensor,
    generator: torch.Generator | None = None,
    tolerance: float = 1e-5,
    exact_trace: bool = False,
) -> Tensor:
    """log p(x) in nats (B,) of continuous x (B, …), by the probability-flow ODE.

    Song et al. 2021, equation 39: log p_0(x) = log p_1(x_1) + the integral of the divergence of
    f x - g² score / 2, from t = 1e-4 to 1, by adaptive RK45. The divergence is Hutchinson's
    estimate with one Rademacher vector (Grathwohl et al. 2019), or exact, dimension by dimension.
    """
    generator = generator or torch.Generator(x.device).manual_seed(0)
    shape, batch = x.shape, len(x)
    probe = torch.randint(0, 2, shape, generator=generator, device=generator.device).to(x) * 2 - 1

    def flow(state: Tensor, t: Tensor) -> Tensor:
        drift, g = process.sde(state, t)
        return drift - 0.5 * spread(g**2, state) * score(model(state, t), process.marginal(t)[1])

    def slope(time: float, joined):
        state = torch.from_numpy(joined[: x.numel()]).to(x).view(shape)
        t = torch.full((batch,), time, dtype=x.dtype, device=x.device)
        with torch.enable_grad():
            state.requires_grad_(True)
            velocity = flow(state, t)
            if exact_trace:
                flat = velocity.flatten(1)
                divergence = torch.zeros(batch, dtype=x.dtype, device=x.device)
                for d in range(flat.shape[1]):
                    (row,) = torch.autograd.grad(flat[:, d].sum(), state, retain_graph=True)
                    divergence = divergence + row.flatten(1)[:, d]
            else:
                (product,) = torch.autograd.grad((velocity * probe).sum(), state)
                divergence = (product * probe).flatten(1).sum(1)
        both = torch.cat([velocity.detach().flatten(), divergence.detach()])
        return both.double().cpu().numpy()

    start = torch.cat([x.flatten(), torch.zeros(batch).to(x)]).double().cpu().numpy()
    solver = RK45(slope, LEAST_TIME, start, 1.0, rtol=tolerance, atol=tolerance)
    while solver.status == "running":
        solver.step()
    end = torch.from_numpy(solver.y).to(x)
    return process.prior_logp(end[: x.numel()].view(shape)) + end[x.numel() :]


def bits_per_dim(
    model: Model,
    process: Process,
    images: Tensor,
    generator: torch.Generator | None = None,
    tolerance: float = 1e-5,
) -> Tensor:
    """Exact bits/dim (B,) of 8-bit images (B, C, H, W), with uniform dequantisation.

    Up to the ODE's tolerance, and Hutchinson's and the dequantisation's randomness.
    """
    generator = generator or torch.Generator(images.device).manual_seed(0)
    x = dequantise(images, generator)
    nats = log_likelihood(model, process, x, generator, tolerance)
    return -nats / (x[0].numel() * math.log(2)) - math.log2(LEVEL)
