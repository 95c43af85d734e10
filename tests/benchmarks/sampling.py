"""How long 1,024 digits take: python -m tests.benchmarks.sampling [--json FILE].

The shipped `modern` model, and the diffusion course's UNet2DModel in diffusers' DDIMPipeline, both
at 20 network evaluations an image, in one process on the same threads. The peer draws fewer images
(--peer-count) and its time is given for as many. Then the shipped model's digit-FID at 10
evaluations beside that at 200. The goals: 4 s on a CPU with AMX, 30 times as fast as the peer, and
a FID at 10 evaluations of at most 1.5 times that at 200. Needs the `bench` extra.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from assets import ASSETS
from tests.benchmarks._peers import BATCH, Course
from trainer.data import load
from trainer.devices import set_threads
from trainer.drawing import draw, open_model
from trainer.metrics import fid
from trainer.requests import Drawing


def main() -> int:
    """Returns the process' exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=ASSETS / "models" / "modern")
    parser.add_argument("--count", type=int, default=1024)
    parser.add_argument("--peer-count", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    arguments = parser.parse_args()
    set_threads(arguments.threads)
    asked = Drawing(model=str(arguments.run), count=arguments.count, batch=BATCH)
    opened = open_model(asked, device="cpu")
    run = opened.run
    sampler = run.config.preview_sampler
    course = Course()

    def ours(evaluations: int) -> np.ndarray:
        ask = asked.with_changes(sampler=sampler, steps=evaluations, guidance=1.0)
        stages = [stage for stage in draw(ask, opened) if stage.last]
        assert stages[-1].frame.nfe == evaluations
        return np.concatenate([stage.images() for stage in stages])

    mine, theirs = [], []
    for _ in range(arguments.rounds):
        begun = time.perf_counter()
        ours(20)
        mine.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        course.draw(arguments.peer_count, 20)
        theirs.append((time.perf_counter() - begun) * arguments.count / arguments.peer_count)
    real = load(run.config.dataset).train
    distances = {f"{n} evaluations": fid(ours(n), real) for n in (10, 200)}
    facts = {
        f"diffviz {run.folder.name}, {sampler}, seconds": statistics.median(mine),
        "diffusers DDIMPipeline, seconds": statistics.median(theirs),
        "times as fast": statistics.median(theirs) / statistics.median(mine),
        "digit-FID": distances,
        "digit-FID, 10 to 200 evaluations": distances["10 evaluations"]
        / distances["200 evaluations"],
        "precision": str(opened.model.precision),
    }
    print(f"{arguments.count} images, 20 evaluations each where not said")
    for name, found in facts.items():
        print(f"{name:40}{found if isinstance(found, str | dict) else round(found, 2)}")
    if arguments.json:
        arguments.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
