"""Two processes train and draw as one does."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import WORDS, pictures
from trainer import __main__ as command
from trainer.config import PRESETS
from trainer.devices import set_threads, threads
from trainer.runs import Run
from trainer.runs.checkpoints import load_tensors
from trainer.runs.measures import measures
from trainer.training.distributed import joined, team

ROOT = Path(__file__).parents[2]


def work(folder: Path) -> None:
    """What both teams do: train from the command line, then draw from the trained model."""
    set_threads(1)  # as torchrun gives each of several
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
    measuring = ["measure", "--run", run, "--samples", "70", "8", "--steps", "2", "--device", "cpu"]
    assert command.main([*measuring, "--likelihood-images", "9"]) == 0


@pytest.fixture(scope="module")
def teams(tmp_path_factory):
    """The folders of one process' work and of two processes'."""
    alone, together = (tmp_path_factory.mktemp(name) for name in ("alone", "together"))
    preset, count = PRESETS["modern"], threads()
    work(alone)
    PRESETS["modern"] = preset
    set_threads(count)
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    done = subprocess.run(
        [sys.executable, *launch, __file__, str(together)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
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


def test_two_processes_measure_what_one_does(teams):
    one, two = (measures(Run.open(folder / "run")) for folder in teams)
    assert [m.kind for m in one] == ["samples", "samples", "likelihood"]
    for a, b in zip(one, two, strict=True):
        assert a.settings == b.settings
        spent = {"seconds": 0.0}  # all else is the same number
        assert a.values | spent == b.values | spent
        assert b.machine == f"{a.machine}, 2 processes"


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
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert len(Run.open(tmp_path / "run").checkpoints()) == 1


def torchrun(*words: str, restarts: int = 0) -> subprocess.Popen:
    launch = ["--nproc-per-node", "2", "--standalone", "--max-restarts", f"{restarts}", "-m", "--"]
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", *launch, "trainer", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def rank_of(team: subprocess.Popen, rank: int) -> int:
    """The process of that rank, among the children of torchrun."""
    children = Path(f"/proc/{team.pid}/task/{team.pid}/children").read_text().split()
    (found,) = (
        int(pid)
        for pid in children
        if f"RANK={rank}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    )
    return found


def wait_for(condition) -> None:
    end = time.monotonic() + 300
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The words of a training but for its run's folder, and what one process makes of it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    words = ["train", "--dataset", f"{pictures(folder / 'pics', 40)}:8", *WORDS]
    words += ["--epochs", "60", "--keep-every", "10", "--run"]
    assert command.main([*words, str(folder / "run")]) == 0
    return words, Run.open(folder / "run")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("rank", "restarts"), [(1, 0), (0, 0), (1, 1)])
def test_a_killed_rank_then_the_same_command_ends_with_the_same_weights(
    tmp_path, undisturbed, rank, restarts
):
    words, alone = undisturbed
    team = torchrun(*words, str(tmp_path / "run"), restarts=restarts)
    kept = tmp_path / "run" / "checkpoints"
    wait_for(lambda: kept.is_dir() and len(list(kept.glob("*.safetensors"))) >= 2)
    os.kill(rank_of(team, rank), signal.SIGKILL)
    code = team.wait(300)
    run = Run.open(tmp_path / "run")
    if restarts:
        assert code == 0  # torchrun gives the same command itself
    else:
        assert code != 0
        standing = run.standing()
        assert standing["step"] < standing["steps"]
        assert torchrun(*words, str(run.folder)).wait(300) == 0
    one, two = (load_tensors(each.newest())[0] for each in (alone, run))
    assert all(torch.equal(one[name], two[name]) for name in one)
    lines = [line["step"] for line in run.metrics() if "loss" in line]
    assert lines == list(range(1, run.standing()["steps"] + 1))


if __name__ == "__main__":
    with joined():
        work(Path(sys.argv[1]))
