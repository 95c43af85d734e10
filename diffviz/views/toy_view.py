"""What the views of toys share: moments of t along a slider, and the film of them."""

from collections.abc import Sequence

import numpy as np
from PySide6.QtWidgets import QWidget

from diffviz.shell.session import Session
from diffviz.views import toys
from diffviz.views.view import View
from diffviz.widgets.themed import picture
from diffviz.widgets.timeline import Timeline

FILM_FRAMES = 26


class ToyView(View):
    """A toy at the slider's t, which is 1 at its left end and 0 at its right."""

    timeline: Timeline

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.timeline = Timeline()
        self.timeline.set_count(toys.FRAMES)

    def time(self) -> float:
        """The slider's t."""
        return 1 - self.timeline.fraction()

    def set_time(self, t: float) -> None:
        """Move the slider to t."""
        self.timeline.set_fraction(1 - t)

    def moment(self) -> int:
        """The index of the frame nearest to the slider's t."""
        return round(self.time() * (toys.FRAMES - 1))

    def film(self, plots: Sequence[QWidget]) -> list[np.ndarray]:
        """The plots side by side from noise to data, each frame (1, H, W, 3) uint8."""
        before, frames = self.timeline.fraction(), []
        for fraction in np.linspace(0, 1, FILM_FRAMES):
            self.timeline.set_fraction(float(fraction))
            parts = [picture(plot)[0] for plot in plots]
            height = min(len(part) for part in parts)
            frames.append(np.concatenate([part[:height] for part in parts], 1)[None])
        self.timeline.set_fraction(before)
        return frames
