"""Muon: gradient descent whose every step has the same size in every direction of a matrix.

Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon): the momentum of a weight matrix is
replaced by the nearest (semi-)orthogonal matrix, which a few Newton-Schulz iterations come close
to. Scaled as Liu et al. 2025 do (arXiv:2502.16982, equation 4), a step is as large as Adam's, so
both take one learning rate. It is for matrices, convolutions flattened to one a layer; biases,
norms and layers of a few channels stay Adam's.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

# Jordan et al.: as steep at 0 as keeps singular values in 0…1 within about 0.7…1.2 for good.
QUINTIC = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
ADAM_SIZE = 0.2  # the root mean square of Adam's steps in units of the learning rate


def orthogonalised(matrices: Tensor) -> Tensor:
    """Each of the matrices (N, R, C) with all its singular values brought near 1; like them.

    On a GPU the products run in bfloat16: the iteration forgives rounding.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    if x.is_cuda:
        x = x.bfloat16()
    a, b, c = QUINTIC
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if tall else x).to(matrices.dtype)


def is_hidden(weight: Tensor) -> bool:
    """Whether a weight is a matrix between two layers of some width, the kind Muon is for."""
    return weight.dim() >= 2 and min(len(weight), weight[0].numel()) >= 16


class Muon(torch.optim.Optimizer):
    """Steps of weights (R, …), each flattened to a matrix (R, C), whatever its memory layout."""

    def __init__(
        self,
        weights: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update from the gradients that are there; weights without one stay as they are."""
        assert closure is None, "Muon takes no closure"
        for group in self.param_groups:
            shapes: dict[tuple[int, int], list[nn.Parameter]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    shapes.setdefault((len(weight), weight[0].numel()), []).append(weight)
            for (rows, columns), weights in shapes.items():
                looks = torch.stack([self._look_ahead(w, group).flatten(1) for w in weights])
                size = ADAM_SIZE * max(rows, columns) ** 0.5
                for weight, step in zip(weights, orthogonalised(looks), strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.add_(step.view(weight.shape), alpha=-group["lr"] * size)

    def _look_ahead(self, weight: nn.Parameter, group: dict[str, Any]) -> Tensor:
        """Nesterov's momentum: where the average of the gradients will be one step on."""
        assert weight.grad is not None
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        average: Tensor = state["momentum"]
        average.lerp_(weight.grad, 1 - group["momentum"])
        return weight.grad.lerp(average, group["momentum"])
