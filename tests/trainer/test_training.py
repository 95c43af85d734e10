"""Training: exact resumption, and every kind of bad luck that a run folder can have."""

import errno
import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from trainer import __main__ as command
from trainer.config import PRESETS
from trainer.data import load_mnist
from trainer.denoiser import Denoiser
from trainer.devices import set_threads, threads
from trainer.drawing import drawn_images
from trainer.events import Evaluated, Finished, Previewed, Saved, Step
from trainer.images import to_signed
from trainer.problems import Problem
from trainer.processes import make_process
from trainer.requests import Drawing
from trainer.runs import Run
from trainer.runs.checkpoints import load_tensors
from trainer.samplers import Noise
from trainer.training import loss, train
from trainer.training.fit import fit
from trainer.training.learner import Learner
from trainer.training.loop import _evaluate
from trainer.training.parts import Parts
from trainer.training.speed import speed

SMALL = PRESETS["modern"].with_changes(
    network_parameters={"width": 8, "blocks": 1},
    epochs=2,
    batch_size=32,
    limit_images=128,
    bound_images=4,
    preview_steps=2,
    evaluate_every=1,
)


@pytest.fixture
def small(precision):
    return SMALL.with_changes(precision=precision)


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


def learner(**changes):
    config = SMALL.with_changes(warmup_steps=0, **changes)
    return Learner(config, make_process(config.process, config.process_parameters), 1, "cpu")


def batch(count):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8, generator=generator)


def test_evaluation_tells_where_in_time_the_network_errs(tmp_path, small):
    """The buckets' losses, from the model that was saved, at the same times and noise."""
    config = small.with_changes(epochs=1, limit_images=64, process="vp", process_parameters={})
    run = Run.create(tmp_path / "run", config)
    (event,) = [e for e in train(config, run, "cpu") if isinstance(e, Evaluated)]
    assert [m["loss_by_time"] for m in run.metrics() if "bpd" in m] == [list(event.loss_by_time)]
    model, generator = run.model(), torch.Generator().manual_seed(0)
    x0 = to_signed(torch.from_numpy(load_mnist().test[:500].copy()))
    for found, k in ((event.loss_by_time[0], 0), (event.loss_by_time[9], 9)):
        t = (k + torch.rand(500, generator=generator)) / 10
        eps = torch.randn(x0.shape, generator=generator)
        alpha, sigma = (v.view(-1, 1, 1, 1) for v in model.process.marginal(t))
        with torch.no_grad():
            answer = model.output(alpha * x0 + sigma * eps, t)
        expected = (answer - (alpha * eps - sigma * x0)).square().mean()
        assert found == pytest.approx(float(expected), rel=0.15)


@pytest.mark.parametrize("weighting", ["simple", "log-normal", "min-snr", "likelihood"])
def test_the_first_loss_is_the_weighted_error_of_a_network_that_answers_nothing(
    weighting, precision
):
    """Its last layer starts at zero, so its answer is its bias, about nothing."""
    one = learner(
        loss_weighting=weighting, prediction="eps", process="vp", precision=precision, parts=1
    )
    torch.nn.init.zeros_(one.network.head.bias)
    images = batch(64)
    loss = one.step(images, None, 0, 10)
    generator = torch.Generator().manual_seed(0)
    t = one.objective.times(64, generator).t
    eps = torch.randn(images.shape, generator=generator)
    snr = one.process.log_snr(t).exp()
    weight = (5 / snr).clamp_max(1) if weighting == "min-snr" else torch.ones(64)
    expected = (weight * eps.square().mean((1, 2, 3))).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("cut", ["parts", "accumulation"])
