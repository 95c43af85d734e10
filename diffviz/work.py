"""What the window asks workers to do: generators of plain arrays. Torch is imported inside."""

import contextlib
import ctypes
import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainer.config import ExperimentConfig
from trainer.problems import Problem

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.denoiser import Denoiser
    from trainer.processes import Process
    from trainer.samplers import Frame

VIEW_BYTES = 48 * 2**20  # what the frames of one view may take; longer trajectories are thinned
NOISE_SCALE = 3.0  # noise of -3…3 standard deviations is drawn from black to white
QUANTILE_VALUES = 4096  # of a picture's changes, to set their scale by
BINS = np.linspace(-4, 4, 65)
ANY_CLASS, EACH_CLASS = -1, -2


@dataclass(frozen=True)
class RunInfo:
    """A run that can be opened: its folder, settings, kept checkpoints and last measures.

    `fid` is the newest checkpoint's, of `fid_samples` samples; `resumable` says that the state of
    a training is there to go on from.
    """

    folder: Path
    config: ExperimentConfig
    checkpoints: tuple[Path, ...]
    shipped: bool
    resumable: bool
    step: int
    epoch: int
    loss: float | None
    bits_per_dim: float | None
    fid: float | None
    fid_samples: int

    @property
    def name(self) -> str:
        return self.folder.name


def _last_measures(path: Path) -> dict[str, float]:
    """The last step, loss and bits/dim in a metrics file, from its last 64 KiB."""
    found: dict[str, float] = {}
    try:
        with open(path, "rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - 65_536))
            lines = stream.read().split(b"\n")
    except OSError:
        return found
    for line in lines:
        try:
            found |= json.loads(line)
        except ValueError:
            continue
    return found


def _fid_of(folder: Path, config: ExperimentConfig) -> tuple[float | None, int]:
    """The FID measured of the run's newest checkpoint with the most samples, and their number."""
    from trainer.runs import Run
    from trainer.runs.measures import measures

    try:
        found = [m for m in measures(Run(folder, config)) if m.kind == "samples"]
        best = max(found, key=lambda m: m.settings["count"])
        return float(best.values["fid"]), int(best.settings["count"])
    except (Problem, ValueError, KeyError, TypeError):
        return None, 0


def list_runs(shipped: Path, own: Path) -> Iterator[list[RunInfo]]:
    """One list: the shipped models, then the user's runs, the newest first; damaged ones left out.

    Reads settings and measures only, not weights.
    """
    own_folders = [path.parent for path in own.glob("*/config.json")] if own.is_dir() else []
    own_folders.sort(key=lambda folder: (folder / "config.json").stat().st_mtime, reverse=True)
    shipped_folders = sorted(path.parent for path in shipped.glob("*/config.json"))
    found = []
    for folder in [*shipped_folders, *own_folders]:
        try:
            config = ExperimentConfig.from_json((folder / "config.json").read_text())
        except (Problem, OSError, UnicodeDecodeError):
            continue
        measures = _last_measures(folder / "metrics.jsonl")
        found.append(
            RunInfo(
                folder,
                config,
                tuple(sorted((folder / "checkpoints").glob("*.safetensors"))),
                folder.parent == shipped,
                folder.parent != shipped and (folder / "state.safetensors").exists(),
                int(measures.get("step", 0)),
                int(measures.get("epoch", 0)),
                measures.get("loss"),
                measures.get("bpd"),
                *_fid_of(folder, config),
            )
        )
    yield found


@dataclass(frozen=True)
class RowRequest:
    """One row of the trajectories: whose model, which sampler, how many updates.

    A conditional model is asked for the class `label`, ANY_CLASS, or EACH_CLASS for all classes in
    turn, at that guidance scale.
    """

    row: str
    folder: Path
    sampler: str
    steps: int
    label: int = ANY_CLASS
    guidance: float = 1.0


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
    """One frame of one view, ready to show. Each picture is uint8 (N, H, W) or (N, H, W, 3).

    `pictures` holds "state" x_t, "guess" x0, "noise" eps and "change" since the frame before;
    `histogram` is the density of the state's pixel values over BINS. `index` of `last` counts the
    sampler's updates; `t`, `alpha` and `sigma` are the process's there, `chain` says i of T.
    """

    row: str
    direction: str
    index: int
    last: int
    t: float
    alpha: float
    sigma: float
    chain: str
    pictures: dict[str, np.ndarray] = field(repr=False)
    histogram: np.ndarray = field(repr=False)

    @property
    def noise_level(self) -> float:
        """The angle of (alpha, sigma): 0 at clean data, 1 at pure noise, the same for all."""
        return float(np.arctan2(self.sigma, self.alpha)) / (np.pi / 2)


@dataclass(frozen=True)
class Done:
    """All rows are drawn; network evaluations an image by row."""

    nfe: dict[str, int]


def pictures(x: "Tensor") -> np.ndarray:
    """Signed floats (N, C, H, W) as uint8 pictures, channels last; one channel without its axis."""
    from trainer.images import to_bytes

    images = to_bytes(x).cpu().numpy().transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images[..., 0] if images.shape[3] == 1 else images[..., :3])


