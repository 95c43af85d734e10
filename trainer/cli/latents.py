"""Commands that go through latents: encode, interpolate."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.cli.options import Commands, add_device, add_settings, ask_from, whole
from trainer.images import pictures
from trainer.problems import Problem
from trainer.requests import Encoding, Interpolation

if TYPE_CHECKING:
    from trainer.drawing import Opened
    from trainer.latents import Way

FRAMES = 20  # each way: what the bar counts


def add(commands: Commands) -> None:
    command = commands.add(
        "encode",
        encode,
        "turn images into latents and back, by the probability-flow ODE",
        "Writes a sheet of three rows: images, latents, reconstructions.",
        "--run runs/first --out encoded.png --count 8",
    )
    add_settings(command, Encoding, required=("model",))
    command.add_argument("--steps", type=whole(), default=FRAMES, help=f"frames ({FRAMES})")
    _add_rest(command)
    command = commands.add(
        "interpolate",
        interpolate,
        "go from one image to another through a run's latents",
        "Writes a sheet of two rows: images decoded from latents between those of the two images "
        "(spherical interpolation), and below them plain blends of the pixels.",
        "--run runs/first --from 0 --to 1 --count 9 --out between.png",
    )
    called = {"model": "run", "first": "from", "second": "to"}
    add_settings(command, Interpolation, required=("model", "first", "second"), called=called)
    _add_rest(command)


def _add_rest(command: argparse.ArgumentParser) -> None:
    command.add_argument("--out", type=Path, required=True, help="the .png to write")
    add_device(command)
    for name in ("--seed", "--batch-size"):  # nothing is drawn: taken as ever, and not used
        command.add_argument(name, type=int, help=argparse.SUPPRESS)


def check_sheet(path: Path) -> None:
    """A Problem if a sheet could not be written there."""
    from trainer.cli.running import check_target

    if path.suffix != ".png":
        raise Problem(f"The sheet is written as a .png, not as {path.name}.")
    check_target(path)


def gone(
    ask: Encoding | Interpolation, opened: "Opened", frames: int = FRAMES
) -> "tuple[Way, Way]":
    """The last frames there and back."""
    from trainer.cli.running import progress
    from trainer.latents import follow

    with progress("step", 2 * frames + 2) as bar:
        for way in follow(ask, opened, frames):
            bar.set_postfix(nfe=way.nfe, refresh=False)
            bar.update(1)
            if not way.back:
                there = way
    return there, way


def encode(arguments: argparse.Namespace) -> int:
    ask = ask_from(arguments, Encoding)
    from trainer.cli import running
    from trainer.latents import images_of

    check_sheet(arguments.out)
    opened = running.opened_by(arguments, ask)
    x0 = images_of(ask, opened)
    there, back = gone(ask, opened, arguments.steps)
    unit = there.frame.x / opened.model.process.prior_std
    running.save_rows(arguments.out, map(pictures, (x0, unit / 3, back.frame.x)))
    found = {
        "images": len(x0),
        "nfe": back.nfe,
        "error_in_grey_levels": float((back.frame.x - x0).square().mean().sqrt()) * 127.5,
        "latent_mean": float(unit.mean()),
        "latent_std": float(unit.std()),
        "out": str(arguments.out),
    }
    prose = (
        f"{len(x0)} images to latents (mean {found['latent_mean']:.3f}, standard deviation "
        f"{found['latent_std']:.3f} of the prior's) and back, {found['error_in_grey_levels']:.3f} "
        f"of 255 grey levels off (root mean square): {arguments.out}"
    )
    running.show(found, prose, arguments.json)
    return 0


def interpolate(arguments: argparse.Namespace) -> int:
    ask = ask_from(arguments, Interpolation)
    import torch

    from trainer.cli import running
    from trainer.latents import angle, images_of

    check_sheet(arguments.out)
    opened = running.opened_by(arguments, ask)
    x0 = images_of(ask, opened)
    there, back = gone(ask, opened)
    weights = torch.linspace(0, 1, ask.count, device=x0.device)
    blends = torch.lerp(x0[:1], x0[1:], weights.view(-1, 1, 1, 1))
    running.save_rows(arguments.out, map(pictures, (back.frame.x, blends)))
    found = {
        "images": ask.count,
        "nfe": back.nfe,
        "angle_in_degrees": angle(there.frame.x),
        "out": str(arguments.out),
    }
    prose = (
        f"{ask.count} images between two whose latents are {found['angle_in_degrees']:.1f}° "
        f"apart, with blends of the pixels below: {arguments.out}"
    )
    running.show(found, prose, arguments.json)
    return 0
