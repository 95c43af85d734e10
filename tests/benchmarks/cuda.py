"""What a GPU does: python -m tests.benchmarks.cuda [--device cuda] [--json FILE].

Trains the `modern` preset for --epochs (300) passes over MNIST in batches of --batch, which a GPU
wants larger than a CPU does; then the report's U-Net for --report-epochs (0: not at all) as its
preset stands; then draws 10,000 samples of 20 evaluations from the first. Prints seconds and the
most memory that was taken. The goals on an H200: 120 s, 15 minutes for the report's 300 epochs
(the report: 13,122 s), and 5 s. Says so where there is no such device.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import torch

from trainer.config import PRESETS, ExperimentConfig
from trainer.devices import machine
from trainer.drawing import draw, open_model
from trainer.requests import Drawing
from trainer.runs import Run
from trainer.training import train


def train_for(config: ExperimentConfig, folder: Path, device: str) -> tuple[Run, float]:
    """The trained run, and the seconds it took."""
    run = Run.create(folder, config)
    begun = time.perf_counter()
    for _ in train(config, run, device):
        pass
    return run, time.perf_counter() - begun


def main() -> int:
    """Returns the process' exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--report-epochs", type=int, default=0)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--images", type=int, default=None, help="of MNIST's 60,000 (all)")
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    arguments = parser.parse_args()
    device = arguments.device
    if device == "cuda" and not torch.cuda.is_available():
        print("There is no CUDA device here: nothing was measured.")
        return 0
    rare = {"evaluate_every": float(arguments.epochs), "limit_images": arguments.images}
    facts: dict[str, object] = {"device": machine(device), "batch": arguments.batch}
    with tempfile.TemporaryDirectory() as folder:
        modern = PRESETS["modern"].with_changes(
            epochs=arguments.epochs, batch_size=arguments.batch, **rare
        )
        run, seconds = train_for(modern, Path(folder) / "modern", device)
        facts[f"modern, {arguments.epochs} epochs, seconds"] = seconds
        if arguments.report_epochs:
            report = PRESETS["report-ddpm"].with_changes(epochs=arguments.report_epochs, **rare)
            _, seconds = train_for(report, Path(folder) / "report", device)
            facts[f"report-ddpm, {arguments.report_epochs} epochs, seconds"] = seconds
        ask = Drawing(
            model=str(run.folder), count=arguments.samples, steps=20, batch=2500,
            precision="float32",
        )  # fmt: skip
        opened = open_model(ask, device=device)
        begun = time.perf_counter()
        for _ in draw(ask, opened):
            pass
        facts[f"{arguments.samples:,} samples, seconds"] = time.perf_counter() - begun
    if device == "cuda":
        facts["most memory, MB"] = torch.cuda.max_memory_allocated() / 2**20
    for name, value in facts.items():
        print(f"{name:34}{value:>12.1f}" if isinstance(value, float) else f"{name:34}{value:>12}")
    if arguments.json:
        arguments.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
