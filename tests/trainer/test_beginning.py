"""What is refused before a run's folder is made, and how a run goes on after mishaps."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from trainer import fit
from trainer.__main__ import main
from trainer.config import PRESETS
from trainer.data import load_mnist
from trainer.data.image_set import ImageSet
from trainer.drawing import drawn_images
from trainer.networks import make_network
from trainer.problems import Problem, as_json
from trainer.requests import Drawing
from trainer.runs import Run
from trainer.training import Step, refuse, train
from trainer.training.distributed import joined
from trainer.training.learner import Learner
from trainer.training.loop import Lessons

SMALL = PRESETS["modern"].with_changes(
    network_parameters={"width": 8, "blocks": 1}, limit_images=64, batch_size=16, epochs=3,
    bound_images=2, preview_images=2, preview_steps=1, evaluate_every=9,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": 5}, "set classes to 10"),
        ({"limit_images": 1}, "at least 2 images"),
        ({"first_image": 59_999}, "at least 2 images"),
        ({"first_image": 70_000, "classes": 10}, "at least 2 images"),
        ({"accumulation": 40, "batch_size": 8}, "cannot be split into 80"),
        ({"preview_sampler": "ddpm", "preview_steps": 2000}, "there are 1000, not 2000"),
        ({"preview_sampler": "euler-maruyama"}, "blows up"),
        ({"process": "ve", "process_parameters": {"sigma_min": 5, "sigma_max": 1}}, "sigma_min"),
    ],
)
def test_what_could_never_train_is_told_before_its_folder_is_made(tmp_path, changes, words):
    with pytest.raises(Problem, match=words):
        refuse(SMALL.with_changes(**changes), load_mnist())
    given = [f"{name}={value}".replace("'", '"') for name, value in changes.items()]
    sets = [word for one in given for word in ("--set", one)]
    run = tmp_path / "run"
    assert main(["train", "--run", str(run), *sets, "--device", "cpu"]) == 2
    assert not run.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--device", "gpu"], "no device 'gpu'"),
        (["--device", "cuda:99"], "no device 'cuda:99'"),
        (["--initial", "nobody"], "no model 'nobody'"),
        (["--initial", "modern"], "belongs to another network"),
        (["--initial", str(Path(__file__).parent)], "no model"),
    ],
)
def test_a_device_or_a_beginning_that_cannot_be_leaves_no_folder(tmp_path, capsys, words, said):
    run = tmp_path / "run"
    small = ["--set", 'network_parameters={"width": 8}', "--device", "cpu"]
    assert main(["train", "--run", str(run), *small, *words]) == 2
    assert said in capsys.readouterr().err
    assert not run.exists()
    with pytest.raises(Problem, match=said):
        fit(run, SMALL, "mnist", **{words[0][2:]: words[1]})
    assert not run.exists()


def test_a_training_takes_the_images_from_its_first_on():
    data = load_mnist()
    config = SMALL.with_changes(first_image=100, classes=10)
    lessons = Lessons(config, data, "cpu")
    assert np.array_equal(lessons.images, data.train[100:164])
    assert torch.equal(lessons.labels, torch.from_numpy(data.train_labels[100:164].copy()))
    assert lessons.steps == 3 * 4
    end = config.with_changes(first_image=59_990)
    assert len(Lessons(end.with_changes(batch_size=5), data, "cpu").images) == 10


def steps_of(run):
    return [line["step"] for line in run.metrics() if "loss" in line]


@pytest.mark.parametrize(
    "torn", ['{"step": 9, "epoch": 3, "lo', '{"step": 9, "epo\n', "\n", "[3]\n"]
)
def test_after_a_torn_line_of_metrics_what_follows_is_seen(tmp_path, torn):
    run = Run.create(tmp_path / "run", SMALL)
    events = train(SMALL, run, "cpu")
    for event in events:
        if isinstance(event, Step) and event.step == 5:
            events.close()
            break
    with open(run.folder / "metrics.jsonl", "a") as stream:
        stream.write(torn)
    for _ in train(SMALL, run, "cpu"):
        pass
    assert steps_of(run) == list(range(1, 13))


def training(run):
    """The command line training in a program of its own, its first steps done."""
    sets = ["--set", 'network_parameters={"width": 8, "blocks": 1}', "--set", "evaluate_every=500"]
    words = [sys.executable, "-m", "trainer", "train", "--run", str(run), "--device", "cpu", *sets]
    program = subprocess.Popen([*words, "--limit-images", "2000", "--batch-size", "16"])
    end = time.monotonic() + 60
    while not (run / "metrics.jsonl").exists() and time.monotonic() < end:
        time.sleep(0.05)
    return program


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_signals_save_as_ctrl_c_does(tmp_path, name, as_in_a_terminal):
    program = training(tmp_path / "run")
    program.send_signal(getattr(signal, name))
    assert program.wait(60) == 130
    assert (tmp_path / "run" / "state.safetensors").exists()


def test_training_under_nohup_outlives_its_terminal(tmp_path, as_in_a_terminal):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup starts a program
    program = training(tmp_path / "run")
    program.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        program.wait(2)
    program.terminate()
    assert program.wait(60) == 130


@pytest.mark.parametrize("left", [
    {"WORLD_SIZE": "2"}, {"WORLD_SIZE": ""}, {"WORLD_SIZE": "many"},
    {"WORLD_SIZE": "2", "RANK": "0"}, {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "node7"},
    {"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"},
    {"RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"},
])  # fmt: skip
def test_what_a_cluster_left_behind_is_no_team(monkeypatch, left):
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    with joined() as team:
        assert (team.rank, team.size) == (0, 1)


def test_a_wrong_file_as_checkpoint_is_a_sentence(tmp_path, capsys):
    run = Run.create(tmp_path / "run", SMALL)
    for _ in train(SMALL.with_changes(epochs=1), run, "cpu"):
        pass
    words = ["sample", "--run", str(run.folder), "--out", str(tmp_path / "a.png"), "--checkpoint"]
    assert main([*words, str(run.state_path)]) == 2
    assert "no checkpoint of weights" in capsys.readouterr().err


def test_a_console_that_lacks_a_letter_prints_what_it_can(tmp_path):
    run = Run.create(tmp_path / "run", SMALL)
    for _ in train(SMALL.with_changes(epochs=1), run, "cpu"):
        pass
    words = ["-m", "trainer", "sample", "--run", str(run.folder), "--count", "1", "--steps", "1"]
    done = subprocess.run(
        [sys.executable, *words, "--out", str(tmp_path / "日本.png")],
        env={**os.environ, "PYTHONIOENCODING": "cp1252"}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "日本.png").exists()


@pytest.mark.parametrize("named", ["module://matplotlib_inline.backend_inline", "agg", "none"])
def test_a_notebooks_backend_does_not_stop_figures(named):
    code = "import os, trainer.figures.backend, matplotlib; print(os.environ['MPLBACKEND'])"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "MPLBACKEND": named},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, named), done.stderr


def test_a_folder_of_samples_never_mixes_with_older_ones(tmp_path, capsys):
    out = tmp_path / "samples"
    out.mkdir()
    (out / "00007.png").write_bytes(b"older")
    words = ["sample", "--run", "modern", "--count", "1", "--steps", "1", "--out", str(out)]
    assert main(words) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["00007.png"]
    (out / "00007.png").unlink()
    assert main(words) == 0


def test_what_is_not_a_number_never_reaches_json():
    found = as_json({"a": math.nan, "b": [1.5, math.inf], "c": (2, None), "d": "NaN"})
    assert json.loads(found) == {"a": None, "b": [1.5, None], "c": [2, None], "d": "NaN"}


def test_weights_and_pictures_that_are_not_finite_are_told(tmp_path):
    run = Run.create(tmp_path / "run", SMALL)
    weights = make_network(SMALL, 1).state_dict()
    run.save_weights(1, weights, {"step": 1, "epoch": 1, "shape": [1, 28, 28]})
    ask = Drawing(str(run.folder), count=1, steps=1)
    assert len(drawn_images(ask)) == 1
    huge = {n: w * 1e38 if w.dim() > 1 else w for n, w in weights.items()}
    run.save_weights(2, huge, {"step": 2, "epoch": 1, "shape": [1, 28, 28]})
    with pytest.raises(Problem, match="not finite"):
        drawn_images(ask)
    weights["head.weight"][0] = math.nan
    run.save_weights(3, weights, {"step": 3, "epoch": 1, "shape": [1, 28, 28]})
    with pytest.raises(Problem, match=r"weights in .* are not finite"):
        drawn_images(ask)


def test_the_kept_state_is_named_only_if_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(Learner, "step", lambda *_: torch.tensor(math.nan))
    run = Run.create(tmp_path / "run", SMALL)
    with pytest.raises(Problem, match=r"diverged and was stopped\. Start again"):
        list(train(SMALL, run, "cpu"))


def test_what_was_left_out_of_a_folder_is_told_as_training_begins(tmp_path):
    mnist = load_mnist()
    few = ImageSet(
        "few", mnist.train[:64], mnist.train_labels[:64], mnist.test[:4], mnist.test_labels[:4],
        "Left out: 3 hidden files and folders.",
    )  # fmt: skip
    run = Run.create(tmp_path / "run", SMALL)
    events = train(SMALL, run, "cpu", few)
    told = [getattr(event, "message", "") for event in (next(events), next(events))]
    events.close()
    assert told == ["", few.left_out]
    assert np.array_equal(few.train[0], mnist.train[0])
    assert "64 training and 4 test images, 28 x 28 grey, 10 classes" in few.facts
