"""Commands that measure: evaluate, likelihood, bits, measure, features."""

import argparse
import dataclasses
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.ask import settings_of
from trainer.bits import SETS, Bits, Exactly, Figure, Several, Taken, heated, judged, several
from trainer.cli.options import Commands, add_device, add_option, add_settings, ask_from, whole
from trainer.cli.outputs import add_outs, as_csv, check_out, check_outs
from trainer.config import ExperimentConfig
from trainer.problems import Problem, write_file
from trainer.requests import GUIDED, HOW, Drawing, Evaluation, Likelihood

if TYPE_CHECKING:
    import numpy as np

    from trainer.data import ImageSet
    from trainer.metrics import Report

EACH = ("image", "digit", "sure", "nearest", "distance")


def add(commands: Commands) -> None:
    command = commands.add(
        "evaluate",
        evaluate,
        "measure samples: FID, precision, recall, classes, copying",
        "Draws from --run, or takes --samples as they are. Every figure stands beside that of as "
        "many real test images: the floor. Figures of different --count do not compare.",
        "--run runs/first --count 1024 --sampler ddim --steps 50",
    )
    add_settings(command, Evaluation, without=("image", "start"))
    add_option(command)
    add_device(command)
    command.add_argument(
        "--samples", type=Path, help="measure these instead: a sheet .png, an .npz, or a folder"
    )
    images = settings_of(ExperimentConfig)["dataset"].tip.partition(": ")[2]
    command.add_argument("--dataset", help=f"compare with it: {images} (the run's, or mnist)")
    command.add_argument("--save", type=Path, help="keep the drawn images in this .npz")
    command.add_argument(
        "--table", type=Path, help="the .csv to write of each image: the digit that the classifier "
        "sees, how sure it is, and the nearest training image",
    )  # fmt: skip

    command = commands.add(
        "likelihood",
        likelihood,
        "give the exact bits/dim of test images under a run",
        "By the probability-flow ODE, with the variational bound beside it. The images are spread "
        "evenly over the test set.",
        "--run runs/first --count 16",
    )
    add_settings(command, Likelihood, required=("model",))
    add_device(command)

    command = commands.add(
        "measure",
        measure,
        "measure a run, and keep the figures beside it",
        "FID and its company of so many samples, bits/dim of so many test images: what the run's "
        "card and the report's table show (measures.json). What is known is not measured again.",
        "--run runs/first --samples 1024 10000 --sampler ddim --steps 20",
    )
    add_settings(command, Drawing, only=("model",), required=("model",))
    add_settings(command, Drawing, only=("sampler", "steps"), default="the run's own")
    add_settings(command, Drawing, only=("guidance",), default="1")
    add_settings(command, Drawing, only=(*GUIDED[1:], *HOW))
    add_settings(command, Drawing, only=("seed",))
    command.add_argument(
        "--samples", type=int, nargs="+", default=[1024], help="how many for FID; 0: none (1024)"
    )
    command.add_argument(
        "--likelihood-images", type=int, default=0, help="how many test images; 0: none (0)"
    )
    command.add_argument("--recompute", action="store_true", help="measure anew what is known")
    add_device(command)

    command = commands.add(
        "features",
        features,
        "train the digit features that FID is taken in",
        "What assets/features holds was made by this command as it stands, with one thread.",
        "--out assets/features",
    )
    command.add_argument("--out", type=Path, help="the folder to write")
    command.add_argument("--epochs", type=whole(), default=6, help="passes over MNIST (6)")
    command.add_argument("--seed", type=whole(0), default=0, help="of all random draws (0)")
    command.add_argument(
        "--fetch-inception",
        action="store_true",
        help="instead, download the weights of the inception features (91 MB) from GitHub",
    )

    command = commands.add(
        "bits",
        bits,
        "take a picture's bits/dim apart, by level of noise and by pixel; judge sets",
        "The picture shows which pixels cost most; the table has a row for each level of noise, "
        f"whose costs add up to the bound. --sets judges test images, and what is made of them: "
        f"{', '.join(list(SETS.values())[1:])}.",
        "--run modern-likelihood --image 4 --change turned --out pixels.png --table levels.csv",
    )
    add_settings(command, Bits, required=("model",), without=("batch",))
    command.add_argument("--sets", type=Path, help="the .csv to write of whole sets")
    add_outs(command)


