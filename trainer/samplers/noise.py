"""Where samplers' noise comes from: it belongs to the interval of time, and to the image.

Each image has a Brownian path of its own, fixed by its seed. A step from t to s takes the path's
increment over [s, t], scaled to unit variance: so the path of an SDE survives a change of the
number of steps, and image k is the same whatever others are drawn with it (the thought of
k-diffusion's interval noise). The path is a virtual Brownian tree (Li et al. 2020,
arXiv:2001.01328, section 4): the value in the middle of a cell is drawn from the bridge between its
ends, by the middle's own seed. Times are told apart by the ticks of a clock, at which the path is
exactly Brownian: whatever the steps, their noise is independent.
"""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.processes import Process

TICKS = 2**16  # of the clock: thousands of steps are told apart; each doubling costs a draw a step
START, PATH, EXTRA, FORWARD, KNOWN = 1, 2, 3, 4, 5  # streams that never meet
_WORD = 2**64 - 1


def nth(seed: int, number: int) -> int:
    """The seed of what comes so-manieth: one that torch takes, however large `seed` is."""
    return (seed * 1_000_003 + number) & _WORD


def mixed(*numbers: int, state: Any = 0x9E3779B97F4A7C15) -> Any:
    """One 64-bit seed out of several numbers (splitmix64's finaliser, Steele et al. 2014).

    `state`: what earlier numbers gave, to go on from; of uint64 (N,) too, which gives as many.
    """
    total = state
    for number in numbers:
        total = (total ^ number) & _WORD
        total = (total + 0x9E3779B97F4A7C15) & _WORD
        total = ((total ^ (total >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
        total = ((total ^ (total >> 27)) * 0x94D049BB133111EB) & _WORD
        total ^= total >> 31
    return total


class Noise:
    """Unit normals for a batch: for its start, for intervals of time, and independent extra ones.

    `seeds` holds a seed an image, of `shape` (C, H, W) or (D,); or it is one seed for a whole batch
    of `shape` (B, …). Draws are made on the CPU, so that every device shows the same pictures.
    """

    def __init__(
        self,
        seeds: int | Iterable[int],
        shape: tuple[int, ...],
        process: Process,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.together = isinstance(seeds, int)
        self.seeds = [seeds] if isinstance(seeds, int) else list(seeds)
        self.shape, self.process = tuple(shape), process
        self.device, self.dtype = device, dtype
        self._generator = torch.Generator()
        self._states: dict[int, np.ndarray] = {}  # of `mixed`, by stream
        size = self.shape if self.together else (len(self.seeds), *self.shape)
        self._drawn = torch.empty(size, dtype=dtype)
        self._images = [self._drawn] if self.together else list(self._drawn.unbind())
        self._extras: Counter[int] = Counter()
        # The cells from the clock's whole down to the last one used: first tick, length, and the
        # path at both ends. Samplers move one way, so that most of them serve the next step too.
        self._cells: list[tuple[int, int, Tensor, Tensor]] = []
        self._middles: list[Tensor] = []  # of those cells: new memory each time would take longer

    @classmethod
    def of(cls, generator: torch.Generator, x: Tensor, process: Process) -> "Noise":
        """Noise for the batch x (B, …), seeded by the generator's next draw."""
        drawn = torch.randint(2**62, (), generator=generator, device=generator.device)
        return cls(int(drawn), tuple(x.shape), process, x.device, x.dtype)

    def forward(self) -> "Noise":
        """Other noise for the same images: of the way into noise, which shares none with the way
        out."""
        seeds = [mixed(seed, FORWARD) for seed in self.seeds]
        chosen = seeds[0] if self.together else seeds
        return Noise(chosen, self.shape, self.process, self.device, self.dtype)

    def _normal(self, stream: int, place: int) -> Tensor:
        """Unit normals, (B, …), that the next call writes over."""
        if stream not in self._states:
            self._states[stream] = np.array([mixed(seed, stream) for seed in self.seeds], np.uint64)
        seeds, generator = mixed(place, state=self._states[stream]).tolist(), self._generator
        for image, seed in zip(self._images, seeds, strict=True):
            image.normal_(generator=generator.manual_seed(seed))
        return self._drawn

    def start(self) -> Tensor:
        """What the images begin as, (B, …); the same at every call."""
        return self._normal(START, 0).to(self.device, copy=True)

    def extra(self, stream: int = EXTRA) -> Tensor:
        """Noise that belongs to no interval, (B, …): other at every call, in the same order.

        What is drawn of one `stream` changes nothing in another.
        """
        self._extras[stream] += 1
        return self._normal(stream, self._extras[stream]).to(self.device, copy=True)

    def between(self, s: Tensor | float, t: Tensor | float) -> Tensor:
        """The noise of the interval [s, t], (B, …), N(0, I); extra noise within one tick."""
        early, late = self._tick(s), self._tick(t)
        if late <= early:
            return self.extra()
        increment = self._path(late).clone()
        increment.sub_(self._path(early)).div_(math.sqrt((late - early) / TICKS))
        return increment.to(self.device)

    def _tick(self, t: Tensor | float) -> int:
        """t on the clock sqrt(sigma) / (sqrt(sigma) + sqrt(alpha)), even enough in log-SNR."""
        now = torch.as_tensor(t, dtype=torch.float64).reshape(1).cpu()
        alpha, sigma = (float(value.clamp_min(0).sqrt()) for value in self.process.marginal(now))
        return round(TICKS * sigma / (alpha + sigma))

    def _path(self, tick: int) -> Tensor:
        """The Brownian path at that tick, of variance tick / TICKS; the next call may change it."""
        if not self._cells:
            end = self._normal(PATH, TICKS).clone()
            self._cells.append((0, TICKS, torch.zeros_like(end), end))
        while not 0 <= tick - self._cells[-1][0] <= self._cells[-1][1]:
            self._cells.pop()
        while True:
            first, length, left, right = self._cells[-1]
            if tick in (first, first + length):
                return left if tick == first else right
            half = length // 2
            depth = len(self._cells) - 1
            if depth == len(self._middles):
                self._middles.append(torch.empty_like(left))
            middle = torch.lerp(left, right, 0.5, out=self._middles[depth])
            middle += self._normal(PATH, first + half).mul_(0.5 * math.sqrt(length / TICKS))
            lower = (first, half, left, middle)
            upper = (first + half, half, middle, right)
            self._cells.append(lower if tick <= first + half else upper)
