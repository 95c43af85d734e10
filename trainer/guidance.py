"""Guidance: a model's answer moved away from that of a worse one."""

import math
from dataclasses import dataclass

from torch import Tensor

from trainer.denoiser import Model, Prediction, knows_x0, passes, predict
from trainer.processes import Process, spread


@dataclass(frozen=True)
class Guided:
    """bad + scale (good - bad), a model like any other, of two models of one process.

    Asked for a class while the bad one is the same model asked for none it is classifier-free
    guidance (Ho and Salimans 2022, arXiv:2207.12598). A bad model that is less trained, or smaller,
    asked for the same class or both for none, is autoguidance (Karras et al. 2024,
    arXiv:2406.02507). Scale 1 is the good model alone, 0 the bad one.

    It counts only where sigma / alpha lies in [`least`, `most`], elsewhere the good model answers
    alone, in one pass (the guidance interval of Kynkäänniemi et al. 2024, arXiv:2404.07724). At one
    (x, t), x0, eps, v and the score are affine in each other, and the two weights add up to 1: it
    is the same guidance in any of them, and holds at alpha = 0 where both models tell x0 there.
    """

    good: Model
    bad: Model
    process: Process
    scale: float
    least: float = 0.0
    most: float = math.inf

    def inside(self, t: Tensor) -> Tensor:
        """Whether guidance counts at each t (B,): bool (B,)."""
        alpha, sigma = self.process.marginal(t)
        # Not as a quotient: where alpha = 0 the level is infinite, inside if nothing bounds it.
        below = sigma <= self.most * alpha if self.most < math.inf else sigma >= 0
        return below & (sigma >= self.least * alpha)

    def passes(self, t: Tensor) -> int:
        """How many passes of networks an evaluation at t (B,) takes."""
        twice = self.scale != 1 and bool(self.inside(t).any())
        return passes(self.good, t) + (passes(self.bad, t) if twice else 0)

    @property
    def knows_x0(self) -> bool:
        return knows_x0(self.good) and knows_x0(self.bad)

    def predict(self, x: Tensor, t: Tensor) -> Prediction:
        """x0 and eps at x (B, …), t (B,), each like x."""
        good, inside = predict(self.good, self.process, x, t), self.inside(t)
        if self.scale == 1 or not bool(inside.any()):
            return good
        bad = predict(self.bad, self.process, x, t)
        more = spread((self.scale - 1) * inside.to(x), x)
        x0, eps = good.x0 + more * (good.x0 - bad.x0), good.eps + more * (good.eps - bad.eps)
        return Prediction(x0, eps)

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        return self.predict(x, t).eps
