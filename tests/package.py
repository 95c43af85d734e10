"""Build the app and play the tour in it, as on a machine without Python: python -m tests.package.

Exit status 0 when the tour passes; prints the sizes and times as JSON. Needs the extra `package`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXPORTS = ("grid.png", "denoising.gif", "curves.csv", "tour.json")


def build(app: Path) -> float:
    """Make the app in the folder `app`; the seconds it took."""
    begun = time.perf_counter()
    command = ["PyInstaller", "--noconfirm", "--log-level", "WARN", "build.spec"]
    folders = ["--distpath", str(app.parent), "--workpath", str(ROOT / "build")]
    subprocess.run([sys.executable, "-m", *command, *folders], cwd=ROOT, check=True)
    return time.perf_counter() - begun


def size_mb(folder: Path) -> float:
    """What the folder's files take, links not followed, in MB of a million bytes."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / 1e6


def play(app: Path, folder: Path) -> dict[str, float]:
    """Play the tour in the app, in an empty environment and another folder; its facts."""
    program = app / ("DiffViz.exe" if os.name == "nt" else "DiffViz")
    names = ("SYSTEMROOT", "TEMP", "OMP_NUM_THREADS")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    environment = {**kept, "HOME": str(folder), "QT_QPA_PLATFORM": "offscreen"}
    begun = time.time()
    subprocess.run([program, "--tour", folder / "tour"], cwd=folder, env=environment, check=True)
    first = min(path.stat().st_mtime for path in (folder / "tour").glob("*.png"))
    for name in EXPORTS:
        assert (folder / "tour" / name).stat().st_size > 0, name
    facts = json.loads((folder / "tour" / "tour.json").read_text())
    return {"first_picture_of_the_window_seconds": round(first - begun, 2), **facts}


def main() -> int:
    """Returns the process' exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--app", type=Path, help="play the tour in this built app instead")
    arguments = parser.parse_args()
    facts: dict[str, object] = {}
    app = arguments.app or ROOT / "dist" / "DiffViz"
    if arguments.app is None:
        facts["build_seconds"] = round(build(app), 1)
    facts["size_mb"] = round(size_mb(app), 1)
    with tempfile.TemporaryDirectory() as folder:
        facts["tour"] = play(app.resolve(), Path(folder))
    print(json.dumps(facts, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
