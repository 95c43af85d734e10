"""What a sampler is, and the one loop that walks, counts, inpaints and starts again.

A sampler takes one step, from x at t to s < t, given what the model believes at (x, t). A time of 0
means the data itself: where the process leaves noise there (VE), the last move goes on to x0.

    the chain    ddpm, ddim: draw from q(x_s | x_t, x0) with the model's x0
    the SDE      euler-maruyama, reverse-diffusion, predictor-corrector: dx = f dt + g dw, reversed
    the ODE      probability-flow, heun, dpm-solver++, unipc, rk45: the same marginals, no noise
    in between   edm-heun, sa-solver: the ODE, with as much noise put back as is asked for
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from trainer.catalogue import SAMPLERS
from trainer.denoiser import Beliefs, Model, Prediction, latest_time
from trainer.problems import Problem
from trainer.processes import Process, spread
from trainer.samplers.noise import KNOWN, Noise


@dataclass(frozen=True)
class Frame:
    """One moment of a trajectory: x (B, …) at time t, and x0, the model's guess there.

    `nfe` counts the network evaluations spent so far. In the last frame x0 is x.
    """

    index: int
    t: float
    x: Tensor
    x0: Tensor
    nfe: int


def now(t: Tensor, x: Tensor) -> Tensor:
    """t as (1,), in x's type and place: coefficients there broadcast over any batch."""
    return t.to(x).view(1)


