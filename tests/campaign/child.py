"""A piece of work in a process of its own: forked, with limits, and told how it ended.

The parent must never have computed with torch: its threads do not survive a fork.
"""

import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trainer.problems import Problem
from trainer.stopping import ENDING

SECONDS = 5  # of processor time, which other programs on the machine do not spend
WALL = 120.0
SPARE = 2**31  # address space that a child may take beyond its parent's
OK = ("done", "sentence", "starved")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
MOVES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "shutil.rmtree")


@dataclass(frozen=True)
class Ended:
    """`how`: "done", "sentence" (a Problem), "stopped" (KeyboardInterrupt), "fault", "outside",
    "hang", "starved" (the machine had no time for it), "died", or "killed".
    """

    how: str
    said: str
    memory: int  # the most that it held, in bytes

    @property
    def well(self) -> bool:
        return self.how in OK


class Outside(BaseException):
    """A file outside the work's own folder was to be changed, or a secret to be read."""


def keep_inside(folder: Path, secret: Path | None = None) -> None:
    """From now on, changing a file outside `folder`, or opening `secret`, ends the work."""
    inside = os.path.realpath(folder)

    def check(path: object) -> None:
        if isinstance(path, str | bytes | os.PathLike):
            real = os.path.realpath(os.fsdecode(path))
            if not real.startswith(inside + os.sep) and real not in (inside, os.devnull):
                raise Outside(f"{real} is outside {inside}")

    def check_secret(path: str | os.PathLike[str]) -> None:
        if os.path.realpath(path) == os.path.realpath(str(secret)):
            raise Outside(f"{path} was read")

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event == "open":
            path, mode, flags = args
            wanted = isinstance(flags, int) and flags & WRITES
            if wanted or (isinstance(mode, str) and set(mode) & set("wax+")):
                check(path)
            elif secret is not None and isinstance(path, str | os.PathLike):
                check_secret(path)
        elif event in MOVES:
            check(args[0])

    sys.addaudithook(hook)


def load() -> None:
    """Import what children need, once for all of them."""
    import torch

    import trainer.cli.measuring
    import trainer.cli.running
    import trainer.cli.training
    import trainer.figures
    import trainer.runs.cards
    import trainer.training  # noqa: F401
    from diffviz.views import VIEWS
    from trainer.networks import NETWORKS
    from trainer.processes import PROCESSES
    from trainer.samplers import SAMPLERS

    for catalogue in (VIEWS, NETWORKS, PROCESSES, SAMPLERS):
        for entry in catalogue.values():
            entry.find()
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])  # imports much, and makes a folder


def begin(work: Callable[[], object], guard: Callable[[], None] | None = None) -> tuple[int, int]:
    """Fork a child that does the work, and tells how it went; its id, and where to read that."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    try:
        os.close(reader)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        import torch

        torch.set_num_threads(1)
        if guard is not None:
            guard()
        how, said = "stopped", ""  # unless told otherwise: signals may come faster than words
        try:
            found = work()
            how, said = "done", found if isinstance(found, str) else ""
        except Problem as problem:
            how, said = "sentence", str(problem)
        except Outside as outside:
            how, said = "outside", str(outside)
        except KeyboardInterrupt:
            pass
        except BaseException:
            how, said = "fault", traceback.format_exc()[-3000:]
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, [getattr(signal, name) for name in ENDING])
            os.write(writer, json.dumps([how, said]).encode("utf-8", "replace"))
    finally:
        os._exit(0)


def end(pid: int, reader: int, wall: float = WALL) -> Ended:
    """Wait for a child that was begun; one that takes longer than `wall` seconds is killed."""
    content, waits, until = b"", False, time.monotonic() + wall
    while True:
        ready, _, _ = select.select([reader], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            waits = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "SD"
            os.kill(pid, signal.SIGKILL)
            break
        part = os.read(reader, 65536)
        if not part:
            break
        content += part
    os.close(reader)
    _, status, spent = os.wait4(pid, 0)
    memory = spent.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    if content:
        how, said = json.loads(content)
    elif os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL):
        how = "killed"
        if os.WTERMSIG(status) == signal.SIGXCPU or (not ready and waits):
            how = "hang"
        elif not ready:
            how = "starved"
        said = f"signal {os.WTERMSIG(status)}"
    else:
        how, said = "died", f"status {status}"
    return Ended(how, said, memory)


def run(
    work: Callable[[], object], inside: Path, secret: Path | None = None, parts: int = 1
) -> Ended:
    """Do the work in a child that may spend SECONDS, take SPARE, and change only `inside`.

    Work of several parts may spend as much on each: it calls `go_on` before.
    """

    def guard() -> None:
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + SPARE, size + SPARE))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, parts * (SECONDS + 1)))
        os.chdir(inside)
        keep_inside(inside, secret)

    return end(*begin(work, guard))


def go_on() -> None:
    """From now on, the child may spend SECONDS more."""
    spent = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(spent.ru_utime + spent.ru_stime) + SECONDS
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (min(soft, hard), hard))
