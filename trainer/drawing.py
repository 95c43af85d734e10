"""Drawing many images: batches of a sampler, each of its own seed, to show or to measure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from trainer.denoiser import Denoiser
from trainer.images import to_bytes, to_signed
from trainer.problems import Problem
from trainer.samplers import sample
from trainer.steer import edit


@dataclass(frozen=True)
class Request:
    """What to draw: `count` images of `shape` (C, H, W) by a sampler with its options.

    `labels`, if any, are the classes asked for, in turn, at `guidance`. With `start_image`, uint8
    (C, H, W), each drawing starts at time `start` from that image with noise added (SDEdit, Meng
    et al. 2022, arXiv:2108.01073) instead of from the prior.
    """

    count: int
    shape: tuple[int, int, int]
    sampler: str = "ddim"
    steps: int = 50
    seed: int = 0
    batch: int = 64
    labels: tuple[int, ...] = ()
    guidance: float = 1.0
    start: float = 1.0
    start_image: np.ndarray | None = None
    options: tuple[tuple[str, float | str], ...] = ()

    @property
    def batches(self) -> int:
        return -(-self.count // self.batch)


@dataclass(frozen=True)
class Drawn:
    """A step of batch `batch` is done; after its last, its `images`, uint8 (B, C, H, W)."""

    batch: int
    nfe: int
    images: np.ndarray | None


def asked(model: Denoiser, labels: Sequence[int], places: range, guidance: float) -> Denoiser:
    """The model, asked at `guidance` for the classes `labels` in turn, at those images' places.

    Without labels it is asked for none. Raises Problem for a class that the model does not know.
    """
    if not labels:
        return model
    classes = getattr(model.network, "classes", 0)
    if any(not 0 <= label < classes for label in labels if classes):
        raise Problem(f"The classes of this model are 0 to {classes - 1}.")
    chosen = [labels[place % len(labels)] for place in places]
    device = next(model.parameters()).device
    return model.conditioned(torch.tensor(chosen, device=device), guidance)


def draw(
    model: Denoiser, request: Request, rank: int = 0, ranks: int = 1, device: str = "cpu"
) -> Iterator[Drawn]:
    """Draw what is requested, batch by batch; of several `ranks`, each draws every so-manieth.

    Every batch has a generator of its own, seeded by (seed, batch): an image depends on its place
    and on the batch size, not on how many were drawn or by how many machines.
    """
    process = model.process
    if request.count < 1 or request.batch < 1:
        raise Problem("The number of images and the batch size must be at least 1.")
    for batch in range(rank, request.batches, ranks):
        places = range(batch * request.batch, min(request.count, (batch + 1) * request.batch))
        generator = torch.Generator().manual_seed(request.seed * 1_000_003 + batch)
        x = process.prior_sample((len(places), *request.shape), generator)
        answers = asked(model, request.labels, places, request.guidance)
        options: dict[str, Any] = dict(request.options)
        how = (request.sampler, request.steps, generator)
        if request.start_image is None:
            frames = sample(answers, process, x.to(device), *how, **options)
        else:
            image = to_signed(torch.from_numpy(request.start_image.copy())).expand_as(x)
            frames = edit(answers, process, image.to(device), request.start, *how, **options)
        previous = None
        for frame in frames:
            if previous is not None:
                yield Drawn(batch, previous.nfe, None)
            previous = frame
        assert previous is not None
        yield Drawn(batch, previous.nfe, to_bytes(previous.x).cpu().numpy())
