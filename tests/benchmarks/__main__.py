"""All benchmarks, one after the other: python -m tests.benchmarks [--out benchmarks.md].

Prints what each prints, and writes the figures of all as one Markdown table.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainer.devices import machine

ROOT = Path(__file__).parents[2]


def figures(facts: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """The single values in a benchmark's JSON, however deep, with their names; no lists."""
    if isinstance(facts, dict):
        for key, value in facts.items():
            yield from figures(value, f"{name}: {key}" if name else key)
    elif not isinstance(facts, list):  # single rounds, of which there is a median
        yield name.replace("_", " "), f"{facts:.4g}" if isinstance(facts, float) else str(facts)


def main() -> int:
    """The number of benchmarks that failed, as the process' exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks.md"))
    names = sorted(p.stem for p in Path(__file__).parent.glob("[a-z]*.py"))
    parser.add_argument("names", nargs="*", choices=[[], *names], help="which (all unless given)")
    arguments = parser.parse_args()
    lines = [
        f"Measured on {machine()}, {time.strftime('%-d %B %Y')}.",
        "",
        "| benchmark | measure | value |",
        "| --- | --- | ---: |",
    ]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.names or names:
            print(f"== {name}", flush=True)
            path = Path(folder) / f"{name}.json"
            command = [sys.executable, "-m", f"tests.benchmarks.{name}", "--json", str(path)]
            done = subprocess.run(command, cwd=ROOT, check=False)
            failed += done.returncode != 0
            if path.exists():
                facts = json.loads(path.read_text())
                lines += [f"| {name} | {what} | {value} |" for what, value in figures(facts)]
    arguments.out.write_text("\n".join(lines) + "\n")
    print(f"written: {arguments.out}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
