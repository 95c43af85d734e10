"""What an experiment is, as an Ask, and the named presets. Importing this needs no torch."""

import shlex
from dataclasses import dataclass
from typing import Any, ClassVar

from trainer.ask import Ask, options_of, setting, settings_of
from trainer.catalogue import (
    CONDITIONINGS,
    EXACT,
    NETWORKS,
    OPTIMISERS,
    PRECISIONS,
    PREDICTIONS,
    PROCESSES,
    SAMPLERS,
    WEIGHTINGS,
)
from trainer.problems import Problem

MOST_SEED = 2**64 - 1  # what torch.Generator.manual_seed takes
MOST = 1_000_000  # of what nobody asks more of: a count is not taken at its word


@dataclass(frozen=True)
class ExperimentConfig(Ask):
    """Everything that decides a training's outcome, besides the machine.

    With `classes` above 0 the network is told each image's label, but for a `label_dropout` share
    of them. `bound_images` held-out images give the live bits/dim each `evaluate_every` epochs;
    `preview_images` are drawn from fixed noise at the same times.
    """

    # fmt: off
    preset: str = setting("custom", "Preset", "The named experiment that this began as", more=True)
    dataset: str = setting(
        "mnist", "Dataset", "What it learns to draw: mnist, or a folder of IDX files "
        "(Fashion-MNIST, EMNIST…), of CIFAR-10's binary files, or of images (folder:64 for 64 "
        "pixels a side, 32 otherwise)",
    )
    process: str = setting(
        "ddpm-cosine", "Process", "How noise is added; the model learns to undo it",
        choices=PROCESSES,
    )
    process_parameters: dict[str, Any] = setting(
        {}, "Process' options", "What the process takes", of="process", more=True,
    )
    network: str = setting(
        "lean", "Network", "What learns to take the noise away", choices=NETWORKS,
    )
    network_parameters: dict[str, Any] = setting(
        {}, "Network's options", "What the network takes", of="network", more=True,
    )
    prediction: str = setting(
        "v", "Network predicts", "The noise, the clean image, v = α ε − σ x0, ε − x0, or the score",
        choices=PREDICTIONS, more=True,
    )
    conditioning: str = setting(
        "time", "Network is told", "How much noise there is, as the process' time or as log-SNR",
        choices=CONDITIONINGS, more=True,
    )
    loss_weighting: str = setting(
        "simple", "Loss weighting", "simple: all times alike; log-normal: more of the noise at "
        "which images take shape (Karras et al. 2022); logit-normal: the same, for the velocity of "
        "rectified flow (Esser et al. 2024); min-snr: easy noise counts less (Hang et al. 2023); "
        "likelihood: what bits/dim asks for", choices=WEIGHTINGS, more=True,
    )
    min_snr_gamma: float = setting(
        5.0, "Min-SNR gamma", "Where min-snr cuts the weights", above=0, more=True,
    )
    noise_mean: float = setting(
        0.3, "Noise's mean", "Of ln(sigma / alpha) where the weighting is log-normal or "
        "logit-normal (then of logit t, on rectified flow): nearer to noise than Karras et al.'s "
        "-1.2 for photographs, since a digit's shape is decided there",
        least=-10, most=10, more=True,
    )
    noise_std: float = setting(
        1.0, "Noise's deviation", "Of ln(sigma / alpha), likewise",
        above=0, most=10, more=True,
    )
    optimal_pairs: bool = setting(
        False, "Optimal pairs", "Noise goes to the image of the batch that it is nearest to: "
        "straighter paths, for the ODE's samplers alone, since noise no longer falls on any image "
        "alike (Tong et al. 2023)", more=True,
    )
    classes: int = setting(
        0, "Classes", "Tell the network each image's class, of so many; 0: do not", least=0,
        most=100_000, more=True,
    )
    label_dropout: float = setting(
        0.1, "Label dropout", "Share of images whose class is hidden, which is what guidance "
        "compares with", least=0, most=1, more=True,
    )
    epochs: int = setting(300, "Epochs", "Passes over all training images", least=1, most=MOST)
    batch_size: int = setting(
        128, "Batch", "Images an optimiser step learns from", least=2, most=MOST,
    )
    parts: int = setting(
        1, "Parts", "Parts of a batch that processors take at once, each on a thread of its own: "
        "as fast alone, much faster beside other programs (batch norm sees a part at a time)",
        least=1, most=1024, more=True,
    )
    accumulation: int = setting(
        1, "Accumulation", "Each part is taken in so many, one after the other: less memory",
        least=1, most=1024, more=True,
    )
    precision: str = setting(
        "auto", "Precision", "What convolutions and products run in: auto takes bfloat16 where "
        "the hardware has it", choices=PRECISIONS, more=True,
    )
    optimiser: str = setting(
        "adamw", "Optimiser", "What turns gradients into steps", choices=OPTIMISERS, more=True,
    )
    learning_rate: float = setting(
        2e-3, "Rate", "Learning rate, the size of a step; too large, it diverges", above=0,
    )
    muon_rate: float = setting(
        0.02, "Muon's rate", "Learning rate of the matrices that Muon moves", above=0, more=True,
    )
    decay_fraction: float = setting(
        0.4, "Decay over the last", "Share of training in which the learning rate falls to 0",
        least=0, most=1, more=True,
    )
    warmup_steps: int = setting(
        100, "Warm-up steps", "The learning rate rises over so many steps", least=0, most=10**9,
        more=True,
    )
    weight_decay: float = setting(
        0.01, "Weight decay", "Pulls the weights towards 0", least=0, more=True,
    )
    gradient_clip: float = setting(
        1.0, "Gradient clip", "Longest gradient that is taken as it is", above=0, more=True,
    )
    ema: float = setting(
        0.998, "EMA", "Weight of the past in the average of the weights that samples", least=0,
        most=1, more=True,
    )
    seed: int = setting(
        0, "Seed", "The same seed gives the same weights on the same machine", least=0,
        most=MOST_SEED,
    )
    initial: str = setting(
        "", "Begin as", "A trained model, by name or folder, whose weights this training begins "
        "with; its network must be the same, or have fewer blocks", more=True,
    )
    limit_images: int | None = setting(
        None, "Images at most", "Train on only so many images", least=1, most=10**9, more=True,
    )
    first_image: int = setting(
        0, "First image", "Train on the images from this one on: two trainings that share none "
        "show what the data decide", least=0, most=10**9, more=True,
    )
    evaluate_every: float = setting(
        1.0, "Evaluate every", "Epochs between two evaluations", above=0, most=MOST,
        more=True,
    )
    keep_every: int = setting(
        100, "Checkpoint every", "Epochs between two checkpoints that are kept", least=1, most=MOST,
        more=True,
    )
    bound_images: int = setting(
        128, "Bound's images", "Held-out images that the live bits/dim is measured on", least=1,
        most=MOST, more=True,
    )
    preview_images: int = setting(
        16, "Preview images", "Samples drawn at each evaluation", least=1, most=4096, more=True,
    )
    preview_sampler: str = setting(
        "ddim", "Preview sampler", "What draws the pictures while training", choices=SAMPLERS,
        more=True,
    )
    preview_steps: int = setting(
        20, "Preview steps", "Sampler steps of the pictures while training", least=1, most=100_000,
        more=True,
    )
    # fmt: on
    version: ClassVar[int] = 2

    def check(self) -> None:
        if not self.dataset.strip():
            raise Problem("Dataset (dataset) must be mnist, or a folder: it is empty.")

    @classmethod
    def migrate(cls, values: dict[str, Any], version: int) -> dict[str, Any]:
        """Before version 2 the variance exploding process began with a noise of 0.01."""
        if version < 2 and values.get("process") == "ve":
            given = values.get("process_parameters", {})
            if isinstance(given, dict):
                values["process_parameters"] = {"sigma_min": 0.01} | given
        return values

    def chosen(self, images: int) -> slice:
        """Which of so many training images are trained on."""
        end = images if self.limit_images is None else self.first_image + self.limit_images
        return slice(min(self.first_image, images), min(end, images))