@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_parts_add_up_to_the_batch(cut, optimiser):
    """With batch norm's statistics frozen (in evaluation mode) the parts are independent.

    In float32: sums in another order are compared.
    """
    shapes = {"parts": 1, "accumulation": 1, "precision": "float32", "optimiser": optimiser}
    whole, parts = (learner(**{**shapes, cut: n}) for n in (1, 3))
    for one in (whole, parts):
        one.network.eval()
        torch.nn.init.normal_(one.network.head.weight, generator=torch.Generator().manual_seed(0))
        one.loss = one.step(batch(8), None, 0, 10)
    torch.testing.assert_close(parts.loss, whole.loss)
    torch.testing.assert_close(parts.gradient_norm, whole.gradient_norm, rtol=1e-4, atol=0)
    for a, b in zip(parts.network.parameters(), whole.network.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("network", ["lean", "report"])  # the second draws dropout in every part
def test_the_number_of_threads_changes_no_bit(network, precision):
    options = {"width": 8, "blocks": 1}
    found = []
    before = threads()
    for count, cut in (
        (1, {"parts": 4}),
        (2, {"parts": 4}),
        (4, {"parts": 2, "accumulation": 2}),
    ):
        set_threads(count)
        try:
            one = learner(
                network=network, network_parameters=options, precision=precision,
                **{"accumulation": 1, **cut},
            )  # fmt: skip
            for step in range(3):
                one.step(batch(11), None, step, 10)
        finally:
            set_threads(before)
        found.append(one.state())
    assert found[0].keys() == found[1].keys() == found[2].keys()
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name
        assert torch.equal(value, found[2][name]), name


def test_times_drawn_by_the_losses_depend_on_neither_threads_nor_a_stop(monkeypatch, precision):
    monkeypatch.setattr(loss, "LEVELS", 4)
    monkeypatch.setattr(loss, "ENOUGH", 2.0)
    options = {"loss_weighting": "likelihood", "process": "vp", "precision": precision}

    def states(count, stop=None):
        set_threads(count)
        one = learner(**options, parts=2)
        for step in range(5):
            if step == stop:
                kept = {name: value.clone() for name, value in one.state().items()}
                one = learner(**options, parts=2)
                one.restore(kept, Path("state"))
            one.step(batch(11), None, step, 10)
        assert float(one.objective.density().std()) > 0.01
        with pytest.raises(Problem, match="another shape"):
            learner(**options, parts=2).restore(
                one.state() | {"objective.seen": torch.ones(3)}, Path("state")
            )
        return one.state()

    whole = states(1)
    for other in (states(2), states(1, stop=3)):
        assert whole.keys() == other.keys()
        assert all(torch.equal(whole[name], other[name]) for name in whole)


def test_running_statistics_are_the_mean_over_the_parts():
    """Batch norm's first statistics: a tenth of each part's, and nine of the 0 it begins with."""
    one = learner(parts=2, precision="float32")
    norm, seen = one.network.upper_in[0].norm, []
    for network in one.parts.networks:
        network.upper_in[0].norm.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    one.step(batch(10), None, 0, 10)
    means = torch.stack([x.float().mean((0, 2, 3)) for x in seen])
    assert [len(x) for x in seen] == [5, 5]
    torch.testing.assert_close(norm.running_mean, 0.1 * means.mean(0), rtol=1e-4, atol=1e-6)
    assert int(norm.num_batches_tracked) == 1


@pytest.mark.parametrize(("dropout", "seen"), [(0.0, {3}), (1.0, {-1}), (0.5, {3, -1})])
def test_label_dropout_hides_that_share_of_the_labels(monkeypatch, dropout, seen, precision):
    one, found = learner(classes=10, label_dropout=dropout, precision=precision, parts=1), []
    forward = one.network.forward
    monkeypatch.setattr(
        one.network, "forward", lambda x, t, labels: found.append(labels) or forward(x, t, labels)
    )
    one.step(batch(64), torch.full((64,), 3), 0, 10)
    assert set(found[0].tolist()) == seen
    if dropout == 0.5:
        assert 16 < int((found[0] == -1).sum()) < 48


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


def test_no_noise_of_an_evaluation_comes_twice(monkeypatch):
    """Whatever the bound, the losses, x_T and the sampler's fresh noise draw is uncorrelated."""
    drawn, randn, normal = {}, torch.randn, Noise._normal

    def noted(made, key):  # a part of a path that is asked again is the same part
        if made.numel() % 784 == 0:
            drawn[key] = made.reshape(-1, 784)
        return made

    one = learner(preview_sampler="ddpm", preview_images=3, preview_steps=4, seed=3)
    monkeypatch.setattr(torch, "randn", lambda *a, **k: noted(randn(*a, **k), len(drawn)))
    monkeypatch.setattr(Noise, "_normal", lambda self, *key: noted(normal(self, *key), key))
    _evaluate(one, load_mnist(), 1, 1)
    noise = torch.cat(list(drawn.values()))
    assert len(noise) > 4 * (16 + 10) + 3 * 4
    alike = (noise @ noise.T / 784).fill_diagonal_(0)
    assert float(alike.abs().max()) < 0.25  # chance gives 1 / 28


@pytest.mark.parametrize("classes", [0, 10])
def test_a_training_begins_as_another_model_draws(tmp_path, classes, precision):
    """Also one without classes as one that knows them, asked for none."""
    config = SMALL.with_changes(classes=10, limit_images=32, epochs=1, precision=precision)
    first = Run.create(tmp_path / "first", config)
    list(train(config, first, "cpu"))
    x, t = torch.randn(2, 1, 28, 28), torch.tensor([0.3, 0.9])
    expected = first.model()(x, t)
    config = config.with_changes(classes=classes, initial=str(first.folder), learning_rate=1e-12,
                                 muon_rate=1e-12, ema=1.0)  # fmt: skip
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
