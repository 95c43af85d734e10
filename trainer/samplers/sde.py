"""Samplers of the reverse-time SDE: dx = [f(x, t) - g(t)² score] dt + g(t) dw, from t = 1 down."""

import math

from torch import Tensor

from trainer.denoiser import score
from trainer.problems import Problem
from trainer.processes import Process, spread
from trainer.samplers.base import Sampler, Step, noisy, now
from trainer.samplers.ode import Heun


class EulerMaruyama(Sampler):
    """Euler-Maruyama on the reverse-time SDE (Song et al. 2021, equation 6).

    Where sigma(s) = 0 the step ends in the model's x0: Euler's own would leave noise that can be
    seen (Jolicoeur-Martineau et al. 2021, arXiv:2009.05475).
    """

    random = leaves_noise = True

    def refuse(self, process: Process, times: Tensor) -> None:
        f, _ = process.coefficients(times[:1].double())
        if not float(-f * (times[0] - times[1])) <= 10:
            raise Problem(
                "euler-maruyama blows up on this process: its drift and diffusion grow without "
                "bound as t -> 1, where alpha nears 0. Use ddpm or reverse-diffusion, which step "
                "between marginals instead, or start at a smaller t."
            )

    def step(self, at: Step) -> Tensor:
        if not noisy(at.process, at.s, at.x):
            return at.belief.x0
        t, h = now(at.t, at.x), float(at.t - at.s)
        drift, g = at.process.sde(at.x, t)
        sigma = at.process.marginal(t)[1]
        reverse = drift - spread(g**2, at.x) * score(at.belief.eps, sigma)
        x: Tensor = at.x - h * reverse + spread(g, at.x) * h**0.5 * at.fresh()
        return x


def langevin(x: Tensor, eps: Tensor, a: Tensor, sigma: Tensor, snr: float, noise: Tensor) -> Tensor:
    """One step of Langevin dynamics at x (Song et al. 2021, algorithms 4 and 5), like x.

    x + e score + sqrt(2 e) z with e = 2 a² (snr |z| / |score|)², norms averaged over the batch;
    a² is the step's 1 - beta (1 for VE). a and sigma broadcast over x; `noise` z is N(0, I).
    """
    gradient = -eps / sigma
    size = noise.flatten(1).norm(dim=1).mean() / gradient.flatten(1).norm(dim=1).mean()
    step: Tensor = 2 * a**2 * (snr * size) ** 2
    return x + step * gradient + (2 * step).sqrt() * noise


class PredictorCorrector(Sampler):
    """Predictor-corrector sampling (Song et al. 2021, algorithm 1), corrector first as in its code.

    `corrections` Langevin steps at t with signal-to-noise ratio `snr`, then the reverse diffusion
    predictor to s (appendix E, equation 46): the forward step q(x_t | x_s) = N(a x, v I) is run
    backwards as x_s = (2 - a) x + v score + sqrt(v) z; where sigma(s) = 0 it ends in the model's
    x0. corrections + 1 evaluations a step.
    """

    random = leaves_noise = True

    def __init__(self, snr: float = 0.16, corrections: int = 1) -> None:
        self.snr, self.corrections = snr, corrections

    def step(self, at: Step) -> Tensor:
        a, var = at.transition()
        _, sigma = at.level(at.t)
        x, belief = at.x, at.belief
        for _ in range(self.corrections):
            x = langevin(x, belief.eps, a, sigma, self.snr, at.noise.extra().to(x))
            belief = at.believe(x, at.t)
        if not noisy(at.process, at.s, x):
            return belief.x0
        return (2 - a) * x - var / sigma * belief.eps + var.sqrt() * at.fresh()


class ReverseDiffusion(PredictorCorrector):
    """The reverse diffusion predictor alone (Song et al. 2021, appendix E, equation 46)."""

    def __init__(self) -> None:
        super().__init__(corrections=0)


class StochasticHeun(Heun):
    """Stochastic Heun (Karras et al. 2022, arXiv:2206.00364, algorithm 2) for any process.

    Before each step whose sigma/alpha lies within [`churn_from`, `churn_to`] the noise is raised to
    (1 + g) sigma/alpha, g = min(churn / steps, 2^½ - 1); the frame shows that state.
    """

    def __init__(
        self,
        churn: float = 40.0,
        churn_noise: float = 1.0,
        churn_from: float = 0.0,
        churn_to: float = 1e6,
    ) -> None:
        self.churn, self.churn_noise = churn, churn_noise
        self.churn_from, self.churn_to = churn_from, churn_to
        self.random = churn > 0

    def lift(self, step: Step) -> None:
        grow = 1 + min(self.churn / step.steps, 2**0.5 - 1)
        alpha, sigma = (float(value.flatten()[0]) for value in step.level(step.t))
        there = sigma / alpha if alpha > 0 else math.inf
        if grow == 1 or not self.churn_from <= there <= self.churn_to:
            return
        process, t = step.process, step.t
        raised = process.time_at(process.log_snr(t.double().view(1)) - 2 * math.log(grow))
        risen = raised.to(t)[0]
        if t < risen < 1:
            a, var = process.transition(now(t, step.x), now(risen, step.x))
            fresh = self.churn_noise * spread(var.sqrt(), step.x)
            noise = step.noise.extra().to(step.x)
            step.x, step.t = spread(a, step.x) * step.x + fresh * noise, risen
