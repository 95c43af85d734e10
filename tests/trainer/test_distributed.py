"""Two processes train and draw as one does."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from trainer import __main__ as command
from trainer.config import PRESETS
from trainer.runs import Run
from trainer.runs.checkpoints import load_tensors
from trainer.training.distributed import joined, team

ROOT = Path(__file__).parents[2]


def work(folder: Path) -> None:
    """What both teams do: train from the command line, then draw from the trained model."""
    torch.set_num_threads(1)
    PRESETS["modern"] = PRESETS["modern"].with_changes(
        network_parameters={"width": 8, "blocks": 1},
        classes=10,
        warmup_steps=0,
        batch_size=16,
        parts=2,
        limit_images=75,  # the last batch, 11, splits unevenly
        evaluate_every=9,
        bound_images=2,
        preview_images=1,
        preview_steps=1,
        precision="float32",  # sums in another order are compared
    )
    run = str(folder / "run")
    assert command.main(["train", "--run", run, "--epochs", "2", "--device", "cpu"]) == 0
    out = ["--out", str(folder / "images.npz"), "--count", "10", "--batch-size", "4"]
    drawing = ["sample", "--run", run, *out, "--sampler", "ddpm", "--steps", "3"]
    drawing += ["--precision", "float32"]
    assert command.main([*drawing, "--device", "cpu"]) == 0


@pytest.fixture(scope="module")
def teams(tmp_path_factory):
    """The folders of one process' work and of two processes'."""
    alone, together = (tmp_path_factory.mktemp(name) for name in ("alone", "together"))
    preset = PRESETS["modern"]
    work(alone)
    PRESETS["modern"] = preset
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    done = subprocess.run(
        [sys.executable, *launch, __file__, str(together)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return alone, together


def test_two_processes_give_the_loss_curve_of_one(teams):
    curves = [
        [line["loss"] for line in Run.open(f / "run").metrics() if "loss" in line] for f in teams
    ]
    assert len(curves[0]) == 10
    assert curves[1] == curves[0]


def test_two_processes_leave_the_weights_and_statistics_of_one(teams):
    one, two = (load_tensors(Run.open(f / "run").checkpoints()[-1])[0] for f in teams)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_what_is_drawn_does_not_depend_on_the_number_of_processes(teams):
    one, two = (np.load(f / "images.npz")["images"] for f in teams)
    assert one.shape == (10, 1, 28, 28)
    assert len(np.unique(one.reshape(10, -1), axis=0)) == 10
    assert np.abs(one.astype(int) - two).max() <= 1  # of 255: of the drawing in other batches


def test_without_torchrun_there_is_one_process():
    with joined() as ours:
        assert (ours.rank, ours.size, ours.leads) == (0, 1, True)
    assert team().gathered([[torch.ones(2)]])[0][0].tolist() == [1, 1]


def test_the_readmes_words_for_torchrun_train(tmp_path):
    (words,) = re.findall(r"torchrun (.*--epochs) 2", (ROOT / "README.md").read_text())
    words = words.replace("runs/first", str(tmp_path / "run"))
    small = "--epochs 1 --limit-images 32 --device cpu --set bound_images=2 --set preview_steps=1"
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *words.split()[:-1], *small.split()],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert len(Run.open(tmp_path / "run").checkpoints()) == 1


if __name__ == "__main__":
    with joined():
        work(Path(sys.argv[1]))
