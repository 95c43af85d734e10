"""The trajectories panel: two rows, forward beside reverse, one timeline under all four views."""

import json
import math
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from diffviz.views.trajectories import work
from diffviz.controls.classes import ClassChoice
from diffviz.controls.model import SAMPLER_TITLES, choose, list_samplers
from diffviz.jobs import Job
from diffviz.shell.session import ROWS, Session
from diffviz.views import Panel
from diffviz.views.trajectories.films import Films
from diffviz.widgets.formula import Formula
from diffviz.widgets.histogram import HistogramPlot
from diffviz.widgets.mosaic import Mosaic
from diffviz.widgets.timeline import Timeline

FIRST_SAMPLER = {"ddpm": "ddpm", "sde": "euler-maruyama"}
FIRST_STEPS = 100
ROW_TITLES = {"ddpm": "DDPM", "sde": "SDE"}
DIRECTIONS = {"forward": "real images, noised", "reverse": "noise, denoised"}
SHOWN = {
    "state": "state x_t",
    "guess": "guess x0",
    "noise": "predicted noise",
    "change": "change of the last step",
}
STRIP_COLUMNS, STRIP_IMAGES = 11, 2


class TrajectoriesPanel(Panel):
    """Holds every frame of the four views as arrays, so that the slider only picks."""

    title = "Trajectories"
    timeline: Timeline
    explanation = (
        "<h3>Noising and denoising</h3>"
        "<p>Left, the <b>forward process</b> destroys real images: "
        "x<sub>t</sub> = α(t)·x<sub>0</sub> + σ(t)·ε, with ε ~ N(0, I). Right, a <b>sampler</b> "
        "starts from pure noise and undoes it step by step, asking the network at each step "
        "which noise it sees. Both rows start from the same noise.</p>"
        "<p>DDPM walks a chain of T steps (Ho et al. 2020). The SDE row solves the reverse-time "
        "equation dx = [f − g²∇log p<sub>t</sub>(x)]dt + g dw (Song et al. 2021), or its "
        "probability-flow ODE, which has no randomness.</p>"
        "<p>Drag the slider: all four views move to the same noise level. The histogram shows "
        "the pixel values of the denoised row against N(0, 1), the line.</p>"
    )

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.job: Job | None = None
        self.again = False
        self.request: work.Request | None = None
        self.films = Films(ROWS)
        self.nfe: dict[str, int] = {}

        self.models = {row: QComboBox(objectName=f"{row}ModelCombo") for row in ROWS}
        for combo in self.models.values():
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.samplers = {row: QComboBox(objectName=f"{row}SamplerCombo") for row in ROWS}
        self.steps = {
            row: QSpinBox(objectName=f"{row}StepsSpin", minimum=2, maximum=1000, value=FIRST_STEPS)
            for row in ROWS
        }
        self.asking = {row: ClassChoice(row, labelled=False) for row in ROWS}
        self.spent = {row: QLabel(objectName=f"{row}NfeLabel") for row in ROWS}
        self.timeline = Timeline()
        self.facts = QLabel(objectName="marginalLabel")
        self.facts.setTextFormat(Qt.TextFormat.RichText)
        self.facts.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.sample_button = QPushButton("Sample", objectName="sampleButton")
        self.sample_button.setProperty("primary", True)
        self.stop_button = QPushButton("Stop", objectName="stopSamplingButton", enabled=False)

        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 6, 9, 6)
        layout.addLayout(self._make_controls())
        layout.addLayout(self._make_views(), 1)
        layout.addWidget(self.timeline)
        layout.addWidget(self.facts)
        layout.addWidget(
            Formula(
                "Both rows start from the same noise; each step removes a little of what the "
                "network takes for noise.",
                [("x_t = α(t) x_0 + σ(t) ε,   dx = [f − g^2 ∇_x log p_t(x)] dt + g dw̄",
                  "Ho et al. 2020, eq. 4; Song et al. 2021, eq. 6")],
                "trajectoriesFormula",
            )
        )  # fmt: skip

        self.sample_button.clicked.connect(self.sample)
        self.stop_button.clicked.connect(self.stop)
        self.show_what.currentIndexChanged.connect(self.show_time)
        self.layout_combo.currentIndexChanged.connect(self._arrange)
        self.timeline.position_changed.connect(self.show_time)
        session.runsChanged.connect(self._list_models)
        session.modelChanged.connect(self._list_models)
        for row in ROWS:
            self.models[row].activated.connect(partial(self._choose_model, row))
            list_samplers(self.samplers[row], tuple(SAMPLER_TITLES))
            choose(self.samplers[row], FIRST_SAMPLER[row])
        self._list_models()
        self.show_time()

    def _make_controls(self) -> QHBoxLayout:
        self.count = QComboBox(objectName="countCombo")
        for n in (1, 4, 16, 64):
            self.count.addItem(f"{n} image{'s' if n > 1 else ''}", n)
        self.count.setCurrentIndex(2)
        self.seed = QSpinBox(objectName="sampleSeedSpin", maximum=2**31 - 1)
        self.begin_at = QComboBox(objectName="startCombo")
        self.begin_at.addItem("from noise", "noise")
        self.begin_at.addItem("from a real image", "image")
        self.image = QSpinBox(objectName="imageSpin", maximum=59_999, value=4, prefix="no. ")
        self.start = QDoubleSpinBox(
            objectName="startSpin", minimum=0.05, maximum=1.0, value=0.5, prefix="t = "
        )
        self.start.setSingleStep(0.05)
        self.show_what = QComboBox(objectName="showCombo")
        for key, text in SHOWN.items():
            self.show_what.addItem(text, key)
        self.layout_combo = QComboBox(objectName="layoutCombo")
        self.layout_combo.addItem("mosaic", "mosaic")
        self.layout_combo.addItem("filmstrip", "strip")

        def follow_start() -> None:
            for widget in (self.image, self.start):
                widget.setVisible(self.begin_at.currentData() == "image")

        self.begin_at.currentIndexChanged.connect(follow_start)
        follow_start()
        controls = QHBoxLayout()
        for widget, name, tip in (
            (self.count, "Images", "How many images each view shows"),
            (self.seed, "Seed", "The noise that both rows start from"),
            (self.begin_at, "Start", "Pure noise, or a training image noised part of the way"),
            (self.image, "Training image", "Which training image to start from"),
            (self.start, "Start at t", "How far that image is noised first: 1 is all noise"),
            (self.show_what, "Show", "The noisy state, the model's guess of the clean image, the "
             "noise it sees, or what the last step changed"),
            (self.layout_combo, "Layout", "All images at one time, or one image through time"),
        ):  # fmt: skip
            widget.setAccessibleName(name)
            widget.setToolTip(tip)
            if name in ("Seed", "Start", "Show"):
                controls.addWidget(QLabel(name))
            controls.addWidget(widget)
        controls.addStretch(1)
        controls.addWidget(self.stop_button)
        controls.addWidget(self.sample_button)
        return controls

    def _make_views(self) -> QGridLayout:
        self.views: dict[tuple[str, str], Mosaic] = {}
        self.histograms: dict[str, HistogramPlot] = {}
        self.heads = {row: QWidget() for row in ROWS}
        self.views_grid = grid = QGridLayout()
        centres = (work.BINS[:-1] + work.BINS[1:]) / 2
        normal = np.exp(-0.5 * centres**2) / math.sqrt(2 * math.pi)
        for row in ROWS:
            head = QHBoxLayout(self.heads[row])
            head.setContentsMargins(0, 0, 0, 0)
            head.addWidget(QLabel(f"<b>{ROW_TITLES[row]}</b>"))
            for widget, name, tip in (
                (self.models[row], "model", "The trained model that denoises this row"),
                (self.samplers[row], "sampler", "How the model's answers become steps"),
                (self.steps[row], "steps", "Updates: more are finer and slower"),
            ):
                widget.setAccessibleName(f"{ROW_TITLES[row]} {name}")
                widget.setToolTip(tip)
                head.addWidget(widget)
            self.steps[row].setSuffix(" steps")
            head.addWidget(self.asking[row])
            head.addWidget(self.spent[row])
            head.addStretch(1)
            for direction, words in DIRECTIONS.items():
                view = Mosaic(f"{words.capitalize()}: press Sample.")
                view.setObjectName(f"{row}{direction.title()}View")
                view.setAccessibleName(f"{ROW_TITLES[row]}, {words}")
                view.setToolTip(words.capitalize())
                view.hovered.connect(self._mark)
                self.views[row, direction] = view
            words = f"{ROW_TITLES[row]} pixel values against N(0, 1)"
            histogram = HistogramPlot(work.BINS, normal, 0.9, f"{row}Histogram", words)
            histogram.setToolTip("Pixel values of the denoised images; the line is N(0, 1)")
            self.histograms[row] = histogram
        self._arrange()
        return grid

    def _arrange(self) -> None:
        """Lay the views out as mosaics beside each other, or as strips under each other."""
        grid, strip = self.views_grid, self.layout_combo.currentData() == "strip"
        self._mark(-1)
        for r, row in enumerate(ROWS):
            first = 3 * r
            grid.addWidget(self.heads[row], first, 0, 1, 3)
            forward, reverse = (self.views[row, direction] for direction in DIRECTIONS)
            if strip:
                grid.addWidget(forward, first + 1, 0, 1, 2)
                grid.addWidget(reverse, first + 2, 0, 1, 2)
            else:
                grid.addWidget(forward, first + 1, 0, 2, 1)
                grid.addWidget(reverse, first + 1, 1, 2, 1)
            grid.addWidget(self.histograms[row], first + 1, 2, 2, 1)
            for k in (1, 2):
                grid.setRowStretch(first + k, 1)
        for column, stretch in enumerate((5, 5, 3)):
            grid.setColumnStretch(column, stretch)
        self.show_time()

    @property
    def sampling(self) -> bool:
        return self.job is not None

    def offer_samplers(self, names: tuple[str, ...]) -> None:
        """Fill the samplers' lists with these names of the engine."""
        for row in ROWS:
            list_samplers(self.samplers[row], names)

    def _list_models(self) -> None:
        for row in ROWS:
            combo, chosen = self.models[row], self.session.models[row]
            combo.clear()
            for run in self.session.runs:
                if run.checkpoints:
                    combo.addItem(run.name, str(run.folder))
            if combo.findData(str(chosen)) < 0:
                combo.addItem(chosen.name, str(chosen))
            combo.setCurrentIndex(combo.findData(str(chosen)))
            info = next((run for run in self.session.runs if run.folder == chosen), None)
            self.asking[row].offer(info.config.classes if info else 0)
        self._show_spent()

    def _show_spent(self) -> None:
        """Beside each row, what drawing it took, or that its pictures are another model's."""
        drawn = {row.row: row.folder for row in self.request.rows} if self.request else {}
        for row in ROWS:
            words, tip = f"{self.nfe[row]} NFE" if row in self.nfe else "", "Network evaluations"
            if self.sampling:
                words = "sampling…"
            elif row in drawn and drawn[row] != self.session.models[row]:
                words, tip = "press Sample", f"These pictures were drawn by {drawn[row].name}"
            self.spent[row].setText(words)
            self.spent[row].setToolTip(tip)

    def _choose_model(self, row: str) -> None:
        self.session.open_model(row, Path(self.models[row].currentData()))

    def sample(self) -> None:
        """Draw anew under the present settings, and play it as it comes."""
        self.timeline.set_fraction(0.0)
        self.draw()
        self.timeline.play()

    def draw(self) -> None:
        """Draw anew under the present settings; a drawing under way is given up for it."""
        if self.job is not None:
            self.again = True
            self.job.stop()
            return
        from_image = self.begin_at.currentData() == "image"
        self.request = work.Request(
            tuple(
                work.RowRequest(
                    row, self.session.models[row], self.samplers[row].currentData(),
                    self.steps[row].value(), self.asking[row].label, self.asking[row].guidance,
                )
                for row in ROWS
            ),
            self.count.currentData(),
            self.seed.value(),
            round(self.start.value(), 2) if from_image else 1.0,
            self.image.value() if from_image else 0,
        )  # fmt: skip
        self.films.clear()
        self.nfe = {}
        self.timeline.set_count(max(row.steps for row in self.request.rows) + 1)
        self.timeline.set_available(0.0)
        self.stop_button.setEnabled(True)
        self.job = self.begin(partial(work.trajectories, self.request), self._take, self._ended)
        self._show_spent()
        self.session.message.emit("Sampling…")

    def stop(self) -> None:
        """Leave the drawing under way where it is."""
        self.again = False
        if self.job is not None:
            self.job.stop()

    def shutdown(self) -> None:
        self.again = False
        super().shutdown()

    def time(self) -> float:
        """The t that the timeline stands at: the start at its left end, 0 at its right."""
        start = self.request.start if self.request else 1.0
        return start * (1 - self.timeline.fraction())

    def moment(self, row: str, direction: str, fraction: float | None = None) -> work.Moment | None:
        """The frame of that view at the timeline's place, or at `fraction` of it."""
        place = self.timeline.fraction() if fraction is None else fraction
        return self.films.moment(row, direction, place)

    def shown(self, moment: work.Moment) -> np.ndarray:
        """The picture of that moment that the Show switch asks for."""
        return moment.pictures[self.show_what.currentData()]

    def strip(self, row: str, direction: str) -> np.ndarray | None:
        """A few images (rows) at evenly spaced places of the timeline (columns)."""
        found = [self.moment(row, direction, k / (STRIP_COLUMNS - 1)) for k in range(STRIP_COLUMNS)]
        pictures = [self.shown(moment)[:STRIP_IMAGES] for moment in found if moment is not None]
        if not pictures:
            return None
        columns = np.stack(pictures, axis=1)
        return columns.reshape(-1, *columns.shape[2:])

    def show_time(self) -> None:
        """Put the frames at the timeline's t into the views, and say where that is."""
        strip = self.layout_combo.currentData() == "strip"
        lines = []
        for row in ROWS:
            for direction in DIRECTIONS:
                moment = self.moment(row, direction)
                view = self.views[row, direction]
                if moment is None:
                    continue
                if strip:
                    view.show_images(self.strip(row, direction), STRIP_COLUMNS)
                    view.mark(round(self.timeline.fraction() * (STRIP_COLUMNS - 1)))
                else:
                    view.show_images(self.shown(moment))
            at = self.moment(row, "reverse") or self.moment(row, "forward")
            if at is not None:
                self.histograms[row].show_density(at.histogram)
                lines.append(self._line(row, at))
        self.timeline.set_caption(f"t = {self.time():.3f}")
        self.session.timeChanged.emit(self.time())
        cells = "</tr><tr>".join(lines)
        self.facts.setText(
            f"<table cellspacing=0><tr>{cells}</tr></table>"
            if lines
            else "Press Sample: both rows start from the same noise."
        )

    def _line(self, row: str, at: work.Moment) -> str:
        snr = "∞" if at.sigma == 0 else "−∞" if at.alpha == 0 else ""
        snr = snr or f"{2 * math.log(at.alpha / at.sigma):+.2f}"
        cells = (
            f"<b>{ROW_TITLES[row]}</b>", f"step {at.index} of {at.last}", f"t = {at.t:.3f}",
            at.chain, f"α = {at.alpha:.3f}", f"σ = {at.sigma:.3f}", f"log-SNR = {snr}",
        )  # fmt: skip
        return "".join(f"<td style='padding: 0 9px'>{cell}</td>" for cell in cells)

    def settings(self) -> dict[str, Any]:
        """What made the views, for embedding in exports; `prepare` takes it back."""
        if self.request is None:
            return {}
        found = asdict(self.request)
        for row in found["rows"]:
            row["folder"] = row["folder"].name
        return {
            **json.loads(json.dumps(found)),
            "show": self.show_what.currentData(),
            "layout": self.layout_combo.currentData(),
            "fraction": self.timeline.fraction(),
        }

    def prepare(self, settings: dict[str, Any]) -> None:
        for row in settings.get("rows", []):
            name = row.get("row")
            if name not in ROWS:
                continue
            for folder in (self.session.home / "runs", self.session.models[name].parent):
                if (folder / str(row.get("folder")) / "config.json").exists():
                    self.session.open_model(name, folder / str(row["folder"]))
            choose(self.samplers[name], row.get("sampler"))
            self.steps[name].setValue(int(row.get("steps", FIRST_STEPS)))
            self.asking[name].prepare({**row, "class": row.get("label", work.ANY_CLASS)})
        choose(self.count, settings.get("count"))
        choose(self.show_what, settings.get("show"))
        choose(self.layout_combo, settings.get("layout"))
        self.seed.setValue(int(settings.get("seed", 0)))
        start = float(settings.get("start", 1.0))
        choose(self.begin_at, "image" if start < 1 else "noise")
        if start < 1:
            self.start.setValue(start)
            self.image.setValue(int(settings.get("image", 0)))
        self.timeline.set_fraction(float(settings.get("fraction", 0.0)))

    def restore(self, settings: dict[str, Any]) -> None:
        self.prepare(settings)
        self.timeline.pause()
        self.draw()

    def grid(self) -> np.ndarray | None:
        """The four views' images, row by row, as one array; None when nothing is shown."""
        shown = [view.images for view in self.views.values() if view.images is not None]
        return np.concatenate(shown) if shown else None

    def animation(self) -> list[np.ndarray]:
        """The reverse trajectories of both rows beside each other, in time, for export."""
        places = np.linspace(0, 1, min(self.films.longest(), 101))
        found = [[self.moment(row, "reverse", float(f)) for row in ROWS] for f in places]
        return [np.concatenate([self.shown(m) for m in moments if m]) for moments in found]

    def _mark(self, index: int) -> None:
        if self.layout_combo.currentData() == "mosaic":
            for view in self.views.values():
                view.mark(index)

    def _take(self, events: list[Any]) -> None:
        for event in events:
            if isinstance(event, work.Moment):
                self.films.add(event)
            else:
                self.nfe = event.nfe
                self.session.message.emit("Sampled.")
        self.timeline.set_available(1.0 if self.nfe else self.films.drawn())
        self.show_time()

    def _ended(self) -> None:
        self.job = None
        self.timeline.set_available(1.0)
        self.stop_button.setEnabled(False)
        self._show_spent()
        if self.again:
            self.again = False
            self.draw()
