"""What is loaded once the window shows: torch, the images, the plots; each on a worker."""

import contextlib
import ctypes
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from diffviz.views import VIEWS
from trainer.problems import Problem


@dataclass(frozen=True)
class Ready:
    """Torch is loaded; `device` says in words what it computes on.

    `unfinished` is a run that was stopped midway, `epochs` how many it shall have.
    """

    device: str
    unfinished: Path | None
    epochs: int = 0


def device_words() -> str:
    """The computing device in words, with the number format that convolutions run in."""
    import torch

    from trainer.devices import best_device, precision_of, threads

    device = best_device()
    names: dict[str, Callable[[], str]] = {
        "cuda": lambda: f"GPU: {torch.cuda.get_device_name()}",
        "mps": lambda: "GPU: Apple MPS",
        "cpu": lambda: f"CPU, threads: {threads()}",
    }
    name = names[device]()
    return f"{name}, {str(precision_of('auto', device)).removeprefix('torch.')}"


def load_libraries() -> None:
    """Load torch's largest libraries without Python's lock, so that the window lives meanwhile.

    `import torch` would hold the lock for about a second over them. Where this does nothing (on
    Windows, or if a library has another name), it does just that.
    """
    found = importlib.util.find_spec("torch")
    if sys.platform == "win32" or found is None or found.origin is None:
        return
    suffix = "dylib" if sys.platform == "darwin" else "so"
    for name in ("libtorch_cpu", "libtorch_python"):
        path = Path(found.origin).parent / "lib" / f"{name}.{suffix}"
        # A foreign function is called without the lock; ctypes' own loading keeps it.
        ctypes.CDLL(None).dlopen(str(path).encode(), os.RTLD_NOW)


def read_images() -> Iterator[None]:
    """Read the images that come with DiffViz, for the first drawing to find them there."""
    from trainer.data import load

    with contextlib.suppress(Problem):  # whoever needs them will say what is wrong
        load("mnist")
    yield None


def load_plots() -> Iterator[None]:
    """Import the plotting library and the views, which would hold up the window's thread."""
    import pyqtgraph  # noqa: F401

    yield None
    for entry in VIEWS.values():
        entry.find()
        yield None


def warm_up(home: Path) -> Iterator[Ready]:
    """Import torch off the window's thread, and look for a run that was stopped midway."""
    load_libraries()
    from trainer.runs import Run

    unfinished, epochs = None, 0
    for path in sorted((home / "runs").glob("*/state.safetensors"), reverse=True):
        try:
            run = Run.open(path.parent)
            facts = run.standing()
        except Problem:
            continue
        if facts["step"] < facts["steps"]:
            unfinished, epochs = run.folder, run.config.epochs
            break
    yield Ready(device_words(), unfinished, epochs)
    # Imported now, so that the first drawing and Train start at once.
    import trainer.drawing
    import trainer.training.loop  # noqa: F401
