"""How the app starts: without a display, on a bad one, for a VNC viewer, with bad arguments."""

import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from diffviz.__main__ import main
from diffviz.shell import screens
from tests.benchmarks.start import WINDOW
from trainer.problems import Problem

ROOT = Path(__file__).parents[1]
SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM", "XDG_RUNTIME_DIR")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="says so of Linux only")


@contextmanager
def started(*command: str, **changes: str):
    """That Python command as a process, without any display; ended afterwards."""
    environment = {name: value for name, value in os.environ.items() if name not in SCREENS}
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **changes}
    process = subprocess.Popen(
        [sys.executable, *command],
        env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def until(condition, process: subprocess.Popen) -> None:
    """Wait, looking twenty times a second, and not beyond the process' end."""
    while not condition():
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        assert condition(), process.stderr.read()


@linux
def test_without_a_display_it_says_so_and_plays_the_tour(tmp_path):
    with started("-m", "diffviz", TMPDIR=str(tmp_path)) as process:
        line = process.stdout.readline()
        assert line.startswith("No display here. Playing the tour instead")
        folder = Path(line.split()[-1])
        assert folder.parent == tmp_path
        until(lambda: (folder / "01-start.png").exists(), process)


@linux
def test_a_dead_display_is_no_reason_to_abort(monkeypatch):
    for name in SCREENS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", ":4711")
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-nowhere")
    said = screens.choose(None)
    assert said
    assert "DISPLAY=:4711" in said or "cannot be loaded" in said
    assert os.environ["QT_QPA_PLATFORM"] == "offscreen"


@linux
def test_a_missing_x11_library_is_named(monkeypatch, tmp_path):
    # A library that needs one which is not there cannot be had without a compiler: an absent
    # plugin is refused by the same loader, in the same words.
    monkeypatch.setattr(screens, "plugins", lambda: {"xcb": tmp_path / "libxcb-cursor.so.0"})
    said = screens.why_not_x11()
    assert "libxcb-cursor.so.0 is missing" in said
    assert "apt install" in said
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    assert main(["--home", str(tmp_path)]) == 2


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb")
def test_an_x_server_is_used(tmp_path):
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-nolisten", "tcp", "-screen", "0", "640x480x24"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    try:
        display = ":" + os.read(read, 16).decode().strip()
        code = "from diffviz.shell import screens; print(screens.choose(None))"
        with started("-c", code, DISPLAY=display) as process:
            assert process.stdout.readline() == "None\n"
    finally:
        server.terminate()
        server.wait()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--platform", "nonsense"], "Qt has no platform 'nonsense' here. Choose one of"),
        (["--home", "{file}"], "is a file. Choose another --home"),
        (["--home", "{file}/runs/here"], "is a file. Choose another --home"),
        (["--platform", "offscreen", "--tour", "{file}"], "a file is in the way"),
    ],
)
def test_bad_arguments_give_a_sentence(tmp_path, arguments, said):
    file = tmp_path / "file"
    file.write_text("")
    filled = [argument.format(file=file) for argument in arguments]
    with started("-m", "diffviz", *filled) as process:
        assert process.wait(60) == 2
        lines = [line for line in process.stderr.read().splitlines() if "plugin" not in line]
    assert len(lines) == 1
    assert said in lines[0]


@pytest.mark.parametrize("name", screens.DIRECT)
def test_a_platform_without_a_screen_of_its_own_gives_a_sentence(monkeypatch, name):
    """Qt would abort: another program tries, and whether that lived is what counts."""
    assert screens.takes("offscreen")
    assert not screens.takes("nonsense")
    monkeypatch.setattr(screens, "plugins", lambda: {name: Path()})
    monkeypatch.setattr(screens, "takes", lambda asked: asked != f"{name}:size=1x1")
    with pytest.raises(Problem, match=f"no screen that '{name}' could have"):
        screens.choose(f"{name}:size=1x1")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_home_that_may_not_be_written_gives_a_sentence(tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert main(["--home", str(tmp_path / "home")]) == 2
    assert "may not be written" in capsys.readouterr().err


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def listening(port: int) -> set[str]:
    """The addresses, as the kernel writes them, on which somebody listens at `port`."""
    found = set()
    for table in ("tcp", "tcp6"):
        path = Path("/proc/net") / table
        for line in path.read_text().splitlines()[1:] if path.exists() else []:
            local, state = line.split()[1], line.split()[3]
            address, at = local.split(":")
            if int(at, 16) == port and state == "0A":
                found.add(address)
    return found


@pytest.mark.skipif("vnc" not in screens.plugins(), reason="this Qt has no VNC plugin")
def test_vnc_serves_the_window_on_loopback_only(tmp_path):
    port = free_port()
    command = [
        "-m",
        "diffviz",
        "--home",
        str(tmp_path),
        "--platform",
        f"vnc:size=800x600:port={port}",
    ]
    with started(*command) as process:
        assert f"localhost:{port}" in process.stdout.readline()
        assert listening(port) == {"0100007F"}
        with socket.create_connection(("127.0.0.1", port), 60) as viewer:
            stream = viewer.makefile("rb")
            version = stream.read(12)  # RFC 6143, section 7
            assert version.startswith(b"RFB 003.")
            viewer.sendall(b"RFB 003.003\n")
            assert struct.unpack(">I", stream.read(4)) == (1,)  # no authentication
            viewer.sendall(b"\1")
            width, height = struct.unpack(">HH", stream.read(4))
            assert (width, height) == (800, 600)
        with started(*command) as second:
            assert second.wait(60) == 2
            assert "another program may have the port" in second.stderr.read()


def test_the_window_shows_before_torch_is_imported(tmp_path):
    with started("-c", WINDOW, str(tmp_path), QT_QPA_PLATFORM="offscreen") as process:
        facts = json.loads(process.stdout.readline())
    assert not facts["torch_then"]


def test_the_readme_gives_the_commands():
    text = (ROOT / "README.md").read_text()
    commands = re.findall(r"^python3 .*$", text, re.MULTILINE)
    assert [command.split("/")[-1] for command in commands] == ["diffviz", "pytest"]
    assert all(command.startswith("python3 -m venv .venv && ") for command in commands)
    for picture in re.findall(r"!\[.*?\]\((.+?)\)", text):
        assert 0 < (ROOT / picture).stat().st_size < 300_000
