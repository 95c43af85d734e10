"""Commands that lay things side by side: grid, spectrum."""

import argparse
import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from trainer.cli.options import Commands, add_device, add_option, add_settings, ask_from
from trainer.comparing import Comparison, Judging, compute, most_steps
from trainer.grid import AXES, Grid, sheet
from trainer.problems import Problem, write_file
from trainer.spectrum import Ground, Spectrum, share, spectra

HEADER = (
    "t", "alpha", "sigma", "frequency", "data", "noisy", "guess", "rest", "gain", "wiener",
)  # fmt: skip


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
    command.add_argument("--out", type=Path, help="the .png to write")
    command.add_argument("--table", type=Path, help="the .csv to write")
    add_device(command)

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


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows as CSV, numbers with six figures."""
    stream = io.StringIO()
    write = csv.writer(stream, lineterminator="\n")
    write.writerow(header)
    for row in rows:
        write.writerow([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row])
    return stream.getvalue().encode()


def check_out(path: Path, *endings: str) -> None:
    """A Problem if such a file could not be written there, to be had before the long work."""
    if path.suffix not in endings:
        raise Problem(f"It is written as {' or '.join(endings)}, not as {path.name}.")
    if not path.absolute().parent.is_dir():
        raise Problem(f"There is no folder {path.parent} to write {path.name} into: make it first.")


FIGURES = ("seconds", "nfe", "error", "fid", "floor")


def grid(arguments: argparse.Namespace) -> int:
    ask = ask_from(arguments, Grid)
    for path, ending in ((arguments.out, ".png"), (arguments.table, ".csv")):
        if path is not None:
            check_out(path, ending)
    from trainer.cli import running
    from trainer.runs.exact import run_named

    draws = ask.draws()
    most = {n: most_steps(run_named(n, running.PLACES).config) for n in {d.model for d in draws}}
    comparison = Comparison(draws, ask.fine(), ask.judged, most)
    device = running.choose_device(arguments.device)
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
        stream = io.BytesIO()
        Image.fromarray(sheet(ask, comparison)).save(stream, "PNG")
        write_file(arguments.out, stream.getvalue())
    header = [ask.rows, ask.columns, *FIGURES]
    if arguments.table is not None:
        write_file(arguments.table, table(header, rows))
    found = [{n: v for n, v in zip(header, row, strict=True) if v != ""} for row in rows]
    prose = table(header, rows).decode().strip() + "".join(
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
    write_file(arguments.out, table(HEADER, sorted(rows)))
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
