"""A run folder is the interface: whoever trains writes it, whoever looks opens it.

config.json                 the ExperimentConfig
metrics.jsonl               a line a step {"step", "epoch", "loss", "rate", "gradient"}, or an
                            evaluation {"step", "epoch", "bpd", "loss_by_time" (ten, from t = 0 to
                            1)}, or {"step", "epochs", "steps"}: so many in all from that
                            step on
state.safetensors           everything that exact resumption needs; replaced whole
checkpoints/00000469.safetensors   EMA weights after that step
averages/00000469.safetensors      averages from which EMAs of other lengths follow (runs.averages)
samples/00000469.png        the preview grid drawn at that step
"""

import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from assets import ASSETS
from trainer.config import RENAMED, ExperimentConfig
from trainer.denoiser import Denoiser
from trainer.devices import precision_of
from trainer.events import line_of_metrics
from trainer.networks import make_network
from trainer.problems import Problem, as_json, file_problems, write_file
from trainer.processes import Process, make_process
from trainer.runs.checkpoints import (
    checkpoint_facts,
    halved,
    in_type,
    load_tensors,
    load_weights,
    save_tensors,
)

if TYPE_CHECKING:
    from trainer.data import ImageSet

__all__ = ["SHIPPED", "Run", "find", "resolved_model", "training_images"]

SHIPPED = ASSETS / "models"  # the models that come with DiffViz
MOST_SIDE = 9_999  # of images in pixels