def evaluate(arguments: argparse.Namespace) -> int:
    if hasattr(arguments, "model") == (arguments.samples is not None):
        raise Problem("Give either --run, to draw from, or --samples, to measure as they are.")
    ask = ask_from(arguments, Evaluation)
    from trainer import metrics
    from trainer.cli import running
    from trainer.data import reading
    from trainer.data.samples import load_samples
    from trainer.training.distributed import team

    if arguments.save is not None:
        running.check_target(arguments.save)
    if arguments.table is not None:
        check_out(arguments.table, ".csv")
    found: dict[str, Any] = {}
    if arguments.samples is not None:
        data = running.with_bar(reading(arguments.dataset or "mnist"))
        images = load_samples(arguments.samples, data.shape)
        found["samples_from"] = str(arguments.samples)
    else:
        opened = running.opened_by(arguments, ask)
        data = running.with_bar(reading(arguments.dataset or opened.run.config.dataset))
        metrics.refuse(ask.count, opened.shape, data, ask.features)
        images, nfe = running.drawn(ask, opened)
        if not team().leads:
            return 0
        found |= {"run": str(opened.run.folder), "sampler": ask.sampler, "nfe": nfe}
        if arguments.save is not None:
            running.save_images(arguments.save, images)
    report = metrics.evaluate(images, data, ask.features)
    if arguments.table is not None:
        write_file(arguments.table, as_csv(EACH, one_by_one(images, data)))
    running.show(found | dataclasses.asdict(report), table(report), arguments.json)
    return 0


def one_by_one(images: "np.ndarray", data: "ImageSet") -> list[tuple[Any, ...]]:
    """EACH of images, uint8 (N, C, H, W): no digits where the classifier knows none."""
    from trainer import metrics

    numbers, gaps = metrics.nearest(images, data.train)
    words: list[tuple[Any, Any]] = [("", "")] * len(images)
    if metrics.knows(data):
        words = list(zip(*(part.tolist() for part in metrics.classify(images)), strict=True))
    rows = zip(words, numbers.tolist(), gaps.tolist(), strict=True)
    return [(k, *word, number, gap) for k, (word, number, gap) in enumerate(rows)]


def table(report: "Report") -> str:
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
    return "\n".join([*lines, *([report.limits] if report.limits else [])])


def likelihood(arguments: argparse.Namespace) -> int:
    ask = ask_from(arguments, Likelihood)
    import torch

    from trainer.cli import running
    from trainer.likelihood.judge import judge, summary
    from trainer.metrics import spread_out
    from trainer.runs.cards import duration, likelihood_words

    opened = running.opened_by(arguments, ask)
    images = torch.from_numpy(spread_out(opened.data.test, ask.count).copy())
    judged, begun = [], time.perf_counter()
    with running.progress("image", len(images)) as bar:
        for one in judge(ask, opened, images):
            judged.append(one)
            bar.update(one.count)
    found = summary(judged) | {"seconds": time.perf_counter() - begun}
    settings = {name: getattr(ask, name) for name in ("dequantisation", "tolerance", "precision")}
    prose = f"{likelihood_words(found, settings)}, in {duration(found['seconds'])}"
    running.show(found | settings, prose, arguments.json)
    return 0


def measure(arguments: argparse.Namespace) -> int:
    from trainer.cli import running
    from trainer.data import reading
    from trainer.devices import device_of
    from trainer.events import outcome
    from trainer.runs.cards import describe
    from trainer.runs.measures import Measure, measure_likelihood, measure_samples, own_sampler
    from trainer.training.distributed import team

    run, device = running.run_of(arguments), device_of(arguments.device)
    data, (sampler, steps) = running.with_bar(reading(run.config.dataset)), own_sampler(run)
    ask = ask_from(arguments, Drawing, sampler=sampler, steps=steps, guidance=1.0)
    counts = tuple(count for count in arguments.samples if count > 0)
    again = arguments.recompute
    asked = {name: getattr(ask, name) for name in (*GUIDED, *HOW)}
    sampling = measure_samples(
        run, data, counts, ask.sampler, ask.steps, ask.seed, device, again, **asked
    )
    found: list[Measure] = []
    with running.progress("share", 1) as bar:
        bar.bar_format = "{percentage:3.0f}%|{bar}| {elapsed}"

        def show(share: float) -> None:
            bar.update(share - bar.n)

        if counts:
            found += outcome(sampling, show)
        if (images := arguments.likelihood_images) > 0:
            bits = measure_likelihood(run, data, images, ask.seed, device, again)
            found.append(outcome(bits, show))
    if not team().leads:
        return 0
    facts = {"run": str(run.folder), "measures": [dataclasses.asdict(one) for one in found]}
    running.show(facts, "\n".join(describe(one) for one in found), arguments.json)
    return 0


