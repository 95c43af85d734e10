"""The likelihood view, clicked, against closed forms."""

import numpy as np
import pytest
import torch
from PySide6.QtCore import QPoint, Qt

from diffviz.controls.fields import choose
from diffviz.shell.session import Session
from diffviz.views.likelihood import work
from diffviz.views.likelihood.picture import STOPS
from diffviz.views.likelihood.view import LikelihoodView
from trainer.bits import SETS, Bits, Exactly, Figure, Taken, seeded, several
from trainer.data import load
from trainer.drawing import open_model
from trainer.likelihood import dequantised
from trainer.runs.exact import run_named

COUNT, DRAWS = 10, 200
KNOWN = "gaussian:mnist process=vp images=400"


@pytest.fixture
def view(qtbot, tmp_path, small_app):
    view = LikelihoodView(Session(tmp_path))
    qtbot.addWidget(view, before_close_func=LikelihoodView.shutdown)
    view.resize(930, 720)
    view.show()
    assert view.sets.status.text() == "Waiting for the models to be listed."
    assert view.grid() is None
    view.form.set_values({"count": COUNT, "evaluations": 6, "draws": 4, "tolerance": 0.1})
    view.session.refresh_runs()
    done(qtbot, view)
    return view


def done(qtbot, view):
    def whole():
        judged = Exactly in view.picture.found and not view.one.busy and not view.all.busy
        return judged and all(len(view.sets.bits(name)) == COUNT for name in SETS)

    qtbot.waitUntil(whole, timeout=120_000)


def test_the_exact_value_of_the_images_gaussian_is_its_density(qtbot, view):
    view.form["model"].choose(KNOWN)
    view.form.set_values(
        {
            "image": "train:5",
            "tolerance": 3e-3,
            "draws": DRAWS,
            "dequantisation": "truncated-normal",
        }
    )
    done(qtbot, view)
    model = run_named(KNOWN).model()
    process = model.process
    image = torch.tensor(load("mnist").train[5:6]).repeat(DRAWS, 1, 1, 1)
    x, logs = dequantised(image, process, "truncated-normal", seeded(view.asked, 2))
    t = torch.full((DRAWS,), process.likelihood_time).double()
    density = model.network.log_density(x.double(), t)
    wanted = float((logs - density).mean()) / 784 / np.log(2)
    exact = view.picture.found[Exactly]
    # The noise is the same; what is left is Hutchinson's probes' scatter, 0.094 each.
    assert exact.value == pytest.approx(wanted, abs=4 * 0.094 / DRAWS**0.5)
    assert exact.solver < 0.01
    assert f"<b>{exact.value:.3f}</b>" in view.picture.value.text()


def test_the_bound_is_taken_apart_by_noise_and_by_pixel(qtbot, view):
    taken = view.picture.found[Taken]
    assert taken.costs.sum() == pytest.approx(taken.bound, rel=1e-5)
    assert taken.heat.mean((1, 2)) == pytest.approx(taken.costs, rel=1e-4, abs=1e-6)
    assert view.timeline.caption.text() == f"all parts together: {taken.bound:.4f} bits/dim"
    width = taken.edges[0] - taken.edges[1]
    mine = next(line for line in view.picture.costs.lines if line.name == "this picture")
    noise = taken.bound - taken.costs[0] - taken.costs[-1]
    assert mine.y[::2].sum() * width == pytest.approx(noise, rel=1e-4)
    whole = view.picture.pair.images[1]
    view.timeline.slider.setValue(10)
    assert view.picture.band == STOPS - 11
    low, high = taken.edges[view.picture.band], taken.edges[view.picture.band - 1]
    assert f"log-SNR {low:.1f} to {high:.1f}" in view.timeline.caption.text()
    assert not np.array_equal(view.picture.pair.images[1], whole)
    mark = next(line for line in view.picture.costs.lines if line.name == "the map's level")
    assert low < mark.x[0] < high
    view.timeline.slider.setValue(STOPS - 1)
    assert f"decoder: {taken.costs[0]:.4f}" in view.timeline.caption.text()
    assert len(view.animation()) == STOPS - 1


