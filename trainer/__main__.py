"""python -m trainer: train a model, draw from one, measure one, all without a window."""

import argparse
import json
import sys
from pathlib import Path

from trainer.config import DESCRIPTIONS, PRESETS
from trainer.problems import Problem, write_file


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m trainer", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)

    train = commands.add_parser(
        "train",
        help="train a model into a run folder",
        description="Train a model into a run folder. Ctrl-C stops and saves; --resume goes on. "
        + " ".join(f"{name}: {text}" for name, text in DESCRIPTIONS.items()),
    )
    train.add_argument("--run", type=Path, required=True, help="the folder to write")
    train.add_argument("--preset", choices=PRESETS, default="modern", help="what to train")
    train.add_argument("--epochs", type=int, help="passes over the data (the preset's unless set)")
    train.add_argument("--batch-size", type=int)
    train.add_argument("--learning-rate", type=float)
    train.add_argument("--seed", type=int)
    train.add_argument("--dataset", help="mnist, or a folder with four IDX files")
    train.add_argument("--limit-images", type=int, help="train on only the first so many images")
    train.add_argument("--resume", action="store_true", help="go on where the run stands")
    train.add_argument("--device", help="cuda, mps or cpu (the best there is unless set)")

    draw = commands.add_parser("sample", help="draw images from a run as a PNG grid")
    draw.add_argument("--run", type=Path, required=True)
    draw.add_argument("--out", type=Path, required=True, help="the PNG to write")
    draw.add_argument("--count", type=int, default=16)
    draw.add_argument("--sampler", default="ddim")
    draw.add_argument("--steps", type=int, default=50)
    draw.add_argument("--seed", type=int, default=0)

    judge = commands.add_parser("likelihood", help="exact bits/dim of test images under a run")
    judge.add_argument("--run", type=Path, required=True)
    judge.add_argument("--count", type=int, default=16, help="how many test images")
    judge.add_argument("--seed", type=int, default=0)
    judge.add_argument("--json", action="store_true", help="print one JSON object")
    return top


def train_command(arguments: argparse.Namespace) -> None:
    from tqdm import tqdm

    from trainer.runs import Run
    from trainer.training import Evaluated, Finished, Started, Step, Warned, train

    if arguments.resume:
        run = Run.open(arguments.run)
        config = run.config
    else:
        names = ("epochs", "batch_size", "learning_rate", "seed", "dataset", "limit_images")
        changes = {name: getattr(arguments, name) for name in names}
        config = PRESETS[arguments.preset].with_changes(
            **{name: value for name, value in changes.items() if value is not None}
        )
        run = Run.create(arguments.run, config)
    events = train(config, run, arguments.device)
    bar = tqdm(unit="step", dynamic_ncols=True)
    try:
        for event in events:
            match event:
                case Started():
                    bar.reset(event.steps)
                    bar.update(event.step)
                    bar.set_description(f"epoch {event.step // event.steps_per_epoch + 1}")
                case Step():
                    bar.update(1)
                    bar.set_description(f"epoch {event.epoch}", refresh=False)
                    speed = f"{event.images_per_second:.0f}"
                    bar.set_postfix(loss=f"{event.loss:.4f}", images_per_s=speed, refresh=False)
                case Evaluated():
                    bar.write(f"epoch {event.epoch}: at most {event.bits_per_dim:.3f} bits/dim")
                case Warned():
                    bar.write(event.message)
                case Finished():
                    bar.write(f"finished after {event.step} steps, {event.elapsed:.0f} s")
    except KeyboardInterrupt:
        events.close()  # type: ignore[attr-defined]
        bar.write(f"stopped and saved; go on with --resume --run {run.folder}")
    finally:
        bar.close()


def sample_command(arguments: argparse.Namespace) -> None:
    import torch

    from trainer.images import to_bytes
    from trainer.runs import Run
    from trainer.samplers import sample
    from trainer.training import grid_png

    run = Run.open(arguments.run)
    model = run.model()
    generator = torch.Generator().manual_seed(arguments.seed)
    x_T = model.process.prior_sample((arguments.count, *run.image_shape()), generator)
    frames = sample(model, model.process, x_T, arguments.sampler, arguments.steps, generator)
    for frame in frames:
        last = frame
    write_file(arguments.out, grid_png(to_bytes(last.x).numpy()))
    print(f"{arguments.count} images, {last.nfe} network evaluations each: {arguments.out}")


def likelihood_command(arguments: argparse.Namespace) -> None:
    import torch

    from trainer.data import load
    from trainer.likelihood import bits_per_dim, variational_bound
    from trainer.runs import Run

    run = Run.open(arguments.run)
    model = run.model()
    images = torch.from_numpy(load(run.config.dataset).test[: arguments.count].copy())
    generator = torch.Generator().manual_seed(arguments.seed)
    exact = bits_per_dim(model, model.process, images, generator)
    bound = variational_bound(model, model.process, images, generator, 64)
    found = {
        "images": len(images),
        "exact_bits_per_dim": float(exact.mean()),
        "standard_error": float(exact.std() / len(images) ** 0.5),
        "bound_bits_per_dim": float(bound.mean()),
    }
    if arguments.json:
        print(json.dumps(found))
    else:
        print(
            f"{found['images']} test images: {found['exact_bits_per_dim']:.3f} ± "
            f"{found['standard_error']:.3f} bits/dim exact, at most "
            f"{found['bound_bits_per_dim']:.3f} by the bound"
        )


COMMANDS = {
    "train": train_command,
    "sample": sample_command,
    "likelihood": likelihood_command,
}


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    try:
        COMMANDS[arguments.command](arguments)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
