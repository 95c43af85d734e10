"""How long 1,024 digits take: python -m tests.benchmarks.sampling [--json FILE].

The shipped `modern` model, and the diffusion course's UNet2DModel in diffusers' DDIMPipeline, both
at 20 network evaluations an image, in one process on the same threads. The peer draws fewer images
(--peer-count) and its time is given for as many. The goal: 4 s on a CPU with AMX.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch

from assets import ASSETS
from tests.benchmarks.training import course_network
from trainer.drawing import Request, draw
from trainer.learner import fast_precision
from trainer.runs import Run


def main() -> int:
    """Returns the process' exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=ASSETS / "models" / "modern")
    parser.add_argument("--count", type=int, default=1024)
    parser.add_argument("--peer-count", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    from diffusers import DDIMPipeline, DDIMScheduler

    run = Run.open(arguments.run)
    model = run.model(precision=fast_precision("cpu"))
    shape = run.image_shape()
    request = Request(arguments.count, shape, "ddim", 20, batch=arguments.batch)
    pipeline = DDIMPipeline(unet=course_network(), scheduler=DDIMScheduler())
    pipeline.set_progress_bar_config(disable=True)

    def ours() -> None:
        *_, last = draw(model, request)
        assert last.nfe == 20

    def theirs() -> None:
        pipeline(batch_size=arguments.peer_count, num_inference_steps=20, output_type="np")

    seconds: dict[str, list[float]] = {"diffviz modern, ddim": [], "diffusers DDIMPipeline": []}
    scale = (1.0, arguments.count / arguments.peer_count)
    for _ in range(arguments.rounds):
        for (_, found), drawing, factor in zip(seconds.items(), (ours, theirs), scale, strict=True):
            begun = time.perf_counter()
            drawing()
            found.append((time.perf_counter() - begun) * factor)
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    print(f"{str(arguments.count) + ' images at 20 NFE':28}{'seconds':>10}")
    for name, found in medians.items():
        print(f"{name:28}{found:10.2f}")
    if arguments.json:
        facts = {"seconds": medians, "precision": str(model.precision), "all": seconds}
        arguments.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