class Run:
    """One run folder. Reading never writes; writing belongs to whoever holds `lock()`."""

    def __init__(self, folder: Path, config: ExperimentConfig) -> None:
        self.folder = folder
        self.config = config

    @classmethod
    def create(cls, folder: str | Path, config: ExperimentConfig) -> "Run":
        """A new run in `folder`, which must not hold one that has made a step."""
        folder = Path(folder)
        if (folder / "config.json").exists() and cls(folder, config).begun:
            raise Problem(
                f"{folder} already holds a run. Resume it, or choose another folder: "
                "nothing is overwritten."
            )
        with file_problems("make the run folder", folder):
            for part in ("checkpoints", "samples"):
                (folder / part).mkdir(parents=True, exist_ok=True)
        write_file(folder / "config.json", config.to_json().encode())
        return cls(folder, config)

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """The run in `folder`."""
        folder = Path(folder)
        path = folder / "config.json"
        if not path.exists():
            raise Problem(f"{folder} is not a run folder: it has no config.json.")
        with file_problems("read", path):
            text = path.read_bytes().decode("utf-8", "replace")
        return cls(folder, ExperimentConfig.from_json(text))

    def change(self, config: ExperimentConfig) -> None:
        """Put the run under other settings, and write them; its state has to fit them."""
        if config != self.config:
            with self.lock():
                write_file(self.folder / "config.json", config.to_json().encode())
            self.config = config

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the right to write this run; a Problem when another program has it."""
        with file_problems("write to the run folder", self.folder):
            try:
                with FileLock(self.folder / "lock", timeout=0):
                    yield
            except Timeout as error:
                raise Problem(
                    f"{self.folder} is being trained by another program. "
                    "Stop that one first, or choose another folder."
                ) from error

    @property
    def process(self) -> Process:
        return make_process(self.config.process, self.config.process_parameters)

    @property
    def begun(self) -> bool:
        """Whether it has made a step, or may have."""
        written = (self.state_path, self.folder / "metrics.jsonl")
        return bool(self.checkpoints()) or any(path.exists() for path in written)

    @property
    def state_path(self) -> Path:
        return self.folder / "state.safetensors"

    def standing(self) -> dict[str, Any]:
        """What the state says of itself: it was saved after "step" of "steps", and more.

        A Problem where there is none, or where it says what cannot be.
        """
        _, facts = checkpoint_facts(self.state_path)
        step, steps = facts.get("step"), facts.get("steps")
        counts = isinstance(step, int) and isinstance(steps, int) and 0 <= step <= steps
        data = facts.get("data")  # not in states of before
        known = data is None or (
            isinstance(data, dict)
            and isinstance(shape := data.get("shape"), list)
            and len(shape) == 3
            and all(isinstance(n, int) for n in (data.get("images"), data.get("classes"), *shape))
        )
        if not (counts and known):
            raise Problem(f"{self.state_path} is no state of a training: begin another run.")
        return facts

    def checkpoints(self) -> list[Path]:
        """The files of EMA weights, named after their steps, oldest first; no others."""
        folder = self.folder / "checkpoints"
        with file_problems("read", folder), suppress(FileNotFoundError):  # nor is it made yet
            found = (folder / name for name in os.listdir(folder))
            return sorted(p for p in found if p.suffix == ".safetensors" and p.stem.isdecimal())
        return []

    def newest(self) -> Path:
        """The file of the newest checkpoint; a Problem when there is none."""
        if not (found := self.checkpoints()):
            raise Problem(f"{self.folder} holds no checkpoint yet: train it first.")
        return found[-1]

    def save_weights(self, step: int, weights: dict[str, Tensor], facts: dict[str, Any]) -> Path:
        path = self.folder / "checkpoints" / f"{step:08d}.safetensors"
        save_tensors(path, weights, facts)
        return path

    def log(self, lines: list[dict[str, Any]]) -> None:
        """Append lines to metrics.jsonl."""
        path = self.folder / "metrics.jsonl"
        with file_problems("write", path), open(path, "a") as stream:
            stream.write("".join(as_json(line) + "\n" for line in lines))

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; one that is torn, or still being written, is left out."""
        path = self.folder / "metrics.jsonl"
        if not path.exists():
            return []
        with file_problems("read", path):
            lines = path.read_bytes().splitlines()
        return [read for line in lines if (read := line_of_metrics(line)) is not None]

    def forget_after(self, step: int) -> None:
        """Drop metrics later than `step`, torn lines, and what a kill left half written: those
        steps are made again."""
        for left in [*self.folder.glob(".*.tmp"), *self.folder.glob("*/.*.tmp")]:
            left.unlink(missing_ok=True)
        path = self.folder / "metrics.jsonl"
        if not path.exists():
            return
        kept = [line for line in self.metrics() if line["step"] <= step]
        with file_problems("read", path):
            content = path.read_bytes()
        if len(kept) < len(content.splitlines()) or not content.endswith(b"\n"):
            write_file(path, "".join(as_json(line) + "\n" for line in kept).encode())

    def model(
        self,
        checkpoint: Path | None = None,
        device: str = "cpu",
        precision: str = "float32",
    ) -> Denoiser:
        """The EMA weights of `checkpoint` (the newest unless given) as model(x, t) -> eps.

        `precision` is what the network runs in (trainer.devices); likelihoods need float32.
        """
        dtype = precision_of(precision, device)
        checkpoint = checkpoint or self.newest()
        weights, facts = load_tensors(checkpoint)
        channels, _, _ = _shape(facts, checkpoint)
        with torch.device("meta"):  # settings of a gigantic network are found out before it is made
            load_weights(make_network(self.config, channels, "meta"), weights, checkpoint)
        network = make_network(self.config, channels, device)
        load_weights(network, in_type(weights, torch.float32), checkpoint)
        if not all(bool(w.isfinite().all()) for w in weights.values() if w.is_floating_point()):
            raise Problem(
                f"The weights in {checkpoint} are not finite: that training has diverged. Use an "
                "earlier checkpoint, or train again with a lower learning rate."
            )
        config = self.config
        model = Denoiser(network, self.process, config.prediction, dtype, config.conditioning)
        return model.eval().requires_grad_(False)

    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images that the newest checkpoint was trained on."""
        newest = self.newest()
        return _shape(checkpoint_facts(newest)[1], newest)

    def ship(self, folder: str | Path, keep: int = 3) -> "Run":
        """A copy of this run for others, in a new folder: what is needed to open it, no more.

        Settings, metrics, and `keep` checkpoints at growing distances, the last among them, with
        their weights in half precision: early on most is learnt. It cannot be resumed.
        """
        self.newest()
        if keep < 1:
            raise Problem("A run ships with at least 1 checkpoint.")
        found = self.checkpoints()
        first = 1.0 if keep > 1 else len(found)
        places = {round(place) - 1 for place in np.geomspace(first, len(found), keep)}
        chosen = [found[place] for place in sorted(places)]
        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise Problem(
                f"{folder} already holds a run, or something else: name a new folder. Nothing is "
                "overwritten."
            )
        # What they name stays here: a whole path would be of no use, and tell of this home.
        named = {
            name: path.replace("\\", "/").rstrip("/").rpartition("/")[2] or path
            for name in ("dataset", "initial")
            for path in [getattr(self.config, name)]
        }
        config = self.config.with_changes(**named)
        made = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
        try:
            copy = Run.create(made, config)
            for path in chosen:
                weights, facts = load_tensors(path)
                copy.save_weights(int(path.stem), halved(weights), facts)
            copy.log(_thinned(self.metrics()))
            with file_problems("make the folder", folder):
                if folder.exists():
                    folder.rmdir()
                made.rename(folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)
        return Run(folder, config)


def _thinned(lines: list[dict[str, Any]], most: int = 4000) -> list[dict[str, Any]]:
    """About `most` of the steps' lines, evenly spread and each the mean of those it stands for."""
    steps = [line for line in lines if "loss" in line]
    every = math.ceil(len(steps) / most)
    if every <= 1:
        return lines
    kept = [
        chosen[-1]
        | {
            name: float(f"{np.mean([c[name] for c in chosen if name in c]):.5g}")
            for name in ("loss", "gradient")
            if name in chosen[-1]
        }
        for chosen in (steps[k : k + every] for k in range(0, len(steps), every))
    ]
    return sorted(
        [*kept, *(line for line in lines if "loss" not in line)], key=lambda line: line["step"]
    )


