"""A run folder is the interface: whoever trains writes it, whoever looks opens it.

config.json                 the ExperimentConfig
metrics.jsonl               a line a step {"step", "epoch", "loss"}, or an evaluation {"step",
                            "epoch", "bpd", "loss_by_time" (ten, from t = 0 up to 1)}
state.safetensors           everything that exact resumption needs; replaced whole
checkpoints/00000469.safetensors   EMA weights after that step
samples/00000469.png        the preview grid drawn at that step
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from trainer.config import ExperimentConfig
from trainer.denoiser import Denoiser
from trainer.problems import Problem, file_problems, write_file
from trainer.processes import Process, make_process
from trainer.unet import NETWORKS

if TYPE_CHECKING:
    from trainer.data import ImageSet


def digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes: a checkpoint carries it to show damage."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def save_tensors(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write tensors as safetensors, with `facts` (JSON) and the tensors' digest as metadata."""
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"facts": json.dumps(facts), "sha256": digest(held)}
    write_file(path, save(held, metadata))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save_tensors` wrote; a Problem when the file is cut off or its bytes have changed."""
    with file_problems("read the checkpoint", path):
        if not path.is_file():
            raise FileNotFoundError(path)
        try:
            with safe_open(path, framework="pt") as stream:
                metadata = stream.metadata() or {}
                tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise Problem(
                f"The checkpoint {path} is damaged ({error}). Use an earlier one, or train again."
            ) from error
    if metadata.get("sha256") != digest(tensors):
        raise Problem(
            f"The checkpoint {path} is damaged: its bytes have changed since it was written. "
            "Use an earlier one, or train again."
        )
    return tensors, json.loads(metadata["facts"])


def load_weights(module: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Put `weights` into `module`; a Problem when names or shapes are another network's."""
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise Problem(
            f"The checkpoint {path} belongs to another network than this run's settings describe: "
            f"{str(error).splitlines()[-1].strip()} Open it with the settings it was trained with."
        ) from error


def make_network(config: ExperimentConfig, channels: int, device: str = "cpu") -> nn.Module:
    """The untrained network that `config` names, for images of that many channels."""
    if config.network not in NETWORKS:
        raise Problem(
            f"There is no network '{config.network}'. Choose one of: {', '.join(NETWORKS)}."
        )
    try:
        network = NETWORKS[config.network](
            channels=channels, classes=config.classes, **config.network_parameters
        )
    except TypeError as error:
        raise Problem(
            f"The network '{config.network}' does not take {config.network_parameters}: {error}."
        ) from error
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class Run:
    """One run folder. Reading never writes; writing belongs to whoever holds `lock()`."""

    def __init__(self, folder: Path, config: ExperimentConfig) -> None:
        self.folder = folder
        self.config = config

    @classmethod
    def create(cls, folder: str | Path, config: ExperimentConfig) -> "Run":
        """A new run in `folder`, which must not hold a run yet."""
        folder = Path(folder)
        if (folder / "config.json").exists():
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
            text = path.read_text()
        return cls(folder, ExperimentConfig.from_json(text))

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
    def state_path(self) -> Path:
        return self.folder / "state.safetensors"

    def checkpoints(self) -> list[Path]:
        """The files of EMA weights, oldest first."""
        return sorted((self.folder / "checkpoints").glob("*.safetensors"))

    def save_weights(self, step: int, weights: dict[str, Tensor], facts: dict[str, Any]) -> Path:
        path = self.folder / "checkpoints" / f"{step:08d}.safetensors"
        save_tensors(path, weights, facts)
        return path

    def log(self, lines: list[dict[str, Any]]) -> None:
        """Append lines to metrics.jsonl."""
        path = self.folder / "metrics.jsonl"
        with file_problems("write", path), open(path, "a") as stream:
            stream.write("".join(json.dumps(line) + "\n" for line in lines))

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a last line still being written is left out."""
        path = self.folder / "metrics.jsonl"
        if not path.exists():
            return []
        with file_problems("read", path):
            lines = path.read_text().splitlines()
        found = []
        for line in lines:
            try:
                found.append(json.loads(line))
            except ValueError:
                break
        return found

    def forget_after(self, step: int) -> None:
        """Drop metrics later than `step`: on resuming, those steps are made again."""
        lines = self.metrics()
        kept = [line for line in lines if line["step"] <= step]
        if len(kept) < len(lines):
            text = "".join(json.dumps(line) + "\n" for line in kept)
            write_file(self.folder / "metrics.jsonl", text.encode())

    def model(
        self,
        checkpoint: Path | None = None,
        device: str = "cpu",
        precision: torch.dtype = torch.float32,
    ) -> Denoiser:
        """The EMA weights of `checkpoint` (the newest unless given) as model(x, t) -> eps.

        For drawing, `precision` may be trainer.learner.fast_precision(device); likelihoods need
        float32.
        """
        if checkpoint is None:
            if not (found := self.checkpoints()):
                raise Problem(f"{self.folder} holds no checkpoint yet: train it first.")
            checkpoint = found[-1]
        weights, facts = load_tensors(checkpoint)
        network = make_network(self.config, facts["shape"][0], device)
        load_weights(network, {name: w.float() if w.is_floating_point() else w
                               for name, w in weights.items()}, checkpoint)  # fmt: skip
        model = Denoiser(network, self.process, self.config.prediction, precision)
        return model.eval().requires_grad_(False)

    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images that the newest checkpoint was trained on."""
        if not (found := self.checkpoints()):
            raise Problem(f"{self.folder} holds no checkpoint yet: train it first.")
        _, facts = load_tensors(found[-1])
        return tuple(facts["shape"])

    def ship(self, folder: str | Path, keep: int = 3) -> "Run":
        """A copy of this run for others, in a new folder: what is needed to open it, no more.

        Settings, metrics, and `keep` checkpoints evenly spread, the last among them, with their
        weights in half precision. Without the training's state it cannot be resumed.
        """
        if not (found := self.checkpoints()):
            raise Problem(f"{self.folder} holds no checkpoint yet: train it first.")
        if keep < 1:
            raise Problem("A run ships with at least 1 checkpoint.")
        keep = min(keep, len(found))
        chosen = [found[round((k + 1) * len(found) / keep) - 1] for k in range(keep)]
        copy = Run.create(folder, self.config)
        for path in chosen:
            weights, facts = load_tensors(path)
            halved = {n: w.half() if w.is_floating_point() else w for n, w in weights.items()}
            copy.save_weights(facts["step"], halved, facts)
        copy.log(self.metrics())
        return copy


def training_images(images: "ImageSet", config: ExperimentConfig) -> Tensor:
    """The training images that `config` uses, uint8 (N, C, H, W)."""
    chosen = torch.from_numpy(images.train.copy())
    return chosen if config.limit_images is None else chosen[: config.limit_images]
