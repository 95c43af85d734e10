"""What larger images take: python -m tests.benchmarks.resolution [--sides 32 64 128].

Trains `modern` on coloured noise of so many pixels a side for a few steps, each in a program of its
own, and prints what network the size chose, images/s, and the most memory that the program held.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from trainer.config import PRESETS
from trainer.data import ImageSet
from trainer.devices import machine
from trainer.processes import make_process
from trainer.training import for_size
from trainer.training.learner import Learner
from trainer.training.lessons import Lessons

ROOT = Path(__file__).parents[2]


def measure(side: int, batch: int, steps: int) -> dict[str, float | str]:
    noise = np.random.default_rng(0)
    images = noise.integers(0, 256, (4 * batch, 3, side, side), dtype=np.uint8)
    labels = np.arange(len(images)) % 10
    data = ImageSet("noise", images, labels, images[:4], labels[:4])
    config = for_size(PRESETS["modern"].with_changes(batch_size=batch), data.shape)
    process = make_process(config.process, config.process_parameters)
    lessons = Lessons(config, data, "cpu")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    learner = Learner(config, process, 3, "cpu")
    seconds = []
    for step in range(steps):
        begun = time.perf_counter()
        learner.step(*lessons.at(step), step, lessons.steps)
        seconds.append(time.perf_counter() - begun)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "network": json.dumps(config.network_parameters or {"width": 48, "levels": 2}),
        "parameters": sum(p.numel() for p in learner.network.parameters()),
        "images/s": batch / min(seconds[1:]),
        "most, MB": most / 1024,
        "of it training, MB": (most - before) / 1024,
    }


def main() -> int:
    """The process' exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--batch", type=int, default=PRESETS["modern"].batch_size)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(arguments.child, arguments.batch, arguments.steps)))
        return 0
    facts: dict[str, float | str] = {}
    print(f"{machine()}, torch {torch.__version__}, batches of {arguments.batch}")
    for side in arguments.sides:
        words = ["--child", f"{side}", "--batch", f"{arguments.batch}"]
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.resolution", *words,
             "--steps", f"{arguments.steps}"],
            cwd=ROOT, check=True, stdout=subprocess.PIPE,
        )  # fmt: skip
        found = json.loads(done.stdout)
        print(f"{side:4} pixels: " + ", ".join(
            f"{name} {value if isinstance(value, str) else f'{value:,.0f}'}"
            for name, value in found.items()), flush=True)  # fmt: skip
        facts |= {f"{side} pixels, {name}": value for name, value in found.items()}
    if arguments.json:
        arguments.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
