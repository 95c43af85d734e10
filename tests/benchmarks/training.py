"""Training images/s beside the peers': python -m tests.benchmarks.training [--json FILE].

The `modern` preset's step (float32, and bfloat16 where the hardware has it), the U-Net of
smalldiffusion's Fashion-MNIST example, and the UNet2DModel of Hugging Face's diffusion course, each
with AdamW on MNIST-sized noise in batches of 128, in one process, in turn, on the same threads.
Medians over the rounds. The goals: 12 times smalldiffusion's images/s in float32, 40 times in
bfloat16 on a CPU with AMX. Needs the `bench` extra.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch

from tests.benchmarks._peers import BATCH, Course, DiffViz, Library, SmallDiffusion
from trainer.devices import precision_of, set_threads


def main() -> int:
    """Returns the process' exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    arguments = parser.parse_args()
    set_threads(arguments.threads)
    images = torch.rand(arguments.batch, 1, 28, 28) * 2 - 1
    labels = torch.arange(arguments.batch) % 10
    libraries: dict[str, Library] = {
        "diffviz modern, float32": DiffViz("float32"),
        "smalldiffusion, Fashion-MNIST U-Net": SmallDiffusion(),
        "diffusers, course UNet2DModel": Course(),
    }
    if precision_of("auto", "cpu") == torch.bfloat16:
        libraries["diffviz modern, bfloat16"] = DiffViz("bfloat16")
    speeds: dict[str, list[float]] = {name: [] for name in libraries}
    for library in libraries.values():
        library.step(images, labels)  # warm
    for _ in range(arguments.rounds):
        for name, library in libraries.items():
            repeats = 4 if name.startswith("diffviz") else 1  # each about as long
            begun = time.perf_counter()
            for _ in range(repeats):
                library.step(images, labels)
            speeds[name].append(repeats * arguments.batch / (time.perf_counter() - begun))
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    peer = medians["smalldiffusion, Fashion-MNIST U-Net"]
    print(f"{f'training, batches of {arguments.batch}':38}{'images/s':>10}{'times':>8}")
    for name, speed in medians.items():
        print(f"{name:38}{speed:10.1f}{speed / peer:8.1f}")
    if arguments.json:
        facts = {
            "images_per_second": medians,
            "times_smalldiffusion": {name: speed / peer for name, speed in medians.items()},
            "all": speeds,
            "threads": arguments.threads,
        }
        arguments.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
