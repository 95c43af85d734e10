"""Data x_0 ~ N(mean, std² I): every score and likelihood is known in closed form."""

import torch

from trainer.processes import spread


class GaussianModel:
    """The exact model(x, t) -> eps for N(mean, std² I) under a process."""

    def __init__(self, process, mean: float, std: float) -> None:
        self.process, self.mean, self.std = process, mean, std

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        alpha, sigma = (spread(v, x) for v in self.process.marginal(t))
        return sigma * (x - alpha * self.mean) / (alpha**2 * self.std**2 + sigma**2)
