"""What views that lay draws side by side share: a comparison, computed a piece at a time."""

from functools import partial
from typing import Any

from PySide6.QtWidgets import QProgressBar, QPushButton, QWidget

from diffviz.shell.session import Session
from diffviz.views.growing import Growing, grow
from diffviz.views.view import View
from trainer.comparing import Comparison, Judging, Piece, compute, most_steps, titled


class ComparingView(View):
    """Computes what its comparison lacks, and keeps every piece once computed.

    A view tells the comparison what it wants by `tell`, and shows what there is by `show_results`.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.work = self.latest(self._take, self._ended, self._refuse)
        self.comparison = Comparison()
        self.growing: Growing | None = None
        self.piece: Piece | None = None
        self.comparing = False
        self.share = 0.0  # of the piece under way that is done

    def name_buttons(self, prefix: str, stop: str, words: str, called: str) -> None:
        """Make progress, Stop and the button that begins, with these names."""
        self.progress = QProgressBar(objectName=f"{prefix}Progress", textVisible=True)
        self.progress.setRange(0, 1000)
        self.stop_button = QPushButton("Stop", objectName=f"stop{stop}Button", enabled=False)
        self.compare_button = QPushButton(words, objectName=called)
        self.compare_button.setProperty("primary", True)
        self.stop_button.clicked.connect(self.stop)
        self.compare_button.clicked.connect(self.compare)

    def tell(self) -> None:
        """Tell the comparison what the controls ask for."""
        raise NotImplementedError

    def show_results(self) -> None:
        """Bring everything up to date with the comparison."""
        raise NotImplementedError

    def compare(self) -> None:
        """Compute what is missing; what was refused is tried again."""
        self.comparison.refused.clear()
        self.comparing = True
        self._next()

    def stop(self) -> None:
        """Leave the comparison; what is computed stays."""
        self.comparing = False
        self.work.drop()
        self.piece = self.growing = None
        self.show_results()

    def _next(self) -> None:
        """Begin the next piece, unless one is under way."""
        if self.piece is None and self.comparing:
            if missing := self.comparison.missing():
                self.piece = kind, draw = missing[0]
                self.share = 0.0
                make = partial(grow, draw) if kind == "draw" else partial(compute, self.piece)
                self.work.ask(partial(make, self.session.places))
            else:
                self.comparing = False
                self.session.message.emit("Compared.")
        self.show_results()

    def _take(self, events: list[Any]) -> None:
        assert self.piece is not None
        for event in events:
            self.comparison.take(self.piece, event)
            if isinstance(event, Growing):
                self.growing = event
        self.share = events[-1].share if isinstance(events[-1], Growing | Judging) else 1.0
        self.show_results()

    def _refuse(self, sentence: str) -> None:
        assert self.piece is not None
        self.comparison.refused[self.piece] = sentence

    def _ended(self) -> None:
        self.piece = self.growing = None
        self._next()

    def follow(self) -> None:
        """A setting changed: leave a piece that nobody asks for any more, begin what is new."""
        self.comparison.most = {run.name: most_steps(run.config) for run in self.session.runs}
        self.tell()
        if self.piece is not None and self.piece not in self.comparison.pieces():
            self.work.drop()
            self.piece = self.growing = None
        self._next()

    def show_progress(self) -> None:
        """Say what is under way, and how much is left."""
        self.progress.setValue(round(1000 * self.share) if self.piece else 0)
        if self.piece is None:
            self.progress.setFormat("")
            return
        kind, draw = self.piece
        name = f"{titled(draw)}, {draw.steps} steps"
        left = len(self.comparison.missing()) - 1
        words = {"draw": name, "judge": f"FID of {name}"}[kind]
        self.progress.setFormat(f"{words} · %p %" + (f" · {left} more to do" if left > 0 else ""))
