"""signals: every signal at every stage, two programs on one run, the clock set back.

What may be caught saves; whatever comes, the training goes on to the same bits.
"""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.campaign import child, tasks
from tests.campaign.tally import Tally

STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")
OTHERS = ("SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGPIPE", "SIGWINCH", "SIGCHLD", "SIGCONT")
SMALL = {"network_parameters": {"width": 8, "blocks": 1}, "limit_images": 256, "bound_images": 2,
         "preview_steps": 1}  # fmt: skip


def stages(run: Path) -> dict[str, Callable[[], bool]]:
    """By name, whether a training into that folder has come so far."""

    def lines() -> int:
        path = run / "metrics.jsonl"
        return len(path.read_bytes().splitlines()) if path.exists() else 0

    return {
        "begun": lambda: True,
        "folder made": (run / "config.json").exists,
        "training": lambda: lines() >= 1,
        "saving": lambda: any(run.glob(".*.tmp")) or any(run.glob("checkpoints/.*.tmp")),
        "evaluating": lambda: any(run.glob("samples/*.png")),
        "later": lambda: lines() >= 30,
    }


def _command(folder: Path) -> None:
    """The command line's way to train, with its handlers; a run goes on where it stands."""
    from trainer.stopping import stop_as_ctrl_c_does

    stop_as_ctrl_c_does()
    tasks.train(folder)


def _window(folder: Path) -> None:
    """The real window, which trains at once."""
    from PySide6.QtCore import QTimer

    from diffviz import __main__ as program
    from diffviz.shell.window import MainWindow
    from trainer.config import PRESETS

    PRESETS["modern"] = PRESETS["modern"].with_changes(**SMALL)
    show = MainWindow.show

    def shown(self: MainWindow) -> None:
        show(self)
        QTimer.singleShot(0, self, self.training.train)

    MainWindow.show = shown
    status = program.main(["--home", str(folder / "home")])
    assert status == 0, f"status {status}"


def campaign(folder: Path, seconds: float, seed: int, most: int) -> Tally:
    """Signals in turn at stages in turn, at most `most`, for so many seconds."""
    child.load()
    # A shell lets what it begins with & ignore Ctrl-C, and its children with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tally, rng = Tally("signals"), random.Random(seed)
    made = child.end(*child.begin(lambda: tasks.prepare(folder)), 600)
    if not made.well:
        raise SystemExit(f"The campaign could not begin: {made.said}")
    until, turn = time.monotonic() + seconds, 0
    named = [(name, often) for name in STOPPING for often in (1, 2, 5)]
    named += [(name, 1) for name in OTHERS]
    plan = [(name, often, stage) for stage in stages(folder) for name, often in named]
    rng.shuffle(plan)
    while time.monotonic() < until and turn < most:
        name, often, stage = plan[turn % len(plan)]
        _signal(tally, folder, name, often, stage, f"--seed {seed}, turn {turn}")
        if turn % 10 == 0:
            _two_programs(tally, folder)
            _clock(tally, folder)
            _to_the_window(tally, folder, STOPPING[turn // 10 % 3])
        turn += 1
    return tally


def _finish(tally: Tally, row: str, folder: Path, where: str) -> None:
    """Let the training end, and compare it with one that nobody disturbed."""
    ended = child.end(*child.begin(lambda: tasks.train(folder)), 300)
    bad = [f"{ended.how}: {ended.said}"] if ended.how != "done" else tasks.unlike(folder)
    for what in bad:
        tally.fault(row, where, what)
    shutil.rmtree(folder / "run", ignore_errors=True)


def _signal(tally: Tally, folder: Path, name: str, often: int, stage: str, where: str) -> None:
    row = f"{name}{f' x {often}' if often > 1 else ''}"
    where = f"{where}, {row} at '{stage}'"
    pid, reader = child.begin(lambda: _command(folder))
    reached, until = stages(folder / "run")[stage], time.monotonic() + 60
    while not reached() and time.monotonic() < until:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
        time.sleep(0.001)
    for _ in range(often):
        os.kill(pid, getattr(signal, name))
        time.sleep(0.003)
    ended = child.end(pid, reader, 120)
    fine = ("done", "stopped") if name in STOPPING else ("done", "died")
    if stage == "begun":
        fine += ("died",)  # before there are handlers
    if ended.how not in fine:
        tally.fault(row, where, f"{ended.how}: {ended.said}")
    else:
        tally.count(row, ended.how)
    for what in tasks.broken(folder):
        tally.fault(row, where, what)
    begun = ended.how == "stopped" and stage in ("training", "evaluating", "later")
    if begun and not (folder / "run" / "state.safetensors").exists():
        tally.fault(row, where, "nothing was saved")
    _finish(tally, row, folder, where)


def _two_programs(tally: Tally, folder: Path) -> None:
    both = [child.begin(lambda: tasks.train(folder)) for _ in range(2)]
    ended = sorted(child.end(*one, 120).how for one in both)
    if ended not in (["done", "sentence"], ["done", "done"]):
        tally.fault("two programs", "two trainings into one run", str(ended))
    else:
        tally.count("two programs", "and one says so" if "sentence" in ended else "in turn")
    _finish(tally, "two programs", folder, "two trainings into one run")


def _clock(tally: Tally, folder: Path) -> None:
    """The clock goes back an hour whenever it is read, and files come from the future."""

    def guard() -> None:
        now = time.time()
        shifts = iter(range(10**9))
        time.time = lambda: now - 3600 * next(shifts)
        for path in (folder / "whole").rglob("*"):
            os.utime(path, (4e9, 4e9))

    for name, task in tasks.TASKS.items():
        ended = child.end(*child.begin(lambda task=task: task(folder), guard), 120)
        if ended.how == "done":
            tally.count("clock set back", "done")
        else:
            tally.fault("clock set back", name, f"{ended.how}: {ended.said}")
    for what in tasks.unlike(folder):
        tally.fault("clock set back", "train", what)
    shutil.rmtree(folder / "run", ignore_errors=True)
    shutil.rmtree(folder / "copy", ignore_errors=True)


def _to_the_window(tally: Tally, folder: Path, name: str) -> None:
    """A signal to the window while it trains closes it, with the run saved."""
    row = f"window, {name}"
    pid, reader = child.begin(lambda: _window(folder))
    until = time.monotonic() + 120
    while not any((folder / "home").glob("runs/*/metrics.jsonl")) and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(pid, getattr(signal, name))
    ended = child.end(pid, reader, 120)
    if ended.how != "done":
        tally.fault(row, name, f"{ended.how}: {ended.said}")
    elif not any((folder / "home").glob("runs/*/state.safetensors")):
        tally.fault(row, name, "nothing was saved")
    else:
        tally.count(row, "saved")
    shutil.rmtree(folder / "home", ignore_errors=True)
