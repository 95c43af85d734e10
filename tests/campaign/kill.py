"""kill: SIGKILL at random moments: every file is whole or absent, and what was killed goes on.

A training that was killed any number of times ends with the weights, bit for bit, and the metrics
of one that nobody disturbed.
"""

import os
import random
import shutil
import signal
import time
from pathlib import Path

from tests.campaign import child, tasks
from tests.campaign.tally import Tally


def campaign(folder: Path, seconds: float, seed: int, most: int) -> Tally:
    """At most `most` kills in all, for so many seconds; trainings are every other one."""
    child.load()
    tally, rng = Tally("kill"), random.Random(seed)
    made = child.end(*child.begin(lambda: tasks.prepare(folder)), 600)
    if not made.well:
        raise SystemExit(f"The campaign could not begin: {made.said}")
    lengths: dict[str, float] = {}
    until, kills, trained = time.monotonic() + seconds, 0, 0
    names = [*tasks.TASKS]
    while time.monotonic() < until and kills < most:
        for name in [name for other in names[1:] for name in (names[0], other)]:
            begun = time.monotonic()
            pid, reader = child.begin(lambda name=name: tasks.TASKS[name](folder))
            if name in lengths:
                time.sleep(rng.uniform(0, lengths[name]))
                os.kill(pid, signal.SIGKILL)
            ended = child.end(pid, reader, 600)
            lengths.setdefault(name, time.monotonic() - begun)
            kills += ended.how == "killed"
            where = f"--seed {seed}, after {kills} kills"
            if ended.how in ("done", "killed"):
                tally.count(name, ended.how)
            else:
                tally.fault(name, where, f"{ended.how}: {ended.said}")
            if bad := tasks.broken(folder):
                tally.fault(name, where, "; ".join(bad))
                return tally
            if ended.how == "done" and name == "train":
                trained += 1
                for what in tasks.unlike(folder):
                    tally.fault(name, where, what)
                shutil.rmtree(folder / "run")
            if ended.how == "done" and name == "ship":
                shutil.rmtree(folder / "copy")
    tally.facts |= {"kills": kills, "trainings that ended bit for bit": trained}
    return tally
