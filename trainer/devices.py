"""Where models run, and in what precision: the one place that resolves both."""

import platform
from pathlib import Path

import torch

from trainer.catalogue import PRECISIONS
from trainer.problems import Problem

__all__ = ["best_device", "device_of", "machine", "precision_of", "set_threads", "threads"]

# Asked before any thread is told to use one: torch would say 1 to every thread that begins later.
_threads = torch.get_num_threads()


def threads() -> int:
    """How many threads this process computes on. Not torch.get_num_threads(): where a part of a
    batch has a thread of its own, with one thread an operation, it says 1 on all later ones."""
    return _threads


def set_threads(count: int) -> None:
    """Compute on so many threads: those of parts, and in the operations of the calling thread."""
    global _threads
    _threads = count
    torch.set_num_threads(count)


def best_device() -> str:
    """CUDA if present, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def device_of(name: str | None) -> str:
    """The device of that name, if this computer has it; the best there is if no name is given."""
    if name is None:
        return best_device()
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise Problem(
            f"There is no device '{name}' here ({str(error).splitlines()[0]}). Leave it out: the "
            "best that there is is taken."
        ) from error
    return name


def precision_of(asked: str, device: str) -> torch.dtype:
    """The type that convolutions and matrix products run in, as `asked` (catalogue.PRECISIONS).

    auto is bfloat16 where the hardware multiplies it natively (CUDA from Ampere on, AVX512-BF16).
    """
    if asked not in [choice.id for choice in PRECISIONS]:
        names = ", ".join(choice.id for choice in PRECISIONS)
        raise Problem(f"There is no precision '{asked}'. Choose one of: {names}.")
    if asked != "auto":
        return torch.float32 if asked == "float32" else torch.bfloat16
    if device.startswith("cuda"):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        native = device == "cpu" and supported()
    return torch.bfloat16 if native else torch.float32


def machine(device: str = "cpu") -> str:
    """The processor that `device` means, in words, as "AMD EPYC 7B13, 2 threads"."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    count = threads()
    return f"{name}, {count} thread{'s' if count > 1 else ''}"
