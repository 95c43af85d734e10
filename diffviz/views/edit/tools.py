"""The edit view's tools: what each has to say of itself."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from diffviz.controls.form import Form
from diffviz.shell.session import Session
from diffviz.views.edit import work
from diffviz.widgets.timeline import Timeline
from trainer.ask import Ask


class Tool(QWidget):
    """One thing to do with a model. The view runs `make` on `wanted` and hands back events."""

    changed = Signal()  # a control was changed
    key = title = verb = sentence = ""
    lines: tuple[tuple[str, str], ...] = ()
    kind: type[Ask]
    images_of: tuple[str, ...] = ("image",)  # the settings that name images
    apart: tuple[str, ...] = ()  # settings that have no field in the form either
    make: Callable[..., Iterator[Any]]
    timeline: Timeline | None = None
    waiting = ""  # a mask that waits for its image

    def __init__(self, session: Session, first: Ask, parent: QWidget | None = None) -> None:
        """`first` says what the controls show first."""
        super().__init__(parent)
        self.request: Any = None  # what the views show, or are about to
        self.share = 0.0  # of it that is done
        self.report = ""  # what is to be said of it
        begin = {name: getattr(first, name) for name in self.images_of}
        without = ("model", "checkpoint", *self.apart)
        self.form = Form(self.kind, self.key, session, self, begin, without)
        self.images = {name: self.form[name] for name in self.images_of}
        self.form.changed.connect(self.changed)

    @property
    def done(self) -> bool:
        """Whether the views show all of `request`."""
        return self.request is not None and self.share >= 1.0

    def head(self, *names: str) -> QHBoxLayout:
        """The images that are asked for, and these settings, in a row."""
        return self.form.row(*self.images_of, *names)

    def names(self) -> tuple[str, ...]:
        """The images that are wanted."""
        return tuple(field.value() for field in self.images.values())

    def show_originals(self, found: work.Originals) -> None:
        """Show the images that `names` asked for."""
        raise NotImplementedError

    def current(self, of: dict[str, str]) -> Any:
        """What the controls ask of a model `of` that name and checkpoint."""
        return self.form.ask(**of)

    def wanted(self, of: dict[str, str]) -> Any:
        """The same; None while something is missing."""
        return self.current(of)

    def begin(self, request: Any) -> None:
        """The views make room for what is asked for."""
        self.request, self.share, self.report = request, 0.0, ""

    def take(self, event: Any) -> None:
        """Show what a worker yields."""
        raise NotImplementedError

    def grid(self) -> np.ndarray | None:
        """As `View.grid`, once all is done."""
        return None

    def prepare(self, ask: Any) -> None:
        """Set the controls."""
        self.form.restore(ask)


def name_it(widget: Any, name: str, tip: str) -> Any:
    """Give a widget its accessible name and its tooltip."""
    widget.setAccessibleName(name)
    widget.setToolTip(tip)
    return widget


def row_of(*widgets: QWidget | QHBoxLayout | str) -> QHBoxLayout:
    """Widgets, and words before them, in a row that is filled from the left."""
    row = QHBoxLayout()
    for widget in widgets:
        if isinstance(widget, QHBoxLayout):
            row.addLayout(widget)
        else:
            row.addWidget(QLabel(widget) if isinstance(widget, str) else widget)
    row.addStretch(1)
    return row
