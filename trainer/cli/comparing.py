"""Commands that lay things side by side: grid, spectrum, copying, learning."""

import argparse
from pathlib import Path

from trainer.cli.options import BEGUN, Commands, add_device, add_option, add_settings, ask_from
from trainer.cli.outputs import add_outs, as_csv, check_out, check_outs
from trainer.comparing import Comparison, Judging, compute, most_steps
from trainer.copying import Copying, Rung
from trainer.grid import AXES, Grid, sheet
from trainer.learning import Course, Drawn, Learnt, distances, learn
from trainer.problems import Problem, write_file
from trainer.spectrum import Ground, Spectrum, share, spectra

HEADER = (
    "t", "alpha", "sigma", "frequency", "data", "noisy", "guess", "rest", "gain", "wiener",
)  # fmt: skip
SAMPLE = ("known", "model", "sample", "nearest", "distance", "second", "copy", "apart")
SIZE = ("known", "copied", "samples", "test", "apart", "chance")


def add(commands: Commands) -> None:
    command = commands.add(
        "grid",
        grid,
        "draw any two settings against each other: a sheet with labels, and what each cell costs",
        "A list parts numbers by spaces or commas, names by commas. What is an axis: "
        + ", ".join(AXES)
        + ". The same noise in every cell, unless the seed is an axis. --table writes seconds, "
        "NFE, error to the fine reference and FID of every cell.",
        "--run runs/first --rows sampler --row-values 'ddim, heun' --columns steps "
        "--column-values '5 10 20' --out grid.png --table grid.csv",
    )
    add_settings(command, Grid, required=("model",))
    add_option(command)
    add_outs(command)

    command = commands.add(
        "spectrum",
        spectrum,
        "measure which frequencies of images noise drowns, and which a run tells again",
        "A row a frequency (cycles an image) and t: the power of test images, of x_t, of the run's "
        "guess and of what that leaves of the image, as deviations from the mean picture; the "
        "denoiser's gain, and Wiener's, which is exact for a Gaussian with that spectrum.",
        "--run runs/first --count 256 --out spectrum.csv",
    )
    add_settings(command, Spectrum, required=("model",))
    command.add_argument("--out", type=Path, required=True, help="the .csv to write")
    add_device(command)

    command = commands.add(
        "copying",
        copying,
        "let models of few images and of many draw from the same noise, and find copies",
        "With a run draw those beside it that differ from it by nothing but their images; with an "
        "exact model, itself of 10 to 10,000 images. The picture has two rows a model: what it "
        "drew, and the nearest of its images. The table has a row for each drawn image.",
        "--run modern --out copying.png --table copying.csv",
    )
    add_settings(command, Copying, required=("model",), without=("checkpoint",), called=BEGUN)
    add_option(command)
    add_outs(command)

    command = commands.add(
        "learning",
        learning,
        "let every checkpoint of a run draw from the same noise",
        "The picture has a row a checkpoint, the first above; the table how far each image is from "
        "the last checkpoint's: root mean square, 1 being black against white.",
        "--run runs/first --count 8 --out learning.png --table learning.csv",
    )
    add_settings(
        command, Learnt, required=("model",), without=("checkpoint", "batch"), called=BEGUN
    )
    add_option(command)
    add_outs(command)


FIGURES = ("seconds", "nfe", "error", "fid", "floor")


def grid(arguments: argparse.Namespace) -> int:
    ask = ask_from(arguments, Grid)
    check_outs(arguments)
    from trainer.cli import running
    from trainer.devices import device_of
    from trainer.runs.exact import run_named

    draws = ask.draws()
    most = {n: most_steps(run_named(n, running.PLACES).config) for n in {d.model for d in draws}}
    comparison = Comparison(draws, ask.fine(), ask.judged, most)
    device = device_of(arguments.device)
    with running.progress("piece", len(comparison.pieces())) as bar:
        while missing := comparison.missing():
            piece = missing[0]
            bar.total = max(bar.n + len(missing), bar.total or 0)
            try:
                for event in compute(piece, running.PLACES, device):
                    comparison.take(piece, event)
                    share = event.share if isinstance(event, Judging) else 0.0
                    bar.set_postfix(what=piece[0], share=f"{share:.0%}", refresh=False)
            except Problem as problem:
                comparison.refused[piece] = str(problem)
            bar.update(1)
    rows, refused = [], []
    for row, cells in zip(ask.down(), ask.cells(), strict=True):
        for column, cell in zip(ask.across(), cells, strict=True):
            figures = {} if isinstance(cell, str) else comparison.figures(cell)
            why = cell if isinstance(cell, str) else comparison.refused.get(("draw", cell), "")
            rows.append([row, column, *(figures.get(name, "") for name in FIGURES)])
            refused += [{"row": row, "column": column, "why": why}] if why else []
    if arguments.out is not None:
        running.save_picture(arguments.out, sheet(ask, comparison))
    header = [ask.rows, ask.columns, *FIGURES]
    if arguments.table is not None:
        write_file(arguments.table, as_csv(header, rows))
    found = [{n: v for n, v in zip(header, row, strict=True) if v != ""} for row in rows]
    prose = as_csv(header, rows).decode().strip() + "".join(
        f"\n{one['row']}, {one['column']}: {one['why']}" for one in refused
    )
    running.show({"cells": found, "refused": refused}, prose, arguments.json)
    return 0