def asked(model: "Denoiser", label: int, guidance: float, first: int, count: int) -> "Denoiser":
    """The model, asked for a class as `label` says: for `count` images from the `first` on."""
    from trainer import drawing

    classes = range(getattr(model.network, "classes", 0))
    labels = {ANY_CLASS: (), EACH_CLASS: classes}.get(label, (label,))
    return drawing.asked(model, labels, range(first, first + count), guidance)


def look_at(
    row: str,
    direction: str,
    index: int,
    last: int,
    process: "Process",
    frame: "Frame",
    before: "Tensor | None",
) -> Moment:
    """A frame as pictures. `before` is the state one frame earlier in the direction of travel."""
    import torch

    from trainer.processes import DDPM

    alpha, sigma = (float(v[0]) for v in process.marginal(torch.tensor([frame.t])))
    x, x0 = frame.x.float().cpu(), frame.x0.float().cpu()
    eps = (x - alpha * x0) / sigma if sigma > 0 else torch.zeros_like(x)
    change = torch.zeros_like(x) if before is None else x - before.float().cpu()
    some = change.flatten()[:: 1 + change.numel() // QUANTILE_VALUES]
    largest = float(some.abs().quantile(0.995))
    # Where variance explodes the state is shown as the network sees it, or all would be clipped.
    shrink = max(1.0, (alpha**2 + sigma**2) ** 0.5)
    with np.errstate(invalid="ignore"):  # where all values lie outside the bins
        density, _ = np.histogram(x.numpy(), bins=BINS * shrink, density=True)
    chain = (
        f"i = {int(process.index(frame.t))} of {process.steps}"
        if isinstance(process, DDPM)
        else "continuous"
    )
    return Moment(
        row, direction, index, last, frame.t, alpha, sigma, chain,
        {
            "state": pictures(x / shrink),
            "guess": pictures(x0),
            "noise": pictures(eps / NOISE_SCALE),
            "change": pictures(change / max(largest, 1e-12)),
        },
        np.nan_to_num(density * shrink).astype(np.float32),
    )  # fmt: skip


def trajectories(request: Request) -> Iterator[Moment | Done]:
    """Draw each row's forward noising of real images and its reverse denoising, streamed.

    All four views' frames come in turn, from the noisy end on, so that they grow side by side and
    play at once. Of a trajectory whose pictures would not fit in VIEW_BYTES only every k-th frame
    is passed on, and the last.
    """
    from trainer.data import load
    from trainer.runs import Run
    from trainer.training.learner import best_device, fast_precision

    device = best_device()
    nfe: dict[str, int] = {}
    views: list[Iterator[Moment]] = []
    for row in request.rows:
        run = Run.open(row.folder)
        model = run.model(device=device, precision=fast_precision(device))
        images = load(run.config.dataset).train
        views.append(_noising(request, row, model.process, images))
        views.append(_denoising(request, row, model, images, device, nfe))
    while views:
        for view in list(views):
            moment = next(view, None)
            if moment is None:
                views.remove(view)
            else:
                yield moment
    yield Done(nfe)


def _stride(request: Request, steps: int, shape: tuple[int, ...]) -> int:
    """Every how manieth frame of a view is passed on."""
    frame_bytes = 4 * request.count * int(np.prod(shape))
    return max(1, -(-(steps + 1) * frame_bytes // VIEW_BYTES))


def _noising(
    request: Request, row: RowRequest, process: "Process", images: np.ndarray
) -> Iterator[Moment]:
    """The frames of real images' way into noise, the last first."""
    import torch

    from trainer.images import to_signed
    from trainer.samplers import noise_path

    first = min(request.image, len(images) - 1) if request.start < 1 else 0
    picked = np.arange(first, first + request.count) % len(images)
    chosen = to_signed(torch.from_numpy(images[picked]))
    ascending = process.times(row.steps, request.start).flip(0)
    generator = torch.Generator().manual_seed(request.seed)
    every, before = _stride(request, row.steps, images.shape[1:]), None
    path: list[tuple[Frame, Tensor | None]] = []
    for frame in noise_path(process, chosen, ascending, generator):
        if frame.index % every == 0 or frame.index == row.steps:
            path.append((frame, before))
        before = frame.x
    while path:
        frame, before = path.pop()
        index = row.steps - frame.index
        yield look_at(row.row, "forward", index, row.steps, process, frame, before)


def _denoising(
    request: Request,
    row: RowRequest,
    model: "Denoiser",
    images: np.ndarray,
    device: str,
    nfe: dict[str, int],
) -> Iterator[Moment]:
    """The frames of the model's way out of noise; what it takes is counted in `nfe`."""
    import torch

    from trainer.images import to_signed
    from trainer.samplers import sample

    process, generator = model.process, torch.Generator().manual_seed(request.seed)
    shape = (request.count, *images.shape[1:])
    noise = torch.randn(shape, generator=generator)
    if request.start < 1:
        first = min(request.image, len(images) - 1)
        image = torch.from_numpy(images[first : first + 1].copy())
        t = torch.full((request.count,), request.start)
        x = process.diffuse(to_signed(image).expand(shape), t, noise)
    else:
        x = process.prior_std * noise
    every, before = _stride(request, row.steps, images.shape[1:]), None
    answers = asked(model, row.label, row.guidance, 0, request.count)
    for frame in sample(
        answers, process, x.to(device), row.sampler, row.steps, generator, request.start
    ):
        nfe[row.row] = frame.nfe
        if frame.index % every == 0 or frame.index == row.steps:
            yield look_at(row.row, "reverse", frame.index, row.steps, process, frame, before)
        before = frame.x


@dataclass(frozen=True)
class Ready:
    """Torch is loaded; `device` says in words what it computes on.

    `samplers` are the names that `trainer.samplers.sample` takes; `unfinished` is a run that was
    stopped midway.
    """

    device: str
    samplers: tuple[str, ...]
    unfinished: Path | None


def device_words() -> str:
    """The computing device in words, with the number format that convolutions run in."""
    import torch

    from trainer.training.learner import best_device, fast_precision

    device = best_device()
    name = {
        "cuda": lambda: f"GPU: {torch.cuda.get_device_name()}",
        "mps": lambda: "GPU: Apple MPS",
        "cpu": lambda: f"CPU, threads: {torch.get_num_threads()}",
    }[device]()
    return f"{name}, {str(fast_precision(device)).removeprefix('torch.')}"


def load_libraries() -> None:
    """Load torch's largest libraries without Python's lock, so that the window lives meanwhile.

    `import torch` would hold the lock for about a second over them. Where this does nothing (on
    Windows, or if a library has another name), it does just that.
    """
    found = importlib.util.find_spec("torch")
    if sys.platform == "win32" or found is None or found.origin is None:
        return
    suffix = "dylib" if sys.platform == "darwin" else "so"
    for name in ("libtorch_cpu", "libtorch_python"):
        path = Path(found.origin).parent / "lib" / f"{name}.{suffix}"
        # A foreign function is called without the lock; ctypes' own loading keeps it.
        ctypes.CDLL(None).dlopen(str(path).encode(), os.RTLD_NOW)


def read_images() -> Iterator[None]:
    """Read the images that come with DiffViz, for the first drawing to find them there."""
    from trainer.data import load

    with contextlib.suppress(Problem):  # whoever needs them will say what is wrong
        load("mnist")
    yield None


def load_plots() -> Iterator[None]:
    """Import the plotting library, which takes half a second of the window's thread otherwise."""
    import pyqtgraph  # noqa: F401

    yield None


def warm_up(home: Path) -> Iterator[Ready]:
    """Import torch off the window's thread, and look for a run that was stopped midway."""
    load_libraries()
    from trainer.runs import Run
    from trainer.runs.checkpoints import load_tensors
    from trainer.samplers import SAMPLERS

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
    yield Ready(device_words(), tuple(SAMPLERS), unfinished)
    import trainer.training.loop  # noqa: F401 - imported now so that Train starts at once


@dataclass(frozen=True)
class TrainingIn:
    """Training goes into this folder, under these settings."""

    folder: Path
    config: ExperimentConfig


def training(folder: Path, config: ExperimentConfig | None) -> Iterator[object]:
    """Create the run (or, without `config`, resume it) and pass the engine's events on."""
    from trainer.runs import Run
    from trainer.training.loop import train

    run = Run.open(folder) if config is None else Run.create(folder, config)
    yield TrainingIn(folder, run.config)
    yield from train(run.config, run)