@dataclass(frozen=True)
class ExactConfig(Ask):
    """A model that is known in closed form instead of trained (trainer.exact).

    Its `id` stands wherever a run's name may: "training-set:mnist process=vp images=1000".
    """

    # fmt: off
    kind: str = setting(
        "training-set", "Model", "The images themselves, or a Gaussian of their mean and "
        "covariance", choices=EXACT,
    )
    dataset: str = setting("mnist", "Dataset", "Whose training images: mnist, or a folder")
    process: str = setting(
        "ddpm-cosine", "Process", "How noise is added; the model undoes it", choices=PROCESSES,
    )
    process_parameters: dict[str, Any] = setting(
        {}, "Process' options", "What the process takes", of="process",
    )
    images: int | None = setting(
        None, "Images at most", "Of only the first so many training images", least=1,
    )
    only: int | None = setting(None, "Only class", "Of only the images of this class", least=0)
    classes: int = setting(
        0, "Classes", "It can be asked for one of so many classes, and then is of the images of "
        "that class; 0: it cannot", least=0, most=100_000,
    )
    first: int = setting(0, "First image", "Of the training images from this one on", least=0)
    # fmt: on

    @property
    def id(self) -> str:
        """What names it: "kind:dataset", then what is not as usual as NAME=VALUE."""
        values = {
            name: getattr(self, name) for name in ("process", "images", "only", "classes", "first")
        }
        known = settings_of(type(self))
        told = {name: value for name, value in values.items() if value != known[name].default}
        words = [f"{name}={value}" for name, value in (told | self.process_parameters).items()]
        return shlex.join([f"{self.kind}:{self.dataset}", *words])

    @classmethod
    def from_id(cls, text: str) -> "ExactConfig | None":
        """The model that an `id` names; None where the text is a run's name or folder.

        Raises Problem where it names a setting that there is not, or a wrong value.
        """
        if text.lstrip("'\"").partition(":")[0] not in EXACT:
            return None
        reader = shlex.shlex(text, posix=True)
        reader.whitespace_split, reader.escape, reader.commenters = True, "", ""
        try:
            first, *words = reader
        except ValueError as error:
            raise Problem(f"A quotation mark in '{text}' is never closed.") from error
        kind, _, dataset = first.partition(":")
        values = {name: text for name, _, text in (word.partition("=") for word in words)}
        known = settings_of(cls)
        process = values.pop("process", known["process"].default)
        known["process"].check(process)
        options = options_of(cls, "process_parameters", process)
        named = known.keys() - {"kind", "dataset", "process_parameters"}
        if wrong := [name for name in values if name not in {*named, *options}]:
            raise Problem(
                f"An exact model has no setting '{wrong[0]}'; {first} takes process, images, only, "
                f"classes, first and {process}'s {', '.join(options) or 'none'}, as NAME=VALUE."
            )
        given = {n: known[n].parse(text) for n, text in values.items() if n in named}
        parameters = {n: options[n].parse(text) for n, text in values.items() if n in options}
        return cls(kind, dataset or "mnist", process, parameters, **given)

    def config(self) -> ExperimentConfig:
        """The settings of a training on the same images: what a run's config tells."""
        return ExperimentConfig(
            preset=self.kind, dataset=self.dataset, process=self.process,
            process_parameters=self.process_parameters, classes=self.classes, prediction="x0",
            limit_images=self.images, first_image=self.first,
        )  # fmt: skip


