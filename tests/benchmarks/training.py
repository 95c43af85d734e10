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
from collections.abc import Callable
from pathlib import Path
from unittest.mock import MagicMock

import torch

from trainer.config import PRESETS
from trainer.learner import Learner, fast_precision
from trainer.processes import make_process

Step = Callable[[], None]


def ours(batch: int, precision: str) -> Step:
    config = PRESETS["modern"].with_changes(precision=precision)
    process = make_process(config.process, config.process_parameters)
    learner = Learner(config, process, 1, "cpu")
    images = torch.randint(0, 256, (batch, 1, 28, 28), dtype=torch.uint8)
    count = iter(range(10**9))
    return lambda: learner.step(images, None, next(count), 10**9).item()  # type: ignore


def smalldiffusion(batch: int) -> Step:
    """https://github.com/yuanchenyang/smalldiffusion, examples/fashion_mnist_unet.py."""
    # Its data module wants torchvision, which is not used here and has to match torch's build.
    missing = "torchvision" not in sys.modules
    sys.modules.setdefault("torchvision", MagicMock())
    from smalldiffusion import Scaled, ScheduleLogLinear, Unet, generate_train_sample

    if missing:
        del sys.modules["torchvision"]
    model = Scaled(Unet)(28, 1, 1, ch=64, ch_mult=(1, 1, 2), attn_resolutions=(14,))
    schedule = ScheduleLogLinear(sigma_min=0.01, sigma_max=20, N=800)
    optimizer = torch.optim.AdamW(model.parameters(), lr=7e-4)
    images = torch.randn(batch, 1, 28, 28)

    def step() -> None:
        optimizer.zero_grad()
        x0, sigma, eps, _ = generate_train_sample(images, schedule)
        loss = type(model).get_loss(model, x0, sigma, eps)
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def course_network() -> torch.nn.Module:
    """The diffusion course's class of model, unit 1, for 28 x 28 images."""
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=28,
        in_channels=1,
        out_channels=1,
        layers_per_block=2,
        block_out_channels=(32, 64, 64),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    )


def course(batch: int) -> Step:
    from diffusers import DDPMScheduler

    model, schedule = course_network(), DDPMScheduler()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    images = torch.randn(batch, 1, 28, 28)

    def step() -> None:
        eps, t = torch.randn_like(images), torch.randint(0, 1000, (batch,))
        answer = model(schedule.add_noise(images, eps, t), t, return_dict=False)[0]
        loss = torch.nn.functional.mse_loss(answer, eps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def main() -> int:
    """Returns the process' exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    batch = arguments.batch
    steps: dict[str, Step] = {
        "diffviz modern, float32": ours(batch, "float32"),
        "smalldiffusion, Fashion-MNIST U-Net": smalldiffusion(batch),
        "diffusers, course UNet2DModel": course(batch),
    }
    if fast_precision("cpu") == torch.bfloat16:
        steps["diffviz modern, bfloat16"] = ours(batch, "bfloat16")
    speeds: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()  # warm
    for _ in range(arguments.rounds):
        for name, step in steps.items():
            repeats = 4 if name.startswith("diffviz") else 1  # each about as long
            begun = time.perf_counter()
            for _ in range(repeats):
                step()
            speeds[name].append(repeats * batch / (time.perf_counter() - begun))
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    peer = medians["smalldiffusion, Fashion-MNIST U-Net"]
    print(f"{'training, batches of ' + str(batch):38}{'images/s':>10}{'times':>8}")
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
