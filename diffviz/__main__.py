"""diffviz: open the window; --tour DIR plays the whole job and leaves pictures."""

import argparse
import os
import sys
import tempfile
from pathlib import Path


def no_display() -> bool:
    """Whether this is a Linux without a screen to draw on."""
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    return sys.platform.startswith("linux") and not any(os.environ.get(name) for name in screens)


def main(argv: list[str] | None = None) -> int:
    """Returns the process' exit status."""
    parser = argparse.ArgumentParser(prog="diffviz", description=__doc__)
    parser.add_argument("--tour", type=Path, metavar="DIR", help="play the tour, write into DIR")
    parser.add_argument("--platform", help="Qt's platform; 'vnc' serves a viewer on loopback")
    parser.add_argument("--home", type=Path, help="where runs go (DIFFVIZ_HOME, or ~/DiffViz)")
    arguments = parser.parse_args(argv)
    if arguments.platform:
        os.environ["QT_QPA_PLATFORM"] = arguments.platform
    elif no_display():
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
        if arguments.tour is None:
            arguments.tour = Path(tempfile.mkdtemp(prefix="diffviz-tour-"))
            print(f"No display here: playing the tour instead; its pictures go to {arguments.tour}")

    from PySide6.QtWidgets import QApplication

    from diffviz import style
    from diffviz.session import default_home
    from diffviz.window import MainWindow

    app = QApplication(sys.argv[:1])
    style.follow_system(app)
    if arguments.tour is not None:
        from diffviz.tour import Tour
        from trainer.problems import Problem

        try:
            return Tour(arguments.tour).play()
        except Problem as problem:
            print(problem, file=sys.stderr)
            return 2
    window = MainWindow(arguments.home or default_home())
    window.show()
    return app.exec()


if __name__ == "__main__":
    sys.exit(main())
