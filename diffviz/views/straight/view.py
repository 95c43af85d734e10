"""Straight ways: how a model's ODE bends on its way from noise to images, and reflow beside."""

from functools import partial
from typing import Any

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from diffviz.controls.fields import narrow
from diffviz.shell.session import Session
from diffviz.views.levels import LevelsView
from diffviz.views.straight import work
from diffviz.views.view import Guide
from diffviz.widgets.caption import Words
from diffviz.widgets.field import FieldPlot
from diffviz.widgets.formula import Formula
from diffviz.widgets.lines import FallingPlot, Legend, Line
from diffviz.widgets.mosaic import Mosaic
from diffviz.widgets.themed import picture
from trainer.straight import FEW, Flowed

TRAILS = 60  # particles whose way is drawn
SHOWN = 6  # images in few steps
PLANE = ("shape", "rounds", "seed")  # settings that the plane's flow follows from
ROUNDS = ("as learnt", "1 reflow", "2 reflows", "3 reflows", "4 reflows", "5 reflows")
SERIES = (1, 0, 2, 3, 4, 5)


class StraightView(LevelsView):
    """Holds ways as arrays, so that the slider only picks; learns the plane's flow on request."""

    kind, compute, prefix = work.Straight, work.look, "straight"
    explanation = (
        "<h3>Are the ways straight?</h3>"
        "<p>Seen as y = x<sub>t</sub> / (α + σ), every noised image lies on the straight line from "
        "an image to its noise, whatever the process; s says how far along. The ODE's velocity "
        "there is the guess of ε − x<sub>0</sub>. Were it the same all the way, <b>one step</b> "
        "would do. It is not: many lines cross each point, and the guess is their mean.</p>"
        "<p>The curve says how much the velocity differs from the one that would lead straight to "
        "the end. Choose models of other processes: the curve stays, for it belongs to the data, "
        "not to the schedule. The <b>training set</b> decides for one of its images early, and "
        "goes straight to it; a learnt model bends to the end, for it makes up detail all the way."
        "</p>"
        "<p><b>Reflow</b> (Liu et al. 2022, arXiv:2209.03003): lead noise to data by the flow, "
        "then learn anew from just these pairs. Their lines hardly cross any more, so the new flow "
        "is nearly straight, draws the same, and one step goes nearly all the way.</p>"
    )

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, self.kind().steps + 1, parent)
        self.flowing = self.latest(self._take_flow, self.show_status)
        self.plane: Any = None  # what the flow on view was asked for
        self.flows: list[Flowed] = []
        self.learning: work.Learning | None = None
        self.views: dict[str, Mosaic] = {}
        images = QGridLayout()
        for column, (name, words) in enumerate((
            ("states", "On the way, at s"), ("guesses", "Where it seems to lead"),
            ("few", f"In {', '.join(map(str, FEW))} steps, and all the way"),
        )):  # fmt: skip
            images.addWidget(QLabel(words), 0, column, Qt.AlignmentFlag.AlignHCenter)
            view = Mosaic("Following the ways…")
            view.setObjectName(f"straight{name.title()}View")
            view.setAccessibleName(words)
            view.setToolTip(words)
            self.views[name] = view
            images.addWidget(view, 1, column)
            images.setColumnStretch(column, 4)
        for a, b in (("states", "guesses"), ("guesses", "states")):
            self.views[a].hovered.connect(self.views[b].mark)
        self.bends = FallingPlot("straightBendPlot", "How bent the ways are over s", "bend", None)
        self.rounds = FallingPlot("straightRoundsPlot", "How bent the plane's ways are over s",
                                  "bend", (1e-4, 30), log=True)  # fmt: skip
        self.legends = Legend("straightBendLegend", work.LINES), Legend("straightRoundsLegend", {})
        for one in self.legends:  # a label that wraps would take height from the other row
            one.setWordWrap(False)
            one.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        for plot, words in ((self.bends, "How bent the model's ways are comes here."),
                            (self.rounds, "Press Reflow: a flow is learnt in the plane, and made "
                             "straight.")):  # fmt: skip
            plot.labels["bottom"] = "s"
            plot.set_placeholder(words)
            plot.marked.connect(self.go)
        images.addWidget(self.legends[0], 0, 3)
        images.addWidget(self.bends, 1, 3)
        images.setColumnStretch(3, 6)
        images.setRowStretch(1, 1)
        self.fields = [
            FieldPlot(work.REACH, f"straight{side}Field", f"Ways in the plane, {words}")
            for side, words in (("Before", "as learnt"), ("After", "after reflow"))
        ]
        self.heads = [QLabel("In the plane: the flow as learnt"), QLabel("After reflow")]
        flows = QGridLayout()
        for column, (head, field) in enumerate(zip(self.heads, self.fields, strict=True)):
            flows.addWidget(head, 0, column, Qt.AlignmentFlag.AlignHCenter)
            flows.addWidget(field, 1, column)
            flows.setColumnStretch(column, 6)
        flows.addWidget(self.legends[1], 0, 2)
        flows.addWidget(self.rounds, 1, 2)
        flows.setColumnStretch(2, 6)
        flows.setRowStretch(1, 1)
        self.reflow_button = QPushButton("Reflow", objectName="reflowButton")
        self.reflow_button.setProperty("primary", True)
        self.reflow_button.setToolTip("Learn a flow in the plane, and make it straight: seconds")
        self.reflow_button.clicked.connect(self.reflow)
        self.status = Words("straightStatus")
        for combo in (self.form["model"].model, self.form["shape"]):
            narrow(combo, 6)
        row = self.form.row("model", "count")
        row.addLayout(self.form.row("shape", "rounds", end=False))
        row.addWidget(self.reflow_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 6, 9, 6)
        layout.addLayout(row)
        layout.addLayout(images, 1)
        layout.addLayout(flows, 1)
        layout.addWidget(self.status)
        layout.addWidget(self.timeline)
        layout.addWidget(
            Formula(
                "A way is straight where its velocity is the one from end to end.",
                [("dy/ds = E[ε − x_0 | y],   y = x_t / (α + σ),  s = σ / (α + σ)",
                  "Liu et al. 2022; DDIM's step is Euler's here"),
                 ("\"bend\"(s) = E‖dy/ds − (y_1 − y_0)‖^2 / E‖y_1 − y_0‖^2",
                  "its mean over s: straightness, Liu et al. 2022, eq. 11")],
                "straightFormula",
            )
        )  # fmt: skip
        self.show_time()
        self.show_status()

    def _want(self, ask: work.Straight) -> None:
        """What the plane follows from asks for no new way of the model's, and the reverse."""
        if self.plane is not None and self._plane(ask) != self.plane:
            self.reflow()
        super()._want(ask.with_changes(**{n: getattr(self.kind(), n) for n in PLANE[:2]}))

    def _plane(self, ask: work.Straight) -> tuple[Any, ...]:
        return tuple(getattr(ask, name) for name in PLANE)

    def reflow(self) -> None:
        """Learn the plane's flow and make it straight; what was there is forgotten."""
        ask = self.form.ask()
        self.plane, self.flows, self.learning = self._plane(ask), [], None
        for plot in self.fields:
            plot.show_heat(None)
        self.flowing.ask(partial(work.flow, ask))
        self._show_rounds()
        self.show_status()

    def _take_flow(self, events: list[Any]) -> None:
        for event in events:
            if isinstance(event, work.Ground):
                for plot in self.fields:
                    plot.show_heat(event.heat)
            elif isinstance(event, work.Learning):
                self.learning = event
            else:
                self.flows.append(event)
                self._show_rounds()
        self.show_status()

    def _show_flows(self) -> None:
        """The plane's ways up to the slider's place, before reflow and after the last one."""
        for k, plot in enumerate(self.fields):
            flow = self.flows[-1 if k else 0] if len(self.flows) > k else None
            if flow is None:
                plot.show_particles("flow", None, np.zeros((0, 0, 2)))
                wait = "Learning…" if self.flowing.busy else "Press Reflow."
                plot.show_note(wait)
                continue
            place = int(np.abs(flow.s - self.time()).argmin())
            plot.show_note("")
            plot.show_particles("flow", flow.places[place], flow.places[: place + 1, :TRAILS])

    def _show_rounds(self) -> None:
        """What depends on no place: how bent the ways of each round are."""
        self._show_flows()
        if len(self.flows) > 1:
            self.heads[1].setText(f"After {ROUNDS[self.flows[-1].round]}")
        self.rounds.show_lines([
            Line(ROUNDS[flow.round], flow.s[::-1], flow.bend[::-1], SERIES[flow.round])
            for flow in self.flows
        ])  # fmt: skip
        self.legends[1].show_lines({line.name: line.series for line in self.rounds.lines})

    def show_time(self) -> None:
        """Put what is nearest to the slider's s into the views."""
        at = self.level()
        for name in ("states", "guesses"):
            self.views[name].show_images(getattr(at, name) if at else None)
        for plot in (self.bends, self.rounds):
            plot.set_mark(at.t if at else self.time())
        self.timeline.set_caption(f"s = {at.t:.3f}   t = {at.time:.3f}" if at else "")
        self._show_flows()

    def _lines(self) -> list[Line]:
        if not self.levels:
            return []
        s = np.array([one.t for one in self.levels])[::-1]
        known = self.levels[0].bends.items()
        return [Line(n, s, v[::-1], work.LINES[n]) for n, v in known if len(v) == len(s)]

    def show_levels(self) -> None:
        self.timeline.set_count(self.form["steps"].value() + 1)
        self.bends.show_lines(self._lines())
        few = self.levels[0].few if self.levels else ()
        self.views["few"].show_images(
            np.concatenate([one.images[:SHOWN] for one in few]) if few else None,
            min(SHOWN, len(few[0].images)) if few else None,
        )

    def show_words(self, words: str) -> None:
        self.status.setText(words)

    def say(self) -> str:
        words = "The ways are followed from noise to images…"
        if self.levels and self.levels[0].few:
            one, *_ = few = self.levels[0].few
            mean = float(self.levels[0].bends["learnt"].mean())
            words = (
                f"The model's ways bend by {mean:.1%} on average; one step ends {one.apart:.2f} "
                f"from where the whole way leads, eight steps {few[-2].apart:.2f}."
            )
        if self.flowing.busy and self.learning:
            words += (
                f" Plane: {ROUNDS[self.learning.round]}, step {self.learning.step} of "
                f"{self.learning.steps}."
            )
        elif len(self.flows) > 1:
            first, last = self.flows[0], self.flows[-1]
            words += (
                f" Plane: after {ROUNDS[last.round]} the bend is {last.bend.mean():.3f} instead of "
                f"{first.bend.mean():.2f}, and one step's error {last.apart:.2f} instead of "
                f"{first.apart:.2f}."
            )
        return words

    def ask(self) -> Any:
        return super().ask().with_changes(**{n: self.form[n].value() for n in PLANE[:2]})

    def grid(self) -> np.ndarray | None:
        """What few steps draw, fewest first, and all the way."""
        few = self.levels[0].few if self.levels else ()
        return np.concatenate([one.images for one in few]) if few else None

    def animation(self) -> list[np.ndarray]:
        """Images and the plane, from noise to data."""
        before, frames = self.timeline.fraction(), []
        for level in self.levels:
            self.go(level.t)
            parts = [picture(one)[0] for one in (self.views["states"], *self.fields)]
            height = min(len(part) for part in parts)
            frames.append(np.concatenate([part[:height] for part in parts], 1)[None])
        self.timeline.set_fraction(before)
        return frames

    def curves(self) -> dict[str, np.ndarray]:
        """The bends over s."""
        lines = [*self._lines(), *self.rounds.lines]
        return {line.name: np.column_stack([line.x, line.y]) for line in lines}

    def visit(self, guide: Guide) -> None:
        self.form.set_values({"count": 9, "steps": 8, "rounds": 1})
        self.reflow_button.click()
        guide.wait(lambda: len(self.flows) == 2 and not self.work.busy, "ways were followed")
        self.timeline.set_fraction(0.6)
