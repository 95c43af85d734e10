"""Where samplers' noise comes from: it belongs to the interval of time, and to the image.

Each image has a Brownian path of its own, fixed by its seed. A step from t to s takes the path's
increment over [s, t], scaled to unit variance: so the path of an SDE survives a change of the
number of steps, and image k is the same whatever others are drawn with it (the thought of
k-diffusion's interval noise). The path is a virtual Brownian tree (Li et al. 2020,
arXiv:2001.01328, section 4): the value in the middle of a cell is drawn from the bridge between its
ends, by the cell's own seed.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from trainer.processes import Process

DEPTH = 16  # halvings of the clock; inside the last cells the path is straight
START, PATH, EXTRA, FORWARD = 1, 2, 3, 4  # streams that never meet
_WORD = 2**64 - 1


def mixed(*numbers: int) -> int:
    """One 64-bit seed out of several numbers (splitmix64's finaliser, Steele et al. 2014)."""
    total = 0x9E3779B97F4A7C15
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
        self.seeds = None if isinstance(seeds, int) else list(seeds)
        self.seed = seeds if isinstance(seeds, int) else 0
        self.shape, self.process = tuple(shape), process
        self.device, self.dtype = device, dtype
        self._generator = torch.Generator()
        self._extras = 0
        # The cells from the clock's whole down to the last one used: (depth, place, ends' values).
        self._cells: list[tuple[int, int, Tensor, Tensor]] = []
        self._last: tuple[float, Tensor] | None = None

    @classmethod
    def of(cls, generator: torch.Generator, x: Tensor, process: Process) -> "Noise":
        """Noise for the batch x (B, …), seeded by the generator's next draw."""
        drawn = torch.randint(2**62, (), generator=generator, device=generator.device)
        return cls(int(drawn), tuple(x.shape), process, x.device, x.dtype)

    def forward(self) -> "Noise":
        """Other noise for the same images: of the way into noise, which shares none with the way
        out."""
        alone = self.seeds is None
        seeds = (
            mixed(self.seed, FORWARD) if alone else [mixed(s, FORWARD) for s in self.seeds or ()]
        )
        return Noise(seeds, self.shape, self.process, self.device, self.dtype)

    def _normal(self, stream: int, place: int) -> Tensor:
        if self.seeds is None:
            self._generator.manual_seed(mixed(self.seed, stream, place))
            return torch.randn(self.shape, generator=self._generator, dtype=self.dtype)
        drawn = torch.empty((len(self.seeds), *self.shape), dtype=self.dtype)
        for image, seed in zip(drawn, self.seeds, strict=True):
            image.normal_(generator=self._generator.manual_seed(mixed(seed, stream, place)))
        return drawn

    def start(self) -> Tensor:
        """What the images begin as, (B, …); the same at every call."""
        return self._normal(START, 0).to(self.device)

    def extra(self) -> Tensor:
        """Noise that belongs to no interval, (B, …): other at every call, in the same order."""
        self._extras += 1
        return self._normal(EXTRA, self._extras).to(self.device)

    def between(self, s: Tensor | float, t: Tensor | float) -> Tensor:
        """The noise of the interval [s, t], (B, …), N(0, I)."""
        early, late = self._clock(s), self._clock(t)
        if late <= early:
            return self.extra()
        increment = self._path(late) - self._path(early)
        return (increment / _deviation(early, late)).to(self.device)

    def _clock(self, t: Tensor | float) -> float:
        """t as sqrt(sigma) / (sqrt(sigma) + sqrt(alpha)): from 0 to 1, even enough in log-SNR."""
        now = torch.as_tensor(t, dtype=torch.float64).reshape(1).cpu()
        alpha, sigma = (float(value.clamp_min(0).sqrt()) for value in self.process.marginal(now))
        return sigma / (alpha + sigma)

    def _path(self, time: float) -> Tensor:
        """The Brownian path at that time of the clock."""
        if self._last is not None and self._last[0] == time:
            return self._last[1]
        if not self._cells:
            end = self._normal(PATH, 0)
            self._cells.append((0, 0, torch.zeros_like(end), end))
        while not _inside(time, *self._cells[-1][:2]):
            self._cells.pop()
        while (cell := self._cells[-1])[0] < DEPTH:
            depth, place, left, right = cell
            scale = 0.5 * 0.5 ** (depth / 2)  # of the bridge in the middle of a cell 2^-depth long
            middle = torch.lerp(left, right, 0.5)
            middle += scale * self._normal(PATH, (1 << depth) + place)
            lower = _inside(time, depth + 1, 2 * place)
            self._cells.append(
                (depth + 1, 2 * place, left, middle)
                if lower
                else (depth + 1, 2 * place + 1, middle, right)
            )
        _, place, left, right = self._cells[-1]
        found = torch.lerp(left, right, time * 2**DEPTH - place)
        self._last = time, found
        return found


def _inside(time: float, depth: int, place: int) -> bool:
    return place <= math.ldexp(time, depth) <= place + 1


def _deviation(early: float, late: float) -> float:
    """The standard deviation of the path's increment, which is straight inside the last cells."""
    cells: int = 2**DEPTH
    cell = 1 / cells
    first, last = (min(int(time / cell), cells - 1) for time in (early, late))
    before, after = early / cell - first, late / cell - last
    if first == last:
        return (after - before) * math.sqrt(cell)
    return math.sqrt(cell * ((1 - before) ** 2 + (last - first - 1) + after**2))
