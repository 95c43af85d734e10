"""diffviz: open the window; --tour DIR plays the whole job and leaves pictures."""

import argparse
import faulthandler
import os
import signal
import sys
import tempfile
from pathlib import Path

from trainer.problems import Problem, at_home


def check_home(home: Path) -> None:
    """A Problem unless runs can be written below `home`, which need not exist yet."""
    there = next(place for place in (home, *home.absolute().parents) if place.exists())
    if not there.is_dir():
        raise Problem(f"Runs cannot go to {home}: {there} is a file. Choose another --home.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise Problem(f"Runs cannot go to {home}: it may not be written. Choose another --home.")


def load_qt() -> None:
    """Import what draws; a Problem names the system's library that is missing."""
    try:
        import PySide6.QtWidgets  # noqa: F401
    except ImportError as error:
        library = str(error).split(":")[0]
        raise Problem(
            f"Qt cannot be loaded: {library} is missing. On Debian or Ubuntu: sudo apt install "
            "libegl1 libgl1 libxkbcommon0 libfontconfig1 libdbus-1-3 fonts-dejavu-core."
        ) from error


def start(tour: Path | None, platform: str | None, home: Path | None) -> int:
    """Show the window, or play the tour, until it ends; the exit status."""
    if home is not None:
        check_home(home)
    load_qt()
    from diffviz.shell import screens

    why = screens.choose(platform)
    if why and tour is None:
        tour = Path(tempfile.mkdtemp(prefix="diffviz-tour-"))
        print(f"{why} Playing the tour instead: its pictures go to {tour}", flush=True)

    from PySide6.QtGui import QFontDatabase, QIcon
    from PySide6.QtWidgets import QApplication

    from assets import ASSETS
    from diffviz.shell import style

    app = QApplication(sys.argv[:1])
    app.setApplicationName("DiffViz")
    style.follow_system(app)
    app.setWindowIcon(QIcon(str(ASSETS / "icons" / "diffviz.png")))
    if not QFontDatabase.families():
        print("There are no fonts here: text stays empty. On Debian or Ubuntu: sudo apt install "
              "fonts-dejavu-core.", file=sys.stderr, flush=True)  # fmt: skip
    if app.platformName() == "vnc":
        port = screens.keep_local(app)
        print(f"A VNC viewer on this machine can look at localhost:{port}.", flush=True)
    if tour is not None:
        from diffviz.shell.tour import Tour

        return Tour(tour).play()

    from diffviz.shell import faults, stopping
    from diffviz.shell.session import default_home
    from diffviz.shell.window import MainWindow

    window = MainWindow(home or default_home())
    faults.begin(window.session.home, window.show_fault)
    stopping.close_on_signals(window.leave)
    window.show()
    return app.exec()


def main(argv: list[str] | None = None) -> int:
    """Returns the process' exit status."""
    if sys.stderr is not None:
        faulthandler.enable()
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        # There is nothing to save before there is a window, and Qt cannot be left half made.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    parser = argparse.ArgumentParser(prog="diffviz", description=__doc__)
    parser.add_argument("--tour", type=Path, metavar="DIR", help="play the tour, write into DIR")
    parser.add_argument("--platform", help="Qt's platform; 'vnc' serves a viewer on loopback")
    parser.add_argument("--home", type=Path, help="where runs go (DIFFVIZ_HOME, or ~/DiffViz)")
    words = sys.argv[1:] if argv is None else argv
    arguments = parser.parse_args([at_home(word) for word in words])
    try:
        return start(arguments.tour, arguments.platform, arguments.home)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 2
    finally:
        signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    sys.exit(main())
