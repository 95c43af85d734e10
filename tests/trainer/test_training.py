"""Training: exact resumption, and every kind of bad luck that a run folder can have."""

import errno
import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import SMALL
from trainer import __main__ as command
from trainer.config import PRESETS
from trainer.data import load_mnist
from trainer.denoiser import Denoiser
from trainer.devices import set_threads, threads
from trainer.drawing import drawn_images
from trainer.events import Evaluated, Finished, Previewed, Saved, Step
from trainer.problems import Problem
from trainer.requests import Drawing
from trainer.runs import Run
from trainer.runs.checkpoints import load_tensors
from trainer.training import train
from trainer.training.fit import fit
from trainer.training.learner import Learner
from trainer.training.parts import Parts
from trainer.training.speed import speed


def weights(run):
    return load_tensors(run.checkpoints()[-1])[0]


def test_training_tells_and_leaves_everything(tmp_path, small):
    run = Run.create(tmp_path / "run", small)
    events = list(train(small, run, "cpu"))
    steps = [e for e in events if isinstance(e, Step)]
    assert [e.step for e in steps] == list(range(1, 9))
    assert [e.epoch for e in steps] == [1] * 4 + [2] * 4
    assert len([e for e in events if isinstance(e, Evaluated)]) == 2
    assert any(isinstance(e, Saved) for e in events)
    assert isinstance(events[-1], Finished)
    assert [m["loss"] for m in run.metrics() if "loss" in m] == [e.loss for e in steps]
    assert run.model()(torch.zeros(2, 1, 28, 28), torch.ones(2)).shape == (2, 1, 28, 28)


@pytest.mark.parametrize("preset", ["modern", "report-ddpm"])
def test_resuming_is_bit_identical(tmp_path, preset, small):
    parameters = {"width": 8, "blocks": 1}
    config = small.with_changes(
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


def test_previews_by_the_clock_change_nothing_of_what_is_learnt(tmp_path, small):
    plain, watched = (Run.create(tmp_path / name, small) for name in ("plain", "watched"))
    list(train(small, plain, "cpu"))
    seen = [e for e in train(small, watched, "cpu", preview_every=0.0) if isinstance(e, Previewed)]
    assert seen[-1].step == 8
    assert seen[-1].samples.shape == (small.preview_images, 1, 28, 28)
    one, other = weights(plain), weights(watched)
    assert all(torch.equal(one[name], other[name]) for name in one)
    ask = Drawing(model=str(watched.folder), sampler="ddim", steps=20, precision=small.precision)
    assert np.array_equal(
        seen[-1].samples, drawn_images(ask.with_changes(count=small.preview_images))
    )


def test_speed_is_measured_and_leaves_nothing(small):
    rates = list(speed(small, load_mnist()))
    assert len(rates) >= 2
    assert min(rates) > 0
    with pytest.raises(Problem, match="at least 2 images"):
        next(speed(small.with_changes(limit_images=1), load_mnist()))


def test_a_model_with_classes_previews_every_class_and_can_be_asked_for_one(
    tmp_path, monkeypatch, small
):
    config = small.with_changes(epochs=1, limit_images=64, classes=10, preview_images=12)
    asked = []
    conditioned = Denoiser.conditioned
    monkeypatch.setattr(
        Denoiser,
        "conditioned",
        lambda self, labels: asked.append(labels.tolist()) or conditioned(self, labels),
    )
    run = Run.create(tmp_path / "run", config)
    (event,) = [e for e in train(config, run, "cpu") if isinstance(e, Evaluated)]
    assert len(event.samples) == 12
    assert asked == [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]]
    model = run.model()
    x, t = torch.randn(2, 1, 28, 28), torch.full((2,), 0.5)
    assert model.conditioned(torch.tensor([3, -1]))(x, t).shape == x.shape
    with pytest.raises(Problem, match="set classes to 10"):
        list(train(config.with_changes(classes=4), Run.create(tmp_path / "r", config), "cpu"))


def test_a_batch_smaller_than_its_parts_is_a_problem(tmp_path, small):
    config = small.with_changes(batch_size=4, accumulation=5)
    with pytest.raises(Problem, match="less accumulation"):
        list(train(config, Run.create(tmp_path / "run", config), "cpu"))


