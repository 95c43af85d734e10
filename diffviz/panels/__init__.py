"""The panels of the main window, one file each. Panels talk through the session only."""

from typing import Any

import numpy as np
from PySide6.QtWidgets import QWidget

from diffviz.widgets.timeline import Timeline


class Panel(QWidget):
    """One tab of the stage. What a panel has to export, play or restore it says by these methods.

    A panel that computes does so on jobs of its own and ends them in `shutdown`.
    """

    title = ""
    explanation = ""  # rich text for "What am I seeing?"
    timeline: Timeline | None = None

    def shutdown(self) -> None:
        """End every worker."""

    def grid(self) -> np.ndarray | None:
        """The images on view, uint8 (N, H, W) or (N, H, W, 3); None when there are none."""
        return None

    def animation(self) -> list[np.ndarray]:
        """What plays, frame by frame, each as `grid`; empty when nothing does."""
        return []

    def curves(self) -> dict[str, np.ndarray]:
        """The curves on view by name, each (n, 2): x and y."""
        return {}

    def settings(self) -> dict[str, Any]:
        """JSON that makes this view again; it travels inside exported pictures."""
        return {}

    def prepare(self, settings: dict[str, Any]) -> None:
        """Set the controls to what `settings` gave, as far as it still makes sense."""

    def restore(self, settings: dict[str, Any]) -> None:
        """Make the view again that `settings` came from."""
        self.prepare(settings)
