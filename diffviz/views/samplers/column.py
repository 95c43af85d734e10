"""One column of the samplers view: its controls, its images and what was measured of them."""

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
)

from diffviz.controls.form import Form
from diffviz.shell.session import Session
from diffviz.views.samplers import work
from diffviz.widgets.mosaic import Mosaic
from trainer.comparing import Comparison, Drawn, titled
from trainer.requests import Drawing

COLUMN_WIDTH = 186


class ColumnView(QFrame):
    """One sampler with its step count, its images and what was measured of them."""

    changed = Signal()
    removed = Signal()

    def __init__(self, session: Session, ask: work.Column) -> None:
        super().__init__()
        self.setMinimumWidth(COLUMN_WIDTH)
        self.form = Form(work.Column, "column", session, self, ask.to_dict())
        self.sampler, self.steps = self.form["sampler"], self.form["steps"]
        self.steps.setSuffix(" steps")
        self.form.more_words = "…"
        self.form.more_button.setText("…")
        self.form.more_button.setMaximumWidth(34)
        self.cost = QLabel(objectName="columnCost")
        self.cost.setTextFormat(Qt.TextFormat.RichText)
        self.cost.setToolTip("Network evaluations an image; the dot's colour is the plot's")
        self.remove = QToolButton(objectName="removeColumnButton", text="✕", autoRaise=True)
        self.remove.setAccessibleName("Remove this column")
        self.remove.setToolTip("Remove this column")
        self.how = QLabel(objectName="columnHow")
        self.how.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.view = Mosaic()
        self.view.setObjectName("columnView")
        self.facts = QLabel(objectName="columnFacts")
        self.facts.setTextFormat(Qt.TextFormat.RichText)
        self.facts.setAlignment(Qt.AlignmentFlag.AlignTop)
        # A label that wraps, or is as wide as its text, would stretch the row of columns.
        self.facts.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.facts.setMinimumHeight(2 * self.fontMetrics().lineSpacing() + 4)
        head = QHBoxLayout()
        head.setSpacing(4)
        head.addWidget(self.sampler, 1)
        head.addWidget(self.remove)
        self.form.placed |= {"sampler", "steps"}
        under = QHBoxLayout()
        under.addWidget(self.steps)
        under.addWidget(self.form.more_button)
        under.addWidget(self.cost, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 2)
        layout.setSpacing(4)
        layout.addLayout(head)
        layout.addLayout(under)
        layout.addWidget(self.how)
        layout.addWidget(self.view, 1)
        layout.addWidget(self.facts)
        self.form.changed.connect(self.changed)
        self.remove.clicked.connect(self.removed)

    @property
    def title(self) -> str:
        steps = self.steps.value()
        return f"{titled(self.form.ask())}, {steps} step{'s' if steps > 1 else ''}"

    def show_how(self, words: str, room: bool) -> None:
        """Say what of it is unusual; `room` is kept where another column says something."""
        self.how.setText(words)
        self.how.setToolTip(words)
        self.how.setVisible(room)

    def show_results(
        self, comparison: Comparison, draw: Drawing | None, colour: str, waiting: str
    ) -> None:
        """Show what `comparison` has of `draw`, this column's ask; `waiting` if nothing."""
        self.view.setAccessibleName(f"Images of {self.title}")
        result = None if draw is None else comparison.drawn.get(draw)
        if draw is not None and result is not None:
            if self.view.images is not result.images:
                self.view.show_images(result.images)
            self.cost.setText(_dotted(colour, f"<b>{result.nfe} NFE</b>"))
            lines, refused = _facts(comparison, draw, result)
            self.facts.setText("<br>".join(lines))
            self.facts.setToolTip("\n".join(refused))
            return
        sentence = None if draw is None else comparison.refused.get(("draw", draw))
        self.view.set_placeholder(sentence or waiting)
        self.view.show_images(None)
        self.cost.setText(_dotted(colour, ""))
        self.facts.clear()

    def show_growing(self, images: np.ndarray, colour: str) -> None:
        """Show images that are being drawn."""
        self.view.show_images(images)
        self.cost.setText(_dotted(colour, "drawing…"))
        self.facts.clear()


def _dotted(colour: str, text: str) -> str:
    return f"<span style='color:{colour}'>●</span> {text}"


def _facts(comparison: Comparison, draw: Drawing, result: Drawn) -> tuple[list[str], list[str]]:
    """What was measured of a draw, in two lines at most, and why something could not be."""
    lines, refused = [f"{result.seconds:.2f} s"], []
    if comparison.reference is not None:
        fine, error = comparison.reference_of(draw), comparison.error(draw)
        why = comparison.refused.get(("draw", fine)) if fine is not None else None
        if draw == comparison.fine(draw):
            lines[0] += " · the reference"
        elif error is not None:
            lines[0] += f" · RMS <b>{error:.3g}</b>"
        elif fine is None:
            lines[0] += " · RMS — (no finer steps)"
        else:
            lines[0] += " · RMS " + ("— (why?)" if why else "…")
            refused += [why] if why else []
        if error is not None and result.random and fine is not None:
            refused.append(f"RMS: to the same path in {fine.steps} steps")
    if (judgement := comparison.judgement(draw)) is not None:
        judged, why = comparison.fid(draw), comparison.refused.get(judgement)
        if judged is not None:
            lines.append(f"FID <b>{judged.fid:.1f}</b> · floor {judged.floor:.1f}")
            if judged.limits:
                lines[-1] += " (limits?)"
                refused.append(judged.limits)
        else:
            lines.append("FID " + ("— (why?)" if why else "…"))
            refused += [why] if why else []
    return lines, refused
