"""What the app holds in memory: python -m tests.benchmarks.memory [--steps 1000] [--json FILE].

Opens the real window and reads its resident memory: at rest, with torch and the shipped models
loaded and one drawing made; and the most that it took while both rows drew trajectories of 64
images and 1,000 steps. The goals: 700 MB and 1.2 GB. Needs psutil.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import psutil

from tests.benchmarks._window import live, open_window


def main() -> int:
    """Returns the process' exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--images", type=int, default=64, choices=(1, 4, 16, 64))
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    arguments = parser.parse_args()
    window = open_window()
    process = psutil.Process()

    def megabytes() -> float:
        return process.memory_info().rss / 2**20

    stage = window.trajectories
    live(600, lambda: bool(stage.nfe) and not stage.sampling)
    stage.timeline.pause()
    live(5)
    facts = {"at rest, MB": megabytes()}

    stage.form["count"].set_value(arguments.images)
    for spin in stage.steps.values():
        spin.setValue(arguments.steps)
    begun, seen = time.perf_counter(), [0.0]

    def drawn() -> bool:
        seen.append(megabytes())
        return not stage.sampling and all(n >= arguments.steps for n in stage.nfe.values())

    stage.draw()
    live(3600, drawn)
    facts |= {
        f"{arguments.images} images, {arguments.steps} steps, most MB": max(seen),
        f"{arguments.images} images, {arguments.steps} steps, seconds": time.perf_counter() - begun,
    }
    window.shutdown()
    for name, value in facts.items():
        print(f"{name:40}{value:10.1f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
