"""The optimisers, and the learning rate's course."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from trainer.config import ExperimentConfig

# What Muon leaves to AdamW: layers at the ends, and what time and class enter by. A network names
# its modules so (trainer.networks).
ENDS = ("stem", "head", "conditioning", "film", "time")
# Jordan 2024: x -> a x + b x³ + c x⁵ five times carries every singular value in ]0, 1] near 1.
QUINTIC = (3.4445, -4.7750, 2.0315)
MUON_MOMENTUM = 0.95


def course(config: ExperimentConfig, step: int, steps: int) -> float:
    """What the learning rates are multiplied by: linear warm-up, a plateau, then a cosine fall over
    the last `decay_fraction` of the steps.

    A run that is resumed for more epochs has the rate that the new number of steps gives at its
    step: it rises again if it had begun to fall.
    """
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    decay = config.decay_fraction * steps
    left = steps - step
    return warm if left >= decay else warm * 0.5 * (1 - math.cos(math.pi * left / decay))


def orthogonal(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """The nearest (semi-)orthogonal matrices, roughly: singular values of about 0.7 to 1.2.

    matrices (N, rows, columns); five Newton-Schulz steps in `dtype` (Jordan et al. 2024, Muon).
    """
    a, b, c = QUINTIC
    x = matrices.to(dtype)
    tall = x.shape[1] > x.shape[2]
    x = x.transpose(1, 2) if tall else x
    x = x / (torch.linalg.matrix_norm(x.float(), keepdim=True) + 1e-7).to(dtype)
    for _ in range(5):
        square = x @ x.transpose(1, 2)
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return (x.transpose(1, 2) if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal, for the matrices inside a network: (out, in · k · k) of a layer.

    Jordan et al. 2024, https://kellerjordan.github.io/posts/muon: each update moves every direction
    of a layer alike, at a length that `lr` and the matrix' shape alone decide. `groups` of one
    shape are made orthogonal together.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, dtype: torch.dtype
    ) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})
        self.dtype = dtype
        shapes: dict[tuple[int, int], list[nn.Parameter]] = {}
        for parameter in self.param_groups[0]["params"]:
            rows = parameter.shape[0]
            shapes.setdefault((rows, parameter.numel() // rows), []).append(parameter)
        self.shapes = shapes

    def jobs(self) -> list[Callable[[], None]]:
        """The update, as pieces that may run on several threads at once: one a shape."""
        return [lambda p=p: self._update(p) for p in self.shapes.values()]  # type: ignore[misc]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update the parameters."""
        for job in self.jobs():
            job()

    @torch.no_grad()
    def _update(self, parameters: list[nn.Parameter]) -> None:
        group = self.param_groups[0]
        rows = parameters[0].shape[0]
        gradients = [p.grad for p in parameters if p.grad is not None]
        momenta = [self.state[p].setdefault("momentum", torch.zeros_like(p)) for p in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - MUON_MOMENTUM)
        ahead = torch._foreach_lerp(gradients, momenta, MUON_MOMENTUM)
        flat = torch.stack([_matrix(g) for g in ahead])
        update = orthogonal(flat, self.dtype)
        scale = max(1.0, rows / flat.shape[2]) ** 0.5
        torch._foreach_mul_(list[Tensor](parameters), 1 - group["lr"] * group["weight_decay"])
        for parameter, found in zip(parameters, update, strict=True):
            parameter.add_(_weight(found, parameter), alpha=-group["lr"] * scale)


def _matrix(weight: Tensor) -> Tensor:
    """weight (out, in, …) as (out, everything): of a convolution in the order of its memory."""
    if weight.dim() == 4:
        weight = weight.permute(0, 2, 3, 1)
    return weight.reshape(weight.shape[0], -1)


def _weight(matrix: Tensor, like: Tensor) -> Tensor:
    """What `_matrix` made, in the shape of `like` again."""
    if like.dim() != 4:
        return matrix.view(like.shape)
    out, inner, high, wide = like.shape
    return matrix.view(out, high, wide, inner).permute(0, 3, 1, 2)


def optimisers(
    config: ExperimentConfig, network: nn.Module, dtype: torch.dtype, fused: bool
) -> list[torch.optim.Optimizer]:
    """AdamW for everything, or Muon for the matrices inside and AdamW for the rest."""
    named = list(network.named_parameters())
    inside = [
        parameter
        for name, parameter in named
        if config.optimiser == "muon"
        and parameter.dim() >= 2
        and not any(part.startswith(ENDS) for part in name.split("."))
    ]
    chosen = {id(parameter) for parameter in inside}
    rest = [parameter for _, parameter in named if id(parameter) not in chosen]
    found: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(
            rest, lr=config.learning_rate, weight_decay=config.weight_decay, fused=fused
        )
    ]
    if inside:
        found.append(Muon(inside, config.muon_rate, config.weight_decay, dtype))
    return found
