"""What minutes of training buy: python -m tests.benchmarks.quality [--minutes 1 5 10] [--json F].

Each library trains from scratch on MNIST by the clock, on the same threads, by its own recipe, once
and as if for the longest of these times; after each of them 1,024 samples of 20 network evaluations
are measured: digit-FID, and the share in which the classifier is at least 90 % sure of a digit. The
clock stands meanwhile. DiffViz' recipe knows classes and is guided, in 10 steps of two evaluations.
The goals, on a CPU with AMX: after ten minutes a digit-FID of at most 1.2 times the floor, that of
as many real test images (3 on AVX2); after one minute, by `--minutes 1`, half the samples surely
digits. Needs the `bench` extra.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from tests.benchmarks._peers import Course, DiffViz, Library, SmallDiffusion
from trainer.data import ImageSet, load
from trainer.devices import set_threads
from trainer.images import to_signed
from trainer.metrics import SURE, classify, fid, spread_out

EVALUATIONS = 20
LIBRARIES: dict[str, Callable[[], Library]] = {
    "diffviz": DiffViz,
    "smalldiffusion": SmallDiffusion,
    "diffusers": Course,
}


def train(library: Library, data: ImageSet, points: list[float]) -> Iterator[int]:
    """Train on batches without replacement for the last of `points`, rising, in seconds.

    Yields the number of images seen at each; what its consumer does then takes no time.
    """
    images = torch.from_numpy(data.train.copy())
    labels = torch.from_numpy(data.train_labels.astype(np.int64))
    shuffle = torch.Generator().manual_seed(0)
    seen, spent, left = 0, 0.0, list(points)
    while True:
        for rows in torch.randperm(len(images), generator=shuffle).split(library.batch):
            begun = time.perf_counter()
            if isinstance(library, DiffViz):
                library.done = spent / points[-1]
            library.step(to_signed(images[rows]), labels[rows])
            seen += len(rows)
            spent += time.perf_counter() - begun
            if spent >= left[0]:
                del left[0]
                yield seen
                if not left:
                    return


def main() -> int:
    """Returns the process' exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 5.0, 10.0])
    parser.add_argument("--count", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    arguments = parser.parse_args()
    set_threads(arguments.threads)
    torch.manual_seed(0)
    data = load("mnist")
    floor = fid(spread_out(data.test, arguments.count), data.train)
    minutes = sorted(arguments.minutes)
    facts: dict[str, dict[str, dict[str, float]]] = {f"{m:g} min": {} for m in minutes}
    print(f"floor of {arguments.count:,}: {floor:.3f}")
    print(f"{'':16}{'minutes':>8}{'images seen':>12}{'digit-FID':>11}{'of floor':>10}{'sure':>7}")
    for name in arguments.libraries:
        library = LIBRARIES[name]()
        points = train(library, data, [60 * m for m in minutes])
        for at, seen in zip(minutes, points, strict=True):
            samples = library.draw(arguments.count, EVALUATIONS)
            distance = fid(samples, data.train)
            sure = float((classify(samples)[1] >= SURE).mean())
            facts[f"{at:g} min"][name] = {
                "images seen": seen,
                "digit-FID": distance,
                "digit-FID to floor": distance / floor,
                "share sure": sure,
            }
            print(
                f"{name:16}{at:8g}{seen:12,}{distance:11.2f}{distance / floor:10.1f}{sure:7.1%}",
                flush=True,
            )
    for at, found in facts.items():
        peers = [one["digit-FID"] for name, one in found.items() if name != "diffviz"]
        if "diffviz" in found and peers:
            times = min(peers) / found["diffviz"]["digit-FID"]
            found["diffviz"]["best peer's digit-FID to ours"] = times
            print(f"after {at} the best peer's digit-FID is {times:.1f} times ours")
    if arguments.json:
        arguments.json.write_text(json.dumps({"floor": floor, **facts}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
