"""What the trajectories view asks workers to do."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from diffviz.views.bins import BINS
from trainer.ask import Choice, setting
from trainer.config import MOST_SEED
from trainer.images import pictures
from trainer.requests import Beginning, Drawing, Sampling, classes_of_version_1, picture

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.drawing import Opened
    from trainer.processes import Process
    from trainer.samplers import Frame

VIEW_BYTES = 48 * 2**20  # what the frames of one view may take; longer trajectories are thinned
NOISE_SCALE = 3.0  # noise of -3…3 standard deviations is drawn from black to white
QUANTILE_VALUES = 4096  # of a picture's changes, to set their scale by
SHOWN = (
    Choice("state", "state x_t"),
    Choice("guess", "guess x0"),
    Choice("noise", "predicted noise"),
    Choice("change", "change of the last step"),
)
LAYOUTS = (Choice("mosaic", "mosaic"), Choice("strip", "filmstrip"))


@dataclass(frozen=True)
class Row(Sampling):
    """One row: whose model, which sampler, how many updates."""

    # fmt: off
    model: str = setting("modern", "Model", "The trained model that denoises this row")
    steps: int = setting(100, "Steps", "Updates: more are finer and slower", least=2, most=100_000)
    # fmt: on


@dataclass(frozen=True)
class Trajectories(Beginning):
    """Two rows that start from the same noise, drawn for `count` images.

    `start` < 1 begins from `image` noised to that t, rather than from noise.
    """

    version: ClassVar[int] = 2
    # fmt: off
    ddpm: Row = setting(Row(sampler="ddpm"), "DDPM", "The upper row")
    sde: Row = setting(Row("modern-sde", sampler="euler-maruyama"), "SDE", "The lower row")
    count: int = setting(
        16, "Images", "How many images each view shows", least=1, most=1024,
        suggested=(1, 4, 16, 64),
    )
    seed: int = setting(0, "Seed", "The noise that both rows start from", least=0, most=MOST_SEED)
    image: str = picture("train:4", "Image")
    show: str = setting(
        "state", "Show", "The noisy state, the model's guess of the clean image, the noise it "
        "sees, or what the last step changed", choices=SHOWN,
    )
    layout: str = setting(
        "mosaic", "Layout", "All images at one time, or one image through time", choices=LAYOUTS,
    )
    fraction: float = setting(0.0, "Place", "Where the slider stands", least=0, most=1)
    # fmt: on

    @property
    def rows(self) -> dict[str, Row]:
        return {"ddpm": self.ddpm, "sde": self.sde}

    def drawing(self, row: str) -> Drawing:
        """What that row draws."""
        how = {name: value for name, value in self.rows[row].to_dict().items() if name != "version"}
        image = self.image if self.start < 1 else ""
        return Drawing(
            **how, count=self.count, seed=self.seed, batch=self.count, start=self.start, image=image
        )

    @classmethod
    def migrate(cls, values: dict[str, Any], version: int) -> dict[str, Any]:
        if version > 1:
            return values
        found = {name: value for name, value in values.items() if name != "rows"}
        for row in values.get("rows", ()):
            kept = classes_of_version_1({**row, "model": row["folder"]})
            found[row["row"]] = {n: v for n, v in kept.items() if n not in ("row", "folder")}
        return found | {"image": f"train:{int(values.get('image', 4))}"}


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
    """All rows are drawn; passes of the network an image, and precision, by row."""

    nfe: dict[str, int]
    precision: dict[str, str] = field(default_factory=dict)


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
    return Moment(
        row, direction, index, last, frame.t, alpha, sigma,
        process.place(frame.t),
        {
            "state": pictures(x / shrink),
            "guess": pictures(x0),
            "noise": pictures(eps / NOISE_SCALE),
            "change": pictures(change / max(largest, 1e-12)),
        },
        np.nan_to_num(density * shrink).astype(np.float32),
    )  # fmt: skip


def trajectories(ask: Trajectories, places: tuple[Path, ...]) -> Iterator[Moment | Done]:
    """Draw each row's forward noising of real images and its reverse denoising, streamed.

    All four views' frames come in turn, from the noisy end on, so that they grow side by side and
    play at once. Of a trajectory whose pictures would not fit in VIEW_BYTES only every k-th frame
    is passed on, and the last.
    """
    from trainer.drawing import open_model

    done = Done({}, {})
    views: list[Iterator[Moment]] = []
    for row in ask.rows:
        opened = open_model(ask.drawing(row), places)
        done.precision[row] = str(opened.model.precision).removeprefix("torch.")
        views.append(_noising(ask, row, opened))
        views.append(_denoising(ask, row, opened, done.nfe))
    while views:
        for view in list(views):
            moment = next(view, None)
            if moment is None:
                views.remove(view)
            else:
                yield moment
    yield done


def _stride(ask: Trajectories, steps: int, shape: tuple[int, ...]) -> int:
    """Every how manieth frame of a view is passed on."""
    frame_bytes = 4 * ask.count * int(np.prod(shape))
    return max(1, -(-(steps + 1) * frame_bytes // VIEW_BYTES))


def _noising(ask: Trajectories, row: str, opened: "Opened") -> Iterator[Moment]:
    """The frames of real images' way into noise, the last first."""
    from trainer.drawing import seeds
    from trainer.samplers import Noise, noise_path

    one, process = ask.rows[row], opened.model.process
    chosen = opened.images(ask.image if ask.start < 1 else "train:0", ask.count).cpu()
    ascending = process.times(one.steps, ask.start, one.spacing).flip(0)
    noise = Noise(seeds(ask.seed, range(ask.count)), tuple(chosen.shape[1:]), process)
    every, before = _stride(ask, one.steps, chosen.shape[1:]), None
    path: list[tuple[Frame, Tensor | None]] = []
    for frame in noise_path(process, chosen, ascending, noise):
        if frame.index % every == 0 or frame.index == one.steps:
            path.append((frame, before))
        before = frame.x
    while path:
        frame, before = path.pop()
        index = one.steps - frame.index
        yield look_at(row, "forward", index, one.steps, process, frame, before)


def _denoising(
    ask: Trajectories, row: str, opened: "Opened", nfe: dict[str, int]
) -> Iterator[Moment]:
    """The frames of the model's way out of noise; what it takes is counted in `nfe`."""
    from trainer.drawing import draw

    steps = ask.rows[row].steps
    every, before = _stride(ask, steps, opened.shape), None
    for stage in draw(ask.drawing(row), opened):
        frame = stage.frame
        nfe[row] = frame.nfe
        if frame.index % every == 0 or stage.last:
            process = opened.model.process
            yield look_at(row, "reverse", frame.index, steps, process, frame, before)
        before = frame.x
