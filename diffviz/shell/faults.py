"""When something unforeseen happens: it is logged, told in a sentence, and can be reported.

Nothing is ever sent: a report is text that the user may copy.
"""

import faulthandler
import logging
import os
import platform
import sys
import threading
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType

LOG_BYTES, LOG_FILES = 512 * 1024, 3
TOLD_LINES = 60
PACKAGES = ("diffviz", "torch", "PySide6-Essentials", "pyqtgraph", "numpy", "pillow")

log = logging.getLogger("diffviz")


class LogFile(RotatingFileHandler):
    """Makes its folder when there is first something to write; is silent where it may not."""

    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return super()._open()

    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk must not turn one fault into many."""


def log_file(home: Path) -> Path:
    """Where the log of that home lies."""
    return home / "logs" / "diffviz.log"


def begin(home: Path, tell: Callable[[str], None] | None = None) -> None:
    """Log what goes wrong from now on, below `home`; `tell` gets a sentence about each fault.

    Crashes of libraries leave their stack on standard error, where there is one.
    """
    if sys.stderr is not None and not faulthandler.is_enabled():
        faulthandler.enable()
    handler = LogFile(
        log_file(home), maxBytes=LOG_BYTES, backupCount=LOG_FILES - 1, delay=True, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.setLevel(logging.WARNING)
    logging.getLogger().addHandler(handler)

    def caught(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        log.critical("Unforeseen", exc_info=(kind, error, trace))
        if tell is not None:
            tell(sentence(error))

    def in_a_thread(found: threading.ExceptHookArgs) -> None:
        if found.exc_value is not None:
            log.critical("Unforeseen, in a thread", exc_info=found.exc_value)

    sys.excepthook = caught
    threading.excepthook = in_a_thread


def sentence(error: BaseException) -> str:
    """What is said of an error that nobody foresaw."""
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return (
        f"Something unforeseen happened ({what}). Nothing was lost: runs are saved as they train. "
        "Go on, or copy a report for whoever can mend it."
    )


def report(home: Path, device: str = "") -> str:
    """Versions, machine and the log's last lines, without the path of anybody's home."""
    lines = [f"Python {platform.python_version()} on {platform.platform()}"]
    for name in PACKAGES:
        try:
            lines.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    lines += [f"Device: {device}"] if device else []
    try:
        with open(log_file(home), "rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - 32_768))
            last = stream.read().decode("utf-8", "replace").splitlines()[-TOLD_LINES:]
    except OSError:
        last = ["The log is empty."]
    return private("\n".join([*lines, "", *last]))


def private(text: str) -> str:
    """The text with the user's home as ~."""
    known = os.path.expanduser("~")  # itself where there is none
    for home in {known, os.path.realpath(known), os.environ.get("HOME", "")}:
        if len(home) > 1:
            text = text.replace(home, "~")
    return text
