"""python -m tests.campaign: what people, disks and systems do to the program, over and over."""

import argparse
import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path

PARTS = ("kill", "files", "disk", "soak", "signals")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("part", choices=[*PARTS, "all"], nargs="?", default="all")
    parser.add_argument("--seconds", type=float, default=600, help="for each part (600)")
    parser.add_argument("--most", type=int, default=2000, help="tries of a kind (2000)")
    parser.add_argument("--seed", type=int, default=0, help="of what is random (0)")
    parser.add_argument("--json", type=Path, help="a file for the results, a line a part")
    arguments = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    import matplotlib.font_manager  # noqa: F401 - which finds the user's own list of fonts

    lines, faults = [], 0
    for part in PARTS if arguments.part == "all" else (arguments.part,):
        with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
            os.environ["XDG_CACHE_HOME"] = str(Path(folder) / "cache")
            work = import_module(f"tests.campaign.{part}")
            tally = work.campaign(Path(folder), arguments.seconds, arguments.seed, arguments.most)
        print(tally.table(), flush=True)
        lines.append(tally.json())
        print(lines[-1], flush=True)
        faults += len(tally.faults)
    if arguments.json is not None:
        arguments.json.write_text("\n".join(lines) + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
