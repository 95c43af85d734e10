"""Ordinary differential equations, solved adaptively: for sampling, encoding and likelihood.

The probability-flow ODE is
    dx/dt = alpha'(t) x0(x, t) + sigma'(t) eps(x, t)   (Song et al. 2021, arXiv:2011.13456, eq. 13)
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.denoiser import Beliefs, Prediction
from trainer.problems import Problem
from trainer.processes import Process, spread

# Dormand and Prince 1980, RK5(4)7M: at which times and states the slopes are taken. The last state
# is the step's end, so that its slope is the next step's first. WORSE is how far the solution of
# order 4 is from it; BETWEEN (7, 4) are the coefficients of s, s²… of each slope's weight a share s
# of the way through the step (Shampine 1986).
NODES = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
WORSE = (-71 / 57600, 0.0, 71 / 16695, -71 / 1920, 17253 / 339200, -22 / 525, 1 / 40)
BETWEEN = (
    (1.0, -8048581381 / 2820520608, 8663915743 / 2820520608, -12715105075 / 11282082432),
    (0.0, 0.0, 0.0, 0.0),
    (0.0, 131558114200 / 32700410799, -68118460800 / 10900136933, 87487479700 / 32700410799),
    (0.0, -1754552775 / 470086768, 14199869525 / 1410260304, -10690763975 / 1880347072),
    (0.0, 127303824393 / 49829197408, -318862633887 / 49829197408, 701980252875 / 199316789632),
    (0.0, -282668133 / 205662961, 2019193451 / 616988883, -1453857185 / 822651844),
    (0.0, 40617522 / 29380423, -110615467 / 29380423, 69997945 / 29380423),
)
SAFETY, LEAST_CHANGE, MOST_CHANGE = 0.9, 0.2, 10.0  # of a step's length, from one to the next

Slope = Callable[[Tensor, Tensor, Tensor], Tensor]
Size = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Step:
    """A step that rows (n,) of the system made, each from its time `before` to `after`, (n,).

    `state` (n, N) is where it ended, `error` (n, N) how far off one step may be there.
    """

    rows: Tensor
    before: Tensor
    after: Tensor
    begun: Tensor
    state: Tensor
    error: Tensor
    slopes: list[Tensor]

    def of(self, chosen: Tensor) -> "Step":
        """The step of the chosen rows alone, bool (n,)."""
        if bool(chosen.all()):
            return self
        tensors = (self.rows, self.before, self.after, self.begun, self.state, self.error)
        rows, before, after, begun, state, error = (one[chosen] for one in tensors)
        return Step(rows, before, after, begun, state, error, [k[chosen] for k in self.slopes])

    def between(self, share: float) -> Tensor:
        """The states (n, N) a share, 0…1, of the way through the step, to fourth order."""
        powers = torch.tensor([share, share**2, share**3, share**4], dtype=torch.float64)
        weights = torch.tensor(BETWEEN, dtype=torch.float64) @ powers
        return self.begun + _along(self.after - self.before, weights.tolist(), self.slopes)


def _along(length: Tensor, weights: Sequence[float], slopes: list[Tensor]) -> Tensor:
    """length (n,) times the weighted sum of as many of the slopes, each (n, N)."""
    total = weights[0] * slopes[0]
    for weight, slope in zip(weights[1:], slopes[1:], strict=False):
        total.add_(slope, alpha=weight)
    return total * length[:, None]


def plain_size(error: Tensor, state: Tensor, time: Tensor) -> Tensor:
    """The root mean square of errors (n, N), relative or absolute by their states' sizes; (n,)."""
    return (error / (1 + state)).square().mean(1).sqrt()


