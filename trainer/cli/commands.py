"""What each command of `python -m trainer` does: arguments in, files and printed figures out."""

import argparse
import dataclasses
import io
import json
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from trainer import metrics
from trainer.config import PRESETS, ExperimentConfig
from trainer.data import load
from trainer.data.pictures import in_channels, read_image
from trainer.data.samples import load_samples
from trainer.denoiser import Denoiser
from trainer.drawing import Drawn, Request, draw
from trainer.likelihood import bits_per_dim, variational_bound
from trainer.metrics import features
from trainer.problems import Problem, file_problems, write_file
from trainer.runs import Run
from trainer.training.distributed import create_together, team, united
from trainer.training.learner import best_device, fast_precision
from trainer.training.loop import Evaluated, Finished, Started, Step, Warned, grid_png, train


def show(found: dict[str, Any], prose: str, as_json: bool) -> None:
    """Print what was found, for a program or for a person."""
    print(json.dumps(found) if as_json else prose)


def progress(unit: str, total: int | None = None) -> tqdm:
    """A bar on standard error, if that is a terminal."""
    return tqdm(total=total, unit=unit, dynamic_ncols=True, disable=None if team().leads else True)


def choose_device(name: str | None) -> str:
    """The device of that name, if this computer has it; the best there is if no name is given."""
    if name is None:
        return best_device()
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise Problem(
            f"There is no device '{name}' here ({str(error).splitlines()[0]}). Leave --device out."
        ) from error
    return name


def open_model(arguments: argparse.Namespace) -> tuple[Run, Denoiser, str]:
    """The run, its model to draw from in the device's fastest precision, and the device."""
    run, device = Run.open(arguments.run), choose_device(arguments.device)
    return run, run.model(arguments.checkpoint, device, fast_precision(device)), device


def value(text: str) -> Any:
    """What a NAME=VALUE argument holds: JSON if it is, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def changes_from(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that the arguments name, by their names in config.json."""
    names = ("preset", "epochs", "batch_size", "learning_rate", "seed", "dataset", "limit_images")
    given = {name: getattr(arguments, name) for name in names}
    changes = {name: found for name, found in given.items() if found is not None}
    return changes | {name: value(text) for name, text in arguments.settings}


def config_from(arguments: argparse.Namespace) -> ExperimentConfig:
    """The preset, with what the arguments change."""
    whole = dataclasses.asdict(PRESETS[arguments.preset or "modern"]) | changes_from(arguments)
    return ExperimentConfig.from_json(json.dumps(whole))


def train_command(arguments: argparse.Namespace) -> int:
    if arguments.resume:
        if changes := changes_from(arguments):
            words = " and ".join(name.replace("_", " ") for name in changes)
            raise Problem(
                f"A run goes on by its own settings, and --resume takes no other {words}. "
                "Leave that out, or begin another run."
            )
        run = Run.open(arguments.run)
        data = load(run.config.dataset)
    else:
        config = config_from(arguments)
        data = load(config.dataset)  # before the folder is made: a wrong name leaves none behind
        run = create_together(arguments.run, config)
    events = train(run.config, run, choose_device(arguments.device), data)
    bar = progress("step")

    def say(prose: str, **found: Any) -> None:
        bar.write(json.dumps(found) if arguments.json else prose)

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


def labels_from(arguments: argparse.Namespace) -> tuple[tuple[int, ...], float]:
    """The classes asked for, and the guidance."""
    if arguments.guidance is not None and not arguments.labels:
        raise Problem("--guidance needs a class to guide to: give --class too.")
    return tuple(arguments.labels), 1.0 if arguments.guidance is None else arguments.guidance


def request_from(arguments: argparse.Namespace, shape: tuple[int, int, int]) -> Request:
    """What the arguments of `sample` and `evaluate` ask to draw."""
    options = {name: value(text) for name, text in arguments.option}
    if arguments.eta is not None:
        options["eta"] = arguments.eta
    labels, guidance = labels_from(arguments)
    request = Request(
        count=arguments.count,
        shape=shape,
        sampler=arguments.sampler,
        steps=arguments.steps,
        seed=arguments.seed,
        batch=arguments.batch_size,
        labels=labels,
        guidance=guidance,
        options=tuple(options.items()),
    )
    if (image := getattr(arguments, "start_image", None)) is not None:
        picture = in_channels(read_image(image, *shape[1:]), shape[0])
        start = 0.5 if arguments.start is None else arguments.start
        return dataclasses.replace(request, start_image=picture, start=start)
    if getattr(arguments, "start", None) is not None:
        raise Problem("--start needs an image to start from: give --start-image too.")
    return request


