"""What is killed, starved of disk and interrupted: the work that writes files, made very small.

Each is made ready in a folder once, and can be begun there again whatever became of it before.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tests.tiny import TINY, pictures

CONFIG = TINY.with_changes(epochs=4, keep_every=1, evaluate_every=1)


def prepare(folder: Path) -> None:
    """Pictures, a trained run (whole), and what nobody may lose (kept.json in it)."""
    from trainer.runs import Run

    pictures(folder / "pics", 60)
    (folder / "exports").mkdir()
    train(folder, "whole")
    run = Run.open(folder / "whole")
    (run.folder / "measures.json").write_text(
        json.dumps(
            [{"kind": "samples", "checkpoint": "0", "machine": "", "settings": {"count": 1,
              "steps": 1, "sampler": "ddim"},
              "values": {"fid": 0, "floor": 0, "nfe": 0, "seconds": 0}}]
        )
    )  # fmt: skip


def train(folder: Path, name: str = "run") -> None:
    """Begin a training, or go on with it; its state is saved at every step."""
    from trainer.runs import Run
    from trainer.training import loop, resumed
    from trainer.training import train as training

    loop.SAVE_SECONDS = loop.FLUSH_SECONDS = 0.0
    if not (folder / name / "config.json").exists():
        Run.create(folder / name, CONFIG.with_changes(dataset=f"{folder / 'pics'}:8"))
    run, data = resumed(folder / name)
    for _ in training(run.config, run, "cpu", data):
        pass


def measure(folder: Path) -> None:
    from trainer.data import load
    from trainer.runs import Run
    from trainer.runs.measures import measure_samples

    run = Run.open(folder / "whole")
    for _ in measure_samples(run, load(run.config.dataset), (6,), "ddim", 1, recompute=True):
        pass


def export(folder: Path) -> None:
    """A grid and films, as the window writes them."""
    from diffviz.export import Shown, format_of
    from diffviz.shell.files import _write

    frames = [np.full((9, 28, 28), 20 * k, np.uint8) for k in range(8)]
    shown = Shown({"view": "gallery"}, frames=frames)
    for name in ("grid.png", "film.gif", "film.webp"):
        path = folder / "exports" / name
        one = format_of(path, name.partition(".")[0])
        list(_write({path: one.begin(shown)}))


def ship(folder: Path) -> None:
    from trainer.runs import Run

    out = folder / "copy"
    if not out.exists():
        Run.open(folder / "whole").ship(out)


def figures(folder: Path) -> None:
    from trainer.figures import figures as make

    for _ in make(folder / "page", [folder / "whole"], ("4",), (), 0):
        pass


TASKS: dict[str, Callable[[Path], None]] = {
    "train": train, "measure": measure, "export": export, "ship": ship, "figures": figures,
}  # fmt: skip


def broken(folder: Path) -> list[str]:
    """The files below the folder that are not whole; what a kill left under a temporary name may
    lie there until the next begin."""
    from trainer.problems import Problem
    from trainer.runs.checkpoints import load_tensors

    found = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or any(part.endswith(".tmp") for part in path.parts):
            continue
        try:
            match path.suffix:
                case ".safetensors":
                    load_tensors(path)
                case ".json":
                    json.loads(path.read_bytes())
                case ".jsonl":
                    for line in path.read_bytes().splitlines()[:-1]:
                        json.loads(line)
                case ".png" | ".gif" | ".webp":
                    with Image.open(path) as image:
                        for frame in range(getattr(image, "n_frames", 1)):
                            image.seek(frame)
                            image.load()
                case ".html" | ".svg":
                    assert path.read_bytes().rstrip().endswith((b"</html>", b"</svg>"))
        except (Problem, ValueError, OSError, SyntaxError, AssertionError) as error:
            found.append(f"{path.relative_to(folder)}: {error}")
    if (folder / "copy").exists() and len(list((folder / "copy").rglob("*"))) < 6:
        found.append("copy: a part of a run")
    kept = json.loads((folder / "whole" / "measures.json").read_bytes())
    if not any(entry["checkpoint"] == "0" for entry in kept):
        found.append("measures.json: an older measure is gone")
    return found


def unlike(folder: Path, names: Sequence[str] = ("run", "whole")) -> list[str]:
    """How a finished training differs from one that nobody disturbed: in the weights of each of its
    checkpoints, in metrics. It must not; but a stop leaves a checkpoint more."""
    import torch

    from trainer.runs import Run
    from trainer.runs.checkpoints import load_tensors

    one, other = (Run.open(folder / name) for name in names)
    found, kept = [], {path.name: path for path in one.checkpoints()}
    for path in other.checkpoints():
        if path.name not in kept:
            found.append(f"no checkpoint {path.name}")
            continue
        mine, theirs = load_tensors(kept[path.name])[0], load_tensors(path)[0]
        if not all(torch.equal(mine[name], theirs[name]) for name in theirs):
            found.append(f"other weights in {path.name}")
    if one.metrics() != other.metrics():
        found.append("other metrics")
    return found
