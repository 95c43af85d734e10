"""Views of something that is computed at many t: coarse first, and the slider picks from it."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QLayout, QVBoxLayout, QWidget

from diffviz.controls.form import Form
from diffviz.shell.session import Session
from diffviz.views.view import View
from diffviz.widgets.timeline import Timeline
from trainer.problems import Problem


class LevelsView(View):
    """Computes when it is looked at or a setting changes; `levels` holds what there is by t.

    What the `compute` of a subclass yields has a `t`; another of the same t replaces it. Its ask
    has a model, and `place`, where the slider stands.
    """

    compute: ClassVar[Callable[[Any, tuple[Path, ...]], Iterator[Any]]]
    prefix: ClassVar[str]
    timeline: Timeline

    def __init__(
        self,
        session: Session,
        times: int,
        parent: QWidget | None = None,
        without: tuple[str, ...] = (),
    ) -> None:
        """`times`: the slider's stops; `without`: settings besides `place` that have no field."""
        super().__init__(session, parent)
        self.work = self.latest(self._take, self.show_status, self._fail)
        self.asked: Any = None  # what the levels are of
        self.levels: list[Any] = []  # the latest t first
        self.wrong = ""
        kept = ("place", *without)
        self.form: Form[Any] = Form(self.kind, self.prefix, session, self, without=kept)
        self.timeline = Timeline()
        self.timeline.set_count(times)
        self.timeline.set_fraction(self.kind().place)  # type: ignore[attr-defined]
        self.form.changed.connect(self._changed)
        self.timeline.position_changed.connect(self.show_time)

    def lay_out(self, controls: QLayout, middle: QLayout, formula: QWidget) -> None:
        """Controls at the top, then what takes the room there is, the slider, and the formula."""
        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 6, 9, 6)
        layout.addLayout(controls)
        layout.addLayout(middle, 1)
        layout.addWidget(self.timeline)
        layout.addWidget(formula)

    def show_time(self) -> None:
        """Show what is computed nearest to the slider."""
        raise NotImplementedError

    def show_levels(self) -> None:
        """More is computed, or all is forgotten: show what depends on several t."""

    def say(self) -> str:
        """What to say of what is computed, in a sentence."""
        raise NotImplementedError

    def show_words(self, words: str) -> None:
        """Show how things stand."""
        raise NotImplementedError

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._changed()

    def _changed(self) -> None:
        """A setting changed, or somebody looks: compute what is not there."""
        if self.form["model"].run is not None and self.isVisible():
            try:
                self._want(self.form.ask())
            except Problem as problem:  # settings that do not go together: what is shown stays
                self.wrong = str(problem)
        self.show_status()

    def _want(self, ask: Any) -> None:
        self.wrong = ""
        if ask != self.asked:
            self.asked, self.levels = ask, []
            self.work.ask(partial(type(self).compute, ask, self.session.places))
            self.show_time()
            self.show_levels()

    def _take(self, events: list[Any]) -> None:
        for level in events:
            others = [one for one in self.levels if one.t != level.t]
            self.levels = sorted([*others, level], key=lambda one: -one.t)
        self.show_time()
        self.show_levels()
        self.show_status()

    def _fail(self, why: str) -> None:
        self.wrong = why
        self.show_status()

    def show_status(self) -> None:
        """Say how things stand."""
        waiting = self.form["model"].run is None
        self.show_words(self.wrong or ("Waiting for the models to be listed." if waiting else
                                       self.say()))  # fmt: skip

    def time(self) -> float:
        """The t that the slider stands at: 1 at its left end."""
        return 1 - self.timeline.fraction()

    def go(self, t: float) -> None:
        """Let the slider stand at t."""
        self.timeline.set_fraction(1 - t)

    def level(self) -> Any:
        """What is computed nearest to the slider; None while nothing is."""
        return min(self.levels, key=lambda one: abs(one.t - self.time()), default=None)

    def ask(self) -> Any:
        return (self.asked or self.form.ask()).with_changes(place=self.timeline.fraction())

    def prepare(self, ask: Any) -> None:
        self.form.restore(ask)
        self.timeline.set_fraction(ask.place)