# Ten passes over MNIST are ten minutes on two cores that multiply bfloat16. Muon halves the images
# for the same loss; told log-SNR, a network knows the noise whatever the process. The cosine betas
# and v prediction start from (almost) pure noise, unlike the report's; the continuous-time ones
# predict v too, which every process here takes at unit scale (trainer.denoiser.target). Small
# batches and noise drawn where digits take shape lowered the digit-FID after 38,400 images by a
# third.
MODERN = ExperimentConfig(
    preset="modern",
    conditioning="log-snr",
    loss_weighting="log-normal",
    optimiser="muon",
    batch_size=64,
    parts=2,
    ema=0.9995,
    classes=10,
    preview_images=20,
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

RENAMED = {"modern-conditional": "modern"}  # what scripts and files of before name otherwise


class _Presets(dict[str, ExperimentConfig]):
    def __missing__(self, name: str) -> ExperimentConfig:
        if name in RENAMED:
            return self[RENAMED[name]]
        raise KeyError(name)


PRESETS = _Presets()
PRESETS |= {
    config.preset: config
    for config in (
        MODERN,
        MODERN_SDE,
        # Nobody tells it which digit: what decides that, the lower level, is twice as deep.
        MODERN.with_changes(
            preset="modern-unconditional",
            classes=0,
            preview_images=16,
            network_parameters={"blocks": 4, "attentions": 2},
        ),
        MODERN_SDE.with_changes(preset="modern-sub-vp", process="sub-vp"),
        # sigma to 50 as Song et al. 2021 take it for small images (appendix C). Log-sigma falls
        # evenly in t, so the sampler's even steps in t suit it.
        MODERN_SDE.with_changes(
            preset="modern-ve", process="ve", preview_sampler="ddim", preview_steps=50
        ),
        MODERN_SDE.with_changes(preset="modern-flow", process="flow", preview_sampler="heun"),
        MODERN_SDE.with_changes(
            preset="modern-likelihood",
            loss_weighting="likelihood",
            classes=0,
            preview_images=16,
            network="fine",
            epochs=60,
            evaluate_every=1.0,
        ),
        REPORT_DDPM,
        # Nothing but the schedule, whose last step now keeps no signal (Lin et al. 2023), and v
        # prediction, which it needs: at alpha = 0 eps says nothing of the image.
        REPORT_DDPM.with_changes(
            preset="report-ddpm-mended",
            process="ddpm-zero-snr",
            process_parameters=REPORT_DDPM.process_parameters,
            prediction="v",
        ),
        # Report §4. Its 10,000 "epochs" of 0.12 s must be optimiser steps: 22 passes over MNIST in
        # batches of 128. Guessed: the report's own U-Net, the score as what it predicts, and the
        # optimiser as above.
        REPORT_DDPM.with_changes(
            preset="report-sde",
            process="vp",
            prediction="score",
            epochs=22,
            preview_sampler="euler-maruyama",
            preview_steps=200,
        ),
    )
}

DESCRIPTIONS: dict[str, str] = {
    "modern": "Lean U-Net told each digit's class, DDPM with cosine betas: minutes on a CPU.",
    "modern-sde": "The modern recipe on the VP SDE: deterministic and stochastic samplers.",
    "modern-unconditional": "The modern DDPM without classes, deeper: a worse one can guide it.",
    "modern-sub-vp": "The modern recipe on the sub-VP process, which likelihoods favour.",
    "modern-ve": "The modern recipe on the variance exploding process.",
    "modern-flow": "The modern recipe on the straight line from data to noise (rectified flow).",
    "modern-likelihood": "The modern SDE trained for likelihood: fewer bits/dim, rougher digits.",
    "report-ddpm": "The report's DDPM: its U-Net, 300 linear betas 1e-4…0.02, eps prediction.",
    "report-ddpm-mended": "The report's DDPM with its schedule mended to end in pure noise.",
    "report-sde": "The report's score-based model: VP SDE, Euler-Maruyama sampling.",
}
