"""Commands that lay things side by side: spectrum."""

import argparse
import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from trainer.cli.options import Commands, add_device, add_settings, ask_from
from trainer.problems import Problem, write_file
from trainer.spectrum import Ground, Spectrum, share, spectra

HEADER = (
    "t", "alpha", "sigma", "frequency", "data", "noisy", "guess", "rest", "gain", "wiener",
)  # fmt: skip


def add(commands: Commands) -> None:
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