def spectrum(arguments: argparse.Namespace) -> int:
    ask = ask_from(arguments, Spectrum)
    check_out(arguments.out, ".csv")
    from trainer.cli import running

    rows: list[tuple[float, ...]] = []
    with running.progress("t") as bar:
        for event in spectra(ask, running.opened_by(arguments, ask), 1):
            if isinstance(event, Ground):
                ground = event
                bar.reset(len(ground.times))
                continue
            bar.update(1)
            at = tuple(float(v[event.index]) for v in (ground.times, ground.alpha, ground.sigma))
            columns = (
                ground.data, event.noisy, event.guess, event.rest,
                share(event.guess, ground.data), share(event.wiener, ground.data),
            )  # fmt: skip
            for k, values in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
                rows.append((*at, float(k), *values))
    write_file(arguments.out, as_csv(HEADER, sorted(rows)))
    counts, highest = ground.rings.counts, [int(k) for k in ground.front()]
    found = {
        "out": str(arguments.out), "times": ground.times.tolist(), "above_noise": highest,
        "power": float(counts @ ground.data / counts.sum()),
    }  # fmt: skip
    prose = (
        f"{len(ground.data)} frequencies at {len(ground.times)} times: {arguments.out}. Half way, "
        f"at t = {ground.times[len(highest) // 2]:.2f}, frequencies up to "
        f"{max(0, highest[len(highest) // 2])} cycles an image stand above the noise."
    )
    running.show(found, prose, arguments.json)
    return 0


def copying(arguments: argparse.Namespace) -> int:
    ask = ask_from(arguments, Copying)
    check_outs(arguments)
    from trainer import copying as engine
    from trainer.cli import running

    rungs: dict[int, Rung] = {}
    with running.progress("model") as bar:
        device = running.opened_by(arguments, ask).device
        for rung in engine.copying(ask, running.PLACES, device):
            rungs[rung.index] = rung
            bar.update(1)
    rows, pictures = [], []
    for rung in rungs.values():
        for one in rung.drawn:
            pictures += [one.samples, one.nearest]
            for k, (number, gaps) in enumerate(zip(one.numbers, one.distances, strict=True)):
                second = float(gaps[1]) if len(gaps) > 1 else ""
                between = "" if rung.apart is None else float(rung.apart[k])
                rows.append((rung.size, one.name, k, int(number), float(gaps[0]), second,
                             int(one.copied[k]), between))  # fmt: skip
    if arguments.out is not None:
        running.save_rows(arguments.out, pictures)
    if arguments.table is not None:
        write_file(arguments.table, as_csv(SAMPLE, rows))
    found = [{"known": rung.size, "models": [one.name for one in rung.drawn], **rung.figures}
             for rung in rungs.values()]  # fmt: skip
    prose = as_csv(SIZE, [[one.get(name, "") for name in SIZE] for one in found])
    running.show({"sizes": found}, prose.decode().strip(), arguments.json)
    return 0


def learning(arguments: argparse.Namespace) -> int:
    ask = ask_from(arguments, Learnt)
    check_outs(arguments)
    from trainer.cli import running

    drawn: dict[int, Drawn] = {}
    with running.progress("checkpoint") as bar:
        device = running.opened_by(arguments, ask).device
        for event in learn(ask, running.PLACES, device):
            if isinstance(event, Course):
                course = event
                bar.reset(len(course.steps))
                continue
            drawn[event.index] = event
            bar.update(1)
    images = [drawn[k].guesses[-1] for k in sorted(drawn)]
    gaps = [distances(one, images[-1]).tolist() for one in images]
    if arguments.out is not None:
        running.save_rows(arguments.out, images)
    if arguments.table is not None:
        rows = [
            (step, seen, k, gap)
            for step, seen, row in zip(course.steps, course.seen, gaps, strict=True)
            for k, gap in enumerate(row)
        ]
        write_file(arguments.table, as_csv(("step", "images_seen", "image", "distance"), rows))
    means = [sum(row) / len(row) for row in gaps]
    found = {"steps": course.steps, "images_seen": course.seen, "distance": means}
    prose = as_csv(("step", "images_seen", "distance"), zip(*found.values(), strict=True))
    running.show(found, prose.decode().strip(), arguments.json)
    return 0
