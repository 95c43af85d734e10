"""Commands that draw: sample, inpaint, restore."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.cli.options import BEGUN, Commands, add_device, add_option, add_settings, ask_from
from trainer.cli.outputs import check_out
from trainer.problems import Problem
from trainer.requests import Drawing, Inpainting, Restoring

if TYPE_CHECKING:
    from trainer.drawing import Stage

OUT_HELP = "a .png (one sheet), an .npz (array images, N x C x H x W), or a folder of PNGs"
EDITED = 0.5  # to what time an image to start from is noised unless --start says


def add(commands: Commands) -> None:
    command = commands.add(
        "sample",
        sample,
        "draw images from a run",
        "With --start-image, noise is added to that image up to time --start "
        f"({EDITED} unless given) and taken away again (SDEdit): the smaller the time, the more "
        "of the image stays.",
        "--run runs/first --out digits.png --count 64 --sampler ddpm --steps 200",
    )
    command.add_argument("--out", type=Path, required=True, help=OUT_HELP)
    add_settings(command, Drawing, required=("model",), called=BEGUN)
    command.add_argument(
        "--frames", type=Path, help="the .npz to write of all steps: arrays t (T), and x_t and the "
        "guesses of x0 there, x and x0, float32 (T x N x C x H x W)",
    )  # fmt: skip
    add_option(command)
    add_device(command)

    command = commands.add(
        "inpaint",
        inpaint,
        "let a run complete an image of which a part is forgotten",
        "The known part is kept exactly; each completion starts from other noise. After every step "
        "the known part is set to the image noised to the same level (Song et al. 2021); with "
        "--repeats, each step is noised again and repeated, so that both parts agree better "
        "(RePaint, Lugmayr et al. 2022).",
        "--run runs/first --image 4 --mask left --count 16 --out completed.png",
    )
    command.add_argument("--out", type=Path, required=True, help=OUT_HELP)
    add_settings(command, Inpainting, required=("model",))
    add_option(command)
    add_device(command)

    command = commands.add(
        "restore",
        restore,
        "let a run restore an image that was degraded",
        "The image is degraded, noise is added, and what is left guides the run, which was never "
        "trained for it: by ΠGDM (Song et al. 2023) or DPS (Chung et al. 2022). What the training "
        "images alone would say, p(x | y) over them, is told beside: how many of them share it.",
        "--run runs/first --image 4 --degradation smaller --count 16 --out restored.png",
    )
    command.add_argument("--out", type=Path, required=True, help=OUT_HELP)
    add_settings(command, Restoring, required=("model",))
    add_option(command)
    add_device(command)


def sample(arguments: argparse.Namespace) -> int:
    if hasattr(arguments, "image") and not hasattr(arguments, "start"):
        arguments.start = EDITED
    ask = ask_from(arguments, Drawing)
    if arguments.frames is None:
        return _save(arguments, ask, "images", {})
    check_out(arguments.frames, ".npz")
    import numpy as np

    from trainer.cli import running
    from trainer.training.distributed import team

    if team().size > 1:
        raise Problem("Several processes share the drawing: leave --frames out, or torchrun.")
    times: dict[int, float] = {}
    states: dict[int, list[np.ndarray]] = {}
    guesses: dict[int, list[np.ndarray]] = {}

    def seen(stage: "Stage") -> None:
        frame = stage.frame
        times[frame.index] = frame.t
        states.setdefault(frame.index, []).append(frame.x.float().cpu().numpy())
        guesses.setdefault(frame.index, []).append(frame.x0.float().cpu().numpy())

    status = _save(arguments, ask, "images", {}, seen)
    x, x0 = (np.stack([np.concatenate(part) for part in one.values()]) for one in (states, guesses))
    running.save_arrays(arguments.frames, t=np.array(list(times.values())), x=x, x0=x0)
    return status


def inpaint(arguments: argparse.Namespace) -> int:
    ask = ask_from(arguments, Inpainting)
    from trainer.cli import running
    from trainer.drawing import mask_of

    running.check_target(arguments.out)
    share = float(mask_of(ask.mask, *running.opened_by(arguments, ask).shape[1:]).mean())
    words = f"completions of an image of which {share:.0%} was forgotten"
    return _save(arguments, ask, words, {"forgotten": share})


def restore(arguments: argparse.Namespace) -> int:
    ask = ask_from(arguments, Restoring)
    from trainer.cli import running
    from trainer.drawing import measure
    from trainer.restore import posterior
    from trainer.runs.folder import training_images

    running.check_target(arguments.out)
    opened = running.opened_by(arguments, ask)
    measured = measure(ask, opened)
    found = posterior(measured, training_images(opened.data, opened.run.config))
    words = f"restorations ({found.effective:.1f} training images share the exact posterior)"
    return _save(arguments, ask, words, {"training_images": found.effective})


def _save(
    arguments: argparse.Namespace,
    ask: Drawing,
    words: str,
    facts: dict[str, float],
    seen: "Callable[[Stage], object]" = lambda _: None,
) -> int:
    """Draw what is asked, write it, and tell of it, in `words` or with these `facts`; whoever has
    `seen` the stages makes more of them."""
    from trainer.cli import running
    from trainer.training.distributed import team

    running.check_target(arguments.out)
    images, nfe = running.drawn(ask, running.opened_by(arguments, ask), seen)
    if not team().leads:
        return 0
    running.save_images(arguments.out, images)
    found = {"images": len(images), "nfe": nfe, **facts, "out": str(arguments.out)}
    prose = f"{len(images)} {words}, {nfe} network evaluations each: {arguments.out}"
    running.show(found, prose, arguments.json)
    return 0
