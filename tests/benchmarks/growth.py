"""Whether training grows: python -m tests.benchmarks.growth [--epochs 100] [--json FILE].

Trains a small network on 256 images, with an evaluation and a checkpoint each epoch, and watches
this process' memory and the time an epoch takes. The goals: memory after the first ten epochs
grows by less than 1 MB an epoch (a straight line through the rest), and the last ten epochs take no
longer than the first ten after the first. Needs psutil.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import torch

from trainer.config import PRESETS
from trainer.runs import Run
from trainer.training import Step, train


def main() -> int:
    """Returns the process' exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    arguments = parser.parse_args()
    if arguments.epochs < 22:
        parser.error("--epochs must be at least 22")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    config = PRESETS["modern"].with_changes(
        network_parameters={"width": 8, "blocks": 1},
        epochs=arguments.epochs,
        limit_images=256,
        evaluate_every=1.0,
        bound_images=16,
        preview_steps=5,
    )
    process, megabytes, seconds = psutil.Process(), [], []
    epoch, begun = 1, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for event in train(config, Run.create(Path(folder) / "run", config), "cpu"):
            if isinstance(event, Step) and event.epoch > epoch:
                epoch, now = event.epoch, time.perf_counter()
                megabytes.append(process.memory_info().rss / 2**20)
                seconds.append(now - begun)
                begun = now
    later = np.array(megabytes[10:])
    slope = float(np.polyfit(np.arange(len(later)), later, 1)[0])
    facts = {
        "memory after 10 epochs, MB": megabytes[9],
        "memory at the end, MB": megabytes[-1],
        "memory growth, MB an epoch": slope,
        "seconds an epoch, first ten": statistics.median(seconds[1:11]),
        "seconds an epoch, last ten": statistics.median(seconds[-10:]),
    }
    for name, value in facts.items():
        print(f"{name:32}{value:10.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
