"""Training: exact resumption, and every kind of bad luck that a run folder can have."""

import errno
import os

import numpy as np
import pytest
import torch

from trainer import __main__ as command
from trainer import training
from trainer.config import PRESETS
from trainer.problems import Problem
from trainer.runs import Run, load_tensors
from trainer.training import Evaluated, Finished, Saved, Step, train

SMALL = PRESETS["modern"].with_changes(
    network_parameters={"width": 8, "blocks": 1},
    epochs=2,
    batch_size=32,
    limit_images=128,
    bound_images=4,
    preview_steps=2,
)


def weights(run):
    return load_tensors(run.checkpoints()[-1])[0]


def test_training_tells_and_leaves_everything(tmp_path):
    run = Run.create(tmp_path / "run", SMALL)
    events = list(train(SMALL, run, "cpu"))
    steps = [e for e in events if isinstance(e, Step)]
    assert [e.step for e in steps] == list(range(1, 9))
    assert [e.epoch for e in steps] == [1] * 4 + [2] * 4
    assert len([e for e in events if isinstance(e, Evaluated)]) == 2
    assert any(isinstance(e, Saved) for e in events)
    assert isinstance(events[-1], Finished)
    assert [m["loss"] for m in run.metrics() if "loss" in m] == [e.loss for e in steps]
    assert run.model()(torch.zeros(2, 1, 28, 28), torch.ones(2)).shape == (2, 1, 28, 28)


@pytest.mark.parametrize("preset", ["modern", "report-ddpm"])
def test_resuming_is_bit_identical(tmp_path, preset):
    parameters = {"width": 8, "blocks": 1}
    config = SMALL.with_changes(
        process=PRESETS[preset].process,
        network=PRESETS[preset].network,
        network_parameters=parameters,
        prediction=PRESETS[preset].prediction,
    )
    whole = Run.create(tmp_path / "whole", config)
    list(train(config, whole, "cpu"))
    broken = Run.create(tmp_path / "broken", config)
    for stop_at in (3, 6):
        events = train(config, broken, "cpu")
        for event in events:
            if isinstance(event, Step) and event.step >= stop_at:
                break
        events.close()
    list(train(config, Run.open(tmp_path / "broken"), "cpu"))
    one, other = weights(whole), weights(broken)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    losses = [[m["loss"] for m in r.metrics() if "loss" in m] for r in (whole, broken)]
    assert losses[0] == losses[1]


def test_a_loss_that_is_not_finite_keeps_the_last_good_state(tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run", SMALL)
    list(train(SMALL, run, "cpu"))
    before = run.state_path.read_bytes()
    longer = SMALL.with_changes(epochs=4)
    monkeypatch.setattr(training.Learner, "step", lambda *_: torch.tensor(float("nan")))
    with pytest.raises(Problem, match="lower learning rate"):
        list(train(longer, run, "cpu"))
    assert run.state_path.read_bytes() == before


def test_a_second_program_is_turned_away(tmp_path):
    run = Run.create(tmp_path / "run", SMALL)
    with run.lock(), pytest.raises(Problem, match="another program"):
        list(train(SMALL, Run.open(run.folder), "cpu"))


def test_a_changed_byte_and_another_shape_are_named(tmp_path):
    run = Run.create(tmp_path / "run", SMALL)
    list(train(SMALL, run, "cpu"))
    other = SMALL.with_changes(network_parameters={"width": 16, "blocks": 1})
    with pytest.raises(Problem, match="another network"):
        Run(run.folder, other).model()
    path = run.checkpoints()[-1]
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(Problem, match="bytes have changed"):
        run.model()
    path.write_bytes(content[:2000])
    with pytest.raises(Problem, match="damaged"):
        run.model()


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run", SMALL)
    list(train(SMALL, run, "cpu"))
    before = run.state_path.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Problem, match="disk is full"):
        run.save_weights(99, {"a": torch.zeros(3)}, {})
    assert run.state_path.read_bytes() == before
    assert not list(run.folder.glob("**/*.tmp"))


def test_an_existing_run_and_a_missing_one_are_refused(tmp_path):
    Run.create(tmp_path / "run", SMALL)
    with pytest.raises(Problem, match="already holds a run"):
        Run.create(tmp_path / "run", SMALL)
    with pytest.raises(Problem, match="not a run folder"):
        Run.open(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(Problem, match="file is in the way"):
        Run.create(tmp_path / "file" / "run", SMALL)


def test_command_line_trains_samples_and_refuses(tmp_path, capsys):
    run = str(tmp_path / "run")
    assert command.main(["train", "--run", run, "--epochs", "1", "--limit-images", "256"]) == 0
    picture = tmp_path / "grid.png"
    assert command.main(["sample", "--run", run, "--out", str(picture), "--steps", "2"]) == 0
    assert picture.stat().st_size > 100
    assert command.main(["train", "--run", run]) == 2
    assert "already holds a run" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["modern", "modern-sde"])
def test_shipped_models_draw_ink_like_mnist(name):
    from assets import ASSETS
    from trainer.images import to_bytes
    from trainer.samplers import sample

    model = Run.open(ASSETS / "models" / name).model()
    generator = torch.Generator().manual_seed(0)
    noise = model.process.prior_sample((16, 1, 28, 28), generator)
    *_, last = sample(model, model.process, noise, "ddim", 20)
    ink = to_bytes(last.x).numpy().mean() / 255
    assert 0.08 < ink < 0.2  # MNIST: 0.131
    assert np.mean(to_bytes(last.x).numpy()[:, :, :3] < 40) > 0.97  # the margin is empty