def collect(drawing: Iterator[Drawn], request: Request) -> tuple[np.ndarray, int]:
    """All images of a drawing, uint8 (N, C, H, W), and the network evaluations each took."""
    parts: dict[int, np.ndarray] = {}
    nfe = 0
    with progress("image", request.count) as bar:
        for drawn in drawing:
            nfe = drawn.nfe
            bar.set_postfix(batch=f"{drawn.batch + 1}/{request.batches}", nfe=nfe)
            if drawn.images is not None:
                parts[drawn.batch] = drawn.images
                bar.update(len(drawn.images))
    return united(parts, request), nfe


def check_target(path: Path) -> None:
    """A Problem if `save_images` could not write there, to be had before the long drawing."""
    if path.suffix not in (".png", ".npz", ""):
        raise Problem(f"Images are written as .png or .npz, or into a folder, not as {path.name}.")
    if not path.absolute().parent.is_dir():
        raise Problem(f"There is no folder {path.parent} to write {path.name} into: make it first.")


def save_images(path: Path, images: np.ndarray) -> None:
    """Images as one .png sheet, as the array `images` of an .npz, or one by one in a folder."""
    if path.suffix == ".png":
        write_file(path, grid_png(images))
    elif path.suffix == ".npz":
        content = io.BytesIO()
        np.savez_compressed(content, images=images)
        write_file(path, content.getvalue())
    else:
        with file_problems("make the folder", path):
            path.mkdir(exist_ok=True)
        for k, image in enumerate(images):
            write_file(path / f"{k:05d}.png", grid_png(image[None]))


def sample_command(arguments: argparse.Namespace) -> int:
    check_target(arguments.out)
    run, model, device = open_model(arguments)
    request = request_from(arguments, run.image_shape())
    images, nfe = collect(draw(model, request, team().rank, team().size, device), request)
    if not team().leads:
        return 0
    save_images(arguments.out, images)
    found = {"images": len(images), "nfe": nfe, "out": str(arguments.out)}
    prose = f"{len(images)} images, {nfe} network evaluations each: {arguments.out}"
    show(found, prose, arguments.json)
    return 0


def evaluate_command(arguments: argparse.Namespace) -> int:
    if (arguments.run is None) == (arguments.samples is None):
        raise Problem("Give either --run, to draw from, or --samples, to measure as they are.")
    if arguments.save is not None:
        check_target(arguments.save)
    found: dict[str, Any] = {}
    if arguments.samples is not None:
        data = load(arguments.dataset or "mnist")
        images = load_samples(arguments.samples, data.shape)
        found["samples_from"] = str(arguments.samples)
    else:
        run, model, device = open_model(arguments)
        data = load(arguments.dataset or run.config.dataset)
        request = request_from(arguments, run.image_shape())
        features.feature_set(arguments.features)  # what it lacks shows before the long drawing
        images, nfe = collect(draw(model, request, team().rank, team().size, device), request)
        if not team().leads:
            return 0
        found |= {"run": str(run.folder), "sampler": arguments.sampler, "nfe": nfe}
        if arguments.save is not None:
            save_images(arguments.save, images)
    report = metrics.evaluate(images, data, arguments.features)
    show(found | dataclasses.asdict(report), table(report), arguments.json)
    return 0


def table(report: metrics.Report) -> str:
    """A report for a person: each figure beside its floor."""
    mine, real = report.samples, report.real
    rows = [
        ("images", f"{mine.count}", f"{real.count}"),
        (f"FID ({report.features})", f"{mine.fid:.3f}", f"{real.fid:.3f}"),
        ("precision", f"{mine.precision:.3f}", f"{real.precision:.3f}"),
        ("recall", f"{mine.recall:.3f}", f"{real.recall:.3f}"),
        ("distance to nearest training image", f"{mine.nearest:.3f}", f"{real.nearest:.3f}"),
        ("chance to be nearer than a test image", f"{report.copying:.3f}", "0.500"),
    ]
    if mine.classes is not None and real.classes is not None:
        counts = [" ".join(map(str, figures.classes or ())) for figures in (mine, real)]
        rows += [
            ("share the classifier is sure of", f"{mine.sure:.3f}", f"{real.sure:.3f}"),
            ("imbalance of classes", f"{mine.imbalance:.3f}", f"{real.imbalance:.3f}"),
            ("images of each class", counts[0], counts[1]),
        ]
    width = max(len(name) for name, *_ in rows)
    middle = max(len(left) for _, left, _ in rows)
    lines = [f"{'':{width}}  {'samples':>{middle}}  test images (floor)"]
    lines += [f"{name:{width}}  {left:>{middle}}  {right}" for name, left, right in rows]
    return "\n".join(lines)


