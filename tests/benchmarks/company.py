"""Training that shares the machine: python -m tests.benchmarks.company [--json FILE].

Images/s of the `modern` preset's step, with the batch in two parts on a thread each and, beside it,
whole with two threads in each operation: alone; while another thread of the same program draws 16
images without end, as the window does; and beside another torch program of one thread. In turn, in
one run. The goals of the parts: at least 0.55 and 0.5 of alone, and alone not below the whole.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from trainer.config import PRESETS
from trainer.denoiser import Denoiser
from trainer.devices import set_threads
from trainer.networks import make_network
from trainer.processes import make_process
from trainer.samplers import sample
from trainer.training.learner import Learner

FOREIGN = """
import torch
torch.set_num_threads(1)
a = torch.randn(1024, 1024)
while True:
    a = (a @ a).tanh()
"""


@contextlib.contextmanager
def alone() -> Iterator[None]:
    yield


@contextlib.contextmanager
def sampling() -> Iterator[None]:
    """Another thread draws without end, with one thread an operation as the window's workers do."""
    config = PRESETS["modern"].with_changes(classes=0)
    process = make_process(config.process, config.process_parameters)
    network = make_network(config, 1).eval()
    model = Denoiser(network, process, config.prediction, torch.bfloat16, config.conditioning)
    stop = threading.Event()

    def draw() -> None:
        torch.set_num_threads(1)
        while not stop.is_set():
            for _ in sample(model, process, torch.randn(16, 1, 28, 28), "ddim", 50):
                if stop.is_set():
                    break

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def foreign() -> Iterator[None]:
    other = subprocess.Popen([sys.executable, "-c", FOREIGN])
    try:
        time.sleep(3)
        yield
    finally:
        other.kill()
        other.wait()


COMPANY = {"alone": alone, "while it samples": sampling, "beside another program": foreign}


def speed(learner: Learner, seconds: float) -> float:
    """Images/s over about so many seconds, after two steps to warm."""
    config = learner.config
    images = torch.randint(0, 256, (config.batch_size, 1, 28, 28), dtype=torch.uint8)
    labels = torch.arange(config.batch_size) % config.classes if config.classes else None
    for step in range(2):
        learner.step(images, labels, step, 10**6)
    begun, done = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        learner.step(images, labels, done, 10**6)
        done += 1
    return done * config.batch_size / (time.perf_counter() - begun)


def main() -> int:
    """Returns the process' exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    arguments = parser.parse_args()
    set_threads(2)
    found: dict[str, dict[str, float]] = {}
    for name, parts in (("two parts", 2), ("whole", 1)):
        config = PRESETS["modern"].with_changes(parts=parts)
        process = make_process(config.process, config.process_parameters)
        learner = Learner(config, process, 1, "cpu")
        found[name] = {}
        for company, beside in COMPANY.items():
            with beside():
                found[name][company] = speed(learner, arguments.seconds)
            share = found[name][company] / found[name]["alone"]
            print(f"{name:10} {company:24}{found[name][company]:8.0f} images/s{share:8.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