def test_a_loss_that_is_not_finite_keeps_the_last_good_state(tmp_path, monkeypatch, small):
    run = Run.create(tmp_path / "run", small)
    list(train(small, run, "cpu"))
    before = run.state_path.read_bytes()
    longer = small.with_changes(epochs=4)
    monkeypatch.setattr(Learner, "step", lambda *_: torch.tensor(float("nan")))
    with pytest.raises(Problem, match="lower learning rate"):
        list(train(longer, run, "cpu"))
    assert run.state_path.read_bytes() == before


def test_a_second_program_is_turned_away(tmp_path):
    run = Run.create(tmp_path / "run", SMALL)
    with run.lock(), pytest.raises(Problem, match="another program"):
        list(train(SMALL, Run.open(run.folder), "cpu"))


def test_a_changed_byte_and_another_shape_are_named(tmp_path, small):
    run = Run.create(tmp_path / "run", small)
    list(train(small, run, "cpu"))
    other = small.with_changes(network_parameters={"width": 16, "blocks": 1})
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


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch, small):
    run = Run.create(tmp_path / "run", small)
    list(train(small, run, "cpu"))
    before = run.state_path.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Problem, match="disk is full"):
        run.save_weights(99, {"a": torch.zeros(3)}, {})
    assert run.state_path.read_bytes() == before
    assert not list(run.folder.glob("**/*.tmp"))


def test_a_run_ships_with_halved_weights_and_without_its_state(tmp_path, small):
    run = Run.create(tmp_path / "run", small.with_changes(epochs=4, keep_every=1))
    list(train(run.config, run, "cpu"))
    copy = run.ship(tmp_path / "shipped", keep=2)
    assert not copy.state_path.exists()
    assert [p.name for p in copy.checkpoints()] == [run.checkpoints()[k].name for k in (0, 3)]
    assert copy.metrics() == run.metrics()
    x, t = torch.randn(2, 1, 28, 28), torch.full((2,), 0.5)
    assert torch.allclose(copy.model()(x, t), run.model()(x, t), atol=0.02)
    with pytest.raises(Problem, match="already holds"):
        run.ship(tmp_path / "shipped")


def test_an_existing_run_and_a_missing_one_are_refused(tmp_path):
    Run.create(tmp_path / "run", SMALL).log([{"step": 1, "epoch": 1, "loss": 1.0}])
    with pytest.raises(Problem, match="already holds a run"):
        Run.create(tmp_path / "run", SMALL)
    Run.create(tmp_path / "idle", SMALL)  # what never made a step can be begun again
    assert Run.create(tmp_path / "idle", SMALL.with_changes(epochs=9)).config.epochs == 9
    with pytest.raises(Problem, match="not a run folder"):
        Run.open(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(Problem, match="file is in the way"):
        Run.create(tmp_path / "file" / "run", SMALL)


def test_command_line_trains_samples_and_refuses(tmp_path, capsys, monkeypatch, small):
    monkeypatch.setitem(PRESETS, "modern", small)
    run = str(tmp_path / "run")
    assert command.main(["train", "--run", run, "--epochs", "1", "--limit-images", "64"]) == 0
    picture = tmp_path / "grid.png"
    assert command.main(["sample", "--run", run, "--out", str(picture), "--steps", "2"]) == 0
    assert picture.stat().st_size > 100
    assert command.main(["train", "--run", run]) == 2
    assert "already holds a run" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["modern", "modern-sde"])
def test_shipped_models_draw_ink_like_mnist(name, precision):
    ask = Drawing(model=name, count=16, steps=20, precision=precision)
    images = drawn_images(ask)
    assert 0.08 < images.mean() / 255 < 0.2  # MNIST: 0.131
    assert np.mean(images[:, :, :3] < 40) > 0.97  # the margin is empty


@pytest.mark.parametrize("sampler", ["ddpm", "rk45"])
def test_training_shows_what_a_script_draws_of_the_same_weights(tmp_path, small, sampler):
    config = small.with_changes(
        epochs=1, limit_images=64, classes=10, preview_images=3, preview_sampler=sampler, seed=4
    )
    run = Run.create(tmp_path / "run", config)
    (event,) = [e for e in train(config, run, "cpu") if isinstance(e, Evaluated)]
    ask = Drawing(
        model=str(run.folder), count=3, sampler=sampler, steps=2, seed=4, guidance=1.0,
        precision=config.precision,
    )  # fmt: skip
    assert np.array_equal(event.samples, drawn_images(ask))


