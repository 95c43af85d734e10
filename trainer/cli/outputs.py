"""What commands write besides images: tables, and where they may go. Needs no torch."""

import argparse
import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from trainer.cli.options import add_device
from trainer.problems import Problem


def as_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows as CSV, numbers with six figures."""
    stream = io.StringIO()
    write = csv.writer(stream, lineterminator="\n")
    write.writerow(header)
    for row in rows:
        write.writerow([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row])
    return stream.getvalue().encode()


def add_outs(command: argparse.ArgumentParser) -> None:
    """What commands write that have a picture and numbers."""
    command.add_argument("--out", type=Path, help="the .png to write")
    command.add_argument("--table", type=Path, help="the .csv to write")
    add_device(command)


def check_outs(arguments: argparse.Namespace) -> None:
    """A Problem if what `add_outs` asks for could not be written."""
    for path, ending in ((arguments.out, ".png"), (arguments.table, ".csv")):
        if path is not None:
            check_out(path, ending)


def check_out(path: Path, *endings: str) -> None:
    """A Problem if such a file could not be written there, to be had before the long work."""
    if path.suffix not in endings:
        raise Problem(f"It is written as {' or '.join(endings)}, not as {path.name}.")
    if not path.absolute().parent.is_dir():
        raise Problem(f"There is no folder {path.parent} to write {path.name} into: make it first.")