@torch.no_grad()
def solve(
    slope: Slope,
    start: float,
    end: float,
    state: Tensor,
    tolerance: float,
    size: Size = plain_size,
) -> Iterator[Step]:
    """Dormand and Prince's method of order 5 from `start` to `end`, in either direction.

    Each row of `state` (R, N) is a system of its own that takes steps of its own, so that none
    depends on its company. `slope(times (n,), states (n, N), rows (n,))` is d state / d time of
    those rows. `tolerance` is relative and absolute: a step is taken if the `size` of its error,
    over tolerance times (1 + the state's size), is at most 1. Yields every step that is taken.
    """
    if not tolerance > 0:
        raise Problem(f"The solver's tolerance must be above 0, not {tolerance:g}.")
    rows = torch.arange(len(state), device=state.device)
    way = 1.0 if end > start else -1.0
    time = torch.full((len(rows),), start, device=state.device, dtype=state.dtype)
    first = slope(time, state, rows)
    length = _first_length(
        slope, time, state, first, rows, (way, abs(end - start)), tolerance, size
    )
    grown = torch.ones_like(rows, dtype=torch.bool)  # not after a step that was refused
    least = 16 * torch.finfo(state.dtype).eps
    while len(rows):
        left = (end - time).abs()
        last = length >= left
        length = torch.minimum(length, left)
        reach, slopes, now = way * length, [first], state
        for node, weights in zip(NODES[1:], STAGES, strict=True):
            now = state + _along(reach, weights, slopes)
            slopes.append(slope(time + node * reach, now, rows))
        error = _along(reach, WORSE, slopes)
        wrong = size(error, torch.maximum(state.abs(), now.abs()), time + reach) / tolerance
        good = wrong <= 1
        if not bool(wrong.isfinite().all()) or bool((length < least * time.abs())[~good].any()):
            raise Problem(
                f"The probability-flow ODE cannot be solved beyond {float(time[~good][0]):.3g} to "
                f"the tolerance of {tolerance:g}: the model is not smooth there. Allow a larger "
                "one."
            )
        after = torch.where(last, torch.full_like(time, end), time + reach)
        if bool(good.any()):
            yield Step(rows, time, after, state, now, error, slopes).of(good)
        change = SAFETY * wrong.clamp_min(1e-10) ** -0.2
        most = torch.where(good & grown, MOST_CHANGE, 1.0)
        length = length * torch.minimum(change.clamp_min(LEAST_CHANGE), most)
        time = torch.where(good, after, time)
        state = torch.where(good[:, None], now, state)
        first = torch.where(good[:, None], slopes[-1], first)
        grown = good
        if bool((good & last).any()):
            going = ~(good & last)
            rows, time, length, grown = (one[going] for one in (rows, time, length, grown))
            state, first = state[going], first[going]


def _first_length(
    slope: Slope,
    time: Tensor,
    state: Tensor,
    first: Tensor,
    rows: Tensor,
    way: tuple[float, float],
    tolerance: float,
    size: Size,
) -> Tensor:
    """How long the first step may be, (R,): Hairer, Nørsett and Wanner 1993, section II.4.

    `way` is the direction and how far it is to the end.
    """
    direction, far = way
    sizes = state.abs()
    here, speed = (size(one, sizes, time) / tolerance for one in (state, first))
    tiny = (here < 1e-5) | (speed < 1e-5)
    guess = torch.where(tiny, 1e-6, 0.01 * here / speed.clamp_min(1e-30)).clamp_max(far)
    ahead = slope(time + direction * guess, state + (direction * guess)[:, None] * first, rows)
    bend = size(ahead - first, sizes, time) / tolerance / guess
    most = torch.maximum(speed, bend)
    longer = torch.where(most <= 1e-15, (guess * 1e-3).clamp_min(1e-6), (0.01 / most) ** 0.2)
    return torch.minimum(100 * guess, longer).clamp_max(far)


def velocity(process: Process, belief: Prediction, t: Tensor) -> Tensor:
    """dx/dt of the probability-flow ODE, like x, at t > 0 of shape (B,) or (1,)."""
    alpha, sigma = (spread(slope, belief.x0) for slope in process.slopes(t))
    return alpha * belief.x0 + sigma * belief.eps


def flow(
    believe: Beliefs, process: Process, x: Tensor, times: Tensor, tolerance: float
) -> Iterator[tuple[Tensor, Tensor]]:
    """(x, x0) along the ODE from x (B, …) at each of `times`, rising or falling, all above 0.

    The whole batch takes the same steps. Between them x comes from the solver's dense output, and
    x0 is interpolated: frames cost no evaluations.
    """
    guesses: list[Tensor] = []

    def slope(time: Tensor, state: Tensor, rows: Tensor) -> Tensor:
        now = time.to(x)
        belief = believe(state.to(x).view(x.shape), now)
        guesses.append(belief.x0)
        return velocity(process, belief, now).view(1, -1).to(state)

    wanted = times.tolist()
    place = 0
    for step in solve(slope, wanted[0], wanted[-1], wide(x).view(1, -1), tolerance):
        before, after = float(step.before), float(step.after)
        while place < len(wanted) and abs(wanted[place] - wanted[0]) <= abs(after - wanted[0]):
            share = (wanted[place] - before) / (after - before)
            state = step.between(share).to(x).view(x.shape)
            yield state if place > 0 else x, torch.lerp(guesses[0], guesses[-1], share)
            place += 1
        del guesses[:-1]


def wide(x: Tensor) -> Tensor:
    """x as the solver adds it up: float64 where the device has it."""
    return x.float() if x.device.type == "mps" else x.double()
