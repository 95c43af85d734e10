"""What noise takes of drawing: python -m tests.benchmarks.noise [--count 64] [--json FILE].

64 digits by ddpm in 50 steps on one thread, in both precisions: the share of the thread's own time
that goes into noise (the goal: below 15 %). The least of three drawings, so that other programs
count for little.
"""

import argparse
import json
import sys
import time
from pathlib import Path


def share(precision: str, count: int) -> float:
    """The share of a drawing that is spent in `Noise`, 0…1."""
    from trainer.drawing import drawn_images, open_model
    from trainer.requests import Drawing
    from trainer.samplers.noise import Noise

    ask = Drawing("modern", sampler="ddpm", steps=50, count=count, batch=count, precision=precision)
    opened, between, spent = open_model(ask), Noise.between, 0.0

    def timed(*arguments: object) -> object:
        nonlocal spent
        begun = time.thread_time()
        found = between(*arguments)
        spent += time.thread_time() - begun
        return found

    Noise.between = timed
    shares = []
    for _ in range(3):
        spent, begun = 0.0, time.thread_time()
        drawn_images(ask, opened)
        shares.append(spent / (time.thread_time() - begun))
    Noise.between = between
    return min(shares)


def main() -> int:
    """Returns the process' exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    facts = {name: share(name, arguments.count) for name in ("float32", "bfloat16")}
    for name, value in facts.items():
        print(f"{name:10}{value:8.1%}")
    if arguments.json:
        arguments.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
