"""Python's garbage collection, kept to the window's thread."""

import gc

from PySide6.QtCore import QObject, QTimer

TICK_MS = 250


class Garbage(QObject):
    """Collects garbage in place of Python itself, for as long as the window is there.

    Python collects wherever it happens to allocate. On a worker's thread that would delete objects
    of Qt's away from their own thread, which now and then crashes; and each full collection holds
    all threads for 0.2 s, most of it over what was loaded at the start and will never go.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        gc.disable()
        self.settled = False
        self.timer = QTimer(self, interval=TICK_MS)
        self.timer.timeout.connect(self.collect)

    def settle(self) -> None:
        """All that was loaded by now stays: look at it neither before nor after."""
        gc.freeze()
        self.settled = True
        self.timer.start()

    def collect(self) -> None:
        """What Python would collect by now, youngest first."""
        most, counts = gc.get_threshold(), gc.get_count()
        for generation in range(3):
            if counts[generation] > most[generation]:
                gc.collect(generation)

    def shutdown(self) -> None:
        """Leave it to Python again."""
        self.timer.stop()
        gc.unfreeze()
        if self.settled:  # Python counts anew, or it took all that was frozen for news
            gc.collect()
        self.settled = False
        gc.enable()