def likelihood_command(arguments: argparse.Namespace) -> int:
    run, device = Run.open(arguments.run), choose_device(arguments.device)
    model = run.model(arguments.checkpoint, device)
    images = torch.from_numpy(load(run.config.dataset).test[: arguments.count].copy())
    generator = torch.Generator().manual_seed(arguments.seed)
    exact, bound = [], []
    with progress("image", len(images)) as bar:
        for part in images.to(device).split(arguments.batch_size):
            exact.append(bits_per_dim(model, model.process, part, generator))
            bound.append(variational_bound(model, model.process, part, generator, 64))
            bar.update(len(part))
    bits = torch.cat(exact)
    found = {
        "images": len(images),
        "exact_bits_per_dim": float(bits.mean()),
        "standard_error": float(bits.std() / len(bits) ** 0.5) if len(bits) > 1 else None,
        "bound_bits_per_dim": float(torch.cat(bound).mean()),
    }
    error = f" ± {found['standard_error']:.3f}" if len(bits) > 1 else ""
    prose = (
        f"{len(images)} test images: {found['exact_bits_per_dim']:.3f}{error} bits/dim exact, "
        f"at most {found['bound_bits_per_dim']:.3f} by the bound"
    )
    show(found, prose, arguments.json)
    return 0


def measure_command(arguments: argparse.Namespace) -> int:
    from trainer.runs.cards import describe
    from trainer.runs.measures import Measure, measure_likelihood, measure_samples, own_sampler

    run, device = Run.open(arguments.run), choose_device(arguments.device)
    data = load(run.config.dataset)
    sampler, steps = own_sampler(run)
    counts = tuple(count for count in arguments.samples if count > 0)
    sampling = measure_samples(
        run,
        data,
        counts,
        arguments.sampler or sampler,
        arguments.steps or steps,
        arguments.seed,
        device,
        arguments.recompute,
        arguments.guidance,
    )
    found: list[Measure] = []
    with progress("share", 1) as bar:
        bar.bar_format = "{percentage:3.0f}%|{bar}| {elapsed}"
        if counts:
            found += drain(sampling, bar)
        if (images := arguments.likelihood_images) > 0:
            likely = measure_likelihood(
                run, data, images, arguments.seed, device, arguments.recompute
            )
            found.append(drain(likely, bar))
    facts = {"run": str(run.folder), "measures": [dataclasses.asdict(one) for one in found]}
    show(facts, "\n".join(describe(one) for one in found), arguments.json)
    return 0


def drain(work: Generator[float, None, Any], bar: tqdm) -> Any:
    """What the generator of shares done returns."""
    while True:
        try:
            share = next(work)
        except StopIteration as end:
            return end.value
        bar.update(share - bar.n)


def features_command(arguments: argparse.Namespace) -> int:
    if arguments.fetch_inception:
        path = features.fetch_inception()
        show({"inception": str(path)}, f"Inception's weights are at {path}.", arguments.json)
        return 0
    if arguments.out is None:
        raise Problem("Give --out, the folder to write the digit features to.")
    data = load("mnist")
    path = arguments.out / features.DIGITS.name
    with progress("step") as bar:
        for event in features.train_digit_network(data, path, arguments.epochs, arguments.seed):
            bar.total = event.steps
            bar.update(1)
            if event.accuracy is not None:
                bar.set_postfix(accuracy=f"{event.accuracy:.4f}")
    chosen = features.feature_set("digits", path)
    metrics.save_moments(
        arguments.out / metrics.moments_name(data.train, chosen),
        metrics.moments(chosen(data.train)),
    )
    network, name = features.load_digit_network(path)
    score = features.accuracy(network, data.test, data.test_labels)
    found = {"features": name, "test_accuracy": score, "out": str(path)}
    show(found, f"{name}: {score:.2%} of test images right: {path}", arguments.json)
    return 0


def figures_command(arguments: argparse.Namespace) -> int:
    from trainer.figures import Finished, Made, Missing, Working, figures

    counts = [64] if arguments.quick else arguments.samples
    events = figures(
        arguments.out,
        arguments.runs,
        arguments.only,
        samples=tuple(count for count in counts if count > 0),
        likelihood_images=4 if arguments.quick else max(0, arguments.likelihood_images),
        seed=arguments.seed,
        device=choose_device(arguments.device),
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


def ship_command(arguments: argparse.Namespace) -> int:
    copy = Run.open(arguments.run).ship(arguments.out, arguments.keep)
    files = [path for path in copy.folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    found = {"folder": str(copy.folder), "checkpoints": len(copy.checkpoints()), "bytes": size}
    prose = f"{copy.folder}: {found['checkpoints']} checkpoints, {size / 1e6:.1f} MB"
    show(found, prose, arguments.json)
    return 0


COMMANDS = {
    "train": train_command,
    "ship": ship_command,
    "figures": figures_command,
    "sample": sample_command,
    "evaluate": evaluate_command,
    "likelihood": likelihood_command,
    "measure": measure_command,
    "features": features_command,
}
