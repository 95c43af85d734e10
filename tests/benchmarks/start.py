"""How soon the window is there: python -m tests.benchmarks.start [--runs 7] [--json FILE].

Each row is the median over fresh processes, taken in turn so that a busy machine troubles all
alike; CPU seconds say what a quiet machine would need. "visible" ends when the real window has
been exposed and painted; "loaded" when the worker has torch; "playing" when the shipped models'
first animation has moved. The goals: visible within 0.7 of `import torch`, playing within 2.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Runs diffviz's own main, with the event loop replaced by one that notes the moments.
WINDOW = """
import json, sys, time
from PySide6.QtWidgets import QApplication
from diffviz.__main__ import main
from diffviz.shell.window import MainWindow

def watch(*_):
    app = QApplication.instance()
    window = next(w for w in app.topLevelWidgets() if isinstance(w, MainWindow))
    while not (window.windowHandle() and window.windowHandle().isExposed()):
        app.processEvents()
    app.processEvents()
    facts = {"visible": [time.time(), time.process_time()], "torch_then": "torch" in sys.modules}
    print(json.dumps(facts), flush=True)
    while window.training.device.text().startswith("loading"):
        app.processEvents()
        time.sleep(0.002)
    print(json.dumps({"ready": [time.time(), time.process_time()]}), flush=True)
    stage = window.trajectories
    while not (stage.films.drawn() > 0 and stage.timeline.playing() and stage.timeline.fraction()):
        app.processEvents()
        time.sleep(0.002)
    print(json.dumps({"playing": [time.time(), time.process_time()]}), flush=True)
    window.shutdown()
    return 0

QApplication.exec = watch
sys.exit(main(["--home", sys.argv[1]]))
"""
MOMENT = "; import time, json; print(json.dumps({%r: [time.time(), time.process_time()]}))"
TORCH = "import torch" + MOMENT % "torch"
QT = "import PySide6.QtWidgets" + MOMENT % "qt"
PYTHON = "pass" + MOMENT % "python"


def measure(code: str, *arguments: str) -> dict[str, list[float] | bool]:
    """What the code prints, each moment as seconds from the process' start, wall and CPU."""
    environment = {**os.environ, "QT_QPA_PLATFORM": os.environ.get("QT_QPA_PLATFORM", "offscreen")}
    begun = time.time()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    facts: dict[str, list[float] | bool] = {}
    for line in done.stdout.splitlines():
        for name, value in json.loads(line).items():
            facts[name] = [value[0] - begun, value[1]] if isinstance(value, list) else value
    return facts


def main() -> int:
    """Returns the process' exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    arguments = parser.parse_args()
    rows: dict[str, list[list[float]]] = {}
    torch_first = False
    with tempfile.TemporaryDirectory() as home:
        for round_ in range(arguments.runs + 1):
            for code in (PYTHON, QT, TORCH, WINDOW):
                for name, value in measure(code, home).items():
                    if not isinstance(value, list):
                        torch_first |= value
                    elif round_:  # the first round only fills the disk cache
                        rows.setdefault(name, []).append(value)
    medians = {
        name: [statistics.median(column) for column in zip(*values, strict=True)]
        for name, values in rows.items()
    }
    words = {
        "python": "python itself",
        "qt": "import PySide6.QtWidgets",
        "torch": "import torch",
        "visible": "diffviz: window visible",
        "ready": "diffviz: torch loaded",
        "playing": "diffviz: first animation",
    }
    print(f"{'median':28}{'wall s':>8}{'of import torch':>17}{'CPU s':>8}{'of import torch':>17}")
    for name, text in words.items():
        wall, cpu = medians[name]
        shares = [mine / torch for mine, torch in zip(medians[name], medians["torch"], strict=True)]
        print(f"{text:28}{wall:8.2f}{shares[0]:17.2f}{cpu:8.2f}{shares[1]:17.2f}")
    print("torch was imported before the window showed:", "yes" if torch_first else "no")
    if arguments.json:
        facts = {
            **{f"{words[name]}, seconds": wall for name, (wall, _) in medians.items()},
            **{
                f"{words[name]}, of import torch": wall / medians["torch"][0]
                for name, (wall, _) in medians.items()
                if name in ("visible", "playing")
            },
            "wall_and_cpu_seconds": rows,
        }
        arguments.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
