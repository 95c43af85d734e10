"""Frames of rows with other processes and step counts meet at the same noise level."""

import numpy as np
import pytest

from diffviz.views.trajectories import work
from diffviz.views.trajectories.films import Films
from diffviz.views.trajectories.work import Moment, Row, Trajectories
from trainer.drawing import drawn_images


def moment(row, index, last, level):
    angle = level * np.pi / 2
    return Moment(
        row, "reverse", index, last, 1 - index / last, np.cos(angle), np.sin(angle), "", {},
        np.zeros(1),
    )  # fmt: skip


@pytest.fixture
def films():
    films = Films(("a", "b"))
    for k in range(11):
        films.add(moment("a", k, 10, 1 - k / 10))
    for k in range(101):  # ten times finer, and quadratic in its own time
        films.add(moment("b", k, 100, (1 - k / 100) ** 2))
    return films


def test_the_leader_follows_the_slider_and_the_other_the_noise(films):
    for f in (0.1, 0.35, 0.5, 0.9):
        lead, other = films.moment("a", "reverse", f), films.moment("b", "reverse", f)
        assert lead.t == pytest.approx(1 - f, abs=0.051)
        # The slider's own level, interpolated, to within b's largest step.
        assert other.noise_level == pytest.approx(1 - f, abs=0.02)


def test_the_ends_are_the_ends(films):
    for row in ("a", "b"):
        assert films.moment(row, "reverse", 0.0).index == 0
        assert films.moment(row, "reverse", 1.0).t == 0


def test_a_film_that_grows(films):
    assert films.drawn() == 1.0
    assert films.longest() == 101
    films.clear()
    assert films.drawn() == 0.0
    assert films.moment("a", "reverse", 0.5) is None
    films.add(moment("b", 0, 4, 1.0))
    films.add(moment("b", 1, 4, 0.8))
    assert films.drawn() == 0.0  # the other row has nothing yet
    films.add(moment("a", 2, 4, 0.5))
    assert films.drawn() == 0.25
    assert films.moment("b", "reverse", 1.0).index == 1


def test_all_four_views_begin_together_at_the_noisy_end(small_models):
    ask = Trajectories(
        ddpm=Row("modern", sampler="ddim", steps=3), sde=Row("modern-sde", sampler="ddim", steps=3),
        count=1,
    )  # fmt: skip
    *moments, done = work.trajectories(ask, (small_models,))
    views = {(row, way) for row in ask.rows for way in ("forward", "reverse")}
    assert {(m.row, m.direction) for m in moments[:4]} == views
    for view in views:
        assert [m.index for m in moments if (m.row, m.direction) == view] == [0, 1, 2, 3]
    assert done.nfe == {"ddpm": 3, "sde": 3}


@pytest.mark.parametrize("start", [1.0, 0.4])
def test_a_row_draws_what_a_script_draws(small_models, precision, start):
    row = Row("modern-sde", sampler="euler-maruyama", steps=4, precision=precision)
    ask = Trajectories(ddpm=row, sde=row, count=3, seed=5, start=start)
    *moments, _ = work.trajectories(ask, (small_models,))
    last = next(m for m in reversed(moments) if (m.row, m.direction) == ("sde", "reverse"))
    drawing = ask.drawing("sde").with_changes(model=str(small_models / "modern-sde"))
    assert np.array_equal(last.pictures["state"], drawn_images(drawing)[:, 0])


def test_a_sheet_shows_forward_beside_reverse(small_models):
    row = Row("modern", sampler="ddim", steps=2)
    ask = Trajectories(ddpm=row, sde=row, count=1)
    films = Films(("ddpm", "sde"))
    for event in work.trajectories(ask, (small_models,)):
        if isinstance(event, Moment):
            films.add(event)
    sheet = films.sheet(1.0, "state")
    assert sheet.shape == (2 * 28 + 4, 2 * 28 + 4)
    there, back = (films.moment("ddpm", way, 1.0) for way in ("forward", "reverse"))
    assert np.array_equal(sheet[:28, :28], there.pictures["state"][0])
    assert np.array_equal(sheet[:28, -28:], back.pictures["state"][0])
