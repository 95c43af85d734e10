"""The command that trains: train."""

import argparse
import sys
from pathlib import Path
from typing import Any

from trainer.cli.options import Commands, add_device, add_settings, given, named
from trainer.config import DESCRIPTIONS, PRESETS, RENAMED, ExperimentConfig
from trainer.problems import Problem, as_json


def add(commands: Commands) -> None:
    command = commands.add(
        "train",
        train,
        "train a model into a run folder",
        "Ctrl-C stops and saves; the same command again goes on where it stood, and so does "
        "--resume, by the run's own settings, with --epochs for so many in "
        "all (the learning rate follows their schedule from there on) and --dataset for images "
        "that have moved. What is not given is as the preset has it. "
        + " ".join(f"{name}: {text}" for name, text in DESCRIPTIONS.items()),
        "--run runs/first --epochs 5",
    )
    command.add_argument("--run", type=Path, required=True, help="the folder to write")
    command.add_argument(
        "--preset", choices=PRESETS, type=lambda name: RENAMED.get(name, name),
        help="what to train (modern)",
    )  # fmt: skip
    add_settings(command, ExperimentConfig, without=("preset",), called={}, default="")
    command.add_argument(
        "--set", dest="settings", type=named, action="append", default=[], metavar="NAME=VALUE",
        help="any setting as config.json has it, such as prediction=eps; may be repeated",
    )  # fmt: skip
    command.add_argument(
        "--resume", action="store_true", help="go on where the run stands, by its own settings"
    )
    add_device(command)


def changes_from(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that the arguments name, by their names in config.json."""
    preset = PRESETS[arguments.preset or "modern"]
    found = given(arguments, ExperimentConfig, preset)
    if found.get("preset", "") is None:
        del found["preset"]
    return found


def config_from(arguments: argparse.Namespace) -> ExperimentConfig:
    """The preset, with what the arguments change."""
    return PRESETS[arguments.preset or "modern"].with_changes(**changes_from(arguments))


def train(arguments: argparse.Namespace) -> int:
    changes = changes_from(arguments)
    newly = {name: changes.pop(name, None) for name in ("dataset", "epochs")}
    if arguments.resume and changes:
        words = " and ".join(name.replace("_", " ") for name in changes)
        raise Problem(
            f"A run goes on by its own settings, and --resume takes no other {words}. "
            "Leave that out, or begin another run."
        )
    config = config_from(arguments)
    from trainer.cli.running import progress, with_bar
    from trainer.data import reading
    from trainer.devices import device_of
    from trainer.events import Evaluated, Finished, Started, Step, Warned
    from trainer.training import begun, for_size, placed, refuse_new, resuming
    from trainer.training import train as training

    device = device_of(arguments.device)
    if arguments.resume:
        run, data = with_bar(resuming(arguments.run, **newly))
    else:
        config = placed(config)
        # Before the folder is made: a wrong name leaves none behind.
        data = with_bar(reading(config.dataset))
        config = for_size(config, data.shape)
        refuse_new(arguments.run, config, data, device)
        run = begun(arguments.run, config)
    events = training(run.config, run, device, data)
    bar = progress("step")

    def say(prose: str, **found: Any) -> None:
        bar.write(as_json(found) if arguments.json else prose)

    try:
        for event in events:
            match event:
                case Started():
                    bar.reset(event.steps)
                    bar.update(event.step)
                case Step():
                    bar.update(1)
                    bar.set_description(f"epoch {event.epoch}", refresh=False)
                    speed = f"{event.images_per_second:.0f}"
                    bar.set_postfix(loss=f"{event.loss:.4f}", images_per_s=speed, refresh=False)
                case Evaluated():
                    say(
                        f"epoch {event.epoch}: at most {event.bits_per_dim:.3f} bits/dim",
                        step=event.step,
                        epoch=event.epoch,
                        bits_per_dim=event.bits_per_dim,
                        error=event.error,
                    )
                case Warned():
                    bar.write(event.message, file=sys.stderr)
                case Finished():
                    say(
                        f"finished after {event.step} steps, {event.elapsed:.0f} s",
                        step=event.step,
                        finished=True,
                        seconds=event.elapsed,
                    )
    except KeyboardInterrupt:
        events.close()  # type: ignore[attr-defined]
        stopped = f"Stopped and saved; go on with: train --resume --run {run.folder}"
        bar.write(stopped, file=sys.stderr)
        return 130
    finally:
        bar.close()
    return 0
