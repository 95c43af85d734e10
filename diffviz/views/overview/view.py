"""The overview in one dimension: a mixture's density over time, with paths through it."""

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from PySide6.QtCore import QEvent
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from diffviz.controls.form import Form
from diffviz.shell.session import Session
from diffviz.views import toys
from diffviz.views.overview import work
from diffviz.views.toy_view import ToyView
from diffviz.views.view import Guide
from diffviz.widgets.caption import Words
from diffviz.widgets.density import DensityMap, Mode, ModeEditor, Section
from diffviz.widgets.formula import Formula
from diffviz.widgets.themed import colour, line_icon, picture

LAYERS = {
    "forward": ("forward SDE", "Paths of the forward process: every step adds fresh noise"),
    "reverse": ("reverse SDE", "Paths from noise to data, with fresh noise at every step"),
    "flow": ("probability-flow ODE", "Paths without randomness, the same curve both ways"),
    "score": (
        "score",
        "Arrows up the log-density, times σ(t): where generation pulls",
    ),
}


class OverviewView(ToyView):
    """A mixture the user shapes, diffused exactly; everything shown is computed on a worker."""

    kind = work.Overview
    explanation = (
        "<h3>The whole method in one dimension</h3>"
        "<p>Left half: a <b>forward SDE</b> turns data (far left) into noise (middle). Right half: "
        "the <b>reverse SDE</b> turns noise back into data. Blue is the density p<sub>t</sub>(x), "
        "known exactly here, relative to its peak at each t.</p>"
        "<p>The <b>probability-flow ODE</b> has the same densities without any noise, so its "
        "curves can be walked both ways. Arrows show the <b>score</b>, the only thing a network "
        "has to learn.</p>"
        "<p>Drag the round handles to move and weigh the data's modes, the square ones (or the "
        "wheel) to widen them. Drag the slider, or the dashed lines: the section at the right "
        "compares p<sub>t</sub> with histograms of the paths.</p>"
    )

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.work = self.latest(self._take, self._ended)
        self.awaited = False  # the density of the request under way has not come yet
        self.pending = False  # the modes have moved since that request
        self.densities: work.Densities | None = None
        self.paths: dict[str, np.ndarray] = {}
        self.seed = 0
        reach = toys.REACH[1]
        self.editor = ModeEditor(reach, "modeEditor")
        self.map = DensityMap(reach, "densityMap")
        self.section = Section(reach, "sectionPlot")
        self.timeline.set_fraction(0.5)
        self.facts = Words("overviewFacts")
        self.formula = Formula(
            "Noising and generation share their densities: the reverse SDE and the ODE both need "
            "only the score ∇ log pₜ.",
            [
                ("dx = f(x, t) dt + g(t) dw", "forward"),
                ("dx = [f(x, t) − g(t)^2 ∇_x log p_t(x)] dt + g(t) dw̄", "reverse, "
                 "Song et al. 2021, eq. 6"),
                ("dx = [f(x, t) − ½ g(t)^2 ∇_x log p_t(x)] dt", "ODE, eq. 13"),
            ],
            "overviewFormula",
        )  # fmt: skip

        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        self.editor.setFixedWidth(165)
        self.section.setFixedWidth(170)
        row.addWidget(self.editor)
        row.addWidget(self.map, 1)
        row.addWidget(self.section)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 6, 9, 6)
        layout.addLayout(self._make_controls())
        layout.addLayout(row, 1)
        layout.addLayout(self._make_layers())
        layout.addWidget(self.timeline)
        layout.addWidget(self.facts)
        layout.addWidget(self.formula)

        self.editor.modes_changed.connect(self._modes_changed)
        self.editor.selected_changed.connect(self._show_mode)
        self.timeline.position_changed.connect(self.show_time)
        self.map.time_dragged.connect(self.set_time)
        self.editor.set_modes(_modes(self.kind()))
        self._list_modes()
        self._colour_layers()
        self.show_time()

    def _make_controls(self) -> QHBoxLayout:
        self.form = Form(
            self.kind, "overview", self.session, self, without=("modes", "seed", "t")
        )  # fmt: skip
        self.process = self.form["process"]
        self.mode = QComboBox(objectName="modeCombo")
        spins = [
            QDoubleSpinBox(objectName=name, minimum=low, maximum=high, decimals=2, prefix=prefix)
            for name, prefix, (low, high) in (
                ("meanSpin", "mean ", ModeEditor.MEANS),
                ("widthSpin", "width ", ModeEditor.STDS),
                ("weightSpin", "weight ", ModeEditor.WEIGHTS),
            )
        ]
        self.mean, self.std, self.weight = spins
        self.add = QToolButton(objectName="addModeButton", text="+")
        self.remove = QToolButton(objectName="removeModeButton", text="−")
        self.again = QPushButton("New paths", objectName="newPathsButton")
        self.busy = QLabel(objectName="overviewBusy")
        row = self.form.row("process", end=False, labelled=False)
        row.addWidget(self.form.more_button)
        for widget, name, tip in (
            (self.mode, "Mode", "Which mode of the data the fields at its right are about"),
            (self.mean, "Mean of the mode", "Where the mode lies"),
            (self.std, "Width of the mode", "Its standard deviation"),
            (self.weight, "Weight of the mode", "Its share, relative to the others"),
            (self.add, "Add a mode", "Add a mode"),
            (self.remove, "Remove the mode", "Remove this mode"),
            (self.again, "New paths", "Draw other noise for all paths"),
        ):
            widget.setAccessibleName(name)
            widget.setToolTip(tip)
            row.addWidget(widget)
        row.addStretch(1)
        row.addWidget(self.busy)
        self.form.changed.connect(self.compute)
        self.mode.activated.connect(self.editor_select)
        for spin in spins:
            spin.setSingleStep(0.05)
            spin.valueChanged.connect(self._mode_typed)
        self.add.clicked.connect(self._add_mode)
        self.remove.clicked.connect(self._remove_mode)
        self.again.clicked.connect(self._new_paths)
        return row

    def _make_layers(self) -> QHBoxLayout:
        self.layers: dict[str, QCheckBox] = {}
        row = QHBoxLayout()
        row.addStretch(1)
        for part, (text, tip) in LAYERS.items():
            box = QCheckBox(text, objectName=f"{part}Check", checked=True)
            box.setToolTip(tip)
            box.setAccessibleName(f"Show {text}")
            box.toggled.connect(self._show_layers)
            self.layers[part] = box
            row.addWidget(box)
        row.addStretch(1)
        return row

    def editor_select(self, index: int) -> None:
        self.editor.select(index)

    def ask(self) -> work.Overview:
        modes = tuple(work.Mode(mode.mean, mode.std, mode.weight) for mode in self.editor.modes)
        return self.form.ask(modes=modes, seed=self.seed, t=self.time())

    def compute(self) -> None:
        """Work out everything anew; what is under way is given up, but for a density.

        A density is waited for, so that it keeps up with a handle being dragged.
        """
        if not self.isVisible():
            self.densities = None  # showEvent will ask
            return
        if self.awaited:
            self.pending = True
            return
        self.awaited, self.pending = True, False
        self.busy.setText("computing…")
        self.work.ask(partial(work.overview, self.ask()))

    def show_time(self) -> None:
        """Move the marks to the slider's t, and show the section there."""
        self.timeline.set_caption(f"t = {self.time():.2f}")
        self.map.set_time(self.time())
        d = self.densities
        if d is None:
            return
        k = self.moment()
        self.section.show_moment(d.axis, d.density[k], f"p at t = {d.times[k]:.2f}")
        for part in ("forward", "reverse", "flow"):
            shown = self.layers[part].isChecked() and part in self.paths
            self.section.show_samples(part, self.paths[part][k] if shown else None)
        text = f"α = {d.alpha[k]:.3f},  σ = {d.sigma[k]:.3f}. "
        if d.alpha[-1] ** 2 / d.sigma[-1] ** 2 > toys.SIGNAL_LEFT:
            text += (
                f"At t = 1 the signal is not gone: α² = {d.alpha[-1] ** 2:.3f}. Starting from pure "
                f"noise is wrong by {d.prior_mismatch:.2g} bits (KL divergence)."
            )
        if d.scaled:
            text += f"x is shown divided by √(α² + σ²), as the noise reaches σ = {d.sigma[-1]:g}."
        self.facts.setText(text)

    def _take(self, events: list[Any]) -> None:
        for event in events:
            if isinstance(event, work.Densities):
                self.densities, self.paths = event, {}
                self.awaited = False
                self.map.show_density(event.density)
                self.editor.show_density(event.axis, event.density[0])
            elif isinstance(event, toys.Paths):
                self.paths[event.kind] = event.places
            else:
                continue
            self._show_layers()
        if self.pending and not self.awaited:
            self.compute()

    def _ended(self) -> None:
        self.awaited = False
        self.busy.setText("")
        if self.pending:
            self.compute()

    def _show_layers(self) -> None:
        d = self.densities
        if d is None:
            return
        shown = work.OVERVIEW_SHOWN
        for part in ("forward", "reverse", "flow"):
            there = self.layers[part].isChecked() and part in self.paths
            self.map.show_paths(part, d.times, self.paths[part][:, :shown] if there else None)
        if self.layers["score"].isChecked():
            self.map.show_arrows(d.arrow_times, d.arrow_axis, d.arrows)
        else:
            self.map.arrows.setData([], [])
        self.show_time()

    def _modes_changed(self) -> None:
        self._show_mode()
        self.compute()

    def _list_modes(self) -> None:
        self.mode.clear()
        self.mode.addItems([f"mode {k + 1}" for k in range(len(self.editor.modes))])
        self.add.setEnabled(len(self.editor.modes) < work.MOST_MODES)
        self.remove.setEnabled(len(self.editor.modes) > 1)
        self._show_mode()

    def _show_mode(self) -> None:
        mode = self.editor.modes[self.editor.selected]
        self.mode.setCurrentIndex(self.editor.selected)
        for spin, value in (
            (self.mean, mode.mean), (self.std, mode.std), (self.weight, mode.weight)
        ):  # fmt: skip
            if not spin.hasFocus():
                spin.blockSignals(True)
                spin.setValue(value)
                spin.blockSignals(False)

    def _mode_typed(self) -> None:
        typed = Mode(self.mean.value(), self.std.value(), self.weight.value())
        self.editor.change(self.editor.selected, typed)

    def _set_modes(self, modes: list[Mode], selected: int) -> None:
        self.editor.set_modes(modes)
        self.editor.select(selected)
        self._list_modes()
        self.compute()

    def _add_mode(self) -> None:
        """Put a mode into the widest gap between the others."""
        means = sorted([-3.0, *(mode.mean for mode in self.editor.modes), 3.0])
        gaps = [b - a for a, b in pairwise(means)]
        widest = int(np.argmax(gaps))
        added = Mode((means[widest] + means[widest + 1]) / 2, 0.25, 0.4)
        self._set_modes([*self.editor.modes, added], len(self.editor.modes))

    def _remove_mode(self) -> None:
        modes = list(self.editor.modes)
        del modes[self.editor.selected]
        self._set_modes(modes, max(0, self.editor.selected - 1))

    def _new_paths(self) -> None:
        self.seed += 1
        self.compute()

    def _colour_layers(self) -> None:
        for part, box in self.layers.items():
            box.setIcon(line_icon(colour(part, self.palette())))

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self.densities is None:
            self.compute()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == event.Type.PaletteChange and hasattr(self, "layers"):
            self._colour_layers()

    def shutdown(self) -> None:
        self.pending = False
        super().shutdown()

    def grid(self) -> np.ndarray | None:
        return None if self.densities is None else picture(self)

    def animation(self) -> list[np.ndarray]:
        """The map and the section, from noise to data."""
        if self.densities is None:
            return []
        return self.film((self.editor, self.map, self.section))

    def curves(self) -> dict[str, np.ndarray]:
        if self.densities is None:
            return {}
        axis = self.densities.axis
        return {f"p at t = {self.time():.2f}": np.column_stack([axis, self.section.density])}

    def prepare(self, ask: work.Overview) -> None:
        self.seed = ask.seed
        self.form.restore(ask)
        self._set_modes(_modes(ask), 0)
        self.set_time(ask.t)

    def visit(self, guide: Guide) -> None:
        guide.wait(lambda: not self.work.busy, "the overview was computed")
        self.timeline.set_fraction(0.6)


def _modes(ask: work.Overview) -> list[Mode]:
    """The ask's modes as the editor has them."""
    return [Mode(mode.mean, mode.std, mode.weight) for mode in ask.modes][: work.MOST_MODES]
