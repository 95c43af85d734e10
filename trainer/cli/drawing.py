"""Commands that draw: sample, inpaint, restore."""

import argparse
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    command.add_argument(
        "--summary", type=Path, help="the .png to write of the image, the restorations' mean and "
        "spread, and the exact posterior's",
    )  # fmt: skip
    add_option(command)
    add_device(command)


def sample(arguments: argparse.Namespace) -> int:
    if hasattr(arguments, "image") and not hasattr(arguments, "start"):
        arguments.start = EDITED
    ask = ask_from(arguments, Drawing)
    if arguments.frames is None:
        return _tell(arguments, _save(arguments, ask), "images")
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

    found = _save(arguments, ask, seen)
    x, x0 = (np.stack([np.concatenate(part) for part in one.values()]) for one in (states, guesses))
    running.save_arrays(arguments.frames, t=np.array(list(times.values())), x=x, x0=x0)
    return _tell(arguments, found, "images")


def inpaint(arguments: argparse.Namespace) -> int:
    ask = ask_from(arguments, Inpainting)
    from trainer.cli import running
    from trainer.drawing import mask_of

    running.check_target(arguments.out)
    share = float(mask_of(ask.mask, *running.opened_by(arguments, ask).shape[1:]).mean())
    words = f"completions of an image of which {share:.0%} was forgotten"
    return _tell(arguments, _save(arguments, ask), words, forgotten=share)


def restore(arguments: argparse.Namespace) -> int:
    ask = ask_from(arguments, Restoring)
    if arguments.summary is not None:
        check_out(arguments.summary, ".png")
    import torch

    from trainer.cli import running
    from trainer.drawing import measure
    from trainer.images import pictures, to_signed
    from trainer.restore import posterior, summary
    from trainer.runs.folder import training_images
    from trainer.training.distributed import team

    running.check_target(arguments.out)
    opened = running.opened_by(arguments, ask)
    measured, training = measure(ask, opened), training_images(opened.data, opened.run.config)
    exact = posterior(measured, training)
    draws = exact.draw(ask.count, torch.Generator().manual_seed(ask.seed))
    whole = summary(measured, exact.mean, exact.std, to_signed(training[draws]))
    finals: list[torch.Tensor] = []

    def seen(stage: "Stage") -> None:
        finals.extend([stage.frame.x.float()] if stage.last else [])

    found = _save(arguments, ask, seen)
    facts = {"training_images": exact.effective, "exact": asdict(whole)}
    words = f"restorations ({exact.effective:.1f} training images share the exact posterior)"
    if team().size == 1:
        x = torch.cat(finals)
        mean, std = x.mean(0), x.std(0, correction=0)
        facts["restored"] = asdict(own := summary(measured, mean, std, x))
        words += (
            f", whose mean is {own.error:.3f} off the original and whose spread {own.spread:.3f} "
            f"(exact: {whole.error:.3f}, {whole.spread:.3f})"
        )
        if arguments.summary is not None:
            row = (measured.image[0], mean, 2 * std - 1, exact.mean, 2 * exact.std - 1)
            running.save_rows(
                arguments.summary, [pictures(torch.stack([one.float().cpu() for one in row]))]
            )
    return _tell(arguments, found, words, **facts)


def _save(
    arguments: argparse.Namespace,
    ask: Drawing,
    seen: "Callable[[Stage], object]" = lambda _: None,
) -> dict[str, Any] | None:
    """Draw what is asked and write it: what there is to tell of it, on the rank that tells.

    Every stage is `seen`.
    """
    from trainer.cli import running
    from trainer.training.distributed import team

    running.check_target(arguments.out)
    images, nfe = running.drawn(ask, running.opened_by(arguments, ask), seen)
    if not team().leads:
        return None
    running.save_images(arguments.out, images)
    return {"images": len(images), "nfe": nfe, "out": str(arguments.out)}


def _tell(
    arguments: argparse.Namespace, found: dict[str, Any] | None, words: str, **facts: Any
) -> int:
    """Tell of what `_save` found, in `words` or with these `facts`."""
    from trainer.cli.running import show

    if found is not None:
        prose = (
            f"{found['images']} {words}, {found['nfe']} network evaluations each: {found['out']}"
        )
        show(found | facts, prose, arguments.json)
    return 0
