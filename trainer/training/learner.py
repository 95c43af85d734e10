"""The learner: network, EMA copy and optimiser of one run, and what one training step does.

Every random draw is a function of (seed, step), so nothing about randomness needs saving: a resumed
run makes the very draws that an uninterrupted one would have made.
"""

import contextlib
import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from trainer.config import ExperimentConfig
from trainer.denoiser import Denoiser, target
from trainer.devices import precision_of
from trainer.images import to_signed
from trainer.networks import make_network
from trainer.problems import Problem
from trainer.processes import Process, spread
from trainer.runs.checkpoints import load_weights
from trainer.training.distributed import shared, team
from trainer.training.loss import Objective


def learning_rate(config: ExperimentConfig, step: int, steps: int) -> float:
    """Linear warm-up, a plateau, then a cosine fall over the last `decay_fraction` of the steps."""
    rate = config.learning_rate * min(1.0, (step + 1) / max(1, config.warmup_steps))
    decay = config.decay_fraction * steps
    left = steps - step
    return rate if left >= decay else rate * 0.5 * (1 - math.cos(math.pi * left / decay))


class Learner:
    """Network, EMA copy and optimiser of one run, with one method a step."""

    def __init__(self, config: ExperimentConfig, process: Process, channels: int, device: str):
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
        self.model = Denoiser(shared(self.network), process, config.prediction, precision)
        self.ema = Denoiser(ema, process, config.prediction, precision).eval()
        self.ema.requires_grad_(False)
        self.objective = Objective(
            process, config.prediction, config.loss_weighting, config.min_snr_gamma
        )
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=not device.startswith("mps"),
        )
        mine, theirs = ema.state_dict(), self.network.state_dict()
        floats = [name for name, value in mine.items() if value.is_floating_point()]
        self._mine, self._theirs = [mine[n] for n in floats], [theirs[n] for n in floats]

    def step(self, images: Tensor, labels: Tensor | None, step: int, steps: int) -> Tensor:
        """One update on a batch, all ranks' together: uint8 images (B, C, H, W), labels (B,).

        Gives the loss, a scalar still on the device. Every rank makes all the batch's draws and
        takes its share of each of the `accumulation` parts.
        """
        config = self.config
        seed = config.seed * 1_000_003 + step
        torch.manual_seed(seed)  # what dropout draws from
        generator = torch.Generator(self.device).manual_seed(seed)
        t = self.objective.times(len(images), generator)
        eps = torch.randn(images.shape, generator=generator, device=self.device)
        if labels is not None:
            dropped = torch.rand(len(labels), generator=generator, device=self.device)
            labels = labels.masked_fill(dropped < config.label_dropout, -1)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, step, steps)
        self.optimizer.zero_grad(set_to_none=True)
        ours = team()
        loss = torch.zeros((), device=self.device)
        parts = torch.arange(len(images), device=self.device).tensor_split(config.accumulation)
        for part in parts:
            rows = ours.share(part)
            x0 = to_signed(images[rows])
            classes = None if labels is None else labels[rows]
            with self._together(part is parts[-1]):
                sum_of_losses = self._losses(x0, t[rows], eps[rows], classes).sum() / len(images)
                # DistributedDataParallel averages over ranks where a sum is wanted.
                (sum_of_losses * ours.size).backward()
            loss += sum_of_losses.detach()
        nn.utils.clip_grad_norm_(self.network.parameters(), config.gradient_clip)
        self.optimizer.step()
        self._follow(step)
        return ours.total(loss)

    def _losses(self, x0: Tensor, t: Tensor, eps: Tensor, labels: Tensor | None) -> Tensor:
        """Each image's weighted loss, a mean over its pixels; (B,)."""
        answer = self.model.output(self.process.diffuse(x0, t, eps), t, labels)
        wanted = target(self.config.prediction, self.process, x0, eps, t)
        weight = spread(self.objective.weight(t), x0)
        return (weight * (answer - wanted).square()).flatten(1).mean(1)

    def _together(self, last: bool) -> contextlib.AbstractContextManager[None]:
        """Gradients are exchanged in the last part only."""
        network = self.model.network
        if isinstance(network, DistributedDataParallel) and not last:
            return network.no_sync()
        return contextlib.nullcontext()

    @torch.no_grad()
    def _follow(self, step: int) -> None:
        """Move the EMA weights; early on they average over fewer steps, so they start quickly."""
        rate = min(self.config.ema, (1 + step) / (20 + step))
        torch._foreach_lerp_(self._mine, self._theirs, 1 - rate)

    def state(self) -> dict[str, Tensor]:
        """Everything that resuming needs, as named tensors."""
        tensors = {f"network.{n}": v for n, v in self.network.state_dict().items()}
        tensors |= {f"ema.{n}": v for n, v in self.ema.network.state_dict().items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": value for key, value in values.items()}
        return tensors

    def restore(self, tensors: dict[str, Tensor], path: Path) -> None:
        """Put back what `state` gave."""

        def part(prefix: str) -> dict[str, Tensor]:
            return {n[len(prefix) :]: v for n, v in tensors.items() if n.startswith(prefix)}

        load_weights(self.network, part("network."), path)
        load_weights(self.ema.network, part("ema."), path)
        parameters = self.optimizer.param_groups[0]["params"]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in part("optimizer.").items():
            index, key = name.split(".")
            # In the parameter's own memory layout: the fused kernel walks both side by side.
            layout = torch.empty_like(parameters[int(index)]).detach() if value.dim() else value
            moments.setdefault(int(index), {})[key] = layout.copy_(value)
        whole = self.optimizer.state_dict()
        self.optimizer.load_state_dict({**whole, "state": moments})

    def weights(self) -> dict[str, Tensor]:
        return self.ema.network.state_dict()


def refuse_labels(classes: int, most: int) -> None:
    """A Problem unless labels 0…most fit a network of that many classes."""
    if classes and most >= classes:
        raise Problem(
            f"The images have labels up to {most}, the network knows {classes} classes: "
            f"set classes to {most + 1}."
        )
