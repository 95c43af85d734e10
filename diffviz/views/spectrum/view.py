"""The spectrum view: which frequencies noise drowns, and which of them the model tells again."""

from functools import partial
from typing import Any

import numpy as np
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from diffviz.controls.form import Form
from diffviz.shell.session import Session
from diffviz.views.spectrum import work
from diffviz.views.view import Guide, View
from diffviz.widgets.caption import Words
from diffviz.widgets.formula import Formula
from diffviz.widgets.heat import HeatPlot
from diffviz.widgets.lines import Line, LinesPlot
from diffviz.widgets.mosaic import Mosaic
from diffviz.widgets.themed import picture
from diffviz.widgets.timeline import Timeline
from trainer.spectrum import Ground

DECIBELS = 20.0  # the map of what stands above the noise ends so far from it
AXIS = "frequency (cycles an image)"
LEVELS = {"gain": (0.0, 1.0), "wiener": (0.0, 1.0), "more": (-1.0, 1.0), "told": (-1.0, 1.0)}
TITLES = {choice.id: choice.title for choice in work.MAPS}


class SpectrumView(View):
    """Keeps the powers and pictures at every t, so that the slider only picks."""

    kind = work.Spectra
    timeline: Timeline
    explanation = (
        "<h3>Why coarse to fine?</h3>"
        "<p>Pictures have most of their power at low frequencies; noise has the same power at all. "
        "So noise drowns fine detail first, and a sampler, which comes from the other side, can "
        "only find large shapes at first and details last (Dieleman 2024; Rissanen et al. 2023, "
        "arXiv:2206.13397). Power is averaged over rings of equal frequency, of what deviates from "
        "the mean picture of the training set.</p>"
        "<p><b>Left map</b>: α²P over σ² at each t in decibels; on the line both are equal. "
        "<b>Right map</b>: the power of the model's guess over that of the real images. The "
        "reference is exact: for a Gaussian with this spectrum the best denoiser is Wiener's "
        "filter, whose gain is α²P / (α²P + σ²).</p>"
        "<p>A trained model tells far more than Wiener's filter: an edge's fine detail follows "
        "from its coarse shape, which only a nonlinear model can use. But the best guess's gain "
        "equals the <b>share told rightly</b>, 1 − E|x<sub>0</sub> − guess|² / P: power beyond "
        "it is made up.</p>"
    )

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.work = self.latest(self._take, self._show_status)
        self.asked: work.Spectra | None = None  # what is on view
        self.awaited = False  # to be measured as soon as the models are listed
        self.ground: Ground | None = None
        self.seen: dict[int, work.Seen] = {}

        self.form = Form(self.kind, "spectrum", session, self, without=("fraction",))
        self.status = Words("spectrumStatus")
        self.stop_button = QPushButton("Stop", objectName="stopSpectrumButton", enabled=False)
        self.stop_button.setToolTip("Measure no further; what is measured stays")
        self.measure_button = QPushButton("Measure", objectName="measureSpectrumButton")
        self.measure_button.setProperty("primary", True)
        self.measure_button.setToolTip("Ask the model at every t, the ends first")
        self.states = Mosaic("Noised test images: press Measure.")
        self.guesses = Mosaic("The model's guesses: press Measure.")
        for view, name, words in ((self.states, "spectrumStateView", "Test images, noised to t"),
                                  (self.guesses, "spectrumGuessView", "The model's guess of them"),
                                  ):  # fmt: skip
            view.setObjectName(name)
            view.setAccessibleName(words)
            view.setToolTip(words)
        self.states.hovered.connect(self.guesses.mark)
        self.guesses.hovered.connect(self.states.mark)
        self.powers = LinesPlot("powerPlot", "Power over frequency", "power", across=AXIS, log=True)
        self.gains = LinesPlot(
            "gainPlot", "The denoiser's gain over frequency", "share of the data's power",
            (-0.1, 1.5), across=AXIS,
        )  # fmt: skip
        self.above = HeatPlot("aboveMap", "Power above the noise, dB", AXIS)
        self.gain_map = HeatPlot("gainMap", TITLES["gain"], AXIS)
        empty = "press Measure: test images are noised, and the model guesses them at every t."
        for plot, what in ((self.powers, "Power by frequency"), (self.gains, "The gain"),
                           (self.above, "What stands above the noise"),
                           (self.gain_map, "The gain at every t")):  # fmt: skip
            plot.set_placeholder(f"{what} appears here; {empty}")
        self.timeline = Timeline()
        self.timeline.set_count(self.form["times"].value())
        self.facts = Words("spectrumFacts")
        self._build()

        self.measure_button.clicked.connect(self.measure)
        self.stop_button.clicked.connect(self.stop)
        self.timeline.position_changed.connect(self.show_time)
        for heat in (self.above, self.gain_map):
            heat.marked.connect(lambda t: self.timeline.set_fraction(1 - t))
        self.form["map"].changed.connect(self._show_maps)
        self.form.changed.connect(self._changed)
        self.timeline.set_fraction(self.kind().fraction)
        self._show_status()

    def _build(self) -> None:
        row = self.form.row("model", "image", "count", "seed")
        row.addWidget(self.stop_button)
        row.addWidget(self.measure_button)
        grid = QGridLayout()
        for place, (widget, words) in enumerate(
            ((self.states, "x<sub>t</sub>"), (self.guesses, "guess of x<sub>0</sub>"))
        ):
            column = QVBoxLayout()
            column.addWidget(QLabel(words))
            column.addWidget(widget, 1)
            grid.addLayout(column, place, 0)
        grid.addWidget(self.powers, 0, 1)
        grid.addWidget(self.gains, 0, 2)
        grid.addWidget(self.above, 1, 1)
        grid.addWidget(self.gain_map, 1, 2)
        for place, stretch in enumerate((3, 5, 5)):
            grid.setColumnStretch(place, stretch)
        for k in (0, 1):
            grid.setRowStretch(k, 1)
        below = QHBoxLayout()
        below.addWidget(self.facts, 3)
        below.addWidget(self.status, 2)
        below.addLayout(self.form.row("map", end=False))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 6, 9, 6)
        layout.addLayout(row)
        layout.addLayout(grid, 1)
        layout.addLayout(below)
        layout.addWidget(self.timeline)
        layout.addWidget(
            Formula(
                "Noise has the same power at every frequency, pictures have little at high ones: "
                "detail drowns first, and is found last.",
                [("E |F x_t|^2 = α^2 P + σ^2,   \"Wiener's gain\" = α^2 P / (α^2 P + σ^2)",
                  "Wiener 1949; Rissanen et al. 2023; Dieleman 2024")],
                "spectrumFormula",
            )
        )  # fmt: skip

    @property
    def model(self) -> Any:
        """The chooser of the model."""
        return self.form["model"]

    def wanted(self) -> work.Spectra | None:
        """What the controls ask for; None while no model is there to ask."""
        fraction = self.timeline.fraction()
        return None if self.model.run is None else self.form.ask(fraction=fraction)

    def _stale(self) -> bool:
        """Whether the controls ask for other numbers than those on view."""
        wanted, kept = self.wanted(), self.asked
        if wanted is None or kept is None:
            return kept is not None
        return wanted != kept.with_changes(map=wanted.map, fraction=wanted.fraction)

    def _changed(self) -> None:
        """A setting changed: numbers under way may not be what is asked for any more."""
        if self.awaited or (self.work.busy and self._stale()):
            self.measure()
        self._show_status()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self.asked is None:
            self.measure()

    def measure(self) -> None:
        """Measure what the controls ask for; what is under way is given up for it."""
        ask = self.wanted()
        self.awaited = ask is None
        if ask is not None:
            self.asked, self.ground, self.seen = ask, None, {}
            self.work.ask(partial(work.look, ask, self.session.places))
        self._show_status()

    def stop(self) -> None:
        self.awaited = False
        self.work.stop()

    def _take(self, events: list[Any]) -> None:
        for event in events:
            if isinstance(event, Ground):
                self.ground, self.seen = event, {}
                self._set_axes(event)
            else:
                self.seen[event.moment.index] = event
        self._show_maps()
        self.show_time()
        self._show_status()

    def _set_axes(self, ground: Ground) -> None:
        """Axes that hold every t, so that nothing jumps as the slider moves."""
        self.timeline.set_count(len(ground.times))
        rings = len(ground.data)
        some = ground.data[ground.data > 0]
        top = float((ground.alpha[:, None] ** 2 * ground.data + ground.sigma[:, None] ** 2).max())
        low = max(float(some.min()) / 10 if len(some) else 1e-6, top * 1e-12)
        self.powers.set_ranges((0, rings - 1), (low, 2 * max(top, float(ground.data.max()))))
        self.gains.set_ranges((0, rings - 1), (-0.1, 1.5))

    def at(self) -> work.Seen | None:
        """What is measured nearest to the slider's place."""
        if self.ground is None or not self.seen:
            return None
        place = self.timeline.fraction() * (len(self.ground.times) - 1)
        return self.seen[min(self.seen, key=lambda index: abs(index - place))]

    def show_time(self) -> None:
        """Bring pictures, lines and marks to the slider's t."""
        seen, ground = self.at(), self.ground
        if seen is None or ground is None:
            t = 1 - self.timeline.fraction()
            self.facts.setText("")
        else:
            t = float(ground.times[seen.moment.index])
            self.states.show_images(seen.states)
            self.guesses.show_images(seen.guesses)
            self._show_lines(seen, ground)
            self._show_facts(seen, ground)
        for heat in (self.above, self.gain_map):
            heat.set_mark(t)
        self.timeline.set_caption(f"t = {t:.3f}")

    def _show_lines(self, seen: work.Seen, ground: Ground) -> None:
        moment, told = seen.moment, seen.told(ground)
        x = np.arange(len(ground.data), dtype=float)
        noise = np.full(len(x), ground.sigma[moment.index] ** 2)
        self.powers.show_lines([
            Line("real images", x, ground.data, 0), Line("x_t", x, moment.noisy, 2),
            Line("guess", x, moment.guess, 1), Line("Wiener's guess", x, moment.wiener, 1, "dash"),
            Line("noise", x, noise, 6, "dot"),
        ])  # fmt: skip
        self.gains.show_lines([
            Line("gain", x, told["gain"], 1), Line("Wiener's gain", x, told["wiener"], 1, "dash"),
            Line("share told rightly", x, told["told"], 3),
        ])  # fmt: skip

    def _show_facts(self, seen: work.Seen, ground: Ground) -> None:
        index = seen.moment.index
        front, counts = int(ground.front()[index]), ground.rings.counts
        above = (
            "No frequency stands above the noise" if front < 0
            else f"{front} cycles an image and less stand above the noise"
        )  # fmt: skip
        whole = float(counts @ ground.data)
        shares = [float(counts @ part) / whole if whole > 0 else 0.0
                  for part in (seen.moment.guess, seen.moment.wiener)]  # fmt: skip
        self.facts.setText(f"{above}; the guess has {shares[0]:.0%} of the power, "
                           f"Wiener's {shares[1]:.0%}.")  # fmt: skip
        self.facts.setToolTip(f"α = {ground.alpha[index]:.3f}, σ = {ground.sigma[index]:.3f}")

    def _show_maps(self) -> None:
        if self.ground is None:
            return
        with np.errstate(divide="ignore"):
            decibels = 10 * np.log10(self.ground.above())
        self.above.show_values(
            np.maximum(decibels, -DECIBELS), (-DECIBELS, DECIBELS), "power above the noise, dB",
            parting=True, front=self.ground.front(),
        )  # fmt: skip
        which = self.form["map"].value()
        self.gain_map.show_values(
            self.table(which), LEVELS[which], TITLES[which], parting=LEVELS[which][0] < 0
        )

    def table(self, which: str) -> np.ndarray:
        """That map's values (F, K) at every t; NaN where they are not measured yet."""
        assert self.ground is not None
        found = np.full((len(self.ground.times), len(self.ground.data)), np.nan)
        for index, seen in self.seen.items():
            found[index] = seen.told(self.ground)[which]
        return found

    def _show_status(self) -> None:
        busy = self.work.busy
        self.stop_button.setEnabled(busy)
        self.measure_button.setEnabled(self.model.run is not None)
        if self.model.run is None:
            words = "Waiting for the models to be listed."
        elif busy:
            count = len(self.ground.times) if self.ground else self.form["times"].value()
            words = f"Measuring: {len(self.seen)} of {count}"
        elif self._stale():
            words = "The settings changed: press Measure."
        else:
            words = f"Measured at {len(self.seen)} times." if self.seen else ""
        self.status.setText(words)

    def ask(self) -> work.Spectra:
        fraction = self.timeline.fraction()
        kept = self.asked or self.form.ask()
        return kept.with_changes(map=self.form["map"].value(), fraction=fraction)

    def prepare(self, ask: work.Spectra) -> None:
        self.form.restore(ask)
        self.timeline.set_fraction(ask.fraction)

    def restore(self, ask: work.Spectra) -> None:
        self.prepare(ask)
        self.timeline.pause()
        self.measure()

    def grid(self) -> np.ndarray | None:
        return picture(self) if self.seen else None

    def animation(self) -> list[np.ndarray]:
        """The plots from noise to data, as the slider shows them."""
        before, frames = self.timeline.fraction(), []
        for place in np.linspace(0, 1, len(self.seen)) if self.seen else ():
            self.timeline.set_fraction(float(place))
            parts = [picture(plot)[0] for plot in (self.states, self.guesses, self.powers)]
            height = min(len(part) for part in parts)
            frames.append(np.concatenate([part[:height] for part in parts], 1)[None])
        self.timeline.set_fraction(before)
        return frames

    def curves(self) -> dict[str, np.ndarray]:
        """The lines at the slider's t, over frequency."""
        return {line.name: np.column_stack([line.x, line.y])
                for plot in (self.powers, self.gains) for line in plot.lines}  # fmt: skip

    def visit(self, guide: Guide) -> None:
        self.form.set_values({"count": 16, "times": 9})
        self.measure_button.click()
        guide.wait(lambda: not self.work.busy and len(self.seen) == 9, "the spectra were measured")
        for k in range(9):
            self.timeline.set_fraction(k / 8)
            guide.rest(0.01)
        self.timeline.set_fraction(0.5)
