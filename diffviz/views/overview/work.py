"""What the overview asks for and what is worked out of it: exact densities, and paths."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from diffviz.views.toys import FRAMES, REACH, Paths, Progress, Toy, paths, view_scale
from trainer.ask import Ask, setting

if TYPE_CHECKING:
    from torch import Tensor

MOST_MODES = 6


@dataclass(frozen=True)
class Mode(Ask):
    """One Gaussian of the data."""

    # fmt: off
    mean: float = setting(0.0, "Mean", "Where the mode lies", least=-3.5, most=3.5)
    std: float = setting(0.25, "Width", "Its standard deviation", least=0.08, most=1.5)
    weight: float = setting(0.4, "Weight", "Its share, relative to the others", least=0.05, most=1)
    # fmt: on


@dataclass(frozen=True)
class Overview(Toy):
    """A mixture in one dimension under a process."""

    version: ClassVar[int] = 2
    # fmt: off
    modes: tuple[Mode, ...] = setting(
        (Mode(-1.7, 0.3, 0.45), Mode(0.5, 0.2, 0.25), Mode(2.0, 0.4, 0.6)), "Modes", "The "
        "Gaussians that the data is made of",
    )
    # fmt: on


@dataclass(frozen=True)
class Densities:
    """p_t over time: `density` (FRAMES, G) at `times` (FRAMES,) and `axis` (G,), view's units.

    `arrows` (n, m) is sigma(t) times the score at `arrow_times` (n,) and `arrow_axis` (m,).
    `alpha`, `sigma` (FRAMES,). `prior_mismatch`: KL(p_1 || prior) in bits. `scaled`: whether the
    view's units are other than x's.
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
    scaled: bool


OVERVIEW_PATHS = 1500
OVERVIEW_SHOWN = 6  # paths drawn as lines; the rest are in the histograms


def overview(ask: Overview) -> Iterator[Densities | Progress | Paths]:
    """p_t and its score, then ODE paths, reverse SDE paths, and forward paths.

    The first forward paths start where the first ODE paths end.
    """
    import torch

    from trainer.exact import Mixture, MixtureModel

    process = ask.made()
    means, stds, weights = torch.tensor([[m.mean, m.std, m.weight] for m in ask.modes]).T
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
        float(torch.trapezoid(gap, wide[:, 0])) / np.log(2), process.prior_std > 1,
    )  # fmt: skip
    first = None
    for kind in ("flow", "reverse", "forward"):
        for event in paths(mixture, process, model, kind, OVERVIEW_PATHS, 200, ask.seed, first):
            if isinstance(event, Paths):
                if kind == "flow":
                    first = event.places[0, :OVERVIEW_SHOWN]
                event = Paths(kind, event.places[..., 0])
            yield event
