"""DiffViz's engine. What a notebook needs is here by name, and is imported when it is first used.

from trainer import Drawing, drawn_images
images = drawn_images(Drawing(model="modern", count=16, sampler="ddim", steps=50))
"""

from importlib import import_module
from typing import Any

_PLACES = {
    "PRESETS": "trainer.config", "ExperimentConfig": "trainer.config", "load": "trainer.data",
    "Drawing": "trainer.requests", "draw": "trainer.drawing", "drawn_images": "trainer.drawing",
    "open_model": "trainer.drawing", "sample": "trainer.samplers", "SAMPLERS": "trainer.catalogue",
    "Run": "trainer.runs", "train": "trainer.training",
    "fit": "trainer.training.fit", "DDPM": "trainer.processes",
    "VPSDE": "trainer.processes", "SubVPSDE": "trainer.processes", "VESDE": "trainer.processes",
    "bits_per_dim": "trainer.likelihood", "log_likelihood": "trainer.likelihood",
    "variational_bound": "trainer.likelihood", "fid": "trainer.metrics",
}  # fmt: skip
__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'trainer' has no attribute '{name}'")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted(_PLACES)
