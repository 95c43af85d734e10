"""What every view of the window is."""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np
from PySide6.QtWidgets import QWidget

from diffviz.controls.picture import PictureField
from diffviz.jobs import Latest
from diffviz.shell.session import Session
from diffviz.widgets.timeline import Timeline
from trainer.ask import Ask


class Guide(Protocol):
    """Who shows the views around: the tour."""

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Let the window live until `condition` holds; a Problem says `what` did not come."""

    def look(self, name: str) -> None:
        """Keep a picture of the window under that name."""

    def rest(self, seconds: float) -> None:
        """Let the window live for a while."""


class View(QWidget):
    """One view. What it has to export, play or restore it says by these methods.

    What it shows follows from its ask, which stored settings and exported files keep. What it
    computes it asks of a `Latest`, which ends with the view.
    """

    kind: ClassVar[type[Ask]]  # of ask that makes this view again
    explanation: ClassVar[str] = ""  # rich text for "What am I seeing?"
    timeline: Timeline | None = None

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session

    def latest(
        self,
        take: Callable[[list[Any]], None],
        ended: Callable[[], None] | None = None,
        failed: Callable[[str], None] | None = None,
    ) -> Latest:
        """A place for work: `take` gets what the newest job yields, `ended` is called after all.

        `failed` gets a sentence if it fails; without it the window shows that.
        """
        work = Latest(self)
        work.produced.connect(take)
        work.failed.connect(failed or self.session.problem)
        if ended is not None:
            work.ended.connect(ended)
        return work

    def shutdown(self) -> None:
        """End every worker, those of its controls too."""
        for work in self.findChildren(Latest):
            work.shutdown()

    def picture_field(self) -> PictureField | None:
        """What takes a picture that is dropped on the view, or pasted; None where nothing does."""
        fields = self.findChildren(PictureField)
        fields.sort(key=lambda field: (not field.hasFocus(), not field.isVisible()))
        return fields[0] if fields else None

    def ask(self) -> Any:
        """What makes this view again: what it shows, or else would show. A Problem if nothing."""
        raise NotImplementedError

    def prepare(self, ask: Any) -> None:
        """Set the controls to that ask, and compute nothing yet."""
        raise NotImplementedError

    def restore(self, ask: Any) -> None:
        """Make the view again that the ask came from."""
        self.prepare(ask)

    def grid(self) -> np.ndarray | None:
        """The images on view, uint8 (N, H, W) or (N, H, W, 3); None when there are none."""
        return None

    def animation(self) -> list[np.ndarray]:
        """What plays, frame by frame, each as `grid`; empty when nothing does."""
        return []

    def curves(self) -> dict[str, np.ndarray]:
        """The curves on view by name, each (n, 2): x and y."""
        return {}

    def visit(self, guide: Guide) -> None:
        """Do the view's job as far as it takes a moment: the tour comes by."""
