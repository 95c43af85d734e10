"""What the system's signals do to the window's loop."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
from PySide6.QtCore import QCoreApplication, QTimer
from diffviz.shell.stopping import close_on_signals

app = QCoreApplication([])
close_on_signals(lambda: app.exit(7))
QTimer.singleShot(0, lambda: print("ready", flush=True))
raise SystemExit(app.exec())
"""


@pytest.fixture
def program(as_in_a_terminal):
    """Starts the loop in a program of its own."""
    started = []

    def start():
        started.append(
            subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
        )
        assert started[0].stdout.readline() == "ready\n"
        return started[0]

    yield start
    with started[0]:
        started[0].kill()


@pytest.mark.skipif(sys.platform == "win32", reason="no signals to a child there")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_wakes_a_loop_that_waits_and_ends_it(program, name):
    child = program()
    child.send_signal(getattr(signal, name))
    assert child.wait(30) == 7


@pytest.mark.skipif(sys.platform == "win32", reason="no signals to a child there")
def test_what_nohup_ignores_stays_ignored(program):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    child = program()
    child.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(1)
    child.terminate()
    assert child.wait(30) == 7
