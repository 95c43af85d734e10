"""What an experiment is, as frozen data, and the named presets. Importing this needs no torch."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, get_origin

from trainer.problems import Problem

WEIGHTINGS = ("simple", "log-normal", "min-snr", "likelihood")
PRECISIONS = ("auto", "float32", "bfloat16")


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

    `loss_weighting` is one of WEIGHTINGS (trainer.training.loss). With `classes` above 0 the
    network is told each image's label, but for a `label_dropout` share of them. `batch_size`
    images make one update, taken in `accumulation` parts one after the other, which needs less
    memory (batch norm then sees a part at a time). `precision` is auto (the fastest that the
    hardware has natively), float32 or bfloat16.
    """

    preset: str = "custom"
    dataset: str = "mnist"
    process: str = "ddpm-cosine"
    process_parameters: dict[str, Any] = field(default_factory=dict)
    network: str = "lean"
    network_parameters: dict[str, Any] = field(default_factory=dict)
    prediction: str = "v"
    loss_weighting: str = "simple"
    min_snr_gamma: float = 5.0
    classes: int = 0
    label_dropout: float = 0.1
    epochs: int = 300
    batch_size: int = 128
    accumulation: int = 1
    precision: str = "auto"
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
            "accumulation": 1,
            "classes": 0,
            "min_snr_gamma": 0.0,
            "learning_rate": 0.0,
            "evaluate_every": 0.0,
            "keep_every": 1,
            "preview_images": 1,
            "preview_steps": 1,
            "bound_images": 1,
        }.items():
            value = getattr(self, name)
            strict = isinstance(least, float)
            if not value >= least or (strict and value == 0):
                bound = "above 0" if strict else f"at least {least}"
                raise Problem(f"{name.replace('_', ' ')} must be {bound}, not {value:g}.")
        for name in ("decay_fraction", "ema", "label_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise Problem(f"{name.replace('_', ' ')} must lie between 0 and 1.")
        for name, choices in (
            ("loss_weighting", WEIGHTINGS),
            ("precision", PRECISIONS),
        ):
            if getattr(self, name) not in choices:
                words = name.replace("_", " ")
                raise Problem(
                    f"{words} is one of {', '.join(choices)}, not '{getattr(self, name)}'."
                )

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


# Ten passes over MNIST are ten minutes on two cores that multiply bfloat16. The cosine betas and v
# prediction start from (almost) pure noise, unlike the report's; the continuous-time ones predict v
# too, which every process here takes at unit scale (trainer.denoiser.target). Small batches
# and noise drawn where digits take shape lowered the digit-FID after 38,400 images by a third.
MODERN = ExperimentConfig(
    preset="modern",
    loss_weighting="log-normal",
    batch_size=64,
    epochs=10,
    evaluate_every=0.5,
    keep_every=1,
)
MODERN_SDE = MODERN.with_changes(preset="modern-sde", process="vp", preview_sampler="dpm-solver++")

# Report §3. Given: the process, 300 epochs, the network's elements. Guessed: Adam at a constant
# 1e-3, batches of 128, the network's widths (trainer.networks.report), an EMA of 0.995. The
# sampler is the chain's own, all 300 steps; grids are kept at 100, 200 and 300 epochs as the
# report's are.
REPORT_DDPM = ExperimentConfig(
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
)

PRESETS: dict[str, ExperimentConfig] = {
    config.preset: config
    for config in (
        MODERN,
        MODERN_SDE,
        MODERN.with_changes(preset="modern-conditional", classes=10, preview_images=20),
        MODERN_SDE.with_changes(preset="modern-sub-vp", process="sub-vp"),
        # sigma from 0.01 to 50 as Song et al. 2021 take it for small images (appendix C). Log-sigma
        # falls evenly in t, so the sampler's even steps in t suit it.
        MODERN_SDE.with_changes(
            preset="modern-ve", process="ve", preview_sampler="ddim", preview_steps=50
        ),
        MODERN_SDE.with_changes(
            preset="modern-likelihood",
            loss_weighting="likelihood",
            network_parameters={"octaves": 5},
        ),
        REPORT_DDPM,
        # Nothing but the schedule, whose last step now keeps no signal (Lin et al. 2023), and v
        # prediction, which it needs: at alpha = 0 eps says nothing of the image.
        REPORT_DDPM.with_changes(
            preset="report-ddpm-mended", process="ddpm-zero-snr", prediction="v"
        ),
        # Report §4. Its 10,000 "epochs" of 0.12 s must be optimiser steps: 22 passes over MNIST in
        # batches of 128. Guessed: the report's own U-Net, the score as what it predicts, and the
        # optimiser as above.
        REPORT_DDPM.with_changes(
            preset="report-sde",
            process="vp",
            process_parameters={},
            prediction="score",
            epochs=22,
            preview_sampler="euler-maruyama",
            preview_steps=200,
        ),
    )
}

DESCRIPTIONS: dict[str, str] = {
    "modern": "Lean U-Net, DDPM with cosine betas, v prediction: digits in minutes on a CPU.",
    "modern-sde": "Lean U-Net, VP SDE, v prediction: digits in minutes, exact likelihood.",
    "modern-conditional": "The modern DDPM told each image's class: ask it for digits by name.",
    "modern-sub-vp": "The modern SDE with the sub-VP process, which likelihoods favour.",
    "modern-ve": "The modern SDE with the variance exploding process.",
    "modern-likelihood": "The modern SDE trained for likelihood: fewer bits/dim, rougher digits.",
    "report-ddpm": "The report's DDPM: its U-Net, 300 linear betas 1e-4…0.02, eps prediction.",
    "report-ddpm-mended": "The report's DDPM with its schedule mended to end in pure noise.",
    "report-sde": "The report's score-based model: VP SDE, Euler-Maruyama sampling.",
}