@pytest.mark.parametrize(
    ("classes", "deeper"), [(0, {}), (10, {}), (0, {"blocks": 4, "attentions": 2})]
)
def test_a_training_begins_as_another_model_draws(tmp_path, classes, deeper, precision):
    """Also one without classes as one that knows them, asked for none; and a deeper one."""
    config = SMALL.with_changes(classes=10, limit_images=32, epochs=1, precision=precision)
    first = Run.create(tmp_path / "first", config)
    list(train(config, first, "cpu"))
    x, t = torch.randn(2, 1, 28, 28), torch.tensor([0.3, 0.9])
    expected = first.model()(x, t)
    config = config.with_changes(classes=classes, initial=str(first.folder), learning_rate=1e-12,
                                 muon_rate=1e-12, ema=1.0,
                                 network_parameters=config.network_parameters | deeper)  # fmt: skip
    second = Run.create(tmp_path / "second", config)
    list(train(config, second, "cpu"))
    torch.testing.assert_close(second.model()(x, t), expected, rtol=1e-4, atol=1e-4)


def test_an_average_of_another_length_draws_otherwise(tmp_path, precision):
    config = SMALL.with_changes(limit_images=64, precision=precision)
    run = Run.create(tmp_path / "run", config)
    list(train(config, run, "cpu"))
    ask = Drawing(str(run.folder), steps=2, count=1, precision=precision)
    long, short, trained = (
        drawn_images(ask.with_changes(ema=length)) for length in (0.25, 0.02, None)
    )
    assert np.abs(long.astype(int) - short).max() > 0
    assert np.abs(short.astype(int) - trained).max() > 0
    with pytest.raises(Problem, match="EMA length"):
        ask.with_changes(ema=0.5)


def test_the_readme_trains_a_network_of_ones_own(tmp_path, monkeypatch):
    """Its very lines, but for the images' number; the run is opened and drawn from again."""
    from trainer.catalogue import NETWORKS
    from trainer.training.fit import Own

    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[2] / "README.md").read_text()
    (lines,) = re.findall(r"```python\n(import torch\nfrom trainer import fit.*?)```", text, re.S)
    short = lines.replace(
        "epochs=1,", "epochs=1, limit_images=64, bound_images=2, preview_steps=2,"
    )
    assert short != lines
    found = {}
    try:
        exec(short, found)
        run = Run.open("runs/mine")
        assert isinstance(NETWORKS[run.config.network], Own)
        assert run.config.network == "Small"
        assert len(run.checkpoints()) == 1
        assert drawn_images(Drawing("runs/mine", steps=2, count=2)).shape == (2, 1, 28, 28)
    finally:
        NETWORKS.pop("Small", None)
    with pytest.raises(Problem, match="'Small'"):
        Run.open("runs/mine")


def test_a_loss_of_ones_own_is_what_is_learnt(tmp_path, precision):
    seen = []

    def absolute(answer, wanted):
        seen.append(answer.shape)
        return (answer - wanted).abs()

    config = SMALL.with_changes(limit_images=32, epochs=1, precision=precision)
    losses = []
    fit(tmp_path / "run", config, loss=absolute, each=lambda event: losses.append(event))
    (own,) = [e.loss for e in losses if isinstance(e, Step)]
    losses.clear()
    fit(tmp_path / "other", config, each=lambda event: losses.append(event))
    (squared,) = [e.loss for e in losses if isinstance(e, Step)]
    assert seen
    assert own < squared  # of about normal errors: the mean of |e| is 0.8, that of e² is 1


def test_a_training_that_follows_others_still_takes_all_threads():
    """torch gives a thread that begins after any set_num_threads(1) that number; the window begins
    one for each training."""
    taken = []

    def begin():
        torch.set_num_threads(1)
        taken.append(Parts(torch.nn.Linear(2, 2), 2, "cpu").pool._max_workers)

    before = threads()
    set_threads(2)
    try:
        for _ in range(2):
            worker = threading.Thread(target=begin)
            worker.start()
            worker.join()
    finally:
        set_threads(before)
    assert taken == [2, 2]
