"""What the trajectories view asks workers to do."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diffviz.views.pictures import BINS, pictures

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.denoiser import Denoiser
    from trainer.processes import Process
    from trainer.samplers import Frame

VIEW_BYTES = 48 * 2**20  # what the frames of one view may take; longer trajectories are thinned
NOISE_SCALE = 3.0  # noise of -3…3 standard deviations is drawn from black to white
QUANTILE_VALUES = 4096  # of a picture's changes, to set their scale by
ANY_CLASS, EACH_CLASS = -1, -2


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
    from trainer.devices import best_device, precision_of
    from trainer.runs import Run

    device = best_device()
    nfe: dict[str, int] = {}
    views: list[Iterator[Moment]] = []
    for row in request.rows:
        run = Run.open(row.folder)
        model = run.model(device=device, precision=precision_of("auto", device))
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
