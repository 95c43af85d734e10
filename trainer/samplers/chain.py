"""Samplers that step between marginals, by draws from q(x_s | x_t, x0)."""

from torch import Tensor

from trainer.problems import Problem
from trainer.processes import Process, spread
from trainer.samplers.base import Sampler, Step, now


class Ancestral(Sampler):
    """DDPM ancestral sampling (Ho et al. 2020, algorithm 2), over any subset of the times.

    `variance`: "small" is the posterior's (beta-tilde), "large" the transition's (beta).
    """

    random = True

    def __init__(self, variance: str = "small") -> None:
        self.variance = variance

    def refuse(self, process: Process, times: Tensor) -> None:
        chain = process.chain_steps
        if chain is not None and len(times) - 1 > round(float(times[0]) * chain):
            there = round(float(times[0]) * chain)
            raise Problem(
                f"ddpm walks the chain's own timesteps: from t = {float(times[0]):g} there are "
                f"{there}, not {len(times) - 1}. Take fewer steps, or another sampler."
            )

    def step(self, at: Step) -> Tensor:
        if at.s == 0:
            return at.belief.x0
        t, s = now(at.t, at.x), now(at.s, at.x)
        mean, small = at.process.posterior(at.x, at.belief.x0, t, s)
        var = spread(small, at.x) if self.variance == "small" else at.transition()[1]
        return mean + var.sqrt() * at.fresh()


class DDIM(Sampler):
    """DDIM (Song, Meng and Ermon 2021, arXiv:2010.02502, equation 12).

    eta = 0 is deterministic; eta = 1 adds as much noise as the ancestral sampler.
    """

    def __init__(self, eta: float = 0.0) -> None:
        self.eta = eta
        self.random = eta > 0

    def step(self, at: Step) -> Tensor:
        alpha, sigma = at.level(at.s)
        if self.eta == 0 or at.s == 0:
            return alpha * at.belief.x0 + sigma * at.belief.eps
        t, s = now(at.t, at.x), now(at.s, at.x)
        _, var = at.process.posterior(at.x, at.belief.x0, t, s)
        fresh = self.eta * spread(var.sqrt(), at.x)
        kept = (sigma**2 - fresh**2).clamp_min(0).sqrt()
        return alpha * at.belief.x0 + kept * at.belief.eps + fresh * at.fresh()
