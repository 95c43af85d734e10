"""How straight the ways are that a model's ODE leads from noise to images, and making them so.

Whatever the process, x_t = alpha x_0 + sigma eps is a point of a straight line, if it is seen as
    y = x_t / (alpha + sigma) = (1 - s) x_0 + s eps,   s = sigma / (alpha + sigma) in [0, 1],
and there the probability-flow ODE is rectified flow's, dy/ds = E[eps - x_0 | y]: a schedule only
says when which s is passed, and DDIM's step is Euler's. A path is straight where this velocity does
not change, and then one step takes it (Liu et al. 2022, arXiv:2209.03003, section 2.2). Importing
this needs no torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from trainer.ask import setting
from trainer.catalogue import EXACT, PRECISIONS
from trainer.config import MOST_SEED
from trainer.images import pictures
from trainer.requests import OfModel

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from trainer.denoiser import Model
    from trainer.drawing import Opened
    from trainer.exact import Mixture
    from trainer.processes import Process
    from trainer.toys import ToyStep

PAIRS, SHOWN = 4096, 300  # noise that reflow leads to data, and what is shown of it
WAY = 32  # steps on each way
FEW = (1, 2, 4, 8)  # steps that are compared with the whole way


@dataclass(frozen=True)
class Straightness(OfModel):
    """A model's ways from noise to images. It is asked for no class."""

    # fmt: off
    model: str = setting("modern-flow", "Model", "The trained model whose ways are followed")
    count: int = setting(
        16, "Images", "How many ways: more make a steadier curve", least=1, most=1000,
        suggested=(4, 9, 16, 64),
    )
    steps: int = setting(
        WAY, "Steps", "Of each way, by Heun's method: two evaluations each", least=2, most=1000,
        suggested=(16, 32, 64), more=True,
    )
    seed: int = setting(0, "Seed", "The noise where the ways begin", least=0, most=MOST_SEED)
    precision: str = setting(
        "float32", "Precision", "What convolutions and products run in: bfloat16's rounding is a "
        "roughness of its own", choices=PRECISIONS, more=True,
    )
    # fmt: on


@dataclass(frozen=True)
class Moment:
    """Ways at time `t`, where s = sigma / (alpha + sigma): y (n, …), and dy/ds, each like y."""

    index: int
    t: float
    s: float
    y: "Tensor" = field(repr=False)
    velocity: "Tensor" = field(repr=False)

    @property
    def x0(self) -> "Tensor":
        """The model's guess there, where the straight line would lead."""
        return self.y - self.s * self.velocity


def even(model: "Model", process: "Process", steps: int) -> "Tensor":
    """Falling times (steps + 1,), float64, that are even in s, from noise to the earliest one."""
    import torch

    from trainer.denoiser import latest_time

    ends = torch.tensor([latest_time(model, process), process.earliest], dtype=torch.float64)
    alpha, sigma = process.marginal(ends)
    (first, last), share = sigma / (alpha + sigma), torch.linspace(0, 1, steps + 1).double()
    s = first + (last - first) * share
    times = process.time_at(2 * ((1 - s).log() - s.log()))
    times[0], times[-1] = ends
    return times


def ways(model: "Model", process: "Process", start: "Tensor", steps: int) -> Iterator[Moment]:
    """Follow the ODE from unit noise `start` (n, …) in even steps of s, by Heun's method."""
    import torch

    from trainer.denoiser import predict

    times = even(model, process, steps)
    alphas, sigmas = process.marginal(times)
    levels = (sigmas / (alphas + sigmas)).tolist()
    whole = (alphas + sigmas).tolist()

    @torch.no_grad()
    def velocity(y: "Tensor", k: int) -> "Tensor":
        t = times[k].to(y).expand(len(y))
        belief = predict(model, process, whole[k] * y, t)
        return belief.eps - belief.x0

    y = process.prior_std * start / whole[0]
    for k in range(steps + 1):
        now = velocity(y, k)
        yield Moment(k, float(times[k]), levels[k], y, now)
        if k < steps:
            step = levels[k + 1] - levels[k]
            y = y + step / 2 * (now + velocity(y + step * now, k + 1))


def bend(way: list[Moment]) -> np.ndarray:
    """How far each way is from straight at each moment, (F, n): |dy/ds - chord|² / mean |chord|²,
    the chord being the one velocity that would lead from its first point to its last.

    Its mean over s is rectified flow's straightness (Liu et al. 2022, equation 11), as a share.
    """
    import torch

    first, last = way[0], way[-1]
    chord = (first.y - last.y).flatten(1).double() / (first.s - last.s)
    off = torch.stack([(m.velocity.flatten(1).double() - chord).square().sum(1) for m in way])
    found: np.ndarray = (off / chord.square().sum(1).mean()).cpu().numpy()
    return found


