"""Multistep samplers: x0 as a polynomial in log-SNR through earlier answers, integrated exactly."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.processes import Process
from trainer.samplers.base import Sampler, Step

_PLACES, _WEIGHTS = np.polynomial.legendre.leggauss(32)
_PLACES, _WEIGHTS = (_PLACES - 1) / 2, _WEIGHTS / 2  # of [-1, 0]


@dataclass(frozen=True)
class Level:
    """alpha and sigma at a time, as numbers; the clean data, (1, 0), at t = 0."""

    alpha: float
    sigma: float

    @classmethod
    def at(cls, process: Process, t: Tensor) -> "Level":
        if not t > 0:
            return cls(1.0, 0.0)
        return cls(*(float(value) for value in process.marginal(t.double().cpu().view(1))))

    @property
    def place(self) -> float:
        """lambda = log(alpha / sigma), infinite at either end."""
        if self.alpha > 0 and self.sigma > 0:
            return math.log(self.alpha / self.sigma)
        return -math.inf if self.sigma > 0 else math.inf


def integrals(h: float, places: list[float]) -> np.ndarray:
    """Weights c of values at `places` (n,), distinct, in the integral over [-1, 0] of e^(h v) times
    the polynomial through them: sum_j c_j places_j^k = int e^(h v) v^k dv for k < n."""
    powers = np.arange(len(places))[:, None]
    moments = (np.exp(h * _PLACES) * _PLACES**powers) @ _WEIGHTS
    found: np.ndarray = np.linalg.solve(np.array(places) ** powers, moments)
    return found


class SASolver(Sampler):
    """SA-Solver (Xue et al. 2023, arXiv:2309.05019): stochastic Adams, one evaluation a step.

    With lambda = log(alpha / sigma), h its growth over the step and tau the noise's strength,
        x_s = (sigma_s / sigma_t) e^(-tau² h) x + sigma_s sqrt(1 - e^(-2 tau² h)) z
              + sigma_s (1 + tau²) int e^(lambda - tau² (lambda_s - lambda)) x0(lambda) dlambda,
    which is exact for the ODE at tau 0 and for the reverse-time SDE at tau 1; of any tau the
    marginals are the process's. The predictor lets x0 be the polynomial through its last `points`
    answers; once there is an answer at s, the corrector takes the step again through that one too,
    with the same z, and the next step starts from there. `tau` counts while sigma / alpha lies in
    [`tau_from`, `tau_to`]. What was changed meanwhile (inpainting) is not corrected.
    """

    def __init__(
        self, tau: float = 1.0, tau_from: float = 0.0, tau_to: float = 1e6, points: int = 2
    ) -> None:
        self.tau, self.tau_from, self.tau_to = tau, tau_from, tau_to
        self.points = points
        self.random = tau > 0

    def step(self, at: Step) -> Tensor:
        t, s = (Level.at(at.process, time) for time in (at.t, at.s))
        memory, x, answer = at.memory, at.x, (t.place, at.belief.x0)
        answers = [one for one in memory.get("answers", ()) if one[0] < t.place] + [answer]
        if (predicted := memory.get("predicted")) is not None:
            (before, then), (tau, z) = memory["from"], memory["noise"]
            x = torch.where(x == predicted, self.move(before, then, answers, t, tau, z), x)
        answers = [one for one in answers if math.isfinite(one[0])][-self.points :] or [answer]
        there = t.sigma <= self.tau_to * t.alpha and t.sigma >= self.tau_from * t.alpha
        tau = self.tau if there else 0.0
        z = at.fresh() if tau > 0 and s.sigma > 0 else torch.zeros_like(x)
        found = self.move(x, t, answers, s, tau, z)
        kept = found if math.isfinite(t.place) else None
        memory |= {"answers": answers, "from": (x, t), "noise": (tau, z), "predicted": kept}
        return found

    def move(
        self,
        x: Tensor,
        t: Level,
        answers: list[tuple[float, Tensor]],
        s: Level,
        tau: float,
        noise: Tensor,
    ) -> Tensor:
        """From x at t to s, x0 being the polynomial through `answers` (lambda, x0)."""
        h = s.place - t.place
        if not h > 0:  # a chain may not tell two times that are very near
            return x
        faded = math.exp(-(tau**2) * h) if tau > 0 else 1.0
        kept = s.sigma / t.sigma * faded
        if math.isinf(h):  # from pure noise, or to the data: x0 stays as it is
            moved = (s.alpha - kept * t.alpha) * answers[-1][1]
        else:
            places = [(place - s.place) / h for place, _ in answers]
            rate = (1 + tau**2) * h
            weights = s.alpha * rate * integrals(rate, places)
            moved = torch.zeros_like(x)
            for weight, (_, x0) in zip(weights, answers, strict=True):
                moved = moved + float(weight) * x0
        return kept * x + moved + s.sigma * math.sqrt(1 - faded**2) * noise


class UniPC(SASolver):
    """UniPC (Zhao et al. 2023, arXiv:2302.04867): SA-Solver without noise, for the ODE.

    The predictor is of order `points`, the corrector of one more. Its coefficients are solved for,
    so that the paper's B(h) cancels, as it does in UniPC of order 3 there.
    """

    order = 3

    def __init__(self, points: int = 2) -> None:
        super().__init__(tau=0.0, points=points)
