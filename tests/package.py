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


def bare(folder: Path) -> dict[str, str]:
    """An environment with nothing in it that the app might lean on; its home is `folder`."""
    names = ("SYSTEMROOT", "TEMP", "OMP_NUM_THREADS")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return {**kept, "HOME": str(folder), "QT_QPA_PLATFORM": "offscreen"}


def until_torch(program: Path, folder: Path) -> float:
    """Seconds until the app maps torch's library, 30 ms after its window was painted (Linux)."""
    begun = time.perf_counter()
    with subprocess.Popen([program], cwd=folder, env=bare(folder)) as app:
        try:
            while "libtorch_cpu" not in Path(f"/proc/{app.pid}/maps").read_text():
                assert app.poll() is None, "the app has ended"
                time.sleep(0.003)
            return round(time.perf_counter() - begun, 2)
        finally:
            app.kill()


def play(program: Path, folder: Path) -> dict[str, float]:
    """Play the tour in the app, in an empty environment and another folder; its facts."""
    tour = folder / "tour"
    subprocess.run([program, "--tour", tour], cwd=folder, env=bare(folder), check=True)
    for name in EXPORTS:
        assert (tour / name).stat().st_size > 0, name
    return json.loads((tour / "tour.json").read_text())


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
    program = app.resolve() / ("DiffViz.exe" if os.name == "nt" else "DiffViz")
    with tempfile.TemporaryDirectory() as folder:
        if sys.platform == "linux":
            starts = [until_torch(program, Path(folder)) for _ in range(5)]
            facts["window_painted_seconds_and_30_ms"] = starts
        facts["tour"] = play(program, Path(folder))
    print(json.dumps(facts, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
