"""Model cards: what a run is, what it cost, what was measured of it, and how to repeat it."""

import dataclasses
import json
import shlex
from typing import Any

import torch

from trainer.catalogue import DEQUANTISATIONS
from trainer.config import DESCRIPTIONS, PRESETS
from trainer.networks import make_network
from trainer.problems import Problem
from trainer.runs import Run
from trainer.runs.checkpoints import checkpoint_facts
from trainer.runs.measures import Measure, measures

DEQUANTISED = {choice.id: choice.title for choice in DEQUANTISATIONS}
OPTIONS = ("epochs", "batch_size", "learning_rate", "seed", "dataset", "limit_images",
           "first_image")  # fmt: skip


def options(run: Run) -> list[str]:
    """What sets the run apart from its preset, as options of `trainer train`."""
    known = run.config.preset in PRESETS
    preset = PRESETS[run.config.preset if known else "modern"]
    found = ["--preset", preset.preset]
    # What is chosen anew begins with its own options.
    chosen = {name: getattr(run.config, name) for name in ("process", "network")}
    begun = preset.with_changes(**chosen)
    for name, value in dataclasses.asdict(run.config).items():
        if value == getattr(preset if name in chosen else begun, name):
            continue
        text = value if isinstance(value, str) else json.dumps(value)
        if name in OPTIONS and value is not None:
            found += [f"--{name.replace('_', '-')}", text]
        else:
            found += ["--set", f"{name}={text}"]
    return found


def card(run: Run) -> dict[str, Any]:
    """The run's card, plain data that JSON takes. Unknown facts are None.

    `seconds` and `machine` are the training's, if the run recorded them; `measures` are those of
    its newest checkpoint; `command` repeats the training, but where `continued` tells of steps from
    which on it was for another number of epochs: its learning rate followed several schedules.
    """
    path = run.newest()
    checkpoint, facts = checkpoint_facts(path)
    channels, _, _ = run.image_shape()
    with torch.device("meta"):  # counted, not made
        network = make_network(run.config, channels, "meta")
    words = ["python", "-m", "trainer", "train", *options(run), "--run", run.folder.name]
    return {
        "name": run.folder.name,
        "preset": run.config.preset,
        "description": DESCRIPTIONS.get(run.config.preset, ""),
        "dataset": run.config.dataset,
        "process": run.config.process,
        "process_parameters": run.config.process_parameters,
        "network": run.config.network,
        "parameters": sum(p.numel() for p in network.parameters()),
        "prediction": run.config.prediction,
        "step": facts.get("step"),
        "epoch": facts.get("epoch"),
        "images_seen": facts.get("images_seen"),
        "seconds": facts.get("seconds"),
        "machine": facts.get("machine"),
        "checkpoint": checkpoint,
        "checkpoints": len(run.checkpoints()),
        "measures": [dataclasses.asdict(entry) for entry in measures(run)],
        "continued": [line for line in run.metrics() if "epochs" in line],
        "command": shlex.join(words),
    }


def duration(seconds: float) -> str:
    """Seconds as a person says them: "48 s", "11 min", "3 h 39 min"."""
    if seconds < 90:
        return f"{seconds:.3g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def guidance_of(settings: dict[str, Any]) -> str:
    """How samples were guided, in words: "guidance 2 by 00002814, σ/α 0.3 to 5"; "" if not."""
    if "guidance" not in settings:
        return ""
    words = f"guidance {settings['guidance']:g}"
    words += f" by {settings['guide']}" if settings.get("guide") else ""
    low, high = settings.get("guidance_from"), settings.get("guidance_to")
    if low or high:
        words += f", σ/α {low or 0:g} to " + ("∞" if high is None else f"{high:g}")
    return words


def sampler_of(settings: dict[str, Any]) -> str:
    """What drew the samples, as far as it is not as usual: "sa-solver (tau 2, spacing karras)"."""
    told = dict(settings.get("options", {}))
    told |= {name: settings[name] for name in ("spacing", "ema") if settings.get(name)}
    words = [
        f"{name.replace('_', ' ')} {value if isinstance(value, str) else format(value, 'g')}"
        for name, value in told.items()
    ]
    return f"{settings['sampler']} ({', '.join(words)})" if words else str(settings["sampler"])


