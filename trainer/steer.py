"""Latents by the probability-flow ODE: encoding, decoding, and the way between two."""

from collections.abc import Iterator

import torch
from torch import Tensor

from trainer import ode
from trainer.denoiser import Beliefs, Model, latest_time
from trainer.problems import Problem
from trainer.processes import Process
from trainer.samplers import Frame


def _ends(model: Model, process: Process) -> tuple[float, float]:
    return process.earliest, latest_time(model, process)


@torch.no_grad()
def encode(
    model: Model, process: Process, x0: Tensor, steps: int = 50, tolerance: float = 1e-5
) -> Iterator[Frame]:
    """Follow the probability-flow ODE from images x0 (B, …) to their latents at t = 1.

    steps + 1 frames, even in t, the last holding the latent (Song et al. 2021, appendix D.4), by
    adaptive RK45. x0 is taken to lie at the process's `earliest` time. `decode` inverts it.
    """
    low, high = _ends(model, process)
    yield from _follow(model, process, x0, torch.linspace(low, high, steps + 1), tolerance)


@torch.no_grad()
def decode(
    model: Model, process: Process, latent: Tensor, steps: int = 50, tolerance: float = 1e-5
) -> Iterator[Frame]:
    """Follow the probability-flow ODE from latents (B, …) at t = 1 back to images.

    Inverts `encode` up to the tolerance; differs from sampling by "rk45" in that the last state is
    taken as it is, at the process's `earliest` time, and not denoised.
    """
    low, high = _ends(model, process)
    yield from _follow(model, process, latent, torch.linspace(high, low, steps + 1), tolerance)


def _follow(
    model: Model, process: Process, x: Tensor, times: Tensor, tolerance: float
) -> Iterator[Frame]:
    if len(times) < 2:
        raise Problem("Following the ODE takes at least 1 step.")
    believe = Beliefs(model, process)
    for i, (state, guess) in enumerate(ode.flow(believe, process, x, times, tolerance)):
        yield Frame(i, float(times[i]), state, guess, believe.nfe)


def slerp(a: Tensor, b: Tensor, weights: Tensor) -> Tensor:
    """Spherical interpolation of latents a, b (B, …) at weights (K,): (K, B, …), a at weight 0.

    Each pair moves along its great circle, so that norms, and with them the prior's density, do
    not fall in between (Shoemake 1985; White 2016, arXiv:1609.04468). Pairs of one direction, or
    of opposite ones, which have no single great circle, are interpolated straight.
    """
    if a.shape != b.shape:
        raise Problem(f"Latents {tuple(a.shape)} and {tuple(b.shape)} are of different shapes.")
    flat_a, flat_b = a.flatten(1), b.flatten(1)
    lengths = flat_a.norm(dim=1) * flat_b.norm(dim=1)
    cosine = (flat_a * flat_b).sum(1) / lengths.clamp_min(1e-30)
    angle = cosine.clamp(-1, 1).acos()
    w = weights.to(a).view(-1, 1)
    sine = angle.sin()
    straight = sine < 1e-4
    sine = sine.masked_fill(straight, 1.0)
    from_a = torch.where(straight, 1 - w, ((1 - w) * angle).sin() / sine)
    from_b = torch.where(straight, w, (w * angle).sin() / sine)
    shape = (len(w), len(a), *[1] * (a.dim() - 1))
    return from_a.view(shape) * a + from_b.view(shape) * b
