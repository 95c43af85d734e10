"""What the window asks workers to do: generators of plain arrays. Torch is imported inside."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diffviz.session import row_of
from trainer.config import ExperimentConfig
from trainer.problems import Problem

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.processes import Process
    from trainer.samplers import Frame


@dataclass(frozen=True)
class RowRequest:
    """One row of the trajectories: whose model, which sampler, how many updates."""

    row: str
    folder: Path
    sampler: str
    steps: int


@dataclass(frozen=True)
class Request:
    """A comparison: rows that start from the same noise, seeded, drawn for `count` images.

    `start` < 1 begins from training image `image` noised to that t, rather than from noise.
    """

    rows: tuple[RowRequest, ...]
    count: int
    seed: int
    start: float = 1.0
    image: int = 0


@dataclass(frozen=True)
class Moment:
    """One frame of one view, ready to show: uint8 (N, H, W) or (N, H, W, 3)."""

    row: str
    direction: str
    index: int
    count: int
    t: float
    alpha: float
    sigma: float
    chain: str
    state: np.ndarray
    guess: np.ndarray


@dataclass(frozen=True)
class Done:
    """All rows are drawn; network evaluations an image by row."""

    nfe: dict[str, int]


def pictures(x: "Tensor") -> np.ndarray:
    """Signed floats (N, C, H, W) as uint8 pictures, channels last; one channel without its axis."""
    from trainer.images import to_bytes

    images = to_bytes(x).cpu().numpy().transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images[..., 0] if images.shape[3] == 1 else images[..., :3])


def trajectories(request: Request) -> Iterator[Moment | Done]:
    """Draw each row: its forward noising of real images, then its reverse denoising, streamed."""
    import torch

    from trainer.data import load
    from trainer.images import to_signed
    from trainer.processes import DDPM
    from trainer.runs import Run
    from trainer.samplers import noise_path, sample
    from trainer.training import best_device

    def moment(
        row: RowRequest, direction: str, index: int, count: int, process: "Process", frame: "Frame"
    ) -> Moment:
        alpha, sigma = (float(v[0]) for v in process.marginal(torch.tensor([frame.t])))
        chain = (
            f"i = {int(process.index(frame.t))} of {process.steps}"
            if isinstance(process, DDPM)
            else "continuous"
        )
        return Moment(
            row.row, direction, index, count, frame.t, alpha, sigma, chain,
            pictures(frame.x), pictures(frame.x0),
        )  # fmt: skip

    device = best_device()
    nfe: dict[str, int] = {}
    opened = []
    for row in request.rows:
        run = Run.open(row.folder)
        opened.append((row, run, run.model(device=device), load(run.config.dataset)))
    for row, _, model, data in opened:
        process = model.process
        first = request.image if request.start < 1 else 0
        chosen = torch.from_numpy(data.train[first : first + request.count].copy())
        ascending = process.times(row.steps, request.start).flip(0)
        generator = torch.Generator().manual_seed(request.seed)
        path = noise_path(process, to_signed(chosen), ascending, generator)
        for frame in path:
            yield moment(row, "forward", row.steps - frame.index, row.steps + 1, process, frame)
    streams = []
    for row, run, model, data in opened:
        process = model.process
        generator = torch.Generator().manual_seed(request.seed)
        shape = (request.count, *run.image_shape())
        noise = torch.randn(shape, generator=generator)
        if request.start < 1:
            image = torch.from_numpy(data.train[request.image : request.image + 1].copy())
            t = torch.full((request.count,), request.start)
            x = process.diffuse(to_signed(image).expand(shape), t, noise)
        else:
            x = process.prior_std * noise
        frames = sample(
            model, process, x.to(device), row.sampler, row.steps, generator, request.start
        )
        streams.append((row, process, frames))
    while streams:
        for stream in list(streams):
            row, process, frames = stream
            latest = next(frames, None)
            if latest is None:
                streams.remove(stream)
                continue
            nfe[row.row] = latest.nfe
            yield moment(row, "reverse", latest.index, row.steps + 1, process, latest)
    yield Done(nfe)


@dataclass(frozen=True)
class Ready:
    """Torch is loaded; `device` says in words what it computes on."""

    device: str
    unfinished: Path | None


def device_words() -> str:
    """The computing device in words, with the number format that convolutions run in."""
    import torch

    from trainer.training import best_device, fast_precision

    device = best_device()
    name = {
        "cuda": lambda: f"GPU: {torch.cuda.get_device_name()}",
        "mps": lambda: "GPU: Apple MPS",
        "cpu": lambda: f"CPU, {torch.get_num_threads()} threads",
    }[device]()
    return f"{name}, {str(fast_precision(device)).removeprefix('torch.')}"


def warm_up(home: Path) -> Iterator[Ready]:
    """Import torch off the window's thread, and look for a run that was stopped midway."""
    from trainer.runs import Run, load_tensors
    from trainer.training import Warned  # noqa: F401 - imported now so that Train starts at once

    unfinished = None
    for path in sorted((home / "runs").glob("*/state.safetensors"), reverse=True):
        try:
            run = Run.open(path.parent)
            _, facts = load_tensors(path)
        except Problem:
            continue
        if facts["step"] < facts.get("steps", 0):
            unfinished = run.folder
            break
    yield Ready(device_words(), unfinished)


@dataclass(frozen=True)
class TrainingIn:
    """Training goes into this folder, under these settings."""

    folder: Path
    config: ExperimentConfig
    row: str


def training(folder: Path, config: ExperimentConfig | None) -> Iterator[object]:
    """Create the run (or, without `config`, resume it) and pass the engine's events on."""
    from trainer.runs import Run
    from trainer.training import train

    run = Run.open(folder) if config is None else Run.create(folder, config)
    yield TrainingIn(folder, run.config, row_of(run.config.process))
    yield from train(run.config, run)