def features(arguments: argparse.Namespace) -> int:
    from trainer import metrics
    from trainer.cli.running import progress, show
    from trainer.data import load
    from trainer.metrics import features as made

    if arguments.fetch_inception:
        path = made.fetch_inception()
        show({"inception": str(path)}, f"Inception's weights are at {path}.", arguments.json)
        return 0
    if arguments.out is None:
        raise Problem("Give --out, the folder to write the digit features to.")
    data = load("mnist")
    path = arguments.out / made.DIGITS.name
    with progress("step") as bar:
        for event in made.train_digit_network(data, path, arguments.epochs, arguments.seed):
            bar.total = event.steps
            bar.update(1)
            if event.accuracy is not None:
                bar.set_postfix(accuracy=f"{event.accuracy:.4f}")
    chosen = made.feature_set("digits", path)
    metrics.save_moments(
        arguments.out / metrics.moments_name(data.train, chosen),
        metrics.moments(chosen(data.train)),
    )
    network, name = made.load_digit_network(path)
    score = made.accuracy(network, data.test, data.test_labels)
    found = {"features": name, "test_accuracy": score, "out": str(path)}
    show(found, f"{name}: {score:.2%} of test images right: {path}", arguments.json)
    return 0


def bits(arguments: argparse.Namespace) -> int:
    ask = ask_from(arguments, Bits)
    check_outs(arguments)
    if arguments.sets is not None:
        check_out(arguments.sets, ".csv")
    import numpy as np

    from trainer.cli import running

    opened = running.opened_by(arguments, ask)
    of: dict[type, Any] = {type(event): event for event in judged(ask, opened)}
    taken, exactly = of[Taken], of[Exactly]
    found: dict[str, Any] = {"bound": taken.bound, "bound_error": taken.error}
    prose = f"At most {taken.bound:.4f} ± {taken.error:.4f} bits/dim by the SDE's bound"
    if exactly.why:
        found["why"] = exactly.why
        prose += f"; no exact value: {exactly.why}"
    else:
        found |= {"exact": exactly.value, "exact_error": exactly.error,
                  "solver_error": exactly.solver, "nfe": exactly.nfe}  # fmt: skip
        prose += (
            f"; {exactly.value:.4f} ± {exactly.error:.4f} by the ODE ({exactly.nfe:.0f} NFE, the "
            f"solver's error {exactly.solver:.4f})."
        )
    if arguments.table is not None:
        edges = taken.edges.tolist()
        parts = [("decoder", "", ""), *(("noise", *pair) for pair in pairwise(edges))]
        rows = [(*part, float(cost)) for part, cost in
                zip([*parts, ("prior", "", "")], taken.costs, strict=True)]  # fmt: skip
        write_file(arguments.table, as_csv(("part", "log_snr_from", "log_snr_to", "bits"), rows))
    if arguments.out is not None:
        running.save_picture(arguments.out, heated(of[Figure].image, taken.heat.sum(0)))
    if arguments.sets is not None:
        sets: dict[str, list[Several]] = {name: [] for name in SETS}
        with running.progress("image", ask.count * len(SETS)) as bar:
            for some in several(ask, opened):
                sets[some.name].append(some)
                bar.update(len(some.bits))
        values = [
            (SETS[name], int(number), float(value))
            for name, these in sets.items()
            for some in these
            for number, value in zip(some.numbers, some.bits, strict=True)
        ]
        write_file(arguments.sets, as_csv(("set", "image", "bits"), values))
        found["sets"] = {name: float(np.concatenate([some.bits for some in these]).mean())
                         for name, these in sets.items()}  # fmt: skip
        prose += "".join(f"\n{SETS[name]}: {value:.4f}" for name, value in found["sets"].items())
    running.show(found, prose, arguments.json)
    return 0
