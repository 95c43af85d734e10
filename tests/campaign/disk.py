"""disk: full at every write, quotas, read-only, a folder taken away: a sentence, and no loss."""

import errno
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.campaign import child, tasks
from tests.campaign.tally import Tally

QUOTAS = (0, 100, 4_000, 60_000)  # bytes that a file may have
NOBODY = 65534


def full_from(write: int, error: int, only: bool) -> Callable[[], None]:
    """The disk is full from that write on, or at that one only: opening or syncing a file fails."""

    def guard() -> None:
        made, fsync = 0, os.fsync

        def check() -> None:
            nonlocal made
            made += 1
            if made == write or (made > write and not only):
                raise OSError(error, os.strerror(error))

        def hook(event: str, args: tuple[object, ...]) -> None:
            if event == "open" and isinstance(args[2], int) and args[2] & child.WRITES:
                check()

        def sync(number: int) -> None:
            check()
            fsync(number)

        os.fsync = sync
        sys.addaudithook(hook)

    return guard


def quota(size: int) -> Callable[[], None]:
    """No file may grow beyond that: the system itself refuses in the midst of a write."""

    def guard() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return guard


def read_only(folder: Path) -> Callable[[], None]:
    """Nothing may be written there, nor made."""

    def guard() -> None:
        for path in (folder, *folder.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o555)
        if os.getuid() == 0:
            os.setuid(NOBODY)

    return guard


def ways(folder: Path, rng: random.Random) -> Iterator[tuple[str, Callable[[], None]]]:
    """Every way in which a disk refuses, without end."""
    write = 1
    while True:
        for only in (False, True):
            code = rng.choice((errno.ENOSPC, errno.EDQUOT, errno.EIO))
            yield "full" if not only else "one write fails", full_from(write, code, only)
        if write <= len(QUOTAS):
            yield "quota", quota(QUOTAS[write - 1])
        if write == 1:
            yield "read-only", read_only(folder)
        write += 1


def campaign(folder: Path, seconds: float, seed: int, most: int) -> Tally:
    """Every task under every way, a write later each turn, for so many seconds."""
    child.load()
    tally, rng = Tally("disk"), random.Random(seed)
    work, spare = folder / "work", folder / "spare"
    work.mkdir()
    folder.chmod(0o755)
    made = child.end(*child.begin(lambda: tasks.prepare(work)), 600)
    if not made.well:
        raise SystemExit(f"The campaign could not begin: {made.said}")
    shutil.copytree(work, spare)
    until = time.monotonic() + seconds
    for turn, (way, guard) in enumerate(ways(work, rng)):
        if time.monotonic() > until or turn >= most:
            break
        for name, task in tasks.TASKS.items():
            ended = child.end(*child.begin(lambda task=task: task(work), guard), 120)
            where = f"--seed {seed}, {name}, turn {turn}"
            for path in (work, *work.rglob("*")):
                if path.is_dir():
                    path.chmod(0o755)
            _judge(tally, way, where, ended, work)
            again = child.end(*child.begin(lambda task=task: task(work)), 120)
            if again.how != "done":
                tally.fault(way, f"{where}, begun again", f"{again.how}: {again.said}")
            elif name == "train" and (bad := tasks.unlike(work)):
                tally.fault(way, f"{where}, begun again", "; ".join(bad))
            _anew(work, spare)
        _take_away(tally, work, spare, rng, f"--seed {seed}, turn {turn}")
    return tally


def _judge(tally: Tally, way: str, where: str, ended: child.Ended, work: Path) -> None:
    if not ended.well:
        tally.fault(way, where, f"{ended.how}: {ended.said}")
    elif bad := tasks.broken(work):
        tally.fault(way, where, "; ".join(bad))
    elif "\n" in ended.said or len(ended.said) > 600:
        tally.fault(way, where, f"no sentence: {ended.said}")
    else:
        tally.count(way, "went well" if ended.how == "done" else "a sentence")


def _anew(work: Path, spare: Path) -> None:
    shutil.rmtree(work)
    shutil.copytree(spare, work)


def _take_away(tally: Tally, work: Path, spare: Path, rng: random.Random, where: str) -> None:
    """The run's folder goes while it trains: renamed, or deleted."""
    pid, reader = child.begin(lambda: tasks.train(work))
    until = time.monotonic() + 30
    while not (work / "run" / "metrics.jsonl").exists() and time.monotonic() < until:
        time.sleep(0.005)
    time.sleep(rng.uniform(0, 0.2))
    if rng.random() < 0.5 and (work / "run").exists():
        (work / "run").rename(work / "elsewhere")
    else:
        shutil.rmtree(work / "run", ignore_errors=True)
    _judge(tally, "taken away", where, child.end(pid, reader, 120), work)
    _anew(work, spare)
