"""Forward processes: base.py says what a process is; trainer.catalogue lists them all."""

from typing import Any

from trainer.catalogue import PROCESSES
from trainer.problems import Problem
from trainer.processes.base import Process, spread
from trainer.processes.chain import DDPM
from trainer.processes.flow import CosinePath, RectifiedFlow
from trainer.processes.sde import VESDE, VPSDE, SubVPSDE

__all__ = [
    "DDPM", "PROCESSES", "VESDE", "VPSDE", "CosinePath", "Process", "RectifiedFlow", "SubVPSDE",
    "make_process", "spread",
]  # fmt: skip


def make_process(name: str, parameters: dict[str, Any]) -> Process:
    """The process of that name in PROCESSES; a Problem names what is wrong with the parameters."""
    try:
        made: Process = PROCESSES.named(name).make(**parameters)
    except (TypeError, IndexError, RuntimeError) as error:
        raise Problem(f"The process '{name}' does not take {parameters}: {error}.") from error
    return made