def level(process: Process, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """(alpha, sigma) at t, shaped to broadcast over x; the clean data, (1, 0), at t = 0."""
    at = now(t, x)
    alpha, sigma = process.marginal(at) if t > 0 else (torch.ones_like(at), at)
    return spread(alpha, x), spread(sigma, x)


def noisy(process: Process, t: Tensor, x: Tensor) -> bool:
    """Whether q(x_t | x_0) has any noise: at every t > 0, and at 0 for VE."""
    return bool(process.marginal(now(t, x))[1] > 0)


@dataclass
class Step:
    """A step to be taken: from `x` (B, …) at `t` to the next time `s`, number `index` of `times`.

    `belief` is what the model believes at (x, t). `memory` is the sampler's own, from step to step;
    it is empty at first. `again` counts the repeats of one update.
    """

    believe: Beliefs
    noise: Noise
    times: Tensor
    index: int
    x: Tensor
    t: Tensor
    s: Tensor
    memory: dict[str, Any] = field(default_factory=dict)
    again: int = 0
    _belief: Prediction | None = None

    @property
    def belief(self) -> Prediction:
        """What the model believes at (x, t), once the loop has asked it."""
        assert self._belief is not None
        return self._belief

    @belief.setter
    def belief(self, found: Prediction) -> None:
        self._belief = found

    @property
    def process(self) -> Process:
        return self.believe.process

    @property
    def steps(self) -> int:
        return len(self.times) - 1

    def level(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(alpha, sigma) at t, to broadcast over x."""
        return level(self.process, t, self.x)

    def transition(self) -> tuple[Tensor, Tensor]:
        """(a, v) of q(x_t | x_s) = N(a x_s, v I), to broadcast over x."""
        a, v = self.process.transition(now(self.s, self.x), now(self.t, self.x))
        return spread(a, self.x), spread(v, self.x)

    def fresh(self) -> Tensor:
        """The noise of the interval from t to s, like x; noise of its own where the step is
        repeated, whose x has that of the interval in it already."""
        noise = self.noise
        drawn = noise.extra(KNOWN) if self.again else noise.between(self.s, self.t)
        return drawn.to(self.x)


class Sampler:
    """One way to get from x at t to x at s. Options are keyword arguments of `__init__`.

    `order` of convergence to the ODE's or SDE's solution (weakly, for the latter); `random`: it
    takes fresh noise; `adaptive`: it chooses its own steps, which rounding disturbs;
    `leaves_noise`: a last step to t = 0 goes to the process's least noise, which one more
    evaluation takes away.
    """

    order = 1
    random = False
    adaptive = False
    leaves_noise = False

    def refuse(self, process: Process, times: Tensor) -> None:
        """Raise a Problem where this sampler makes no sense on that process at those times."""

    def lift(self, step: Step) -> None:
        """Change where the step starts from, before the model is asked."""

    def believe(self, step: Step) -> Prediction:
        """What the model believes at the step's start: by default one evaluation."""
        return step.believe(step.x, step.t)

    def step(self, at: Step) -> Tensor:
        """x at s, like x."""
        raise NotImplementedError


@dataclass(frozen=True)
class Known:
    """What inpainting keeps: `image` (B or 1, …) where `mask`, bool, is true; each update is made
    `repeats` times, noised again in between (RePaint, Lugmayr et al. 2022, arXiv:2201.09865)."""

    image: Tensor
    mask: Tensor
    repeats: int = 1

    def fitted(self, x: Tensor) -> "Known":
        """The same, in x's shape; a Problem where it does not fit."""
        if self.repeats < 1:
            raise Problem("Inpainting makes each update at least once: resample is 1 or more.")
        if self.mask.dtype != torch.bool:
            raise Problem("Inpainting's mask is boolean: true where the image is known.")
        try:
            return Known(self.image.to(x).expand_as(x), self.mask.expand_as(x), self.repeats)
        except RuntimeError as error:
            raise Problem(
                f"The mask {tuple(self.mask.shape)}, the known image {tuple(self.image.shape)} and "
                f"the noise {tuple(x.shape)} are of different shapes."
            ) from error


def noise_step(process: Process, x: Tensor, s: Tensor | None, t: Tensor, noise: Tensor) -> Tensor:
    """A draw of q(x_t | x_s = x), like x, for s <= t; of q(x_t | x_0 = x) where s is None.

    The two differ at s = 0 for VE alone, whose state there is noisy. `noise` is N(0, I), like x.
    """
    if s is None:
        a, std = process.marginal(now(t, x))
    else:
        a, var = process.transition(now(s, x), now(t, x))
        std = var.sqrt()
    return spread(a, x) * x + spread(std, x) * noise.to(x)


@torch.no_grad()
def walk(
    believe: Beliefs,
    x: Tensor,
    times: Tensor,
    sampler: Sampler,
    noise: Noise,
    known: Known | None = None,
) -> Iterator[Frame]:
    """The sampler from x (B, …) along falling `times`, which need not end at 0: a frame at each.

    The known part, if any, is set before every evaluation to a fresh draw of q(x_t | known) (Song
    et al. 2021, appendix I.2).
    """
    process = believe.process
    memory: dict[str, Any] = {}
    for index, (t, s) in enumerate(pairwise(times)):
        held = memory  # repeats of one update all go on from the same history
        for again in range(known.repeats if known else 1):
            if again:
                x = noise_step(process, x, s if s > 0 else None, t, noise.extra(KNOWN))
            if known:
                kept = noise_step(process, known.image, None, t, noise.extra(KNOWN))
                x = torch.where(known.mask, kept, x)
            at = Step(believe, noise, times, index, x, t, s, dict(held), again)
            sampler.lift(at)
            at.belief = sampler.believe(at)
            if again == 0:
                guess = at.belief.x0
                guess = torch.where(known.mask, known.image, guess) if known else guess
                yield Frame(index, float(at.t), at.x, guess, believe.nfe)
            x, memory = sampler.step(at), at.memory
    end = times[-1]
    if sampler.leaves_noise and end == 0 and noisy(process, end, x):
        x = believe(x, end).x0
    if known:
        x = torch.where(known.mask, known.image, x)
    yield Frame(len(times) - 1, float(end), x, x, believe.nfe)


def sample(
    model: Model,
    process: Process | None = None,
    x_T: Tensor | None = None,
    sampler: str | Sampler = "ddim",
    steps: int = 50,
    generator: torch.Generator | Noise | None = None,
    start: float = 1.0,
    spacing: str = "time",
    known: Known | None = None,
    **options: Any,
) -> Iterator[Frame]:
    """Draw from x_T (B, …) at time `start` down to 0 in `steps` updates: steps + 1 frames.

    `generator` seeds the noise of the stochastic samplers (seed 0 unless given), or is that noise;
    `spacing` places the times (trainer.processes.Process.times); options are the sampler's, as
    trainer.catalogue.SAMPLERS tells, unless it is made already. A model of eps starts at t = 0.999
    where alpha(1) = 0. With `known` a part of the image is kept. Raises Problem at once on a name
    or combination that makes no sense.
    """
    if not isinstance(process, Process) or not isinstance(x_T, Tensor):
        raise Problem(
            "sample takes the model, its process, and the noise x_T to start from, in this order."
        )
    if isinstance(sampler, str):
        sampler = SAMPLERS.named(sampler).make(**options)
    assert isinstance(sampler, Sampler)
    if start > 1:
        raise Problem(f"Sampling starts at a time in (0, 1], not at {start:g}.")
    times = process.times(steps, min(start, latest_time(model, process)), spacing)
    sampler.refuse(process, times)
    if not isinstance(generator, Noise):
        if generator is None:
            generator = torch.Generator().manual_seed(0)
        generator = Noise.of(generator, x_T, process)
    fitted = known.fitted(x_T) if known else None
    return walk(Beliefs(model, process), x_T, times, sampler, generator, fitted)


@torch.no_grad()
def noise_path(
    process: Process, x0: Tensor, times: Tensor, generator: torch.Generator | Noise
) -> Iterator[Frame]:
    """The forward process itself: one random path of x0 (B, …) through `times`, ascending from 0.

    Each step draws from q(x_t | x_s), so the path is the chain's, not a blend with fixed noise; it
    survives a change of the number of steps.
    """
    if isinstance(generator, torch.Generator):
        generator = Noise.of(generator, x0, process)
    noise, x = generator.forward(), x0
    if noisy(process, times[0], x0):
        x = noise_step(process, x0, None, times[0], noise.extra())
    yield Frame(0, float(times[0]), x, x0, 0)
    # All transitions at once: one by one they take longer than the noise.
    scales, variances = process.transition(times[:-1].to(x0), times[1:].to(x0))
    for i, (a, std) in enumerate(zip(scales, variances.sqrt(), strict=True)):
        x = a * x + std * noise.between(times[i], times[i + 1]).to(x0)
        yield Frame(i + 1, float(times[i + 1]), x, x0, 0)