def in_steps(model: "Model", process: "Process", start: "Tensor", steps: int) -> "Tensor":
    """Where the same noise (n, …) leads in that many steps of DDIM, even in s: Euler's here."""
    import torch

    from trainer.denoiser import Beliefs
    from trainer.samplers import Noise
    from trainer.samplers.base import walk
    from trainer.samplers.chain import DDIM

    times = even(model, process, steps)[:-1].float()
    noise = Noise(0, tuple(start.shape), process, start.device)
    x = process.prior_std * start
    for frame in walk(Beliefs(model, process), x, torch.cat([times, times[:1] * 0]), DDIM(), noise):
        x = frame.x
    return x


@dataclass(frozen=True)
class Few:
    """Images drawn in few steps, uint8 (n, H, W[, 3]), and how far they are from the whole way's:
    root mean square, pixels in [-1, 1]."""

    steps: int
    images: np.ndarray = field(repr=False)
    apart: float


@dataclass(frozen=True)
class Level:
    """Ways at s, which is `t` to the slider: `states` and `guesses` uint8 (n, H, W[, 3]).

    `time` is the process's. `bends` by "learnt" and the titles of EXACT, as far as they are known
    yet, each (F,) over all s; `few` once they are drawn.
    """

    t: float
    time: float
    states: np.ndarray = field(repr=False)
    guesses: np.ndarray = field(repr=False)
    bends: dict[str, np.ndarray] = field(default_factory=dict, repr=False)
    few: tuple[Few, ...] = field(default=(), repr=False)


def follow(ask: Straightness, opened: "Opened") -> Iterator[Level]:
    """Every s of the model's ways; then each again with bends, few steps, and the exact models."""
    from trainer.drawing import seeds
    from trainer.samplers import Noise

    process = opened.model.process
    noise = Noise(seeds(ask.seed, range(ask.count)), opened.shape, process, opened.device).start()
    found: list[Level] = []
    way: list[Moment] = []
    for moment in ways(opened.model, process, noise, ask.steps):
        way.append(moment)
        # As light as x_t, which is brighter than y by the noise that the line is short of.
        bright = float(np.hypot(1 - moment.s, moment.s))
        found.append(Level(
            moment.s, moment.t, pictures(moment.y / bright), pictures(moment.x0)
        ))  # fmt: skip
        yield found[-1]
    end = way[-1].x0
    few = [Few(ask.steps, pictures(end), 0.0)]
    for steps in FEW:
        x = in_steps(opened.model, process, noise, steps)
        few.insert(-1, Few(steps, pictures(x), float((x - end).square().mean().sqrt())))
    bends = {"learnt": bend(way).mean(1)}
    yield from (replace(level, bends=bends, few=tuple(few)) for level in found)
    for kind in ("gaussian", "training-set"):
        model = opened.exact(kind)
        way = []
        for level, moment in zip(found, ways(model, process, noise, ask.steps), strict=True):
            way.append(moment)
            yield replace(level, bends=bends, few=tuple(few))  # else nobody could stop this
        bends = bends | {EXACT[kind].title: bend(way).mean(1)}
        yield from (replace(level, bends=bends, few=tuple(few)) for level in found)


@dataclass(frozen=True)
class Flowed:
    """Ways in the plane after `round` reflows: 0 is the flow as it was learnt.

    `places` (F, SHOWN, 2) float32 by falling `s` (F,); `bend` (F,) the mean of all; `apart` is how
    far one step ends from the whole way, root mean square.
    """

    round: int
    s: np.ndarray
    places: np.ndarray = field(repr=False)
    bend: np.ndarray = field(repr=False)
    apart: float


def reflow(
    mixture: "Mixture", generator: "torch.Generator", rounds: int = 2, steps: int = 900,
    seed: int = 0,
) -> "Iterator[ToyStep | Flowed]":  # fmt: skip
    """Learn a flow, then learn it anew from its own pairs of noise and data, so many `rounds`.

    Each pair lies on a straight line, and lines that a flow has led do not cross: the next flow can
    follow them (Liu et al. 2022, algorithm 1). The noise is the same in every round.
    """
    import torch

    from trainer.processes import RectifiedFlow
    from trainer.toys import train_toy

    process, pairs = RectifiedFlow(), None
    eps = torch.randn(PAIRS, mixture.dims, generator=generator)
    for k in range(rounds + 1):
        for event in train_toy(
            mixture, process, generator, steps, seed=seed, prediction="flow", pairs=pairs
        ):
            yield event
        way = list(ways(event.model, process, eps, WAY))
        places = torch.stack([moment.y[:SHOWN] for moment in way])
        end = way[-1].x0
        once = (way[0].x0 - end).square().sum(1).mean().sqrt()
        yield Flowed(
            k, np.array([moment.s for moment in way]), places.numpy(), bend(way).mean(1),
            float(once),
        )  # fmt: skip
        pairs = end, eps
