"""Steering a trained model without training: inpainting, editing, encoding, interpolation."""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from trainer import ode
from trainer.denoiser import Beliefs, Model, latest_time
from trainer.problems import Problem
from trainer.processes import Process
from trainer.samplers import Frame, noise_step, sample, walk


@torch.no_grad()
def inpaint(
    model: Model,
    process: Process,
    x_T: Tensor,
    known: Tensor,
    mask: Tensor,
    sampler: str = "ddpm",
    steps: int = 50,
    generator: torch.Generator | None = None,
    resample: int = 1,
    spacing: str = "time",
    **options: float | str,
) -> Iterator[Frame]:
    """Draw images that equal `known` (B, …) where `mask` is true; mask broadcasts over x_T.

    After every update the known part is set to a fresh draw of q(x_t | known) (Song et al. 2021,
    appendix I.2). `resample` > 1 then noises the state again and repeats the update that many times
    in all, which lets the two parts agree (RePaint, Lugmayr et al. 2022, arXiv:2201.09865). Any
    sampler works, one update at a time; frames as `trainer.samplers.sample` gives them, with the
    evaluations of all repeats. Raises Problem on shapes that do not fit.
    """
    if resample < 1:
        raise Problem("Inpainting makes each update at least once: resample is 1 or more.")
    if mask.dtype != torch.bool:
        raise Problem("Inpainting's mask is boolean: true where the image is known.")
    try:
        mask, known = mask.expand_as(x_T), known.to(x_T).expand_as(x_T)
    except RuntimeError as error:
        raise Problem(
            f"The mask {tuple(mask.shape)}, the known image {tuple(known.shape)} and the noise "
            f"{tuple(x_T.shape)} are of different shapes."
        ) from error
    if generator is None:
        generator = torch.Generator(x_T.device).manual_seed(0)
    times = process.times(steps, latest_time(model, process), spacing)
    believe = Beliefs(model, process)
    x = x_T
    for i, (t, s) in enumerate(pairwise(times)):
        pair = torch.stack([t, s])
        for again in range(resample):
            if again:
                x = noise_step(process, x, s if s > 0 else None, t, generator)
            x = torch.where(mask, noise_step(process, known, None, t, generator), x)
            first, last = walk(believe, x, pair, sampler, generator, **options)
            if again == 0:
                yield Frame(i, float(t), x, torch.where(mask, known, first.x0), first.nfe)
            x = last.x
    x = torch.where(mask, known, x)
    yield Frame(steps, 0.0, x, x, believe.nfe)


def edit(
    model: Model,
    process: Process,
    image: Tensor,
    strength: float = 0.5,
    sampler: str = "ddim",
    steps: int = 50,
    generator: torch.Generator | None = None,
    spacing: str = "time",
    **options: float | str,
) -> Iterator[Frame]:
    """SDEdit (Meng et al. 2022, arXiv:2108.01073): noise `image` (B, …) to t = strength, denoise.

    strength in (0, 1]: near 0 the image stays, at 1 nothing of it is left.
    """
    if not 0 < strength <= 1:
        raise Problem(f"An edit's strength lies in (0, 1], not at {strength:g}.")
    generator = generator or torch.Generator(image.device).manual_seed(0)
    start = min(strength, latest_time(model, process))
    x = noise_step(process, image, None, torch.tensor(start), generator)
    return sample(model, process, x, sampler, steps, generator, start, spacing, **options)


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
