"""Whether the tests reach every module: pytest --cov, then python -m tests.floor."""

import sys
from pathlib import Path

import coverage

ROOT = Path(__file__).parents[1]
FLOOR = 80  # per cent of a module's statements
# What runs in programs of its own: a start without a display, the processes of torchrun.
LOWER: dict[str, int] = {
    "diffviz/__main__.py": 50, "diffviz/shell/screens.py": 50, "diffviz/shell/stopping.py": 0,
    "trainer/cli/sharing.py": 40, "trainer/figures/backend.py": 50,
    "trainer/training/distributed.py": 55,
}  # fmt: skip


def main() -> int:
    """Returns the process' exit status."""
    measured = coverage.Coverage()
    measured.load()
    short = False
    for path in sorted([*(ROOT / "trainer").rglob("*.py"), *(ROOT / "diffviz").rglob("*.py")]):
        _, statements, _, missing, lines = measured.analysis2(str(path))
        name = path.relative_to(ROOT).as_posix()
        reached, floor = 100 * (1 - len(missing) / max(1, len(statements))), LOWER.get(name, FLOOR)
        if reached < floor:
            short = True
            print(f"{name}: {reached:.0f} %, below {floor} %. Not reached: {lines}")
    return int(short)


if __name__ == "__main__":
    sys.exit(main())
