"""The signals that end a program: each stops as Ctrl-C does, and never in the midst of a step."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = ("SIGINT", "SIGTERM", "SIGHUP")  # Ctrl-C; docker stop, SLURM; a closed terminal


def _numbers() -> list[int]:
    """Those that this system has, where Python lets them be handled: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return []
    return [number for name in ENDING if (number := getattr(signal, name, None)) is not None]


def stop_as_ctrl_c_does() -> None:
    """Let these signals raise KeyboardInterrupt.

    What is ignored stays so: nohup promises a training that it outlives its terminal.
    """

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    for number in _numbers():
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


@contextmanager
def whole() -> Iterator[None]:
    """What runs inside is done wholly: a signal that comes meanwhile acts right after it."""
    before: dict[int, Callable[[int, FrameType | None], object]] = {}
    came: list[int] = []
    for number in _numbers():
        handler = signal.getsignal(number)
        if callable(handler):
            before[number] = handler
            signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came[:1]:
            before[number](number, None)
