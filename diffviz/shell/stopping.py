"""Ctrl-C and the system's own signals close the window as its button does, with the run saved."""

import signal
import socket
from collections.abc import Callable

from PySide6.QtCore import QCoreApplication, QSocketNotifier

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # those that this system has


def close_on_signals(leave: Callable[[], object]) -> None:
    """Call `leave` on the window's thread when a signal asks the program to end.

    What is ignored stays so, as nohup promises.

    Python would run a handler only once Qt's loop comes back to it, which may be never: the signal
    writes to a socket that wakes the loop.
    """
    reader, writer = socket.socketpair()
    for end in (reader, writer):
        end.setblocking(False)
    notifier = QSocketNotifier(
        reader.fileno(), QSocketNotifier.Type.Read, QCoreApplication.instance()
    )

    def woken() -> None:
        reader.recv(64)  # and so Python runs what it has noted

    notifier.activated.connect(woken)
    notifier.setProperty("ends", (reader, writer))  # held as long as the notifier lives
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: leave())
