"""python -m trainer: train a model, draw from it, measure it, all without a window."""

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from trainer.config import DESCRIPTIONS, PRESETS
from trainer.problems import Problem

DATASET_HELP = (
    "mnist, or a folder: of IDX files (Fashion-MNIST, EMNIST…), of CIFAR-10's binary files, or of "
    "images (folder:64 for 64 pixels a side, 32 otherwise)"
)

IMAGE_HELP = "the number of a test image, counted from 0, or an image file"


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence and leaves with status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help.\n")


def whole(text: str) -> int:
    """A whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"takes NAME=VALUE, not {text}")
    return name.replace("-", "_"), value


def add_run(command: argparse.ArgumentParser) -> None:
    command.add_argument("--run", type=Path, required=True, help="the run folder of the model")
    add_model(command)


def add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--checkpoint", type=Path, help="a file of its checkpoints/ (the newest unless given)"
    )
    command.add_argument("--seed", type=int, default=0, help="of all random draws (0)")
    command.add_argument("--device", help="cuda, mps or cpu (the best there is unless given)")
    command.add_argument("--batch-size", type=whole, default=64, help="images at a time (64)")
    command.add_argument("--json", action="store_true", help="print one JSON object, no prose")


def add_class(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--class",
        dest="labels",
        type=int,
        nargs="+",
        default=[],
        metavar="N",
        help="the class to draw, or several in turn; of a model that was trained with classes",
    )
    command.add_argument(
        "--guidance",
        type=float,
        help="guidance scale: 1 plain conditioning, 2 to 5 clearer and less varied (1)",
    )


def add_sampling(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--sampler",
        default="ddim",
        help="ddim (the default), ddpm, euler-maruyama, probability-flow…: a wrong name lists all",
    )
    command.add_argument("--steps", type=whole, default=50, help="updates from noise to image (50)")
    add_class(command)
    command.add_argument(
        "--eta", type=float, help="noise that ddim puts back: 0 none, 1 as much as ddpm"
    )
    command.add_argument(
        "--option",
        type=setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another option of the sampler, such as variance=large for ddpm; may be repeated",
    )


def parser() -> argparse.ArgumentParser:
    top = Parser(
        prog="python -m trainer",
        description="Train a diffusion model, draw images from it, and measure it. "
        "python -m trainer COMMAND --help tells all about a command.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, summary: str, more: str, example: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}. {more}",
            epilog=f"Example: python -m trainer {name} {example}",
        )

    train = add(
        "train",
        "train a model into a run folder",
        "Ctrl-C stops and saves; --resume goes on where it stood. "
        + " ".join(f"{name}: {text}" for name, text in DESCRIPTIONS.items()),
        "--run runs/first --epochs 5",
    )
    train.add_argument("--run", type=Path, required=True, help="the folder to write")
    train.add_argument("--preset", choices=PRESETS, help="what to train (modern)")
    train.add_argument(
        "--epochs", type=whole, help="passes over the data (the preset's unless given)"
    )
    train.add_argument("--batch-size", type=whole, help="images an update")
    train.add_argument("--learning-rate", type=float)
    train.add_argument("--seed", type=int)
    train.add_argument("--dataset", help=DATASET_HELP)
    train.add_argument("--limit-images", type=whole, help="train on only the first so many images")
    train.add_argument(
        "--set",
        dest="settings",
        type=setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other setting as config.json has it, such as prediction=eps; may be repeated",
    )
    train.add_argument(
        "--resume", action="store_true", help="go on where the run stands, by its own settings"
    )
    train.add_argument("--device", help="cuda, mps or cpu (the best there is unless given)")
    train.add_argument("--json", action="store_true", help="print one JSON object an event")

    draw = add(
        "sample",
        "draw images from a run",
        "With --start-image, noise is added to that image up to time --start and taken away "
        "again (SDEdit): the smaller the time, the more of the image stays.",
        "--run runs/first --out digits.png --count 64 --sampler ddpm --steps 200",
    )
    add_run(draw)
    draw.add_argument(
        "--out",
        type=Path,
        required=True,
        help="a .png (one sheet), an .npz (array images, N x C x H x W), or a folder of PNGs",
    )
    draw.add_argument("--count", type=whole, default=16, help="how many images (16)")
    add_sampling(draw)
    draw.add_argument("--start-image", type=Path, help="an image file to start from")
    draw.add_argument(
        "--start", type=float, help="the time in (0, 1] up to which it is noised (0.5)"
    )

    judge = add(
        "evaluate",
        "measure samples: FID, precision, recall, classes, copying",
        "Draws from --run, or takes --samples as they are. Every figure stands beside that of as "
        "many real test images: the floor. Figures of different --count do not compare.",
        "--run runs/first --count 1024 --sampler ddim --steps 50",
    )
    judge.add_argument("--run", type=Path, help="the run folder to draw from")
    add_model(judge)
    judge.add_argument(
        "--samples", type=Path, help="measure these instead: a sheet .png, an .npz, or a folder"
    )
    judge.add_argument("--dataset", help=f"compare with it: {DATASET_HELP} (the run's, or mnist)")
    judge.add_argument("--count", type=whole, default=1024, help="how many to draw (1024)")
    judge.add_argument(
        "--features",
        choices=("digits", "inception"),
        default="digits",
        help="what the FID is taken in; inception needs diffviz[inception] and its weights",
    )
    judge.add_argument("--save", type=Path, help="keep the drawn images in this .npz")
    add_sampling(judge)

    likely = add(
        "likelihood",
        "give the exact bits/dim of test images under a run",
        "By the probability-flow ODE, with the variational bound beside it.",
        "--run runs/first --count 16",
    )
    add_run(likely)
    likely.add_argument("--count", type=whole, default=16, help="how many test images (16)")

    keep = add(
        "measure",
        "measure a run, and keep the figures beside it",
        "FID and its company of so many samples, bits/dim of so many test images: what the run's "
        "card and the report's table show (measures.json). What is known is not measured again.",
        "--run runs/first --samples 1024 10000 --sampler ddim --steps 20",
    )
    keep.add_argument("--run", type=Path, required=True, help="the run folder")
    keep.add_argument(
        "--samples", type=int, nargs="+", default=[1024], help="how many for FID; 0: none (1024)"
    )
    keep.add_argument("--sampler", help="what draws them (the run's own)")
    keep.add_argument("--steps", type=whole, help="updates from noise to image (the run's own)")
    keep.add_argument("--guidance", type=float, default=1.0, help="of a model with classes (1)")
    keep.add_argument(
        "--likelihood-images", type=int, default=0, help="how many test images; 0: none (0)"
    )
    keep.add_argument("--recompute", action="store_true", help="measure anew what is known")
    keep.add_argument("--seed", type=int, default=0, help="of all random draws (0)")
    keep.add_argument("--device", help="cuda, mps or cpu (the best there is unless given)")
    keep.add_argument("--json", action="store_true", help="print one JSON object, no prose")

    encode = add(
        "encode",
        "turn images into latents and back, by the probability-flow ODE",
        "Writes a sheet of three rows: images, latents, reconstructions.",
        "--run runs/first --out encoded.png --count 8",
    )
    add_run(encode)
    encode.add_argument("--out", type=Path, required=True, help="the .png to write")
    encode.add_argument("--image", type=Path, help="an image file (test images unless given)")
    encode.add_argument("--count", type=whole, default=8, help="how many test images (8)")
    encode.add_argument("--steps", type=whole, default=50, help="frames each way (50)")
    encode.add_argument(
        "--tolerance", type=float, default=1e-4, help="of the ODE's solver, relative (1e-4)"
    )

    paint = add(
        "inpaint",
        "let a run complete an image of which a part is forgotten",
        "The known part is kept exactly; each completion starts from other noise. After every step "
        "the known part is set to the image noised to the same level (Song et al. 2021); with "
        "--repeats, each step is noised again and repeated, so that both parts agree better "
        "(RePaint, Lugmayr et al. 2022).",
        "--run runs/first --image 4 --mask left --count 16 --out completed.png",
    )
    add_run(paint)
    paint.add_argument(
        "--out",
        type=Path,
        required=True,
        help="a .png (one sheet), an .npz (array images, N x C x H x W), or a folder of PNGs",
    )
    paint.add_argument("--image", default="0", help=IMAGE_HELP + " (0)")
    paint.add_argument(
        "--mask",
        default="centre",
        help="what is forgotten: left, right, top, bottom, centre, or an image file that is white "
        "where to forget (centre)",
    )
    paint.add_argument("--count", type=whole, default=16, help="how many completions (16)")
    paint.add_argument(
        "--sampler", default="ddpm", help="ddpm (the default), ddim…: a wrong name lists all"
    )
    paint.add_argument("--steps", type=whole, default=50, help="updates from noise to image (50)")
    paint.add_argument("--repeats", type=whole, default=1, help="how often each update is made (1)")
    add_class(paint)

    between = add(
        "interpolate",
        "go from one image to another through a run's latents",
        "Writes a sheet of two rows: images decoded from latents between those of the two images "
        "(spherical interpolation), and below them plain blends of the pixels.",
        "--run runs/first --from 0 --to 1 --count 9 --out between.png",
    )
    add_run(between)
    between.add_argument("--out", type=Path, required=True, help="the .png to write")
    between.add_argument("--from", dest="first", required=True, metavar="IMAGE", help=IMAGE_HELP)
    between.add_argument("--to", dest="second", required=True, metavar="IMAGE", help=IMAGE_HELP)
    between.add_argument(
        "--count", type=int, default=9, help="how many images, both ends among them (9)"
    )
    between.add_argument(
        "--tolerance", type=float, default=1e-3, help="of the ODE's solver, relative (1e-3)"
    )

    features = add(
        "features",
        "train the digit features that FID is taken in",
        "What assets/features holds was made by this command as it stands, with one thread.",
        "--out assets/features",
    )
    features.add_argument("--out", type=Path, help="the folder to write")
    features.add_argument("--epochs", type=whole, default=6, help="passes over MNIST (6)")
    features.add_argument("--seed", type=int, default=0)
    features.add_argument("--json", action="store_true", help="print one JSON object, no prose")
    features.add_argument(
        "--fetch-inception",
        action="store_true",
        help="instead, download the weights of the inception features (91 MB) from GitHub",
    )

    ship = add(
        "ship",
        "copy a trained run for others: no state, weights in half precision",
        "What assets/models holds was made by this command.",
        "--run runs/first --out assets/models/first",
    )
    ship.add_argument("--run", type=Path, required=True, help="the run folder to copy")
    ship.add_argument("--json", action="store_true", help="print one JSON object, no prose")
    ship.add_argument("--out", type=Path, required=True, help="the new folder to write")
    ship.add_argument("--keep", type=whole, default=3, help="checkpoints, evenly spread (3)")

    report = add(
        "figures",
        "make every figure and table of the report: PNG, SVG and one HTML page",
        "What is measured is kept beside each run (measures.json) and not measured again.",
        "--out figures --runs runs/first runs/second",
    )
    report.add_argument("--out", type=Path, required=True, help="the folder to write")
    report.add_argument(
        "--runs", type=Path, nargs="+", help="runs, or folders of runs (the shipped models)"
    )
    report.add_argument("--only", nargs="+", metavar="N", help="the figures wanted (1 to 11)")
    report.add_argument(
        "--samples", type=int, nargs="+", default=[1024], help="how many for FID; 0: none (1024)"
    )
    report.add_argument(
        "--likelihood-images", type=int, default=16, help="how many test images; 0: none (16)"
    )
    report.add_argument(
        "--quick", action="store_true", help="measure with 64 samples and 4 test images"
    )
    report.add_argument("--recompute", action="store_true", help="measure anew what is known")
    report.add_argument("--seed", type=int, default=0, help="of all random draws (0)")
    report.add_argument("--device", help="cuda, mps or cpu (the best there is unless given)")
    report.add_argument("--json", action="store_true", help="print one JSON object, no prose")
    return top


def main(argv: list[str] | None = None) -> int:
    """The exit status: 0 done, 2 something to mend (one sentence says what), 130 interrupted."""
    arguments = parser().parse_args(argv)
    try:
        from trainer.cli import commands
        from trainer.cli import steering as control_commands
        from trainer.training.distributed import joined

        known = commands.COMMANDS | control_commands.COMMANDS
        with joined():
            return known[arguments.command](arguments)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
