"""What commands have in common as they run: devices, models, bars, and where results go."""

import io
import os
from argparse import Namespace
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image
from tqdm import tqdm

from trainer import problems
from trainer.data.samples import grid_png
from trainer.devices import device_of
from trainer.drawing import Opened, Stage, draw, open_model
from trainer.events import Reading, outcome
from trainer.problems import Problem, file_problems, write_file
from trainer.requests import GUIDED, Drawing, OfModel
from trainer.runs.exact import run_named
from trainer.runs.folder import SHIPPED, Run
from trainer.training.distributed import team, united

T = TypeVar("T")
PLACES = (Path(), SHIPPED)  # where --run is looked up: a path from here, then what ships


def show(found: dict[str, Any], prose: str, as_json: bool) -> None:
    """Print what was found, for a program or for a person."""
    print(problems.as_json(found) if as_json else prose)


def progress(unit: str, total: int | None = None) -> tqdm:
    """A bar on standard error, if that is a terminal."""
    return tqdm(total=total, unit=unit, dynamic_ncols=True, disable=None if team().leads else True)


def with_bar(work: Generator[Reading, None, T]) -> T:
    """What work on images that are still to be read comes to; a bar shows how far it is."""
    bar: list[tqdm] = []  # none where nothing is read

    def show(event: Reading) -> None:
        bar[:] = bar or [progress("image", event.count)]
        bar[0].update(event.done - bar[0].n)

    try:
        return outcome(work, show)
    finally:
        for one in bar:
            one.close()


def run_of(arguments: Namespace) -> Run:
    """The run that --run names."""
    return run_named(arguments.model, PLACES)


def opened_by(arguments: Namespace, ask: OfModel) -> Opened:
    """The model that is asked, on the device that the arguments name."""
    found = open_model(ask, PLACES, device_of(arguments.device))
    named = [name for name in GUIDED if hasattr(arguments, name)]
    if named and isinstance(ask, Drawing) and not ask.guide:
        check_guidance(ask, found.run, "--" + named[0].replace("_", "-"))
    return found


def check_guidance(ask: Drawing, run: Run, option: str) -> None:
    """A Problem where an option of guidance would change nothing, as no guide is named."""
    if not run.config.classes:
        raise Problem(
            f"{run.folder.name} knows no classes: {option} needs a model that does, or --guide, a "
            "worse one. Leave it out."
        )
    if not ask.labels(run.config.classes):
        raise Problem(f"{option} needs a class to guide to: give --class each, or numbers.")


def drawn(
    ask: Drawing, opened: Opened, seen: Callable[[Stage], object] = lambda _: None
) -> tuple[np.ndarray, int]:
    """All images of an ask, uint8 (N, C, H, W), on every rank; and evaluations for each.

    Every stage that this rank draws is `seen`.
    """
    ours, parts, nfe = team(), {}, 0
    with progress("image", ask.count) as bar:
        for stage in draw(ask, opened, ours.rank, ours.size):
            seen(stage)
            nfe = stage.frame.nfe
            bar.set_postfix(step=f"{stage.frame.index}/{ask.steps}", nfe=nfe)
            if stage.last:
                parts[stage.first] = stage.images()
                bar.update(stage.count)
    return united(parts, (ask.count, *opened.shape)), nfe


def check_target(path: Path) -> None:
    """A Problem if `save_images` could not write there, to be had before the long drawing."""
    if path.suffix not in (".png", ".npz", ""):
        raise Problem(f"Images are written as .png or .npz, or into a folder, not as {path.name}.")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise Problem(f"There is no folder {path.parent} to write {path.name} into: make it first.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Problem(f"{folder} may not be written: choose another place for {path.name}.")
    if path.exists() and path.is_dir() != (path.suffix == ""):
        kind = "a folder" if path.is_dir() else "a file"
        raise Problem(f"{path} is {kind} already, which is in the way: choose another name.")
    if path.is_dir() and any(path.iterdir()):
        raise Problem(
            f"The folder {path} is not empty: samples would mix with what is there. Empty it, or "
            "name another."
        )


def save_picture(path: Path, pixels: np.ndarray) -> None:
    """One picture, uint8 (H, W) or (H, W, 3), as a .png."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    write_file(path, stream.getvalue())


def save_rows(path: Path, rows: Iterable[np.ndarray]) -> None:
    """Rows of pictures, each uint8 (n, H, W) or (n, H, W, 3), under each other as one .png."""
    save_picture(path, np.concatenate([np.concatenate(list(row), axis=1) for row in rows]))


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Arrays by their names as an .npz."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    write_file(path, content.getvalue())


def save_images(path: Path, images: np.ndarray) -> None:
    """Images as one .png sheet, as the array `images` of an .npz, or one by one in a folder."""
    if path.suffix == ".png":
        write_file(path, grid_png(images))
    elif path.suffix == ".npz":
        save_arrays(path, images=images)
    else:
        with file_problems("make the folder", path):
            path.mkdir(exist_ok=True)
        for k, image in enumerate(images):
            write_file(path / f"{k:05d}.png", grid_png(image[None]))
