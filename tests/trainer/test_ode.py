"""The solver of ODEs against closed forms and scipy's."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from trainer import ode
from trainer.problems import Problem


def spin(time, state, rows):
    """Each row of (x, y) turns around the origin, the faster the later."""
    x, y = state.unbind(1)
    speed = 1 + time**2
    return torch.stack([-y * speed, x * speed], 1)


def exact(begun, time):
    angle = torch.tensor(time + time**3 / 3, dtype=torch.float64)
    turn = torch.stack([torch.stack([angle.cos(), angle.sin()]),
                        torch.stack([-angle.sin(), angle.cos()])])  # fmt: skip
    return begun @ turn


def begun(rows=3):
    return torch.randn(rows, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def ends(slope, start, end, state, tolerance, **more):
    """Where each row arrives, and the steps it took."""
    found, steps = state.clone(), list(ode.solve(slope, start, end, state, tolerance, **more))
    for step in steps:
        found[step.rows] = step.state
    return found, steps


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-9])
def test_it_takes_scipys_steps(tolerance):
    """One system of all rows, whose error is scipy's: relative to the larger end, and absolute."""
    state = begun().view(1, -1)

    def slope(time, joined, rows):
        return spin(time.expand(3), joined.view(3, 2), None).view(1, -1)

    found, steps = ends(slope, 0.0, 2.0, state, tolerance)
    theirs = solve_ivp(
        lambda t, y: slope(torch.tensor([t]).double(), torch.from_numpy(y), None).numpy().ravel(),
        (0.0, 2.0), state.numpy().ravel(), "RK45", rtol=tolerance, atol=tolerance,
        dense_output=True,
    )  # fmt: skip
    assert [float(step.after) for step in steps] == pytest.approx(theirs.t[1:].tolist(), rel=1e-6)
    assert np.allclose(found.numpy().ravel(), theirs.y[:, -1], rtol=1e-9, atol=1e-9)
    for step in steps[::5]:
        middle = step.before + 0.3 * (step.after - step.before)
        between = step.between(0.3).numpy().ravel()
        assert np.allclose(between, theirs.sol(float(middle)), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.5), (1.5, 0.0)])
def test_it_arrives_within_its_tolerance_in_either_direction(start, end):
    first = exact(begun(), start)
    for tolerance in (1e-4, 1e-8):
        found, _ = ends(spin, start, end, first, tolerance)
        wrong = float((found - exact(begun(), end)).abs().max())
        assert 1e-3 * tolerance < wrong < 30 * tolerance


def test_its_steps_are_of_fifth_order_their_error_and_between_of_fourth():
    """Over one step of length h the errors are of the order h^6, h^5 and h^5."""
    wrong = []
    for length in (0.1, 0.05):
        (step,) = ode.solve(spin, 0.5, 0.5 + length, exact(begun(), 0.5), 1e3,
                            lambda *_: torch.ones(3).double())  # fmt: skip
        end = exact(begun(), 0.5 + length)
        half = exact(begun(), 0.5 + length / 2)
        wrong.append([float(part.norm()) for part in
                      (step.state - end, step.error, step.between(0.5) - half)])  # fmt: skip
    orders = np.log2(np.divide(*wrong))
    assert orders == pytest.approx([6, 5, 5], abs=0.4)


def test_a_row_does_not_depend_on_its_company():
    rates = torch.tensor([0.1, 1.0, 30.0]).double()

    def decay(time, state, rows):
        return -rates[rows, None] * state

    together, steps = ends(decay, 0.0, 1.0, torch.ones(3, 1).double(), 1e-6)
    for k, rate in enumerate(rates):
        alone, own = ends(lambda t, s, r, rate=rate: -rate * s, 0.0, 1.0, torch.ones(1, 1).double(),
                          1e-6)  # fmt: skip
        assert torch.equal(together[k], alone[0])
        assert sum(k in step.rows for step in steps) == len(own)
        assert float(alone) == pytest.approx(math.exp(-float(rate)), abs=1e-5)
    assert len(steps[-1].rows) == 1  # who has arrived is not asked any more


def test_what_cannot_be_solved_is_a_problem():
    one = torch.ones(1, 1).double()
    with pytest.raises(Problem, match="above 0"):
        next(ode.solve(spin, 0.0, 1.0, begun(), 0.0))
    with pytest.raises(Problem, match="not smooth"):
        list(ode.solve(lambda t, s, r: s**2, 0.0, 2.0, one, 1e-6))  # infinite at t = 1
