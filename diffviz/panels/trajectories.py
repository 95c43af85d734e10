"""The trajectories panel: DDPM over SDE, forward beside reverse, one timeline under all four."""

import math
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from diffviz import work
from diffviz.jobs import Job
from diffviz.session import ROWS, Session
from diffviz.widgets.mosaic import Mosaic
from diffviz.widgets.timeline import Timeline

ROW_SAMPLERS = {
    "ddpm": {"DDPM ancestral": "ddpm", "DDIM": "ddim"},
    "sde": {"Euler-Maruyama": "euler-maruyama", "Probability-flow ODE": "probability-flow"},
}
ROW_TITLES = {"ddpm": "DDPM", "sde": "SDE"}
DIRECTIONS = {"forward": "real images, noised", "reverse": "noise, denoised"}


class TrajectoriesPanel(QWidget):
    """Holds every frame of the four views as arrays, so that the slider only picks."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.job: Job | None = None
        self.again = False
        self.request: work.Request | None = None
        self.frames: dict[tuple[str, str], dict[int, work.Moment]] = {}
        self.nfe: dict[str, int] = {}

        self.samplers = {row: QComboBox(objectName=f"{row}SamplerCombo") for row in ROWS}
        self.titles = {row: QLabel() for row in ROWS}
        self.steps = QSpinBox(objectName="stepsSpin", minimum=2, maximum=1000, value=100)
        self.count = QComboBox(objectName="countCombo")
        for n in (4, 16, 64):
            self.count.addItem(f"{n} images", n)
        self.count.setCurrentIndex(1)
        self.seed = QSpinBox(objectName="sampleSeedSpin", maximum=2**31 - 1)
        self.begin_at = QComboBox(objectName="startCombo")
        self.begin_at.addItem("from Gaussian noise", 1.0)
        for t in (0.75, 0.5, 0.25):
            self.begin_at.addItem(f"from an image noised to t = {t:g}", t)
        self.image = QSpinBox(objectName="imageSpin", maximum=59_999, value=4, enabled=False)
        self.image.setPrefix("image ")
        self.begin_at.currentIndexChanged.connect(
            lambda: self.image.setEnabled(self.begin_at.currentData() < 1)
        )
        self.show_what = QComboBox(objectName="showCombo")
        self.show_what.addItem("state x_t", "state")
        self.show_what.addItem("guess x0", "guess")
        self.sample_button = QPushButton("Sample", objectName="sampleButton")
        controls = QHBoxLayout()
        for widget, name, tip in (
            (self.count, "Images", "How many images each view shows"),
            (self.steps, "Steps", "Updates of each sampler: more are finer and slower"),
            (self.seed, "Seed", "The noise that both rows start from"),
            (self.begin_at, "Start", "Pure noise, or a training image noised part of the way"),
            (self.image, "Training image", "Which training image to start from"),
            (self.show_what, "Show", "The noisy state, or the model's guess of the clean image"),
        ):
            widget.setAccessibleName(name)
            widget.setToolTip(tip)
            if name in ("Steps", "Seed"):
                controls.addWidget(QLabel(name))
            controls.addWidget(widget)
        controls.addStretch(1)
        controls.addWidget(self.sample_button)

        grid = QGridLayout()
        self.views: dict[tuple[str, str], Mosaic] = {}
        for r, row in enumerate(ROWS):
            for name, sampler in ROW_SAMPLERS[row].items():
                self.samplers[row].addItem(name, sampler)
            self.samplers[row].setAccessibleName(f"{ROW_TITLES[row]} sampler")
            head = QHBoxLayout()
            head.addWidget(self.titles[row], 1)
            head.addWidget(self.samplers[row])
            grid.addLayout(head, 2 * r, 0, 1, 2)
            grid.setRowStretch(2 * r + 1, 1)
            for c, direction in enumerate(DIRECTIONS):
                view = Mosaic(f"{ROW_TITLES[row]}: {DIRECTIONS[direction]}.\nPress Sample.")
                view.setObjectName(f"{row}{direction.title()}View")
                view.setAccessibleName(f"{ROW_TITLES[row]} {direction}")
                self.views[row, direction] = view
                grid.addWidget(view, 2 * r + 1, c)
        self.timeline = Timeline()
        self.facts = QLabel(objectName="marginalLabel")
        self.facts.setAlignment(Qt.AlignmentFlag.AlignCenter)

        layout = QVBoxLayout(self)
        layout.addLayout(controls)
        layout.addLayout(grid, 1)
        layout.addWidget(self.timeline)
        layout.addWidget(self.facts)

        self.sample_button.clicked.connect(self.sample)
        self.show_what.currentIndexChanged.connect(self.show_time)
        self.timeline.position_changed.connect(self.show_time)
        session.modelChanged.connect(self._name_rows)
        for row in ROWS:
            self.samplers[row].currentIndexChanged.connect(self._name_rows)
        self._name_rows()
        self.show_time()

    @property
    def sampling(self) -> bool:
        return self.job is not None

    def sample(self) -> None:
        """Draw anew under the present settings; a drawing under way is given up for it."""
        if self.job is not None:
            self.again = True
            self.job.stop()
            return
        self.request = work.Request(
            tuple(
                work.RowRequest(
                    row, self.session.models[row], self.samplers[row].currentData(),
                    self.steps.value(),
                )
                for row in ROWS
            ),
            self.count.currentData(),
            self.seed.value(),
            self.begin_at.currentData(),
            self.image.value(),
        )  # fmt: skip
        self.frames = {}
        self.nfe = {}
        self._name_rows()
        self.timeline.set_count(self.steps.value() + 1)
        self.job = Job(partial(work.trajectories, self.request), self)
        self.job.produced.connect(self._take)
        self.job.failed.connect(self.session.problem)
        self.job.ended.connect(self._ended)
        self.job.begin()
        self.session.message.emit("Sampling…")

    def time(self) -> float:
        """The t that the timeline stands at: the start at its left end, 0 at its right."""
        start = self.request.start if self.request else 1.0
        return start * (1 - self.timeline.fraction())

    def moment(self, row: str, direction: str) -> work.Moment | None:
        """The frame of that view nearest to the timeline's t."""
        frames = self.frames.get((row, direction))
        if not frames:
            return None
        wanted = round(self.timeline.fraction() * (next(iter(frames.values())).count - 1))
        return frames[min(frames, key=lambda index: abs(index - wanted))]

    def shown(self, moment: work.Moment) -> np.ndarray:
        return getattr(moment, self.show_what.currentData())

    def show_time(self) -> None:
        """Put the frames at the timeline's t into the views, and say where that is."""
        texts = []
        for row in ROWS:
            for direction in DIRECTIONS:
                moment = self.moment(row, direction)
                if moment is not None:
                    self.views[row, direction].show_images(self.shown(moment))
            at = self.moment(row, "reverse") or self.moment(row, "forward")
            if at is not None:
                snr = 2 * math.log(max(at.alpha, 1e-12) / max(at.sigma, 1e-12))
                snr_text = "∞" if at.sigma == 0 else f"{snr:+.2f}"
                texts.append(
                    f"{ROW_TITLES[row]}: t = {at.t:.3f} ({at.chain})   α = {at.alpha:.3f}   "
                    f"σ = {at.sigma:.3f}   log-SNR = {snr_text}"
                )
        self.timeline.set_caption(f"t = {self.time():.3f}")
        self.facts.setText("\n".join(texts) or "Press Sample: both rows start from the same noise.")

    def settings(self) -> dict[str, Any]:
        """What made the views, for embedding in exports; None-free JSON."""
        if self.request is None:
            return {}
        found = asdict(self.request)
        for row in found["rows"]:
            row["folder"] = row["folder"].name
        return {**found, "show": self.show_what.currentData(), "t": self.time()}

    def grid(self) -> np.ndarray | None:
        """The four views' images, row by row, as one array; None when nothing is shown."""
        shown = [view.images for view in self.views.values() if view.images is not None]
        return np.concatenate(shown) if shown else None

    def animation(self) -> list[np.ndarray]:
        """The reverse trajectories of both rows beside each other, in time, for export."""
        films = [self.frames.get((row, "reverse"), {}) for row in ROWS]
        last = min((len(film) for film in films if film), default=0)
        stride = max(1, last // 100)
        picked = sorted({*range(0, last, stride), last - 1}) if last else []
        return [np.concatenate([self.shown(f[k]) for f in films if f]) for k in picked]

    def _name_rows(self) -> None:
        folders = dict(self.session.models)
        if self.request is not None:  # what is on view, not what Sample would draw next
            folders = {row.row: row.folder for row in self.request.rows}
        for row in ROWS:
            self.titles[row].setText(
                f"<b>{ROW_TITLES[row]}</b> · model {folders[row].name} · "
                "left: real images, noised · right: noise, denoised"
            )

    def _take(self, events: list[Any]) -> None:
        for event in events:
            if isinstance(event, work.Moment):
                self.frames.setdefault((event.row, event.direction), {})[event.index] = event
            else:
                self.nfe = event.nfe
                spent = ", ".join(f"{ROW_TITLES[row]} {n} NFE" for row, n in event.nfe.items())
                self.session.message.emit(f"Sampled: {spent}")
        self.show_time()

    def _ended(self) -> None:
        self.job = None
        if self.again:
            self.again = False
            self.sample()