def _shape(facts: dict[str, Any], path: Path) -> tuple[int, int, int]:
    """(C, H, W) of the images that a checkpoint with these facts draws."""
    found = facts.get("shape")
    if not isinstance(found, list) or len(found) != 3:
        raise Problem(f"{path} is no checkpoint of weights. Name a file of the run's checkpoints/.")
    if not all(isinstance(n, int) and 0 < n <= MOST_SIDE for n in found):
        raise Problem(f"{path} is damaged: it draws images {found}. Use an earlier checkpoint.")
    channels, height, width = found
    return channels, height, width


def resolved_model(model: str) -> str:
    """The same name as another working folder finds it; what is no folder here stays as it is."""
    ships = (SHIPPED / model / "config.json").is_file()
    here = bool(model) and (Path(model) / "config.json").is_file()
    return os.path.abspath(model) if here and not ships else model


def find(model: str, places: tuple[Path, ...] = (SHIPPED,)) -> Path:
    """The run folder that a name in one of `places`, or else a path, means."""
    candidates = [*(place / model for place in places), Path(model)]
    for folder in candidates:
        if (folder / "config.json").is_file():
            return folder
    if model in RENAMED:
        return find(RENAMED[model], places)
    looked = ", ".join(str(folder) for folder in dict.fromkeys(candidates))
    raise Problem(
        f"There is no model '{model}': none of {looked} holds a config.json. "
        "Name a model, give a run's folder, or an exact model such as training-set:mnist."
    )


def training_images(images: "ImageSet", config: ExperimentConfig) -> Tensor:
    """The training images that `config` uses, uint8 (N, C, H, W)."""
    return torch.from_numpy(images.train[config.chosen(len(images.train))].copy())
