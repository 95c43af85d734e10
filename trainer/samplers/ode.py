"""Samplers of the probability-flow ODE: the process's marginals without randomness."""

import torch
from torch import Tensor

from trainer import ode
from trainer.denoiser import Prediction
from trainer.processes import Process
from trainer.samplers.base import Sampler, Step, level, now


class ProbabilityFlow(Sampler):
    """Euler on the probability-flow ODE in t (Song et al. 2021, equation 13), deterministic."""

    leaves_noise = True

    def step(self, at: Step) -> Tensor:
        velocity = ode.velocity(at.process, at.belief, now(at.t, at.x))
        return at.x - float(at.t - at.s) * velocity


def on_circle(process: Process, t: Tensor, belief: Prediction) -> tuple[Tensor, Tensor, Tensor]:
    """(r, a, v) at t: alpha = r cos(a), sigma = r sin(a), v = cos(a) eps - sin(a) x0."""
    alpha, sigma = level(process, t, belief.x0)
    r = torch.hypot(alpha, sigma)
    v = (alpha * belief.eps - sigma * belief.x0) / r
    return r, torch.atan2(sigma, alpha), v


class Heun(Sampler):
    """Heun on the probability-flow ODE (Karras et al. 2022, arXiv:2206.00364, algorithm 1).

    With r = sqrt(alpha² + sigma²) and the angle a = atan(sigma / alpha), the ODE of y = x/r is
    dy/da = v = cos(a) eps - sin(a) x0, whatever the process, and finite at alpha = 0. The trapezoid
    y + tan(da / 2) (v + v at s) is exact where x0 and eps stay constant, as DDIM is. Two
    evaluations a step, one for a step to 0.
    """

    order = 2

    def step(self, at: Step) -> Tensor:
        alpha, sigma = at.level(at.s)
        euler = alpha * at.belief.x0 + sigma * at.belief.eps
        if at.s == 0:
            return euler
        r, angle, v = on_circle(at.process, at.t, at.belief)
        next_r, next_angle, next_v = on_circle(at.process, at.s, at.believe(euler, at.s))
        return next_r * (at.x / r + torch.tan((next_angle - angle) / 2) * (v + next_v))


class DPMSolver(Sampler):
    """DPM-Solver++ 2M (Lu et al. 2022, arXiv:2211.01095, algorithm 2), one evaluation a step.

    With lambda = log(alpha/sigma) and h its growth over the step, x_s = (sigma_s/sigma_t) x -
    alpha_s (e^-h - 1) D, D = x0 + (x0 - x0 before) h / (2 h before). The first and last steps take
    D = x0.
    """

    order = 2

    def step(self, at: Step) -> Tensor:
        (alpha, sigma), (next_alpha, next_sigma) = at.level(at.t), at.level(at.s)
        h = (next_alpha / next_sigma).log() - (alpha / sigma).log()
        guess = at.belief.x0
        if "before" in at.memory and at.s > 0:
            earlier, earlier_h = at.memory["before"]
            guess = guess + (guess - earlier) * h / (2 * earlier_h)
        at.memory["before"] = at.belief.x0, h
        # -alpha_s (e^-h - 1), in a form that is finite at alpha = 0 and at sigma = 0.
        kept = next_sigma / sigma
        return kept * at.x + (next_alpha - kept * alpha) * guess


class RK45(Sampler):
    """Adaptive RK45 on the probability-flow ODE (Song et al. 2021, appendix D.4).

    The solver chooses its own steps, the same for the whole batch; frames lie on the times by its
    dense output and cost no evaluations. It ends at the process's `earliest` time, and goes to 0 by
    the x0 there. It begins anew where the state has been changed meanwhile (inpainting).
    """

    order = 5
    adaptive = True

    def __init__(self, tolerance: float = 1e-4) -> None:
        self.tolerance = tolerance

    def believe(self, step: Step) -> Prediction:
        if step.memory.get("x") is not step.x:
            wanted = step.times[step.index :].clone()
            if wanted[-1] == 0:
                wanted[-1] = min(step.process.earliest, float(wanted[-2]) / 2)
            flow = ode.flow(step.believe, step.process, step.x, wanted, self.tolerance)
            step.memory["flow"] = flow
            _, step.memory["guess"] = next(flow)
        guess = step.memory["guess"]
        alpha, sigma = step.level(step.t)
        return Prediction(guess, (step.x - alpha * guess) / sigma)

    def step(self, at: Step) -> Tensor:
        state: Tensor
        guess: Tensor
        state, guess = next(at.memory["flow"])
        at.memory |= {"x": state, "guess": guess}
        return guess if at.s == 0 else state
