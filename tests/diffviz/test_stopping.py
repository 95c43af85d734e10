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


def test_nothing_begins_in_a_window_that_closes(window, qtbot):
    """A worker that began then would still be running as the window is deleted."""
    window.later, window.plotting, window.ready = iter(["schedule"]), None, False
    views = dict(window.views)
    window.shutdown()
    job = window.start(lambda: iter(()))
    window._grow()
    window._warm_up()
    window._grow("schedule")
    qtbot.wait(50)
    assert not job.isRunning()
    assert not window.jobs
    assert window.views == views


@pytest.mark.skipif(sys.platform == "win32", reason="no signals to a child there")
@pytest.mark.parametrize("where", ["check_home", "load_qt"])
def test_ctrl_c_before_there_is_a_window_ends_the_program_without_a_trace(
    as_in_a_terminal, tmp_path, where
):
    code = f"""
import os, signal
from diffviz import __main__ as program
program.{where} = lambda *_: os.kill(os.getpid(), signal.SIGINT)
program.main(["--home", {str(tmp_path)!r}])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGINT
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no signals to a child there")
def test_what_nohup_ignores_stays_ignored(program):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    child = program()
    child.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(1)
    child.terminate()
    assert child.wait(30) == 7
