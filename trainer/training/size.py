"""What the images' size decides of a training, unless its settings do.

The presets are tuned for 28 to 32 pixels a side. Larger images take a larger network (`for_side`
of those that have one), and more noise, since what spreads over more pixels shows through more
(Hoogeboom et al. 2023, simple diffusion, arXiv:2301.11093, equation 4): sigma / alpha is side / 32
times as large, in the process and where training draws its noise.
"""

import dataclasses
import math
from typing import Any

from trainer.catalogue import NETWORKS, PROCESSES
from trainer.config import ExperimentConfig

SIDE = 32  # up to here everything is as the presets have it


def for_size(config: ExperimentConfig, shape: tuple[int, int, int]) -> ExperimentConfig:
    """The settings for images (C, H, W): what they leave as usual is filled in, by its name."""
    side = max(shape[1:])
    if side <= SIDE:
        return config
    shift = side / SIDE
    network: dict[str, Any] = getattr(
        NETWORKS.named(config.network).find(), "for_side", lambda side: {}
    )(side)
    taken = {one.name: one.default for one in PROCESSES.named(config.process).options}
    process: dict[str, Any] = {"shift": shift} if "shift" in taken else {}
    if config.process == "ve":
        process = {"sigma_max": taken["sigma_max"] * shift}
    changes: dict[str, Any] = {
        "network_parameters": network | config.network_parameters,
        "process_parameters": process | config.process_parameters,
    }
    usual = {field.name: field.default for field in dataclasses.fields(config)}["noise_mean"]
    if config.noise_mean == usual:
        changes["noise_mean"] = round(config.noise_mean + math.log(shift), 4)
    return config.with_changes(**changes)
