"""What the toy panels ask workers to do: generators of plain arrays. Torch is imported inside.

Places are in the view's units: x / sqrt(alpha² + sigma²) under a process whose prior is wider than
the data (VE), where the picture would otherwise shrink to a point; x itself elsewhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.denoiser import Model
    from trainer.exact import Mixture
    from trainer.processes import Process

PROCESS_CHOICES: dict[str, tuple[str, dict[str, Any]]] = {
    "VP SDE": ("vp", {}),
    "Sub-VP SDE": ("sub-vp", {}),
    "VE SDE": ("ve", {}),
    "DDPM, linear, T = 300": ("ddpm-linear", {"steps": 300}),
    "DDPM, cosine, T = 300": ("ddpm-cosine", {"steps": 300}),
    "Rectified flow": ("flow", {}),
}
FRAMES = 101  # moments of t, from 0 to 1, that are on view
SIGNAL_LEFT = 1e-3  # a terminal SNR above this is a schedule worth mending
REACH = {1: 4.5, 2: 3.0}  # how far the view reaches from 0, by the number of dimensions


@dataclass(frozen=True)
class Progress:
    """Work goes on; asked for often, so that it can be given up at once."""

    share: float


@dataclass(frozen=True)
class Paths:
    """Places over time of one kind: "forward", "reverse" (SDE) or "flow" (ODE).

    `places` (FRAMES, P) or (FRAMES, P, 2), float32, by rising t. `learnt`: by the network's score.
    """

    kind: str
    places: np.ndarray
    learnt: bool = False


def view_scale(process: "Process", t: "Tensor") -> "Tensor":
    """What places are divided by for the view at t (B,): (B,)."""
    alpha, sigma = process.marginal(t)
    return (alpha**2 + sigma**2).sqrt() if process.prior_std > 1 else alpha * 0 + 1


def paths(
    mixture: "Mixture",
    process: "Process",
    model: "Model",
    kind: str,
    count: int,
    steps: int,
    seed: int,
    first: np.ndarray | None = None,
) -> Iterator[Progress | Paths]:
    """`count` paths of that kind through `steps` updates, from data or noise drawn with `seed`.

    Reverse SDE paths are ancestral sampling's and ODE paths DDIM's: both step between marginals
    and so run on every process, also where alpha(1) = 0. Both start at the same noise. `first`
    (n, D), in the view's units, are forward paths' first starts, instead of draws.
    """
    import torch

    from trainer.samplers import noise_path, sample

    generator = torch.Generator().manual_seed(seed)
    every = steps // (FRAMES - 1)
    places = np.zeros((FRAMES, count, mixture.dims), np.float32)
    if kind == "forward":
        x = mixture.sample(count, generator)
        if first is not None:
            x[: len(first)] = torch.from_numpy(first) * view_scale(process, torch.zeros(1))
        frames = noise_path(process, x, process.times(steps).flip(0), generator)
    else:
        x = process.prior_sample((count, mixture.dims), generator)
        method = {"reverse": "ddpm", "flow": "ddim"}[kind]
        frames = sample(model, process, x, method, steps, generator)
    for frame in frames:
        if frame.index % every == 0:
            k = frame.index // every
            scale = view_scale(process, torch.tensor([frame.t]))
            places[k if kind == "forward" else FRAMES - 1 - k] = (frame.x / scale).numpy()
        yield Progress(frame.index / steps)
    yield Paths(kind, places)


@dataclass(frozen=True)
class OverviewRequest:
    """A mixture in one dimension under a process: its modes, and the seed of its paths."""

    process: str
    parameters: dict[str, Any]
    means: tuple[float, ...]
    stds: tuple[float, ...]
    weights: tuple[float, ...]
    seed: int = 0


@dataclass(frozen=True)
class Densities:
    """p_t over time: `density` (FRAMES, G) at `times` (FRAMES,) and `axis` (G,), view's units.

    `arrows` (n, m) is sigma(t) times the score at `arrow_times` (n,) and `arrow_axis` (m,).
    `alpha`, `sigma` (FRAMES,). `prior_mismatch`: KL(p_1 || prior) in bits.
    """

    times: np.ndarray
    axis: np.ndarray
    density: np.ndarray
    arrow_times: np.ndarray
    arrow_axis: np.ndarray
    arrows: np.ndarray
    alpha: np.ndarray
    sigma: np.ndarray
    prior_mismatch: float


OVERVIEW_PATHS = 1500
OVERVIEW_SHOWN = 6  # paths drawn as lines; the rest are in the histograms


def overview(request: OverviewRequest) -> Iterator[Densities | Progress | Paths]:
    """p_t and its score, then ODE paths, reverse SDE paths, and forward paths.

    The first forward paths start where the first ODE paths end.
    """
    import torch

    from trainer.exact import Mixture, MixtureModel
    from trainer.processes import make_process

    process = make_process(request.process, request.parameters)
    means, stds, weights = (
        torch.tensor(values) for values in (request.means, request.stds, request.weights)
    )
    mixture = Mixture(means[:, None], stds, weights)
    model = MixtureModel(mixture, process)

    def on_grid(times: "Tensor", axis: "Tensor") -> "tuple[Tensor, Tensor, Tensor]":
        """x (N M, 1), t (N M,) and scale (N M,) at every time and place."""
        scale = view_scale(process, times).repeat_interleave(len(axis))
        return (axis.repeat(len(times)) * scale)[:, None], times.repeat_interleave(len(axis)), scale

    times, axis = torch.linspace(0, 1, FRAMES), torch.linspace(-REACH[1], REACH[1], 256)
    x, t, scale = on_grid(times, axis)
    density = (model.log_density(x, t).exp() * scale).view(FRAMES, -1)
    arrow_times, arrow_axis = torch.linspace(0.06, 0.94, 9), torch.linspace(-3.6, 3.6, 15)
    x, t, _ = on_grid(arrow_times, arrow_axis)
    arrows = -model(x, t).view(len(arrow_times), -1)
    alpha, sigma = process.marginal(times)
    wide = torch.linspace(-8, 8, 4001).double()[:, None] * process.prior_std
    end = model.log_density(wide, torch.ones(len(wide)).double())
    gap = end.exp() * (end - process.prior_logp(wide))
    yield Densities(
        times.numpy(), axis.numpy(), density.numpy(), arrow_times.numpy(), arrow_axis.numpy(),
        arrows.numpy(), alpha.numpy(), sigma.numpy(),
        float(torch.trapezoid(gap, wide[:, 0])) / np.log(2),
    )  # fmt: skip
    first = None
    for kind in ("flow", "reverse", "forward"):
        for event in paths(mixture, process, model, kind, OVERVIEW_PATHS, 200, request.seed, first):
            if isinstance(event, Paths):
                if kind == "flow":
                    first = event.places[0, :OVERVIEW_SHOWN]
                event = Paths(kind, event.places[..., 0])
            yield event


@dataclass(frozen=True)
class PlaneRequest:
    """A distribution in the plane: a name in TOYS, or strokes (n, 2) drawn by hand."""

    toy: str
    process: str
    parameters: dict[str, Any]
    seed: int = 0
    particles: int = 500
    strokes: tuple[np.ndarray, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Field:
    """p_t and a score over the plane and over time, in the view's units, by rising t.

    `heat` (FRAMES, G, G) uint8, first index x_1: 255 sqrt(p / max p).
    `arrows` (FRAMES, n, n, 2) is sigma(t) times the score at `arrow_axis` (n,) with itself.
    """

    heat: np.ndarray
    arrow_axis: np.ndarray
    arrows: np.ndarray


@dataclass(frozen=True)
class LearntField:
    """A network's score so far, as in Field."""

    arrow_axis: np.ndarray
    arrows: np.ndarray


