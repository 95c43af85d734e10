"""The probability-flow ODE, solved adaptively: one solver for sampling, encoding and likelihood.

dx/dt = alpha'(t) x0(x, t) + sigma'(t) eps(x, t)   (Song et al. 2021, arXiv:2011.13456, equation 13)
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from trainer.denoiser import Beliefs, Prediction
from trainer.problems import Problem
from trainer.processes import Process, spread

if TYPE_CHECKING:
    from scipy.integrate import DenseOutput


def velocity(process: Process, belief: Prediction, t: Tensor) -> Tensor:
    """dx/dt of the probability-flow ODE, like x, at t > 0 of shape (B,) or (1,)."""
    alpha, sigma = (spread(slope, belief.x0) for slope in process.slopes(t))
    return alpha * belief.x0 + sigma * belief.eps


def solve(
    slope: Callable[[float, np.ndarray], np.ndarray],
    start: float,
    end: float,
    state: np.ndarray,
    tolerance: float,
) -> "Iterator[tuple[float, float, DenseOutput]]":
    """Dormand and Prince's RK45 from `start` to `end`, in either direction.

    Yields (t before, t after, the state between as a function of t) for every accepted step. The
    last call of `slope` before each is at its end. `tolerance` is relative and absolute.
    """
    from scipy.integrate import RK45  # half a second, which most samplers can do without

    if not tolerance > 0:
        raise Problem(f"The solver's tolerance must be above 0, not {tolerance:g}.")
    solver = RK45(slope, start, state, end, rtol=tolerance, atol=tolerance)
    while solver.status == "running":
        before = solver.t
        solver.step()
        if solver.status == "failed" or not np.isfinite(solver.y).all():
            raise Problem(
                f"The probability-flow ODE cannot be solved beyond t = {before:.3g} to the "
                f"tolerance of {tolerance:g}: the model is not smooth there. Allow a larger one."
            )
        yield before, solver.t, solver.dense_output()


def flow(
    believe: Beliefs, process: Process, x: Tensor, times: Tensor, tolerance: float
) -> Iterator[tuple[Tensor, Tensor]]:
    """(x, x0) along the ODE from x (B, …) at each of `times`, rising or falling, all above 0.

    Between the solver's own steps x comes from its dense output, and x0 is interpolated: frames
    cost no evaluations.
    """
    guesses: list[Tensor] = []

    def slope(time: float, flat: np.ndarray) -> np.ndarray:
        state = torch.from_numpy(flat).to(x).view(x.shape)
        belief = believe(state, time)
        guesses.append(belief.x0)
        now = torch.tensor([time]).to(x)
        return velocity(process, belief, now).flatten().double().cpu().numpy()

    wanted = times.tolist()
    place = 0
    flat = x.flatten().double().cpu().numpy()
    for before, after, between in solve(slope, wanted[0], wanted[-1], flat, tolerance):
        while place < len(wanted) and abs(wanted[place] - wanted[0]) <= abs(after - wanted[0]):
            share = (wanted[place] - before) / (after - before)
            state = torch.from_numpy(between(wanted[place])).to(x).view(x.shape)
            yield state if place > 0 else x, torch.lerp(guesses[0], guesses[-1], share)
            place += 1
        del guesses[:-1]
