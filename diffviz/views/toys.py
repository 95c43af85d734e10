"""What the views of toys share: a process, paths through it, and the units that they are shown in.

Places are in the view's units: x / sqrt(alpha² + sigma²) under a process whose prior is wider than
the data (VE), where the picture would otherwise shrink to a point; x itself elsewhere.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.ask import Ask, setting
from trainer.catalogue import PROCESSES, Entry
from trainer.config import MOST_SEED

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.denoiser import Model
    from trainer.exact import Mixture
    from trainer.processes import Process

# What version 1 stored, titles, as processes.
OLD_PROCESSES = {
    "VP SDE": "vp", "Sub-VP SDE": "sub-vp", "VE SDE": "ve", "DDPM, linear, T = 300": "ddpm-linear",
    "DDPM, cosine, T = 300": "ddpm-cosine", "Rectified flow": "flow",
}  # fmt: skip
CHAIN = 300  # the steps of a chain unless said otherwise: linear betas then leave signal at t = 1
FRAMES = 101  # moments of t, from 0 to 1, that are on view
SIGNAL_LEFT = 1e-3  # a terminal SNR above this leaves the prior visibly wrong
REACH = {1: 4.5, 2: 3.0}  # how far the view reaches from 0, by the number of dimensions


class ToyProcesses(Mapping[str, Entry]):
    """The catalogue's processes, whatever they are, but for chains' default number of steps."""

    def __getitem__(self, name: str) -> Entry:
        entry = PROCESSES[name]
        options = (replace(o, default=CHAIN) if o.name == "steps" else o for o in entry.options)
        return replace(entry, options=tuple(options)) if entry.chain else entry

    def __iter__(self) -> Iterator[str]:
        return iter(PROCESSES)

    def __len__(self) -> int:
        return len(PROCESSES)


@dataclass(frozen=True)
class Toy(Ask):
    """A known distribution under a process, at the slider's t."""

    # fmt: off
    process: str = setting("vp", "Process", "How noise is added over time", choices=ToyProcesses())
    parameters: dict[str, Any] = setting(
        {}, "Process' options", "What the process takes", of="process", more=True,
    )
    seed: int = setting(
        0, "Seed", "The randomness of shape, paths and network", least=0, most=MOST_SEED,
    )
    t: float = setting(0.5, "t", "Where the slider stands: 1 is noise", least=0, most=1)
    # fmt: on

    @classmethod
    def migrate(cls, values: dict[str, Any], version: int) -> dict[str, Any]:
        if version > 1:
            return values
        return {**values, "process": OLD_PROCESSES[values["process"]]}

    def made(self) -> "Process":
        """The process that is asked for."""
        from trainer.processes import make_process

        return make_process(self.process, self.filled("parameters"))


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
