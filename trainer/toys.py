"""Distributions in the plane, and a small network that learns them.

Every toy is a mixture of isotropic Gaussians (trainer.exact): a few wide ones, or as many narrow
ones as there are points on a curve (a kernel density).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from trainer.catalogue import TOYS
from trainer.denoiser import Denoiser, target
from trainer.exact import Mixture, kernel
from trainer.problems import Problem
from trainer.processes import Process


def _spaced(count: int, generator: torch.Generator) -> Tensor:
    """`count` numbers in [0, 1], one at random in each of as many equal parts."""
    return (torch.arange(count) + torch.rand(count, generator=generator)) / count


def two_moons(count: int, generator: torch.Generator) -> Tensor:
    """Two interleaved half circles."""
    u = math.pi * _spaced(count, generator)
    upper = torch.arange(count) % 2 == 0
    x = torch.where(upper, torch.cos(u), 1 - torch.cos(u))
    y = torch.where(upper, torch.sin(u), 0.5 - torch.sin(u))
    return 1.2 * torch.stack([x - 0.5, y - 0.25], 1)


def swiss_roll(count: int, generator: torch.Generator) -> Tensor:
    """One and a half turns of an Archimedean spiral, evenly by length."""
    turn = 1.5 * math.pi * torch.sqrt(1 + 8 * _spaced(count, generator))
    return torch.stack([turn * torch.cos(turn), turn * torch.sin(turn)], 1) / 8.5 - torch.tensor(
        [0.29, 0.05]
    )


def spiral(count: int, generator: torch.Generator) -> Tensor:
    """Two arms, a point reflection of each other."""
    turn = 3 * math.pi * _spaced(count, generator).sqrt()
    arm = torch.where(torch.arange(count) % 2 == 0, 1.0, -1.0)
    return (arm * turn)[:, None] * torch.stack([torch.cos(turn), torch.sin(turn)], 1) / 5.5


def checkerboard(count: int, generator: torch.Generator) -> Tensor:
    """The dark squares of a four by four board."""
    square = torch.arange(count) % 8
    row = square // 2
    column = 2 * (square % 2) + row % 2
    side = max(1, math.isqrt(-(-count // 8)))  # points along a square's edge, as even as can be
    place = torch.arange(count) // 8
    cell = torch.stack([place % side, place // side % side], 1)
    # What does not fill the lattice goes anywhere in the square.
    jitter = torch.rand(count, 2, generator=generator)
    inside = torch.where((place < side**2)[:, None], (cell + jitter) / side, jitter)
    return (torch.stack([column, row], 1) + inside - 2) * 0.85


def rings(count: int, generator: torch.Generator) -> Tensor:
    """Two circles, one in the other, equally dense."""
    outer = torch.arange(count) % 3 > 0
    u = 2 * math.pi * _spaced(count, generator)
    radius = torch.where(outer, 1.7, 0.85)
    return radius[:, None] * torch.stack([torch.cos(u), torch.sin(u)], 1)


BANDWIDTH = 0.08
LABEL_DROPOUT = 0.2


def eight_gaussians(count: int, generator: torch.Generator) -> Mixture:
    """Eight equal modes on a circle."""
    u = torch.arange(8) * (math.pi / 4)
    return kernel(1.6 * torch.stack([torch.cos(u), torch.sin(u)], 1), 0.16)


def three_gaussians(count: int, generator: torch.Generator) -> Mixture:
    """Three modes of other widths and weights."""
    means = torch.tensor([[-1.2, -0.8], [1.3, -0.6], [0.1, 1.3]])
    return Mixture(means, torch.tensor([0.25, 0.4, 0.3]), torch.tensor([0.4, 0.35, 0.25]))


def toy(name: str, generator: torch.Generator, points: int = 360) -> Mixture:
    """The two-dimensional distribution of that id in catalogue.TOYS, about unit scale, float32.

    A curve's points (N, 2) become Gaussians of width 0.08.
    """
    found: Mixture | Tensor = TOYS.named(name).find()(points, generator)
    return found if isinstance(found, Mixture) else kernel(found, BANDWIDTH)


def drawn(strokes: list[Tensor], points: int = 360) -> Mixture:
    """A distribution drawn by hand: strokes, each (n, 2), become Gaussians evenly along them.

    A stroke of a single point is a dot, and weighs as much as a stroke of 0.1 in length.
    """
    if not any(len(stroke) for stroke in strokes):
        raise Problem("Nothing is drawn yet: draw on the canvas with the mouse held down.")
    lines = [stroke.float() for stroke in strokes if len(stroke)]
    lengths = [float((line[1:] - line[:-1]).norm(dim=1).sum()) for line in lines]
    weights = [max(length, 0.1) for length in lengths]
    spread_out = []
    for line, length, weight in zip(lines, lengths, weights, strict=True):
        n = max(1, round(points * weight / sum(weights)))
        if length == 0:
            spread_out.append(line[:1].expand(n, 2))
            continue
        along = torch.cat([torch.zeros(1), (line[1:] - line[:-1]).norm(dim=1).cumsum(0)])
        wanted = (torch.arange(n) + 0.5) / n * length
        upper = torch.searchsorted(along, wanted).clamp(1, len(line) - 1)
        gap = (along[upper] - along[upper - 1]).clamp_min(1e-9)
        place = ((wanted - along[upper - 1]) / gap)[:, None]
        spread_out.append(torch.lerp(line[upper - 1], line[upper], place))
    return kernel(torch.cat(spread_out), BANDWIDTH)


def halves(mixture: Mixture) -> Tensor:
    """A class for each mode, (K,): 0 left of the mixture's mean, 1 right of it, by the first axis.

    Raises Problem where all are on one side.
    """
    found = (mixture.means[:, 0] > mixture.mean()[0]).long()
    if len(found.unique()) < 2:
        raise Problem("All of it lies above one place, so it has no halves: draw it wider.")
    return found


class PointNetwork(nn.Module):
    """A multilayer perceptron on points: x (B, D), t (B,) -> (B, D).

    Time enters as sines and cosines of pi t times 1/2, 1, 2, 4, 8; the point also as sines and
    cosines, without which a network this small cannot bend sharply (Tancik et al. 2020,
    arXiv:2006.10739). With `classes` it may be asked for one, labels (B,); -1: for none.
    """

    def __init__(
        self, dims: int, width: int = 96, layers: int = 3, seed: int = 0, classes: int = 0
    ) -> None:
        super().__init__()
        self.classes = classes
        self.register_buffer("octaves", math.pi * torch.tensor([0.5, 1.0, 2.0, 4.0, 8.0]))
        self.octaves: Tensor
        features = dims + 4 * dims + 10 + classes
        sizes = [features, *[width] * layers]
        blocks: list[nn.Module] = []
        for a, b in pairwise(sizes):
            blocks += [nn.Linear(a, b), nn.SiLU()]
        self.body = nn.Sequential(*blocks, nn.Linear(width, dims))
        # Weights from the seed alone: PyTorch's own initialisation draws from the global generator.
        generator = torch.Generator().manual_seed(seed)
        for layer in self.body:
            if isinstance(layer, nn.Linear):
                bound = layer.in_features**-0.5
                nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        time = t[:, None] * self.octaves
        place = torch.cat([x * 1.5, x * 3.0], 1)
        parts = [x, place.sin(), place.cos(), time.sin(), time.cos()]
        if self.classes:
            known = torch.arange(self.classes, device=x.device)
            asked = torch.full_like(t, -1) if labels is None else labels
            parts.append((asked[:, None] == known).to(x))
        answer: Tensor = self.body(torch.cat(parts, 1))
        return answer


@dataclass(frozen=True)
class ToyStep:
    """One optimiser update of `train_toy`: its loss, and the model as it is now (it goes on)."""

    step: int
    steps: int
    loss: float
    model: Denoiser


def train_toy(
    mixture: Mixture,
    process: Process,
    generator: torch.Generator,
    steps: int = 1200,
    batch_size: int = 256,
    learning_rate: float = 4e-3,
    seed: int = 0,
    prediction: str = "v",
    labels: Tensor | None = None,
    pairs: tuple[Tensor, Tensor] | None = None,
) -> Iterator[ToyStep]:
    """Train a PointNetwork on fresh draws of `mixture`: Adam, cosine decay to 0.

    Ho et al. 2020, algorithm 1, times spread evenly over (0, 1] within a batch. `prediction` is
    what the network answers (trainer.catalogue.PREDICTIONS). With `labels` (K,), the class of each
    mode from 0 on, it learns to be asked for one, and a share of LABEL_DROPOUT for none. With
    `pairs`, x_0 and eps (N, D) that belong together, it is trained on these instead of draws.
    """
    classes = 0 if labels is None else int(labels.max()) + 1
    network = PointNetwork(mixture.dims, seed=seed, classes=classes)
    model = Denoiser(network, process, prediction)
    optimiser = torch.optim.Adam(network.parameters(), learning_rate, fused=True)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = learning_rate * (1 + math.cos(math.pi * step / steps)) / 2
        x0, mode = mixture.draw(batch_size, generator)
        t = 1 - (torch.arange(batch_size) + torch.rand(1, generator=generator)) / batch_size
        eps = torch.randn(x0.shape, generator=generator)
        if pairs is not None:
            chosen = torch.randint(len(pairs[0]), (batch_size,), generator=generator)
            x0, eps = (side[chosen] for side in pairs)
        asked = None
        if labels is not None:
            dropped = torch.rand(batch_size, generator=generator) < LABEL_DROPOUT
            asked = labels[mode].masked_fill(dropped, -1)
        with torch.enable_grad():
            output = model.output(process.diffuse(x0, t, eps), t, asked)
            loss = nn.functional.mse_loss(output, target(prediction, process, x0, eps, t))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        yield ToyStep(step + 1, steps, float(loss.detach()), model)
