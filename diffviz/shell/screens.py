"""Where the window can be drawn: what Qt would abort over is found out, and said, beforehand."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QEvent, QLibraryInfo, QObject
from PySide6.QtNetwork import QHostAddress, QTcpServer

from trainer.problems import Problem

VNC = "vnc:size=1280x800:port=5900"
DIRECT = ("eglfs", "linuxfb", "minimalegl", "vkkhrdisplay")  # they take a screen for themselves
PROBE = """
from PySide6.QtWidgets import QApplication, QWidget
app, one = QApplication([]), QWidget()
one.show()
app.processEvents()
"""


def plugins() -> dict[str, Path]:
    """Qt's platform plugins that are installed here, by name: xcb, wayland, offscreen, vnc…"""
    folder = Path(QLibraryInfo.path(QLibraryInfo.LibraryPath.PluginsPath)) / "platforms"
    found = {}
    for path in sorted(folder.glob("*")):
        name = path.name.split(".")[0].removeprefix("lib").removeprefix("q")
        found[name.split("-")[0]] = path  # wayland was wayland-egl and wayland-generic once
    return found


def why_not_x11() -> str | None:
    """Why Qt cannot draw on the X server that DISPLAY names; None if it can."""
    try:
        ctypes.CDLL(str(plugins()["xcb"]))  # with all the libraries that it needs
        xcb = ctypes.CDLL("libxcb.so.1")
    except (KeyError, OSError) as error:
        library = str(error).split(":")[0].strip("'")
        return (
            f"Qt's X11 plugin cannot be loaded: {library} is missing. "
            "On Debian or Ubuntu: sudo apt install libxcb-cursor0 libxkbcommon-x11-0 "
            "libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-render-util0 libegl1."
        )
    xcb.xcb_connect.restype = ctypes.c_void_p
    xcb.xcb_connection_has_error.argtypes = xcb.xcb_disconnect.argtypes = [ctypes.c_void_p]
    connection = xcb.xcb_connect(None, None)
    refused = xcb.xcb_connection_has_error(connection)
    xcb.xcb_disconnect(connection)
    if refused:
        return f"No X server lets us in at DISPLAY={os.environ.get('DISPLAY', '')}."
    return None


def wayland() -> bool:
    """Whether a Wayland compositor is there to talk to."""
    name = os.environ.get("WAYLAND_DISPLAY", "")
    return name != "" and (Path(os.environ.get("XDG_RUNTIME_DIR", "/")) / name).is_socket()


def takes(name: str) -> bool:
    """Whether a platform lets a program in: Qt ends the one that it does not, so another tries."""
    if getattr(sys, "frozen", False):
        return True  # there is no Python to try with
    environment = {**os.environ, "QT_QPA_PLATFORM": name}
    words = [sys.executable, "-c", PROBE]
    return not subprocess.run(words, env=environment, capture_output=True, check=False).returncode


def choose(asked: str | None) -> str | None:
    """Settle Qt's platform in QT_QPA_PLATFORM; a sentence when no window can be shown, else None.

    `asked` is the command line's. A Problem where a platform is asked for that is not here.
    """
    name = asked or os.environ.get("QT_QPA_PLATFORM")
    if name:
        kind = name.split(":")[0].split(";")[0]
        if kind not in plugins() and not kind.startswith("wayland"):
            raise Problem(
                f"Qt has no platform '{kind}' here. Choose one of: {', '.join(plugins())}."
            )
        if kind in DIRECT and not takes(name):
            raise Problem(
                f"Qt finds no screen that '{kind}' could have for itself. Choose another platform."
            )
        if kind == "xcb" and (why := why_not_x11()):
            raise Problem(why)
        if kind.startswith("wayland") and not wayland():
            raise Problem(
                "There is no Wayland compositor at WAYLAND_DISPLAY="
                f"{os.environ.get('WAYLAND_DISPLAY', '')}. Start one, or choose another platform."
            )
        os.environ["QT_QPA_PLATFORM"] = VNC if name == "vnc" else name
        return None
    if not sys.platform.startswith("linux") or wayland():
        return None
    why = why_not_x11() if os.environ.get("DISPLAY") else "No display here."
    if why:
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    return why


class Loopback(QObject):
    """Moves Qt's VNC server, which would listen on every interface, to loopback.

    The plugin has no option for it. Its server opens the port in a queued call; this filter sees
    that call, lets it happen, and opens the same port on 127.0.0.1 instead, before the event loop
    could have answered anybody.
    """

    def __init__(self) -> None:
        super().__init__()
        self.port: int | None = None

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() != QEvent.Type.MetaCall or (
            watched.metaObject().className() != "QVncServer"
        ):
            return False
        watched.event(event)
        server = watched.findChild(QTcpServer)
        if isinstance(server, QTcpServer) and server.isListening():
            port = server.serverPort()
            server.close()
            if server.listen(QHostAddress(QHostAddress.SpecialAddress.LocalHost), port):
                self.port = port
        return True


def keep_local(app: QCoreApplication) -> int:
    """Bind the VNC server of a new `app` to loopback; the port. A Problem if that cannot be."""
    guard = Loopback()
    app.installEventFilter(guard)
    app.processEvents()
    app.removeEventFilter(guard)
    if guard.port is None:
        raise Problem(
            "The VNC server could not be opened on loopback: another program may have the port. "
            "Choose another, as in --platform vnc:size=1280x800:port=5901."
        )
    return guard.port
