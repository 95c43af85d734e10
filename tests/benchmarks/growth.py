"""Whether anything grows that should not: python -m tests.benchmarks.growth [--json FILE].

Training: a small network on 256 images, with an evaluation and a checkpoint each epoch. Memory
settles in the first SETTLING epochs, as the allocator meets every size there is; over the --epochs
(100) after them it grows by less than 1 MB (a straight line through it), and the last ten epochs
take no longer than the first.

Then what should grow evenly: seconds for an epoch with the number of images, seconds for
trajectories with steps and with images; and a curve's redraw, which should hardly grow with its
points. Each row is the smallest size, and how much more the larger ones take. Needs psutil.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import psutil

from tests.benchmarks._window import percentile
from tests.benchmarks.window import pan
from trainer.config import PRESETS
from trainer.devices import set_threads
from trainer.drawing import draw, open_model
from trainer.events import Step
from trainer.requests import Drawing
from trainer.runs import Run
from trainer.training import train

SETTLING = 100
SMALL = PRESETS["modern"].with_changes(
    network_parameters={"width": 8, "blocks": 1}, bound_images=16, preview_steps=5
)


def long_run(epochs: int) -> dict[str, float]:
    """Memory and time of an epoch as training goes on."""
    config = SMALL.with_changes(epochs=SETTLING + epochs + 1, limit_images=256, evaluate_every=1.0)
    process, megabytes, seconds = psutil.Process(), [], []
    epoch, begun = 1, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for event in train(config, Run.create(Path(folder) / "run", config), "cpu"):
            if isinstance(event, Step) and event.epoch > epoch:
                epoch, now = event.epoch, time.perf_counter()
                megabytes.append(process.memory_info().rss / 2**20)
                seconds.append(now - begun)
                begun = now
    later = np.array(megabytes[SETTLING:])
    slope = float(np.polyfit(np.arange(len(later)), later, 1)[0])
    return {
        f"memory after {SETTLING} epochs, MB": later[0],
        "memory at the end, MB": megabytes[-1],
        "memory growth, MB in 100 epochs": 100 * slope,
        "seconds an epoch, first ten": statistics.median(seconds[1:11]),
        "seconds an epoch, last ten": statistics.median(seconds[-10:]),
    }


def epoch(images: int) -> float:
    """Seconds for one epoch of so many images, beginning and end of training left out."""
    config = SMALL.with_changes(epochs=2, limit_images=images, evaluate_every=9.0)
    marks: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for event in train(config, Run.create(Path(folder) / "run", config), "cpu"):
            if isinstance(event, Step):
                marks.setdefault(event.epoch, event.elapsed)
    return marks[2] - marks[1]


def trajectories(images: int, steps: int) -> float:
    """Seconds for so many images in as many steps of the shipped default model."""
    ask = Drawing(model="modern", count=images, steps=steps, batch=images, precision="float32")
    opened = open_model(ask, device="cpu")
    begun = time.perf_counter()
    for _ in draw(ask, opened):
        pass
    return time.perf_counter() - begun


def compare(sizes: Sequence[int], cost: Callable[[int], float], rounds: int = 3) -> list[float]:
    """The median cost of each size, taken in turn."""
    found = [[cost(size) for size in sizes] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*found, strict=True)]


def main() -> int:
    """Returns the process' exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    arguments = parser.parse_args()
    if arguments.epochs < 2:
        parser.error("--epochs must be at least 2")
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PySide6.QtWidgets import QApplication

    _app = QApplication(sys.argv[:1])
    set_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    facts: dict[str, object] = {**long_run(arguments.epochs)}
    for name, value in facts.items():
        print(f"{name:32}{value:10.3f}")

    print(f"{'':32}{'size':>10}{'seconds':>10}{'times the first':>17}")
    for name, sizes, cost in (
        ("an epoch of images", (4_096, 8_192, 16_384), epoch),
        ("16 trajectories of steps", (10, 20, 40), lambda n: trajectories(16, n)),
        ("trajectories of 10 steps", (16, 32, 64), lambda n: trajectories(n, 10)),
        (
            "a curve's redraw, of points",
            (10_000, 100_000, 1_000_000),
            lambda n: percentile(pan(n), 0.5) / 1000,
        ),
    ):
        costs = compare(sizes, cost)
        for size, seconds in zip(sizes, costs, strict=True):
            times = seconds / costs[0]
            print(f"{name:32}{size:10,}{seconds:10.4f}{times:17.2f}")
            facts[f"{name}, {size:,}, times the first"] = times
    if arguments.json:
        arguments.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
