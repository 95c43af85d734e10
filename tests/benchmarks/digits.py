"""How soon digits appear: python -m tests.benchmarks.digits [--at 1 5 10] [--json FILE].

Opens the real window, presses Train as it comes up (preset `modern`), and stops after so many
minutes of training to draw 256 samples of 20 evaluations from what it saved, then resumes. Measured
is the share in which the classifier is at least 90 % sure of a digit. The goals, on two cores with
AMX: a third after one minute, 70 % after five, 85 % after ten.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from tests.benchmarks._window import live, open_window


def share_sure(folder: Path, count: int) -> tuple[float, int]:
    """The share of samples of the run's newest weights that are surely digits; images seen."""
    from trainer.drawing import drawn_images
    from trainer.metrics import SURE, classify
    from trainer.requests import Drawing
    from trainer.runs import Run
    from trainer.runs.checkpoints import checkpoint_facts

    run = Run.open(folder)
    sampler = run.config.preview_sampler
    samples = drawn_images(Drawing(model=str(folder), count=count, sampler=sampler, steps=20))
    seen = checkpoint_facts(run.newest())[1]["images_seen"]
    return float((classify(samples)[1] >= SURE).mean()), seen


def main() -> int:
    """Returns the process' exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at", type=float, nargs="+", default=[1.0, 5.0, 10.0], help="minutes")
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    arguments = parser.parse_args()
    window = open_window()
    training = window.training
    live(600, lambda: window.ready)
    facts: dict[str, dict[str, float]] = {}
    spent, button = 0.0, training.train_button
    print(f"{'minutes':>8}{'images seen':>13}{'sure':>8}")
    for minutes in sorted(arguments.at):
        begun = time.perf_counter()
        button.click()
        live(60 * minutes - spent)
        spent += time.perf_counter() - begun
        training.stop_button.click()
        live(60, lambda: not training.training)
        assert training.where is not None
        sure, seen = share_sure(training.where.folder, arguments.count)
        facts[f"after {minutes:g} minutes"] = {"images seen": seen, "share sure": sure}
        print(f"{minutes:8g}{seen:13,}{sure:8.1%}", flush=True)
        button = training.resume_button
    window.shutdown()
    if arguments.json:
        arguments.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
