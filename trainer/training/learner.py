"""The learner: network, EMA copy and optimiser of one run, and what one training step does.

Every random draw is a function of (seed, step), so nothing about randomness needs saving: a resumed
run makes the very draws that an uninterrupted one would have made.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from trainer.config import ExperimentConfig
from trainer.denoiser import Denoiser, target
from trainer.devices import precision_of
from trainer.images import to_signed
from trainer.networks import make_network
from trainer.networks.lean import deepened
from trainer.problems import Problem
from trainer.processes import Process, spread
from trainer.runs.averages import WIDTHS, exponent
from trainer.runs.checkpoints import load_weights
from trainer.samplers.noise import nth
from trainer.training.loss import Objective
from trainer.training.optimiser import Muon, course, optimisers
from trainer.training.pairs import optimal
from trainer.training.parts import Parts, pieces

STATES = ("optimizer", "muon")  # what the optimisers' tensors are named after


Loss = Callable[[Tensor, Tensor], Tensor]
Optimiser = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


def squared_error(answer: Tensor, wanted: Tensor) -> Tensor:
    """(answer - wanted)², (B, C, H, W)."""
    return (answer - wanted).square()


class Learner:
    """Network, EMA copy and optimiser of one run, with one method a step."""

    def __init__(
        self,
        config: ExperimentConfig,
        process: Process,
        channels: int,
        device: str,
        loss: Loss = squared_error,
        optimiser: Optimiser | None = None,
    ) -> None:
        self.loss = loss
        self.config, self.process, self.device = config, process, device
        torch.manual_seed(config.seed)
        if device.startswith("cuda"):
            # Not cudnn.benchmark: it may choose other kernels, and other bits, after a resumption.
            torch.backends.cudnn.deterministic = True
        precision = precision_of(config.precision, device)
        self.network = make_network(config, channels, device)
        ema = make_network(config, channels, device)
        ema.load_state_dict(self.network.state_dict())
        self.network.train()
        self.ema = self._denoiser(ema, precision).eval()
        self.ema.requires_grad_(False)
        self.objective = Objective(
            process,
            config.prediction,
            config.loss_weighting,
            config.min_snr_gamma,
            (config.noise_mean, config.noise_std),
        )
        self.parts = Parts(self.network, pieces(config, device), device)
        self.models = [self._denoiser(network, precision) for network in self.parts.networks]
        fused = not device.startswith("mps")
        self.optimisers = (
            [optimiser(self.network.parameters())]
            if optimiser
            else optimisers(config, self.network, precision, fused)
        )
        self._rates = [optimiser.param_groups[0]["lr"] for optimiser in self.optimisers]
        mine, theirs = ema.state_dict(), self.network.state_dict()
        floats = [name for name, value in mine.items() if value.is_floating_point()]
        self._mine, self._theirs = [mine[n] for n in floats], [theirs[n] for n in floats]
        self.gammas = [exponent(width) for width in WIDTHS]
        self._powers = [[value.clone() for value in self._mine] for _ in WIDTHS]
        self._names = floats
        self.gradient_norm = torch.zeros(())

    def _denoiser(self, network: nn.Module, precision: torch.dtype) -> Denoiser:
        config = self.config
        return Denoiser(network, self.process, config.prediction, precision, config.conditioning)

    def step(self, images: Tensor, labels: Tensor | None, step: int, steps: int) -> Tensor:
        """One update on a batch, all ranks' together: uint8 images (B, C, H, W), labels (B,).

        Gives the loss, a scalar still on the device; `gradient_norm` is that before clipping. Every
        rank makes all the batch's draws. Part k takes every so-manieth image from the k-th on.
        """
        config, count = self.config, self.parts.count
        seed = nth(config.seed, step)
        torch.manual_seed(seed)  # what a network draws by itself
        generator = torch.Generator(self.device).manual_seed(seed)
        times = self.objective.times(len(images), generator)
        eps = torch.randn(images.shape, generator=generator, device=self.device)
        if config.optimal_pairs:
            eps = optimal(to_signed(images), eps, labels)
        if labels is not None:
            dropped = torch.rand(len(labels), generator=generator, device=self.device)
            labels = labels.masked_fill(dropped < config.label_dropout, -1)

        def losses(network: nn.Module, part: int) -> tuple[Tensor, Tensor]:
            rows = slice(part, None, count)
            classes = None if labels is None else labels[rows]
            model = self.models[self.parts.networks.index(network)]
            each = self._losses(model, to_signed(images[rows]), times[rows].t, eps[rows], classes)
            squares = self.objective.squares(times[rows], each.detach())
            return (times[rows].share * each).sum() / len(images), squares

        loss, squares = self.parts.gradients(losses, seed)
        self.objective.learn(times, squares)
        factor = course(config, step, steps)
        for optimiser, rate in zip(self.optimisers, self._rates, strict=True):
            optimiser.param_groups[0]["lr"] = rate * factor
        self.parts.each([self._clip])
        self.parts.each(
            [
                job
                for o in reversed(self.optimisers)
                for job in (o.jobs() if isinstance(o, Muon) else [o.step])
            ]
        )
        self.parts.each([lambda: self._follow(step)])
        return loss

    def _clip(self) -> None:
        clip = self.config.gradient_clip
        self.gradient_norm = nn.utils.clip_grad_norm_(self.network.parameters(), clip)

    def _losses(
        self, model: Denoiser, x0: Tensor, t: Tensor, eps: Tensor, labels: Tensor | None
    ) -> Tensor:
        """Each image's weighted loss, a mean over its pixels; (B,)."""
        answer = model.output(self.process.diffuse(x0, t, eps), t, labels)
        wanted = target(self.config.prediction, self.process, x0, eps, t)
        weight = spread(self.objective.weight(t), x0)
        return (weight * self.loss(answer, wanted)).flatten(1).mean(1)

    @torch.no_grad()
    def _follow(self, step: int) -> None:
        """Move the EMA weights; early on they average over fewer steps, so they start quickly."""
        rate = min(self.config.ema, (1 + step) / (20 + step))
        torch._foreach_lerp_(self._mine, self._theirs, 1 - rate)
        for gamma, power in zip(self.gammas, self._powers, strict=True):
            torch._foreach_lerp_(power, self._theirs, 1 - (1 - 1 / (step + 1)) ** (gamma + 1))

    @property
    def kind(self) -> str:
        """What optimises, by name: another one cannot go on from the state that it leaves."""
        return " and ".join(type(optimiser).__name__ for optimiser in self.optimisers)

    def state(self) -> dict[str, Tensor]:
        """Everything that resuming needs, as named tensors."""
        tensors = {f"network.{n}": v for n, v in self.network.state_dict().items()}
        tensors |= {f"ema.{n}": v for n, v in self.ema.network.state_dict().items()}
        tensors |= {f"averages.{name}": value for name, value in self.averages().items()}
        if self.objective.seen is not None:
            tensors |= {"objective.seen": self.objective.seen}
        for name, optimiser in zip(STATES, self.optimisers, strict=False):
            for index, values in optimiser.state_dict()["state"].items():
                tensors |= {f"{name}.{index}.{key}": value for key, value in values.items()}
        return tensors

    def restore(self, tensors: dict[str, Tensor], path: Path) -> None:
        """Put back what `state` gave."""

        def part(prefix: str) -> dict[str, Tensor]:
            return {n[len(prefix) :]: v for n, v in tensors.items() if n.startswith(prefix)}

        load_weights(self.network, part("network."), path)
        load_weights(self.ema.network, part("ema."), path)
        kept = part("averages.")
        for name, value in self.averages().items():
            if name in kept:  # not in states of before version 2
                value.copy_(kept[name])
        if self.objective.seen is not None and "objective.seen" in tensors:
            seen = tensors["objective.seen"]
            if seen.shape != self.objective.seen.shape:
                raise Problem(f"{path} is damaged: what it says of the losses has another shape.")
            self.objective.seen = seen.to(self.device)
        for name, optimiser in zip(STATES, self.optimisers, strict=False):
            parameters = optimiser.param_groups[0]["params"]
            moments: dict[int, dict[str, Tensor]] = {}
            for at, value in part(f"{name}.").items():
                index, key = at.split(".")
                # In the parameter's own memory layout: the fused kernel walks both side by side.
                one = parameters[int(index)].detach()
                held = torch.empty_like(one).copy_(value) if value.shape == one.shape else value
                moments.setdefault(int(index), {})[key] = held
            optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})

    def averages(self) -> dict[str, Tensor]:
        """The power functions' averages of the weights (trainer.runs.averages)."""
        return {
            f"{k}.{name}": value
            for k, power in enumerate(self._powers)
            for name, value in zip(self._names, power, strict=True)
        }

    def begin_as(self, weights: dict[str, Tensor], path: Path) -> None:
        """Begin with the weights of another training, of the file `path`; deeper if asked."""
        weights = deepened(weights, self.network)
        for network in (self.network, self.ema.network):
            load_weights(network, weights, path)

    def weights(self) -> dict[str, Tensor]:
        return self.ema.network.state_dict()


def refuse_labels(classes: int, most: int) -> None:
    """A Problem unless labels 0…most fit a network of that many classes."""
    if classes and most >= classes:
        raise Problem(
            f"The images have labels up to {most}, the network knows {classes} classes: "
            f"set classes to {most + 1}."
        )
