"""Schedules to compare: every preset's and every process's, and what is worked out of them."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from trainer.ask import Ask, setting
from trainer.catalogue import PROCESSES
from trainer.config import PRESETS

SIGNAL_LEFT = 1e-3  # a terminal SNR above this is a schedule worth mending
FIRST = ("modern", "modern-sde", "report-ddpm")  # the presets drawn at first
MENDED = " mended"
# How version 1 began the titles that it stored.
OLD_TITLES = {
    "DDPM, linear betas, T = 1000": "ddpm-linear", "DDPM, cosine betas, T = 1000": "ddpm-cosine",
    "DDPM, sigmoid betas, T = 1000": "ddpm-sigmoid", "VP SDE": "vp", "Sub-VP SDE": "sub-vp",
    "VE SDE": "ve", "Cosine path": "cosine", "Rectified flow": "flow",
    "DDPM, linear betas, T = 300": "ddpm-linear steps=300",
    "DDPM, linear betas mended, T = 300": "ddpm-zero-snr steps=300",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A process with its options, mended or as it is; `presets` take it."""

    process: str
    parameters: dict[str, Any]
    mended: bool = False
    presets: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Process and options that are not the defaults, as stored settings have them."""
        defaults = {one.name: one.default for one in PROCESSES[self.process].options}
        words = [f"{n}={v:g}" for n, v in sorted(self.parameters.items()) if v != defaults[n]]
        return " ".join([self.process, *words]) + MENDED * self.mended

    @property
    def title(self) -> str:
        entry = PROCESSES[self.process]
        steps = {one.name: one.default for one in entry.options} | self.parameters
        chain = f", T = {steps['steps']}" if entry.chain else ""
        taken = f" ({', '.join(self.presets)})" if self.presets else ""
        return entry.title + chain + taken + (", mended" if self.mended else "")


def first_entries() -> list[Entry]:
    """Every preset's schedule, those of the same schedule in one row; then the other processes."""
    rows: dict[str, Entry] = {}
    takers: dict[str, list[str]] = {}
    for name, config in PRESETS.items():
        one = Entry(config.process, dict(config.process_parameters))
        rows.setdefault(one.id, one)
        takers.setdefault(one.id, []).append(name)
    for process in PROCESSES:
        one = Entry(process, {})
        if process != "ddpm-zero-snr":  # ddpm-linear mended
            rows.setdefault(one.id, one)
    return [
        Entry(one.process, one.parameters, False, tuple(takers.get(name, ())))
        for name, one in rows.items()
    ]


def mended_entry(entry: Entry) -> Entry:
    """The same schedule, shifted and scaled to end without signal."""
    return Entry(entry.process, entry.parameters, True, entry.presets)


def first_ticked() -> tuple[str, ...]:
    """The schedules that are drawn at first, by id."""
    return tuple(entry.id for entry in first_entries() if {*FIRST} & {*entry.presets})


@dataclass(frozen=True)
class Schedules(Ask):
    """Which schedules are drawn, and where the mark stands."""

    version: ClassVar[int] = 2
    ticked: tuple[str, ...] = setting(first_ticked(), "Ticked", "The schedules that are drawn")
    mended: tuple[str, ...] = setting((), "Mended", "Those that a mended one stands beside")
    t: float = setting(0.5, "Timestep", "The t of the dashed mark, which follows the "
                       "trajectories' slider", least=0, most=1)  # fmt: skip

    @classmethod
    def migrate(cls, values: dict[str, Any], version: int) -> dict[str, Any]:
        if version > 1:
            return values
        return {
            "ticked": list(_old_ids(values["ticked"])),
            "mended": [name.removesuffix(MENDED) for name in _old_ids(values["mended"])],
            "t": values.get("t", 0.5),
        }


def _old_ids(titles: Iterable[str]) -> Iterator[str]:
    for title in titles:
        mended = title.endswith(", mended")
        base = title.removesuffix(", mended").partition(" (")[0]
        if base in OLD_TITLES:
            yield OLD_TITLES[base] + MENDED * mended


@dataclass(frozen=True)
class Schedule:
    """alpha, sigma and log-SNR (N,) at `times` (N,) of the entry of that id, and how it ends.

    `terminal_snr` is alpha(1)² / sigma(1)²; `mendable`: a discrete chain that could end at 0.
    """

    id: str
    times: np.ndarray
    alpha: np.ndarray
    sigma: np.ndarray
    log_snr: np.ndarray
    terminal_snr: float
    mendable: bool


def schedules(entries: tuple[Entry, ...], points: int = 401) -> Iterator[Schedule]:
    """The schedules of these processes. A mended one ends at zero terminal SNR."""
    import torch

    from trainer.processes import make_process

    for entry in entries:
        process = make_process(entry.process, entry.parameters)
        if entry.mended:
            process = process.zero_terminal_snr()
        times = torch.linspace(0, 1, points).double()
        alpha, sigma = process.marginal(times)
        yield Schedule(
            entry.id, times.numpy(), alpha.numpy(), sigma.numpy(), process.log_snr(times).numpy(),
            float((alpha[-1] / sigma[-1]) ** 2), process.mendable,
        )  # fmt: skip


def ending(schedule: Schedule) -> str:
    """What is left of the data at t = 1, in a sentence."""
    snr = schedule.terminal_snr
    if snr == 0:
        return "At t = 1 nothing is left of the data: the SNR is exactly 0."
    kept = 0.5 * math.log2(1 + snr)
    if snr > SIGNAL_LEFT:
        alpha = schedule.alpha[-1]
        return (
            f"⚠ At t = 1 signal is left: ᾱ = {alpha**2:.3f}, SNR = {snr:.3f}, up to "
            f"{kept:.3f} bits a pixel. Sampling from N(0, I) starts off the model's distribution."
        )
    return f"At t = 1 the SNR is {snr:.1e}: at most {kept:.1e} bits a pixel are left of the data."
