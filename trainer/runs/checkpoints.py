"""Named tensors in files: safetensors with facts and a digest. Nothing is unpickled."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from trainer.events import is_finite
from trainer.problems import Problem, as_json, file_problems, write_file

NUMBERS = ("step", "steps", "epoch", "epochs", "images_seen", "seconds")


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
    text = as_json(facts)
    metadata = {"facts": text, "facts_sha256": _sha256(text), "sha256": digest(held)}
    write_file(path, save(held, metadata))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _damaged(path: Path, why: str) -> Problem:
    return Problem(f"The checkpoint {path} is damaged{why}. Use an earlier one, or train again.")


def _facts(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    """The facts that a header holds, but for numbers that are none; a Problem where they have
    changed."""
    text = metadata.get("facts", "{}")
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        facts = None
    # Files of before have no digest of their facts.
    if not isinstance(facts, dict) or metadata.get("facts_sha256", _sha256(text)) != _sha256(text):
        raise _damaged(path, ": what it says of itself has changed since it was written")
    wrong = {name for name in facts.keys() & NUMBERS if not is_finite(facts[name])}
    wrong |= {"machine"} if not isinstance(facts.get("machine"), str) else set()
    return {name: value for name, value in facts.items() if name not in wrong}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file to read from; a Problem when it is not there or cut off."""
    with file_problems("read the checkpoint", path):
        if not path.is_file():
            raise FileNotFoundError(path)
        try:
            with safe_open(path, framework="pt") as stream:
                yield stream
        except SafetensorError as error:
            raise _damaged(path, f" ({error})") from error


def checkpoint_facts(path: Path) -> tuple[str, dict[str, Any]]:
    """The checksum and the facts in a checkpoint's header; its weights are not read."""
    with _opened(path) as stream:
        metadata = stream.metadata() or {}
    return metadata.get("sha256", ""), _facts(path, metadata)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save_tensors` wrote; a Problem when the file is cut off or its bytes have changed."""
    with _opened(path) as stream:
        metadata = stream.metadata() or {}
        tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    if metadata.get("sha256") != digest(tensors):
        raise _damaged(path, ": its bytes have changed since it was written")
    return tensors, _facts(path, metadata)


def in_type(tensors: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors with those of floating point as `dtype`."""
    return {n: w.to(dtype) if w.is_floating_point() else w for n, w in tensors.items()}


def halved(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors in half precision, but for those whose values it cannot hold."""
    most = torch.finfo(torch.float16).max
    return {
        name: value if value.is_floating_point() and value.abs().max() > most
        else in_type({name: value}, torch.float16)[name]
        for name, value in tensors.items()
    }  # fmt: skip


def load_weights(module: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Put `weights` into `module`; a Problem when names or shapes are another network's.

    (A module on the device "meta" has names and shapes only, and takes no memory.)
    """
    try:
        module.load_state_dict(weights, assign=any(w.is_meta for w in module.parameters()))
    except RuntimeError as error:
        raise Problem(
            f"The checkpoint {path} belongs to another network than this run's settings describe: "
            f"{str(error).splitlines()[-1].strip()} Open it with the settings it was trained with."
        ) from error
