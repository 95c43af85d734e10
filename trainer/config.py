"""What an experiment is, as frozen data, and the named presets. Importing this needs no torch."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, get_origin

from trainer.problems import Problem


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value out of JSON is one of a field's type."""
    if isinstance(value, bool):
        return kind is bool
    if kind is float:
        return isinstance(value, int | float)
    return isinstance(value, dict if get_origin(kind) is dict else kind)


@dataclass(frozen=True)
class ExperimentConfig:
    """Everything that decides a training's outcome, besides the machine.

    `process` and `network` are names in PROCESSES and NETWORKS, with their parameters beside them.
    `bound_images` held-out images give the live bits/dim each `evaluate_every` epochs; `preview`
    images are drawn from fixed noise at the same times. `keep_every` epochs a checkpoint is kept.
    """

    preset: str = "custom"
    dataset: str = "mnist"
    process: str = "ddpm-cosine"
    process_parameters: dict[str, Any] = field(default_factory=dict)
    network: str = "lean"
    network_parameters: dict[str, Any] = field(default_factory=dict)
    prediction: str = "v"
    epochs: int = 300
    batch_size: int = 128
    learning_rate: float = 2e-3
    decay_fraction: float = 0.4
    warmup_steps: int = 100
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    ema: float = 0.998
    seed: int = 0
    limit_images: int | None = None
    evaluate_every: float = 1.0
    keep_every: int = 100
    bound_images: int = 128
    preview_images: int = 16
    preview_sampler: str = "ddim"
    preview_steps: int = 20

    def __post_init__(self) -> None:
        for name, least in {
            "epochs": 1,
            "batch_size": 2,
            "learning_rate": 0,
            "evaluate_every": 0,
            "keep_every": 1,
            "preview_images": 1,
            "preview_steps": 1,
            "bound_images": 1,
        }.items():
            value = getattr(self, name)
            strict = least == 0
            if not value >= least or (strict and value == 0):
                bound = "above 0" if strict else f"at least {least}"
                raise Problem(f"{name.replace('_', ' ')} must be {bound}, not {value:g}.")
        for name in ("decay_fraction", "ema"):
            if not 0 <= getattr(self, name) <= 1:
                raise Problem(f"{name.replace('_', ' ')} must lie between 0 and 1.")

    def with_changes(self, **changes: Any) -> "ExperimentConfig":
        return dataclasses.replace(self, **changes)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "ExperimentConfig":
        """Read what `to_json` wrote; a Problem says what is missing, unknown or of a wrong type."""
        try:
            values = json.loads(text)
        except ValueError as error:
            raise Problem(f"The settings are not valid JSON ({error}).") from error
        if not isinstance(values, dict):
            raise Problem("The settings are not a JSON object.")
        known = {f.name for f in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise Problem(
                f"The settings name {', '.join(unknown)}, which this version does not know. "
                "They may come from a newer DiffViz."
            )
        for f in dataclasses.fields(cls):
            if f.name in values and not _fits(values[f.name], f.type):
                raise Problem(
                    f"The settings hold a value of the wrong type ({f.name}: {values[f.name]!r})."
                )
        try:
            return cls(**values)
        except TypeError as error:
            raise Problem(f"The settings hold a value of the wrong type ({error}).") from error


PRESETS: dict[str, ExperimentConfig] = {
    config.preset: config
    for config in (
        ExperimentConfig(preset="modern"),
        ExperimentConfig(
            preset="modern-sde",
            process="vp",
            preview_sampler="probability-flow",
        ),
        # Report §3. Optimiser, learning rate, batch size and widths are not given there: Adam at
        # 1e-3 and 128 are guesses; the sampler is the chain's own, all 300 steps.
        ExperimentConfig(
            preset="report-ddpm",
            process="ddpm-linear",
            process_parameters={"steps": 300, "beta_start": 1e-4, "beta_end": 0.02},
            network="report",
            prediction="eps",
            learning_rate=1e-3,
            decay_fraction=0.0,
            warmup_steps=0,
            weight_decay=0.0,
            ema=0.995,
            preview_sampler="ddpm",
            preview_steps=300,
        ),
        # Report §4: 10,000 optimiser steps (its "epochs" of 0.12 s), about 22 passes over MNIST in
        # batches of 128; a U-Net without further description: the report's own is taken again.
        ExperimentConfig(
            preset="report-sde",
            process="vp",
            network="report",
            prediction="score",
            epochs=22,
            learning_rate=1e-3,
            decay_fraction=0.0,
            warmup_steps=0,
            weight_decay=0.0,
            ema=0.995,
            preview_sampler="euler-maruyama",
            preview_steps=200,
        ),
    )
}

DESCRIPTIONS: dict[str, str] = {
    "modern": "Lean U-Net, DDPM with cosine betas, v prediction: digits in minutes on a CPU.",
    "modern-sde": "Lean U-Net, VP SDE, v prediction: digits in minutes, exact likelihood.",
    "report-ddpm": "The report's DDPM: its U-Net, 300 linear betas 1e-4…0.02, eps prediction.",
    "report-sde": "The report's score-based model: VP SDE, Euler-Maruyama sampling.",
}
