"""The wheel, installed elsewhere, is the whole program."""

import os
import shutil
import subprocess
import sys
import sysconfig
import time
import zipfile
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
SOURCES = ("assets", "diffviz", "trainer", "pyproject.toml", "README.md", "LICENSE")


def output(*command: object, **options) -> list[str]:
    """The lines that the command printed; it must have succeeded."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy so that nothing left over in the checkout gets into it."""
    folder = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    output(sys.executable, "-m", "build", "--wheel", "--no-isolation", folder)
    return next((folder / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A new environment with that wheel, which borrows the dependencies from this one."""
    folder = tmp_path_factory.mktemp("environment")
    output(sys.executable, "-m", "venv", "--without-pip", folder)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    install = ["pip", "--python", folder, "install", "--no-deps", "--no-index", wheel]
    output(sys.executable, "-m", *install)
    packages = Path(sysconfig.get_path("purelib", vars={"base": folder, "platbase": folder}))
    # Only this folder, not what its own .pth files add: they may lead back to the checkout.
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return scripts


def tracked() -> set[str]:
    """The files of the three packages, as far as they belong to the project."""
    listed = subprocess.run(
        ["git", "ls-files", "assets", "diffviz", "trainer"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("not a git checkout")
    return {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}


def test_the_wheel_holds_every_file(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert tracked() <= names
    assert not [name for name in names if name.startswith(("tests/", "build/"))]


def test_the_installed_app_runs_in_another_folder(installed, tmp_path):
    environment = {"HOME": str(tmp_path), "QT_QPA_PLATFORM": "offscreen", "OMP_NUM_THREADS": "1"}
    where = "import trainer; from assets import ASSETS; print(trainer.__file__); print(ASSETS)"
    module, assets = output(installed / "python", "-c", where, cwd=tmp_path, env=environment)
    assert str(ROOT) not in module
    draw = ["sample", "--run", f"{assets}/models/modern", "--out", "drawn.png"]
    few = ["--count", "1", "--steps", "2"]
    output(installed / "python", "-m", "trainer", *draw, *few, cwd=tmp_path, env=environment)
    with Image.open(tmp_path / "drawn.png") as drawn:
        assert drawn.size >= (28, 28)
    with open(tmp_path / "log", "w") as log:
        command = [installed / "diffviz", "--tour", "tour"]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            while not (tmp_path / "tour" / "01-start.png").exists():
                assert process.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.1)
        finally:
            process.kill()
            process.wait()
