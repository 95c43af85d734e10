"""Measures of a run say by what its samples were drawn, as far as that is not as usual."""

import pytest

from tests.tiny import measured
from trainer.__main__ import main
from trainer.data import load_mnist
from trainer.figures.tables import comparison
from trainer.problems import Problem
from trainer.runs import SHIPPED, Run
from trainer.runs.cards import card, describe
from trainer.runs.measures import Measure, best, drawn_by, measure_samples, measures

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_measure_says_which_options_of_the_sampler_it_has(run, capsys):
    words = f"measure --run {run.folder} --samples 4 --steps 2 --sampler sa-solver".split()
    assert main(words) == 0
    assert main([*words, "--tau", "1", "--spacing", "time", "--points", "2"]) == 0  # as usual
    assert main([*words, "--tau", "3", "--spacing", "karras"]) == 0
    capsys.readouterr()
    plain, noisy = measures(run)  # the second was known
    assert {"options", "spacing", "ema"}.isdisjoint(plain.settings)
    assert noisy.settings["options"] == {"tau": 3.0}
    assert noisy.settings["spacing"] == "karras"
    assert plain.values["fid"] != noisy.values["fid"]
    assert "by sa-solver in 2 steps at" in describe(plain)
    assert "by sa-solver (tau 3, spacing karras) in 2 steps at" in describe(noisy)
    told = [row[3] for row in comparison([card(run)]).rows[2:]]
    assert told == [
        "sa-solver, 2, guidance 1", "sa-solver (tau 3, spacing karras), 2, guidance 1"
    ]  # fmt: skip


def test_an_option_that_the_sampler_has_not_is_told_before_anything_is_drawn(run, monkeypatch):
    monkeypatch.setattr("trainer.drawing.sample", None)  # drawing would fail loudly
    with pytest.raises(Problem, match="'ddpm' has no option 'eta'; it takes variance"):
        list(measure_samples(run, load_mnist(), (4,), "ddpm", 2, options={"eta": 1.0}))


def test_a_guide_that_ships_is_found_by_its_name(run):
    step = int(Run.open(SHIPPED / "modern-sde").newest().stem)
    for guide in ("modern-sde", f"modern-sde/{step}"):
        words = f"measure --run {run.folder} --samples 4 --steps 2 --likelihood-images 0"
        assert main([*words.split(), "--guide", guide, "--guidance", "2"]) == 0
    named, numbered = measures(run)
    assert named.values["fid"] == numbered.values["fid"]
    assert f"at guidance 2 by modern-sde/{step} (" in describe(numbered)


def test_the_best_measure_is_of_the_most_samples_and_says_how_they_were_drawn():
    few, fair = measured(1.0, 64), measured(3.0, 256)
    good = measured(2.0, 256, guidance=1.5, guide="7", guidance_to=2.0, options={"eta": 0.5})
    likely = Measure("likelihood", "", {}, {"images": 4}, "here")
    assert best([few, fair, good, likely]) is good
    assert best([likely]) is None
    usual = {"guidance_from": 0.0, "spacing": "time", "ema": None}
    assert drawn_by(few) == usual | {
        "sampler": "ddim", "steps": 9, "options": {}, "guidance": 1.0, "guide": "",
        "guidance_to": None,
    }  # fmt: skip
    assert drawn_by(good) == usual | {
        "sampler": "ddim", "steps": 9, "options": {"eta": 0.5}, "guidance": 1.5, "guide": "7",
        "guidance_to": 2.0,
    }  # fmt: skip