@dataclass(frozen=True)
class Learning:
    """Training has got to `step` of `steps`; the losses since the last such event."""

    step: int
    steps: int
    losses: np.ndarray


PLANE_STEPS = 100
HEAT_POINTS = 128
ARROW_POINTS = 15
LEARN_EVERY = 100  # updates between two looks at the learnt field


def _mixture_of(request: PlaneRequest) -> "Mixture":
    import torch

    from trainer.toys import drawn, toy

    if request.strokes:
        return drawn([torch.from_numpy(stroke) for stroke in request.strokes])
    return toy(request.toy, torch.Generator().manual_seed(request.seed))


def _arrows(process: "Process", model: "Model", axis: "Tensor") -> np.ndarray:
    """sigma(t) times the model's score, (FRAMES, n, n, 2)."""
    import torch

    grid = torch.cartesian_prod(axis, axis)
    times = torch.linspace(0, 1, FRAMES)
    times[0] = times[1] / 10  # models are asked at t > 0
    scale = view_scale(process, times)
    found = np.empty((FRAMES, len(axis), len(axis), 2), np.float32)
    with torch.no_grad():
        for k in range(FRAMES):
            eps = model(grid * scale[k], times[k].expand(len(grid)))
            found[k] = -eps.view(len(axis), len(axis), 2).numpy()
    return found


def plane(request: PlaneRequest) -> Iterator[Field | Progress | Paths]:
    """p_t, its score, and forward, ODE and reverse SDE paths, all by the exact model."""
    import torch

    from trainer.exact import MixtureModel
    from trainer.processes import make_process

    process = make_process(request.process, request.parameters)
    mixture = _mixture_of(request)
    model = MixtureModel(mixture, process)
    axis = torch.linspace(-REACH[2], REACH[2], HEAT_POINTS)
    heat = np.empty((FRAMES, HEAT_POINTS, HEAT_POINTS), np.uint8)
    for k, t in enumerate(torch.linspace(0, 1, FRAMES)):
        density = model.density_on_grid(axis * view_scale(process, t[None]), float(t))
        heat[k] = (255 * (density / density.max()).sqrt()).round().byte().numpy()
        yield Progress(k / FRAMES)
    arrow_axis = torch.linspace(-REACH[2], REACH[2], ARROW_POINTS + 2)[1:-1]
    yield Field(heat, arrow_axis.numpy(), _arrows(process, model, arrow_axis))
    for kind in ("reverse", "flow", "forward"):
        yield from paths(
            mixture, process, model, kind, request.particles, PLANE_STEPS, request.seed
        )


def learn(
    request: PlaneRequest, steps: int = 1200
) -> Iterator[Learning | LearntField | Progress | Paths]:
    """Train a small network on the distribution; show its score as it learns, then its paths."""
    import torch

    from trainer.processes import make_process
    from trainer.toys import train_toy

    process = make_process(request.process, request.parameters)
    mixture = _mixture_of(request)
    axis = torch.linspace(-REACH[2], REACH[2], ARROW_POINTS + 2)[1:-1]
    generator = torch.Generator().manual_seed(request.seed)
    losses = []
    for event in train_toy(mixture, process, generator, steps, seed=request.seed):
        losses.append(event.loss)
        if event.step % 10 == 0 or event.step == steps:
            yield Learning(event.step, steps, np.array(losses))
            losses = []
        if event.step % LEARN_EVERY == 0 or event.step == steps:
            yield LearntField(axis.numpy(), _arrows(process, event.model, axis))
    model = event.model
    for kind in ("reverse", "flow"):
        for found in paths(
            mixture, process, model, kind, request.particles, PLANE_STEPS, request.seed
        ):
            if isinstance(found, Paths):
                found = Paths(kind, found.places, learnt=True)
            yield found
