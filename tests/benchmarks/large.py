"""Memory that sets of images take: python -m tests.benchmarks.large [--counts 1000 100000].

Writes folders of so many colour PNGs of 64 x 64 pixels, and trains a small network on each in a
program of its own: a few steps when the folder has not been read yet, and a whole epoch when its
mapped file is there. Prints the most memory that each program held, mapped pages among it. The
goal: within 1 GB of that of the smallest set.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
SIDE, BATCH = 64, 250


def write(folder: Path, count: int) -> None:
    """A folder of so many pictures, of ten classes: coarse noise, each of its own."""
    noise = np.random.default_rng(0)
    for k in range(count):
        (folder / f"{k % 10}").mkdir(parents=True, exist_ok=True)
        coarse = noise.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        picture.save(folder / f"{k % 10}" / f"{k}.png", compress_level=1)


def train(folder: Path, run: Path, steps: int) -> None:
    """What the program of its own does: read, then train so many steps."""
    from trainer.config import PRESETS
    from trainer.data import load
    from trainer.events import Step
    from trainer.runs import Run
    from trainer.training import train as training

    begun = time.perf_counter()
    data = load(f"{folder}:{SIDE}")
    read = time.perf_counter() - begun
    config = PRESETS["modern"].with_changes(
        network_parameters={"width": 8, "blocks": 1}, batch_size=BATCH, epochs=10**6,
        evaluate_every=10**6, bound_images=2, preview_images=1, preview_steps=1,
    )  # fmt: skip
    events = training(config, Run.create(run, config), "cpu", data)
    for event in events:
        if isinstance(event, Step) and event.step == steps:
            break
    events.close()  # type: ignore[attr-defined]
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"read": read, "most": most, "rate": event.images_per_second}))


def main() -> int:
    """The process' exit status: 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    arguments = parser.parse_args()
    if arguments.child:
        folder, run, steps = arguments.child
        train(Path(folder), Path(run), int(steps))
        return 0
    facts: dict[str, float] = {}
    print(f"{'images':>8}  {'':12}{'read, s':>9}{'most, MB':>10}")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        env = {**os.environ, "XDG_CACHE_HOME": str(place / "cache"), "PYTHONPATH": str(ROOT)}
        for count in arguments.counts:
            write(place / f"{count}", count)
            for when, steps in (("first", 4), ("again", count // BATCH)):
                words = [f"{place / str(count)}", f"{place / f'{count}-{when}'}", f"{steps}"]
                done = subprocess.run(
                    [sys.executable, "-m", "tests.benchmarks.large", "--child", *words],
                    cwd=ROOT, env=env, check=True, stdout=subprocess.PIPE,
                )  # fmt: skip
                found = json.loads(done.stdout)
                print(f"{count:>8}  {when:12}{found['read']:9.1f}{found['most']:10.0f}", flush=True)
                facts[f"{count} images, {when}, most MB"] = found["most"]
                facts[f"{count} images, {when}, seconds of reading"] = found["read"]
    if arguments.json:
        arguments.json.write_text(json.dumps(facts, indent=2) + "\n")
    least, most = (min(arguments.counts), max(arguments.counts))
    more = [facts[f"{most} images, {w}, most MB"] - facts[f"{least} images, {w}, most MB"]
            for w in ("first", "again")]  # fmt: skip
    print(f"{most:,} images take {max(more):.0f} MB more than {least:,}")
    return int(max(more) > 1024)


if __name__ == "__main__":
    sys.exit(main())
