"""The models that ship: all there, small, measured, and told by their cards."""

import shlex

import pytest
import torch

from trainer import devices
from trainer.__main__ import parser
from trainer.cli.training import config_from
from trainer.config import PRESETS
from trainer.problems import Problem
from trainer.runs import SHIPPED, Run, find
from trainer.runs.cards import card
from trainer.runs.checkpoints import load_tensors

# One recipe on fewer images, and on others: what copies, and what creates.
OTHER_IMAGES = {
    "modern-10": slice(0, 10), "modern-100": slice(0, 100), "modern-1000": slice(0, 1000),
    "modern-1000-other": slice(1000, 2000), "modern-10000": slice(0, 10_000),
    "modern-10000-other": slice(10_000, 20_000),
}  # fmt: skip
NAMES = [*PRESETS, *OTHER_IMAGES]


def test_every_preset_ships_in_40_mb_together():
    assert {folder.name for folder in SHIPPED.iterdir()} == set(NAMES)
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()) <= 40e6


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_model_has_a_whole_card(name):
    run = Run.open(SHIPPED / name)
    found = card(run)
    assert found["preset"] == (name if name in PRESETS else "modern")
    if name in OTHER_IMAGES:
        assert run.config.chosen(60_000) == OTHER_IMAGES[name]
    assert found["images_seen"] > 0
    assert found["seconds"] > 0
    assert found["machine"]
    kinds = {measure["kind"] for measure in found["measures"]}
    assert kinds == ({"samples", "likelihood"} if name in PRESETS else {"samples"})
    for path in run.checkpoints():
        weights, _ = load_tensors(path)
        for weight in weights.values():
            if weight.is_floating_point():  # all that half precision can hold
                assert (weight.dtype == torch.float16) == (float(weight.abs().max()) <= 65_504)


@pytest.mark.parametrize("name", NAMES)
def test_the_command_on_the_card_asks_for_the_same_training(name):
    run = Run.open(SHIPPED / name)
    program, *words = shlex.split(card(run)["command"])[2:]
    assert program == "trainer"
    assert config_from(parser().parse_args(words)) == run.config


def test_a_name_is_looked_up_in_the_places_in_their_order_before_it_is_a_path(tmp_path):
    assert find("modern") == SHIPPED / "modern"
    assert find(str(SHIPPED / "modern"), (tmp_path,)) == SHIPPED / "modern"
    mine = Run.create(tmp_path / "modern", PRESETS["modern"]).folder
    assert find("modern", (tmp_path, SHIPPED)) == mine
    assert find("modern", (tmp_path / "nowhere", SHIPPED)) == SHIPPED / "modern"
    assert find("modern-conditional") == SHIPPED / "modern"  # its name before it was the first
    with pytest.raises(Problem, match=f"'nosuch'.*{tmp_path}"):
        find("nosuch", (tmp_path,))


@pytest.mark.parametrize(("native", "auto"), [(True, torch.bfloat16), (False, torch.float32)])
def test_precision_is_what_is_asked_and_auto_what_the_hardware_multiplies(
    monkeypatch, native, auto
):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native, raising=False)
    assert devices.precision_of("auto", "cpu") == auto
    assert devices.precision_of("auto", "mps") == torch.float32
    assert devices.precision_of("float32", "cpu") == torch.float32
    assert Run.open(SHIPPED / "modern").model(precision="bfloat16").precision == torch.bfloat16
    assert Run.open(SHIPPED / "modern").model(precision="auto").precision == auto
    with pytest.raises(Problem, match="precision 'half'"):
        devices.precision_of("half", "cpu")