def describe(measure: Measure) -> str:
    """A measure in one sentence, with the counts it was made of."""
    values, settings = measure.values, measure.settings
    if measure.kind == "samples":
        guidance = f" at {words}" if (words := guidance_of(settings)) else ""
        compared = "as many"
        if values.get("floor_images", settings["count"]) < settings["count"]:
            compared = f"all {values['floor_images']:,}, which are fewer,"
        mixed = f", classes {settings['classes']}," if "classes" in settings else ""
        facts = [
            f"FID {values['fid']:.2f} of {settings['count']:,} samples{mixed} by "
            f"{sampler_of(settings)} in {settings['steps']} steps{guidance} "
            f"({compared} test images: {values['floor']:.2f})"
        ]
        if values.get("sure") is not None:
            real = values.get("sure_of_real")
            of_real = "" if real is None else f" ({real:.0%})"
            facts.append(f"{values['sure']:.0%}{of_real} are surely digits")
        if counts := values.get("classes"):
            facts.append(f"the rarest class is {min(counts) / max(sum(counts), 1):.1%}")
        if "asked" in values:
            facts.append(f"{values['asked']:.1%} are of the class asked for")
        if values.get("copying") is not None:
            facts.append(f"copying {values['copying']:.2f} (copies 1, fresh draws 0.5)")
        spent = f"{values['nfe']} NFE, {duration(values['seconds'])} on {measure.machine}"
        said = [", ".join(facts), spent]
        if values.get("limits"):
            limits = values["limits"].rstrip(".")
            said.append(f"in the features {settings.get('features')}. {limits}")
        return "; ".join(said)
    return likelihood_words(values, settings)


def likelihood_words(values: dict[str, Any], settings: dict[str, Any]) -> str:
    """What was found of likelihood (trainer.likelihood.judge.summary), in one sentence."""
    texts = []
    for name, words in (("exact", "exactly"), ("bound", "at most")):
        if values.get(name) is not None:
            error = values.get(f"{name}_error")
            texts.append(f"{words} {values[name]:.3f}" + (f" ± {error:.3f}" if error else ""))
    found = ", ".join(texts) or "no finite value"
    images = "1 test image" if values["images"] == 1 else f"{values['images']:,} test images"
    said = f"{found} bits/dim on {images}"
    if values.get("exact") is not None:
        how = settings.get("dequantisation", "uniform")
        said += f" ({DEQUANTISED.get(how, how)}"
        if values.get("solver_error") is not None:
            said += f", {values['nfe']:.0f} NFE, the solver's error {values['solver_error']:.4f}"
        said += ")"
    return said


def card_text(found: dict[str, Any]) -> str:
    """A card as lines of plain text."""
    lines = [
        f"{found['name']}: {found['description'] or found['preset']}",
        f"Network: {found['network']}, {found['parameters']:,} parameters, predicts "
        f"{found['prediction']}. Process: {found['process']}.",
    ]
    seen = "an unknown number of" if found["images_seen"] is None else f"{found['images_seen']:,}"
    spent = "time not recorded" if found["seconds"] is None else duration(found["seconds"])
    where = f" on {found['machine']}" if found["machine"] else ""
    lines.append(f"Trained on {seen} images of {found['dataset']}: {spent}{where}.")
    lines += [f"Measured: {describe(Measure(**entry))}." for entry in found["measures"]]
    if not found["measures"]:
        lines.append("Not measured yet: python -m trainer figures does it.")
    for line in found["continued"]:
        lines.append(
            f"Trained on for {line['epochs']} epochs in all from step {line['step']:,}, with the "
            "learning rate of that many: what repeats it gives other weights."
        )
    lines.append(f"Repeat: {found['command']}")
    return "\n".join(lines)


def cards(runs: list[Run]) -> list[dict[str, Any]]:
    """The cards of those runs that hold a checkpoint that can be read."""
    found = []
    for run in runs:
        try:
            found.append(card(run))
        except Problem:
            continue
    return found
