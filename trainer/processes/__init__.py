"""Forward processes: base.py says what a process is."""

from collections.abc import Callable
from typing import Any

from trainer.problems import Problem
from trainer.processes.base import SPACINGS, Process, spread
from trainer.processes.chain import DDPM, zero_terminal_snr_linear
from trainer.processes.flow import CosinePath, RectifiedFlow
from trainer.processes.sde import VESDE, VPSDE, SubVPSDE

__all__ = [
    "DDPM", "SPACINGS", "VESDE", "VPSDE", "CosinePath", "Process", "RectifiedFlow", "SubVPSDE",
    "make_process", "spread",
]  # fmt: skip

PROCESSES: dict[str, Callable[..., Process]] = {
    "ddpm-linear": DDPM.linear,
    "ddpm-cosine": DDPM.cosine,
    "ddpm-sigmoid": DDPM.sigmoid,
    "ddpm-zero-snr": zero_terminal_snr_linear,
    "vp": VPSDE,
    "sub-vp": SubVPSDE,
    "ve": VESDE,
    "cosine": CosinePath,
    "flow": RectifiedFlow,
}


def make_process(name: str, parameters: dict[str, Any]) -> Process:
    """The process of that name in PROCESSES; a Problem names what is wrong with the parameters."""
    if name not in PROCESSES:
        raise Problem(f"There is no process '{name}'. Choose one of: {', '.join(PROCESSES)}.")
    try:
        return PROCESSES[name](**parameters)
    except (TypeError, IndexError, RuntimeError) as error:  # torch refuses steps < 0 in each way
        raise Problem(f"The process '{name}' does not take {parameters}: {error}.") from error
