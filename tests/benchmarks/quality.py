"""What minutes of training buy: python -m tests.benchmarks.quality [--minutes 10] [--json FILE].

Each library trains from scratch on MNIST for as long by the clock, on the same threads, by its own
recipe; then 1,024 samples of 20 network evaluations each are measured: digit-FID, and the share in
which the classifier is at least 90 % sure of a digit. The goals, on a CPU with AMX: a digit-FID of
at most a sixtieth of the best peer's, and of at most 5 times the floor, that of as many real test
images. Needs the `bench` extra.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from tests.benchmarks._peers import Course, DiffViz, Library, SmallDiffusion
from trainer.data import ImageSet, load
from trainer.devices import set_threads
from trainer.images import to_signed
from trainer.metrics import SURE, classify, fid, spread_out

LIBRARIES: dict[str, Callable[[], Library]] = {
    "diffviz": DiffViz,
    "smalldiffusion": SmallDiffusion,
    "diffusers": Course,
}


def train(library: Library, data: ImageSet, seconds: float) -> int:
    """Train for so long on batches without replacement; the number of images seen."""
    images = torch.from_numpy(data.train.copy())
    shuffle = torch.Generator().manual_seed(0)
    begun, seen = time.perf_counter(), 0
    while True:
        for rows in torch.randperm(len(images), generator=shuffle).split(library.batch):
            if (spent := time.perf_counter() - begun) > seconds:
                return seen
            if isinstance(library, DiffViz):
                library.done = spent / seconds
            library.step(to_signed(images[rows]))
            seen += len(rows)


def main() -> int:
    """Returns the process' exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--count", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    arguments = parser.parse_args()
    set_threads(arguments.threads)
    torch.manual_seed(0)
    data = load("mnist")
    floor = fid(spread_out(data.test, arguments.count), data.train)
    facts: dict[str, dict[str, float]] = {}
    print(f"{arguments.minutes:g} minutes each; floor {floor:.3f}")
    print(f"{'':16}{'images seen':>12}{'digit-FID':>11}{'of floor':>10}{'sure':>7}")
    for name in arguments.libraries:
        library = LIBRARIES[name]()
        seen = train(library, data, 60 * arguments.minutes)
        samples = library.draw(arguments.count, 20)
        distance = fid(samples, data.train)
        sure = float((classify(samples)[1] >= SURE).mean())
        facts[name] = {
            "images seen": seen,
            "digit-FID": distance,
            "digit-FID to floor": distance / floor,
            "share sure": sure,
        }
        print(f"{name:16}{seen:12,}{distance:11.2f}{distance / floor:10.1f}{sure:7.1%}", flush=True)
    peers = [found["digit-FID"] for name, found in facts.items() if name != "diffviz"]
    if "diffviz" in facts and peers:
        times = min(peers) / facts["diffviz"]["digit-FID"]
        facts["diffviz"]["best peer's digit-FID to ours"] = times
        print(f"the best peer's digit-FID is {times:.1f} times ours")
    if arguments.json:
        arguments.json.write_text(json.dumps({"floor": floor, **facts}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