def test_a_ranked_image_that_is_clicked_is_judged_and_the_others_stay(qtbot, view):
    bits = view.sets.bits("none")
    assert [note.text for note in view.sets.ranking.notes] == [f"{b:.2f}" for b in np.sort(bits)]
    numbers = np.linspace(0, 9999, COUNT).round().astype(int)
    images = load("mnist").test[numbers][:, 0]
    assert np.array_equal(view.grid(), images[np.argsort(bits, kind="stable")])
    sets = view.sets.sets
    place = view.sets.ranking.cell(3).center().toPoint()
    qtbot.mouseClick(view.sets.ranking, Qt.MouseButton.LeftButton, pos=QPoint(place))
    number = numbers[np.argsort(bits, kind="stable")[3]]
    assert view.form.ask().image == str(number)
    done(qtbot, view)
    assert np.array_equal(view.picture.found[Figure].image, load("mnist").test[number, 0])
    assert view.sets.sets is sets
    assert view.curves()["bits/dim of digits"][:, 1] == pytest.approx(np.sort(bits))


def test_what_is_made_of_a_picture_is_judged_instead(qtbot, view):
    digit = load("mnist").test[0, 0]
    wanted = {"turned": digit[::-1, ::-1], "inverted": 255 - digit, "blank": 0 * digit}
    for name, image in wanted.items():
        choose(view.form["change"], name)
        done(qtbot, view)
        assert np.array_equal(view.picture.found[Figure].image, image)
    choose(view.form["change"], "noise")
    done(qtbot, view)
    assert 100 < view.picture.found[Figure].image.mean() < 155
    asked, bound = view.ask(), view.picture.found[Taken].bound
    view.form.set_values({"change": "none", "seed": 4})
    done(qtbot, view)
    view.restore(work.Likely.from_dict(asked.to_dict()))
    done(qtbot, view)
    assert view.ask() == asked
    assert view.picture.found[Taken].bound == bound
    choose(view.form["by"], "exact")
    done(qtbot, view)
    assert view.bits() == view.picture.found[Exactly].value
    view.form["model"].choose("gaussian:/nowhere process=vp")
    qtbot.waitUntil(lambda: "There is no dataset '/nowhere'" in view.sets.status.text())


def test_a_blank_image_is_likelier_than_any_digit_and_noise_takes_more_than_its_bytes(precision):
    """Nalisnick et al. 2018, of the model that ships; digits are likelier as they were learnt."""
    ask = Bits(model="modern-likelihood", count=8, evaluations=8, precision=precision)
    bits = {name: np.zeros(0) for name in SETS}
    for one in several(ask, open_model(ask)):
        bits[one.name] = np.concatenate([bits[one.name], one.bits])
        assert one.costs.sum() == pytest.approx(one.bits.mean(), rel=1e-4)
    assert {len(found) for found in bits.values()} == {8}
    assert bits["blank"].max() < 0.5 * bits["none"].min()
    assert bits["inverted"].min() > bits["none"].max()
    assert bits["noise"].min() > 8


def test_an_exported_view_comes_back_and_a_dropped_picture_is_judged(qtbot, window, tmp_path):
    view = window.views["likelihood"]
    qtbot.waitUntil(lambda: view.form["model"].run is not None, timeout=20_000)
    view.form.set_values({"count": COUNT, "evaluations": 6, "draws": 4, "tolerance": 0.1})
    window.stage.setCurrentWidget(view)
    done(qtbot, view)
    picture = np.full((28, 28), 90, np.uint8)
    view.picture_field().take(picture, "grey")
    qtbot.waitUntil(lambda: view.form.ask().image != "0", timeout=20_000)
    done(qtbot, view)
    assert np.array_equal(view.picture.found[Figure].image, picture)
    view.timeline.set_fraction(0.5)
    for name in ("view.png", "view.csv"):
        window.files.view(tmp_path / name)
    qtbot.waitUntil(lambda: not window.jobs, timeout=20_000)
    assert "bits/dim of digits" in (tmp_path / "view.csv").read_text().splitlines()[0]
    kept, bound = view.ask(), view.picture.taken.bound
    view.form.set_values({"image": "4", "seed": 3})
    window.files.open(tmp_path / "view.png")
    qtbot.waitUntil(lambda: view.ask() == kept, timeout=20_000)
    done(qtbot, view)
    assert view.picture.taken.bound == bound
