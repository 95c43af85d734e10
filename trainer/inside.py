"""A network's blocks, and at each t what they answer, attend to, and what can still change.

trainer.anatomy and trainer.directions, asked of one image. Importing this needs no torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from trainer.ask import setting
from trainer.config import MOST_SEED
from trainer.images import pictures
from trainer.problems import Problem
from trainer.requests import ANY, OfClass, picture
from trainer.spectrum import Rings, coarse_first, power

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.anatomy import Anatomy
    from trainer.denoiser import Denoiser
    from trainer.drawing import Opened

LEAST_TIME, TIMES = 0.04, 17
MOST_MAPS, MOST_SIDE = 64, 64  # feature maps of a block that are kept, and how large
WALK = (-3.0, -1.5, 0.0, 1.5, 3.0)  # standard deviations along a direction
SHARPEST = 0.995  # the quantile of a block's values that is white, or black


@dataclass(frozen=True)
class Inside(OfClass):
    """One image, noised to each t: what a network makes of it on the way to its guess."""

    # fmt: off
    model: str = setting("modern", "Model", "The trained model that is looked into")
    image: str = picture("0", "Image")
    classes: str = setting(
        ANY, "Class", "Which class a model that knows classes is asked for: any, or a number",
    )
    count: int = setting(
        4, "Directions", "How many of the Jacobian's directions", least=1, most=16,
        suggested=(2, 4, 8),
    )
    seed: int = setting(0, "Seed", "The noise, the same at every t", least=0, most=MOST_SEED,
                        more=True)
    # fmt: on

    def check(self) -> None:
        super().check()
        if self.classes != ANY and not self.classes.isdecimal():
            raise Problem(
                f"Class (classes) must be any, or one number, as there is one image: not "
                f"'{self.classes}'."
            )


@dataclass(frozen=True)
class Changing:
    """The Jacobian's first directions at one t, each a row of `pictures`, uint8 (k, 6, H, W[, 3]).

    First the change itself, grey where there is none, then the guess moved by WALK standard
    deviations of what the image may be. `values` and `stds` (k,); `symmetry` is left · right.
    """

    pictures: np.ndarray = field(repr=False)
    values: np.ndarray
    stds: np.ndarray
    symmetry: float
    rounds: int


@dataclass(frozen=True)
class Level:
    """One t. `images` are x_t and the guess, uint8 (2, H, W[, 3]).

    `maps` are each block's answers, uint8 (c, h, w), grey where they are 0, None where they are no
    maps; `power` their power by ring over its mean, (K,). `attention` are pairs of a block's index
    and what each place looks at, uint8 (n, h, w), white where most. `changing` comes last.
    """

    t: float
    images: np.ndarray = field(repr=False)
    maps: tuple[np.ndarray | None, ...] = field(default=(), repr=False)
    power: tuple[np.ndarray | None, ...] = field(default=(), repr=False)
    attention: tuple[tuple[int, np.ndarray], ...] = field(default=(), repr=False)
    changing: Changing | None = field(default=None, repr=False)


def maps_of(answer: "Tensor") -> np.ndarray | None:
    """A block's answer (1, c, h, w) as pictures (c, h, w), 0 in the middle of the grey."""
    import torch

    if answer.dim() != 4:
        return None
    some = answer[0, :MOST_MAPS]
    step = max(1, -(-max(some.shape[1:]) // MOST_SIDE))
    some = some[:, ::step, ::step]
    top = some.abs().flatten()[:: 1 + some.numel() // 2**16].quantile(SHARPEST)
    found: np.ndarray = (
        (127.5 * (1 + some / top.clamp_min(1e-12))).round().clamp(0, 255).to(torch.uint8).numpy()
    )
    return found


def power_of_picture(image: np.ndarray) -> np.ndarray | None:
    """The same of a picture, uint8 (H, W[, 3])."""
    channels = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    return power_of(channels[None].astype(float))


def power_of(maps: np.ndarray) -> np.ndarray | None:
    """The power of maps (1, c, h, w) at each ring of frequencies over its mean, (K,)."""
    if maps.ndim != 4 or min(maps.shape[2:]) < 3:
        return None
    rings = Rings.around(*maps.shape[2:])
    found = rings.mean(power(maps - maps.mean((2, 3), keepdims=True)))
    mean = float(found @ rings.counts) / int(rings.counts.sum())
    return found / mean if mean > 0 else None


def inspect(ask: Inside, opened: "Opened") -> Iterator["Anatomy | Level"]:
    """The anatomy, if there is a network; what each t shows, coarse first; then the directions.

    Raises Problem for a class that the model does not know.
    """
    import torch

    from trainer.anatomy import anatomy, called, grid_of, look
    from trainer.denoiser import latest_time, predict
    from trainer.directions import directions
    from trainer.drawing import seeds
    from trainer.samplers import Noise

    model, process, height, width = opened.model, opened.model.process, *opened.shape[1:]
    image = opened.image(ask.image)
    labels = ask.labels(getattr(model.network, "classes", 0))
    noise = Noise(seeds(ask.seed, range(1)), opened.shape, process, opened.device).start()
    times = np.linspace(latest_time(model, process), LEAST_TIME, TIMES)

    def state(k: int) -> tuple["Tensor", "Tensor"]:
        t = process.on_grid(torch.full((1,), float(times[k]), device=image.device))
        return process.diffuse(image, t, noise), t

    def asked(size: int) -> "Denoiser":
        chosen = torch.tensor(labels, device=image.device)
        return model.conditioned(chosen.expand(size)) if labels else model

    def run(x: "Tensor", t: "Tensor", *_: object) -> "Tensor":
        x, t = x.detach().requires_grad_(), t.detach().requires_grad_()
        return model.output(x, t, asked(1).labels)

    def guessed(t: "Tensor", points: "Tensor") -> "Tensor":
        return predict(asked(len(points)), process, points, t.expand(len(points))).x0

    network = model.network
    grown = any(True for _ in network.parameters())  # else it is worked out, in closed form
    modules = []
    if grown:
        x, t = state(0)
        modules = called(network, partial(run, x, t))
        yield anatomy(network, partial(run, x, t))
    levels: dict[int, Level] = {}
    for k in coarse_first(TIMES):
        x, t = state(k)
        with torch.no_grad():
            guess = guessed(t, x)
        shrink = max(1.0, float(sum(v[0] ** 2 for v in process.marginal(t)) ** 0.5))
        level = Level(float(t[0]), pictures(torch.cat([x / shrink, guess])))
        if grown:
            seen = look(network, partial(run, x, t), modules)
            answers = [answer.cpu() for answer in seen.answers]
            tables = []
            for block, table in seen.attention:
                if (grid := grid_of(table.shape[-1], height, width)) is not None:
                    row = (255 * table[0] / table[0].amax(1, keepdim=True)).round()
                    tables.append((block, row.byte().cpu().numpy().reshape(-1, *grid)))
            level = Level(
                level.t, level.images, tuple(map(maps_of, answers)),
                tuple(power_of(x.double().numpy()) for x in answers), tuple(tables),
            )  # fmt: skip
        levels[k] = level
        yield level
    generator = torch.Generator().manual_seed(ask.seed)
    known: dict[int, Tensor] = {}
    for k in coarse_first(TIMES):
        x, t = state(k)
        nearest = min(known, key=lambda other: abs(other - k), default=None)
        start = None if nearest is None else known[nearest]
        found = directions(partial(guessed, t), x[0], ask.count, generator, start)
        known[k] = found.right
        alpha, sigma = (float(v[0]) for v in process.marginal(t))
        stds = found.stds(alpha, sigma)
        with torch.no_grad():
            guess = guessed(t, x)
        rows = []
        for way, std in zip(found.left, stds, strict=True):
            moved = [guess[0] + c * std * way for c in WALK]
            rows.append(pictures(torch.stack([way / way.abs().max(), *moved])))
        changing = Changing(
            np.stack(rows), found.values.cpu().numpy(), stds.cpu().numpy(), found.symmetry,
            found.rounds,
        )  # fmt: skip
        done = levels[k]
        yield Level(done.t, done.images, done.maps, done.power, done.attention, changing)
