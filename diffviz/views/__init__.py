"""The panels of the main window, one file each. Panels talk through the session only."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PySide6.QtWidgets import QWidget

from diffviz.jobs import Job
from diffviz.shell.session import Session
from diffviz.widgets.timeline import Timeline


class Panel(QWidget):
    """One tab of the stage. What a panel has to export, play or restore it says by these methods.

    A panel that computes does so on jobs begun with `begin`, which end with the panel.
    """

    title = ""
    explanation = ""  # rich text for "What am I seeing?"
    timeline: Timeline | None = None

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.jobs: list[Job] = []

    def begin(
        self,
        make: Callable[[], Iterator[Any]],
        take: Callable[[list[Any]], None],
        ended: Callable[[], None] | None = None,
        failed: Callable[[str], None] | None = None,
    ) -> Job:
        """Run a generator on a worker; `take` gets what it yields, `ended` is called after all.

        `failed` gets a sentence if it fails; without it the window shows that.
        """
        job = Job(make, self)
        self.jobs.append(job)
        job.produced.connect(take)
        job.failed.connect(failed or self.session.problem)
        job.ended.connect(lambda: self.jobs.remove(job))
        if ended is not None:
            job.ended.connect(ended)
        job.ended.connect(job.deleteLater)
        job.begin()
        return job

    def drop(self, job: Job | None) -> None:
        """Stop a job whose result nobody waits for any more; what it still yields is lost."""
        if job in self.jobs:
            job.produced.disconnect()
            job.stop()

    def offer_samplers(self, names: tuple[str, ...]) -> None:
        """The engine is loaded, and takes these samplers' names."""

    def shutdown(self) -> None:
        """End every worker."""
        for job in list(self.jobs):
            job.shutdown()

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
