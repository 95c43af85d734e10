"""The models that ship: all there, small, measured, and told by their cards."""

import shlex

import pytest
import torch

from assets import ASSETS
from trainer.__main__ import parser
from trainer.cli.training import config_from
from trainer.config import PRESETS
from trainer.runs import Run
from trainer.runs.cards import card
from trainer.runs.checkpoints import load_tensors

MODELS = ASSETS / "models"


def test_every_preset_ships_in_25_mb_together():
    assert {folder.name for folder in MODELS.iterdir()} == set(PRESETS)
    assert sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file()) <= 25e6


@pytest.mark.parametrize("name", PRESETS)
def test_a_shipped_model_has_a_whole_card(name):
    run = Run.open(MODELS / name)
    found = card(run)
    assert found["preset"] == name
    assert found["images_seen"] > 0
    assert found["seconds"] > 0
    assert found["machine"]
    assert {"samples", "likelihood"} == {measure["kind"] for measure in found["measures"]}
    for path in run.checkpoints():
        weights, _ = load_tensors(path)
        assert {w.dtype for w in weights.values() if w.is_floating_point()} == {torch.float16}


@pytest.mark.parametrize("name", PRESETS)
def test_the_command_on_the_card_asks_for_the_same_training(name):
    run = Run.open(MODELS / name)
    program, *words = shlex.split(card(run)["command"])[2:]
    assert program == "trainer"
    assert config_from(parser().parse_args(words)) == run.config
