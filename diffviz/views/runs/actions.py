"""What can be done with the selected run: a row of buttons, and how far its measuring is."""

from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QMenu, QProgressBar, QPushButton

from diffviz.shell.listing import RunInfo

ACTIONS = {
    "draw": ("Draw stages", "Draw from early, middle and late checkpoints, the same noise"),
    "measure": ("Measure", "Measure the newest checkpoint; its card keeps the result"),
    "use": ("Use", "Let the trajectories' row of this kind of process draw from it"),
    "resume": ("Resume", "Go on with this training where it stands, also for more epochs"),
    "images": ("Images…", "Say where its images lie by now, if they have moved"),
    "rename": ("Rename…", "Give the run's folder another name"),
    "delete": ("Delete…", "Delete the run's folder for good"),
}
MEASURABLE = {
    "FID of 256 samples": ("fid", 256),
    "FID of 1,024 samples": ("fid", 1024),
    "Exact bits/dim of 8 test images": ("likelihood", 8),
    "Exact bits/dim of 64 test images": ("likelihood", 64),
}


class Actions(QHBoxLayout):
    """A button an action; Measure and Use ask further, in a menu."""

    measure_asked = Signal(str, int)  # what, of how many samples or images
    use_asked = Signal(bool)  # whether as it was measured

    def __init__(self) -> None:
        super().__init__()
        self.buttons: dict[str, QPushButton] = {}
        for key, (text, tip) in ACTIONS.items():
            self.buttons[key] = QPushButton(text, objectName=f"{key}RunButton", toolTip=tip)
            self.addWidget(self.buttons[key])
        menu = self._menu("measure")
        for text, (kind, count) in MEASURABLE.items():
            menu.addAction(text, partial(self.measure_asked.emit, kind, count))
        menu = self._menu("use")
        menu.addAction("With the row's settings", partial(self.use_asked.emit, False))
        self.use_best = menu.addAction(
            "As its best FID was measured", partial(self.use_asked.emit, True)
        )
        self.share = QProgressBar(objectName="measureProgress", maximum=100, visible=False)
        self.share.setFixedWidth(90)
        self.stop_button = QPushButton("Stop", objectName="stopMeasuringButton", visible=False)
        self.addWidget(self.share)
        self.addWidget(self.stop_button)
        self.addStretch(1)

    def _menu(self, key: str) -> QMenu:
        menu = QMenu(self.buttons[key], toolTipsVisible=True)
        self.buttons[key].setMenu(menu)
        return menu

    def offer(self, run: RunInfo | None) -> None:
        """Offer what that run, the selected one, allows."""
        own = run is not None and not run.shipped
        able = run is not None and bool(run.checkpoints)
        resumable = run is not None and run.resumable
        enabled = {"rename": own, "delete": own, "resume": resumable, "images": resumable}
        for key, button in self.buttons.items():
            button.setEnabled(enabled.get(key, able))
        measured = run is not None and bool(run.drawn)
        self.use_best.setEnabled(measured)
        self.use_best.setToolTip(run.fid_about if run and measured else "Measure its FID first")

    def show_measuring(self, busy: bool) -> None:
        """Whether the selected run is being measured."""
        self.share.setVisible(busy)
        self.stop_button.setVisible(busy)
