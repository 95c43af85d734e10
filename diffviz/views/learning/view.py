"""The learning view: training time beside diffusion time, over the same noise."""

from functools import partial
from typing import Any

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QGridLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from diffviz.controls.form import Form
from diffviz.shell.session import Session
from diffviz.views.learning import work
from diffviz.views.view import Guide, View
from diffviz.widgets.caption import Caption
from diffviz.widgets.formula import Formula
from diffviz.widgets.lines import Line, LinesPlot
from diffviz.widgets.picker import Picker
from diffviz.widgets.timeline import Timeline
from trainer.learning import Course, Drawn, distances, learn

ROWS, COLUMNS = 10, 8  # of the table: checkpoints down, times across


class LearningView(View):
    """Keeps what every checkpoint draws at every t, so that the sliders only pick."""

    kind = work.Learning
    timeline: Timeline
    explanation = (
        "<h3>How did it get there?</h3>"
        "<p>Every kept checkpoint of a run starts from the <b>same noise</b>. The upper slider "
        "goes through training, the lower one through the denoising: at its left end is what the "
        "network believes when all is noise, the mean of everything it knows.</p>"
        "<p>The table shows one image: checkpoints from first to last down, times from noise to "
        "image across. Click an image at the left to see another one there; click a cell to go to "
        "its place.</p>"
        "<p>The curve says how far each checkpoint's images are from the last one's. Networks "
        "first learn what all images share, then which image this noise becomes. What the last "
        "steps change is mostly small: averaged weights (EMA) wander little as the learning rate "
        "falls. <b>EMA length</b> behind More… averages the weights over another part of the "
        "training than it did itself (Karras et al. 2024, arXiv:2312.02696), where a run has "
        "kept what that takes.</p>"
    )

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.work = self.latest(self._take, self._show_status)
        self.asked: work.Learning | None = None  # what is on view
        self.awaited = False  # to be drawn as soon as the models are listed
        self.course = Course((), ())
        self.drawn: dict[int, Drawn] = {}
        self.chosen = 0

        kept = ("image", "start", "batch", "trained", "fraction", "chosen")
        self.form = Form(self.kind, "learning", session, self, without=kept)
        self.model.take_every_checkpoint()
        self.status = Caption("learningStatus")
        self.stop_button = QPushButton("Stop", objectName="stopLearningButton", enabled=False)
        self.stop_button.setToolTip("Let no further checkpoint draw; what is drawn stays")
        self.draw_button = QPushButton("Draw", objectName="drawLearningButton")
        self.draw_button.setProperty("primary", True)
        self.draw_button.setToolTip("Let every checkpoint draw from the same noise, the last first")
        self.images = Picker("Every checkpoint of a run draws from the same noise: press Draw.")
        self.table = Picker("One image by each checkpoint, from noise to image: press Draw.")
        for view, name, words in (
            (self.images, "learningImages", "The images of this checkpoint at this t"),
            (self.table, "learningTable", "One image: checkpoints down, times across"),
        ):
            view.setObjectName(name)
            view.setAccessibleName(words)
            view.setToolTip(words)
        self.plot = LinesPlot(
            "learningPlot", "How far from what it draws at the end", "RMS difference", (0, 0.4),
            across="images seen, thousands",
        )  # fmt: skip
        self.plot.set_placeholder("How the images settle appears here: press Draw.")
        self.training, self.timeline = Timeline(), Timeline()
        self.training.setObjectName("trainingTimeline")
        self.training.setAccessibleName("Training time")
        self._build()

        self.draw_button.clicked.connect(self.draw)
        self.stop_button.clicked.connect(self.stop)
        self.training.position_changed.connect(self.show_place)
        self.timeline.position_changed.connect(self.show_place)
        self.images.selectionChanged.connect(self._choose)
        self.table.selectionChanged.connect(self._go)
        self.form.changed.connect(self._changed)
        self._set_sliders(self.kind())
        self._show_status()

    def _build(self) -> None:
        row = self.form.row("model", "classes", "count")
        self.training.add_beside(self.status)
        row.addWidget(self.stop_button)
        row.addWidget(self.draw_button)
        grid = QGridLayout()
        grid.addWidget(self.images, 0, 0)
        grid.addWidget(self.plot, 1, 0)
        grid.addWidget(self.table, 0, 1, 2, 1)
        for k, stretch in enumerate((3, 2)):
            grid.setRowStretch(k, stretch)
        for k, stretch in enumerate((4, 5)):
            grid.setColumnStretch(k, stretch)
        sliders = QGridLayout()
        for k, (words, slider) in enumerate((("Training", self.training), ("t", self.timeline))):
            label = QLabel(words)
            sliders.addWidget(label, k, 0, Qt.AlignmentFlag.AlignTop)
            sliders.addWidget(slider, k, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 6, 9, 6)
        layout.addLayout(row)
        layout.addLayout(grid, 1)
        layout.addLayout(sliders)
        layout.addWidget(
            Formula(
                "The averages that draw forget the early, wild weights: the longer the training, "
                "the longer the average that is best.",
                [("θ̂(t) = β_t θ̂(t − 1) + (1 − β_t) θ(t),   β_t = (1 − 1/t)^{γ + 1}",
                  "Karras et al. 2024, eq. 2")],
                "learningFormula",
            )
        )  # fmt: skip

    @property
    def model(self) -> Any:
        """The chooser of the model."""
        return self.form["model"]

    def wanted(self) -> work.Learning | None:
        """What the controls ask for; None while no model is there to ask."""
        if self.model.run is None:
            return None
        return self.form.ask(checkpoint="", **self._places())

    def _places(self) -> dict[str, Any]:
        return {
            "trained": self.training.fraction(),
            "fraction": self.timeline.fraction(),
            "chosen": self.chosen,
        }

    def _stale(self) -> bool:
        """Whether the controls ask for other images than those on view."""
        wanted, kept = self.wanted(), self.asked
        if wanted is None or kept is None:
            return kept is not None
        return wanted != kept.with_changes(**self._places())

    def _changed(self) -> None:
        if self.awaited or (self.work.busy and self._stale()):
            self.draw()
        self._show_status()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self.asked is None:
            self.draw()

    def draw(self) -> None:
        """Draw what the controls ask for; what is under way is given up for it."""
        ask = self.wanted()
        self.awaited = ask is None
        if ask is not None:
            self.asked, self.course, self.drawn = ask, Course((), ()), {}
            self.work.ask(partial(learn, ask, self.session.places))
        self._show_status()

    def stop(self) -> None:
        self.awaited = False
        self.work.stop()

    def _take(self, events: list[Any]) -> None:
        for event in events:
            if isinstance(event, Course):
                self.course, self.drawn = event, {}
                self.training.set_count(len(event.steps))
            else:
                self.drawn[event.index] = event
                self.timeline.set_count(len(event.times))
        self.show_place()
        self._show_plot()
        self._show_status()

    def at(self) -> Drawn | None:
        """What the checkpoint nearest to the upper slider's place has drawn."""
        if not self.drawn:
            return None
        place = self.training.fraction() * (len(self.course.steps) - 1)
        return self.drawn[min(self.drawn, key=lambda index: (abs(index - place), index))]

    def _time(self, drawn: Drawn) -> int:
        return round(self.timeline.fraction() * (len(drawn.times) - 1))

    def show_place(self) -> None:
        """Bring images, table and captions to the sliders' places."""
        drawn = self.at()
        if drawn is None:
            self.training.set_caption("")
            self.timeline.set_caption("")
            return
        k, step = self._time(drawn), self.course.steps[drawn.index]
        self.training.set_caption(f"step {step:,}, {self.course.seen[drawn.index]:,} images seen")
        self.timeline.set_caption(f"t = {drawn.times[k]:.3f}")
        self.chosen = min(self.chosen, drawn.guesses.shape[1] - 1)
        self.images.show_images(drawn.guesses[k])
        self.images.mark(self.chosen)
        self._show_table(drawn, k)

    def rows(self) -> list[int]:
        """The checkpoints in the table: at most ROWS of those that have drawn, evenly spread."""
        known = sorted(self.drawn)
        places = np.linspace(0, len(known) - 1, min(ROWS, len(known))).round().astype(int)
        return [known[k] for k in places]

    def columns(self, count: int) -> list[int]:
        """The times in the table, of `count`."""
        places = np.linspace(0, count - 1, min(COLUMNS, count)).round().astype(int)
        return [int(k) for k in places]

    def _show_table(self, drawn: Drawn, k: int) -> None:
        rows, columns = self.rows(), self.columns(len(drawn.times))
        cells = [self.drawn[r].guesses[c, self.chosen] for r in rows for c in columns]
        self.table.show_images(np.stack(cells), columns=len(columns))
        row = min(range(len(rows)), key=lambda place: abs(rows[place] - drawn.index))
        column = min(range(len(columns)), key=lambda place: abs(columns[place] - k))
        self.table.mark(row * len(columns) + column)

    def _show_plot(self) -> None:
        last = self.drawn.get(len(self.course.steps) - 1)
        known = sorted(self.drawn)
        if last is None or len(known) < 2:
            self.plot.show_lines([])
            return
        apart = np.stack([distances(self.drawn[k].guesses[-1], last.guesses[-1])
                          for k in known])  # fmt: skip
        x = np.array([self.course.seen[k] for k in known]) / 1000
        self.plot.set_ranges((0, float(x.max())), (0, max(0.05, 1.1 * float(apart.max()))))
        chosen = min(self.chosen, apart.shape[1] - 1)
        self.plot.show_lines(
            [Line("all images", x, apart.mean(1), 0),
             Line("the image in the table", x, apart[:, chosen], 1)]
        )  # fmt: skip

    def _choose(self) -> None:
        """Another image for the table."""
        if self.images.selected and self.images.selected[0] != self.chosen:
            self.chosen = self.images.selected[0]
            self.show_place()
            self._show_plot()

    def _go(self) -> None:
        """To the place of the cell that was clicked."""
        drawn = self.at()
        if not self.table.selected or drawn is None:
            return
        columns = self.columns(len(drawn.times))
        row, column = divmod(self.table.selected[0], len(columns))
        self.table.select([])
        self.training.set_fraction(self.rows()[row] / max(1, len(self.course.steps) - 1))
        self.timeline.set_fraction(columns[column] / max(1, len(drawn.times) - 1))

    def _show_status(self) -> None:
        busy = self.work.busy
        self.stop_button.setEnabled(busy)
        self.draw_button.setEnabled(self.model.run is not None)
        if self.model.run is None:
            words = "Waiting for the models to be listed."
        elif busy:
            words = f"Drawing: {len(self.drawn)} of {len(self.course.steps) or '…'} checkpoints"
        elif self._stale():
            words = "The settings changed: press Draw."
        else:
            words = f"{len(self.drawn)} checkpoints" if self.drawn else ""
        self.status.setText(words)

    def _set_sliders(self, ask: work.Learning) -> None:
        self.training.set_fraction(ask.trained)
        self.timeline.set_fraction(ask.fraction)
        self.chosen = ask.chosen

    def ask(self) -> work.Learning:
        return (self.asked or self.form.ask()).with_changes(**self._places())

    def prepare(self, ask: work.Learning) -> None:
        self.form.restore(ask)
        self._set_sliders(ask)

    def restore(self, ask: work.Learning) -> None:
        self.prepare(ask)
        self.draw()

    def grid(self) -> np.ndarray | None:
        """The images of this checkpoint at this t."""
        return self.images.images

    def animation(self) -> list[np.ndarray]:
        """The images from the first checkpoint to the last, then the last from noise to image."""
        if not self.drawn:
            return []
        known = sorted(self.drawn)
        return [*(self.drawn[k].guesses[-1] for k in known), *self.drawn[known[-1]].guesses]

    def curves(self) -> dict[str, np.ndarray]:
        return {line.name: np.column_stack([line.x, line.y]) for line in self.plot.lines}

    def visit(self, guide: Guide) -> None:
        self.form.set_values({"count": 9, "steps": 10})
        self.draw_button.click()
        guide.wait(lambda: bool(self.drawn) and not self.work.busy, "every checkpoint drew")
        for k in range(5):
            self.training.set_fraction(k / 4)
            guide.rest(0.01)
        self.timeline.set_fraction(0.6)
