"""Commands that draw: sample, inpaint."""

import argparse
from pathlib import Path

from trainer.cli.options import CALLED, Commands, add_device, add_option, add_settings, ask_from
from trainer.requests import Drawing, Inpainting

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
    called = CALLED | {"image": "start-image"}
    add_settings(command, Drawing, required=("model",), called=called)
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


def sample(arguments: argparse.Namespace) -> int:
    if hasattr(arguments, "image") and not hasattr(arguments, "start"):
        arguments.start = EDITED
    ask = ask_from(arguments, Drawing)
    from trainer.cli import running
    from trainer.training.distributed import team

    running.check_target(arguments.out)
    images, nfe = running.drawn(ask, running.opened_by(arguments, ask))
    if not team().leads:
        return 0
    running.save_images(arguments.out, images)
    found = {"images": len(images), "nfe": nfe, "out": str(arguments.out)}
    prose = f"{len(images)} images, {nfe} network evaluations each: {arguments.out}"
    running.show(found, prose, arguments.json)
    return 0


def inpaint(arguments: argparse.Namespace) -> int:
    ask = ask_from(arguments, Inpainting)
    from trainer.cli import running
    from trainer.drawing import mask_of
    from trainer.training.distributed import team

    running.check_target(arguments.out)
    opened = running.opened_by(arguments, ask)
    share = float(mask_of(ask.mask, *opened.shape[1:]).mean())
    images, nfe = running.drawn(ask, opened)
    if not team().leads:
        return 0
    running.save_images(arguments.out, images)
    found = {"images": ask.count, "nfe": nfe, "forgotten": share, "out": str(arguments.out)}
    prose = (
        f"{ask.count} completions of an image of which {share:.0%} was forgotten, {nfe} network "
        f"evaluations each: {arguments.out}"
    )
    running.show(found, prose, arguments.json)
    return 0
