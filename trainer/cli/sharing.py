"""Commands that hand results on: figures, ship."""

import argparse
from pathlib import Path

from trainer.ask import settings_of
from trainer.cli.options import Commands, add_device, add_settings, whole
from trainer.requests import Drawing, OfModel


def add(commands: Commands) -> None:
    command = commands.add(
        "figures",
        figures,
        "make every figure and table of the report: PNG, SVG and one HTML page",
        "What is measured is kept beside each run (measures.json) and not measured again.",
        "--out figures --runs runs/first runs/second",
    )
    command.add_argument("--out", type=Path, required=True, help="the folder to write")
    command.add_argument(
        "--runs", type=Path, nargs="+", help="runs, or folders of runs (the shipped models)"
    )
    command.add_argument("--only", nargs="+", metavar="N", help="the figures wanted (1 to 11)")
    command.add_argument(
        "--samples", type=int, nargs="+", default=[1024], help="how many for FID; 0: none (1024)"
    )
    command.add_argument(
        "--likelihood-images", type=int, default=16, help="how many test images; 0: none (16)"
    )
    command.add_argument(
        "--quick", action="store_true", help="measure with 64 samples and 4 test images"
    )
    command.add_argument("--recompute", action="store_true", help="measure anew what is known")
    add_settings(command, Drawing, only=("seed",))
    add_device(command)

    command = commands.add(
        "ship",
        ship,
        "copy a trained run for others: no state, weights in half precision",
        "What assets/models holds was made by this command.",
        "--run runs/first --out assets/models/first",
    )
    add_settings(command, OfModel, only=("model",), required=("model",))
    command.add_argument("--out", type=Path, required=True, help="the new folder to write")
    command.add_argument(
        "--keep", type=whole(), default=3, help="checkpoints, most of them early (3)"
    )


def figures(arguments: argparse.Namespace) -> int:
    from trainer.cli.running import progress, show
    from trainer.devices import device_of
    from trainer.figures import Finished, Made, Missing, Working
    from trainer.figures import figures as make

    counts = [64] if arguments.quick else arguments.samples
    events = make(
        arguments.out,
        arguments.runs,
        arguments.only,
        samples=tuple(count for count in counts if count > 0),
        likelihood_images=4 if arguments.quick else max(0, arguments.likelihood_images),
        seed=getattr(arguments, "seed", settings_of(Drawing)["seed"].default),
        device=device_of(arguments.device),
        recompute=arguments.recompute,
    )
    made: list[str] = []
    missing: dict[str, str] = {}
    with progress("task") as bar:
        bar.bar_format = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}"
        for event in events:
            match event:
                case Working():
                    bar.total = event.total
                    bar.set_description(event.what, refresh=False)
                    bar.update(event.done - bar.n)
                case Made():
                    made += [str(path) for path in event.paths]
                case Missing():
                    missing[event.what] = event.why
                case Finished():
                    page = str(event.page)
    prose = "\n".join(
        [*(f"{what} is missing: {why}" for what, why in missing.items()), f"The page: {page}"]
    )
    show({"page": page, "files": made, "missing": missing}, prose, arguments.json)
    return 0


def ship(arguments: argparse.Namespace) -> int:
    from trainer.cli.running import run_of, show

    copy = run_of(arguments).ship(arguments.out, arguments.keep)
    files = [path for path in copy.folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    found = {"folder": str(copy.folder), "checkpoints": len(copy.checkpoints()), "bytes": size}
    prose = f"{copy.folder}: {found['checkpoints']} checkpoints, {size / 1e6:.1f} MB"
    show(found, prose, arguments.json)
    return 0
