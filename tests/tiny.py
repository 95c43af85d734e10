"""The smallest training there is: pictures of noise, and settings that learn from them in a second.

Tests and the campaign begin it; WORDS are TINY's settings as options of `trainer train`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trainer.config import PRESETS
from trainer.runs.measures import Measure

TINY = PRESETS["modern"].with_changes(
    network_parameters={"width": 8, "blocks": 1}, batch_size=6, epochs=2, bound_images=2,
    preview_images=2, preview_steps=1, evaluate_every=99, warmup_steps=2, precision="float32",
)  # fmt: skip
WORDS = ["--batch-size", "6", "--epochs", "2", "--device", "cpu"]
for _name in (
    "network_parameters", "bound_images", "preview_images", "preview_steps", "evaluate_every",
    "warmup_steps", "precision",
):  # fmt: skip
    WORDS += ["--set", f"{_name}={json.dumps(getattr(TINY, _name)).strip(chr(34))}"]
SMALL = PRESETS["modern"].with_changes(  # as small, of MNIST
    network_parameters={"width": 8, "blocks": 1}, epochs=2, batch_size=32, limit_images=128,
    bound_images=4, preview_steps=2, evaluate_every=1,
)  # fmt: skip


def pictures(folder: Path, count: int = 20, side: int = 8, classes: int = 2) -> Path:
    """A folder of `count` grey images: a tenth for tests, the rest to learn from."""
    noise = np.random.default_rng(count)
    for k in range(count):
        (folder / f"{k % classes}").mkdir(parents=True, exist_ok=True)
        image = noise.integers(0, 256, (side, side), dtype=np.uint8)
        Image.fromarray(image).save(folder / f"{k % classes}" / f"{k}.png")
    return folder


def measured(fid: float, count: int, **settings: Any) -> Measure:
    """What might have been measured of so many samples, of no run's checkpoint."""
    settings = {"sampler": "ddim", "steps": 9, "count": count, "seed": 0} | settings
    values = {"fid": fid, "floor": 1.0, "nfe": 9, "seconds": 1.0}
    return Measure("samples", "", settings, values, "here")
