"""Latents by the probability-flow ODE, and back: what window and command line both follow."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.drawing import Opened
from trainer.picture import name_of, numbered
from trainer.problems import Problem
from trainer.requests import Encoding, Interpolation
from trainer.samplers import Frame
from trainer.steer import decode, encode, slerp

__all__ = ["Way", "angle", "follow", "images_of"]


@dataclass(frozen=True)
class Way:
    """A frame on the way to the latents, or `back`; `nfe` evaluations so far, there and back."""

    frame: Frame
    back: bool
    nfe: int


def images_of(ask: Encoding | Interpolation, opened: Opened) -> Tensor:
    """The images that are encoded, (B, C, H, W) in [-1, 1], on the model's device."""
    if isinstance(ask, Interpolation):
        names = [ask.first, ask.second]
    else:
        if found := numbered(ask.image):
            names = [f"{found[0]}:{found[1] + k}" for k in range(ask.count)]
        elif ask.count > 1:
            said = name_of(ask.image)
            raise Problem(f"{said} is one image: ask for 1 (count), or name a test image.")
        else:
            names = [ask.image]
    return torch.cat([opened.image(name) for name in names])


def angle(ends: Tensor) -> float:
    """Degrees between two latents (2, …)."""
    cosine = torch.cosine_similarity(ends[0].flatten(), ends[1].flatten(), dim=0)
    return float(cosine.clamp(-1, 1).acos().rad2deg())


def follow(ask: Encoding | Interpolation, opened: Opened, frames: int) -> Iterator[Way]:
    """Encode `images_of` the ask; decode the latents, or `ask.count` of them in between.

    frames + 1 each way, which cost nothing: the solver chooses its own steps.
    """
    model = opened.model
    for frame in encode(model, model.process, images_of(ask, opened), frames, ask.tolerance):
        yield Way(frame, False, frame.nfe)
    latents, spent = frame.x, frame.nfe
    if isinstance(ask, Interpolation):
        weights = torch.linspace(0, 1, ask.count, device=latents.device)
        latents = slerp(latents[:1], latents[1:], weights)[:, 0]
    for frame in decode(model, model.process, latents, frames, ask.tolerance):
        yield Way(frame, True, spent + frame.nfe)
