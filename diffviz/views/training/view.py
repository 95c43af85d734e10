"""The training view: curves and a film of the samples, live; its controls stand at the left."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QCheckBox, QGridLayout, QVBoxLayout, QWidget

from diffviz.shell.session import Session, row_of
from diffviz.views.training import work
from diffviz.views.training.column import Column
from diffviz.views.view import Guide, View
from diffviz.widgets.curve import CurvePlot
from diffviz.widgets.formula import Formula
from diffviz.widgets.mosaic import Mosaic
from diffviz.widgets.timeline import Timeline
from trainer.config import ExperimentConfig
from trainer.events import Evaluated, Finished, Previewed, Reading, Started, Step, Warned
from trainer.problems import Problem

MOST_SHOWN = 2**31 - 1  # steps that Qt's bar can count
MOST_FRAMES = 240  # of the film; beyond, every second one is let go
SETTLED_MS = 600  # settings that stood still so long are worth a measurement


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss, or m:ss under an hour."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


def about(seconds: float) -> str:
    """Seconds as one rounded number: 40 s, 12 min, 5 h, 3 days."""
    for unit, length, most in (("s", 1, 100), ("min", 60, 100), ("h", 3600, 48)):
        if seconds < most * length:
            return f"{max(1, seconds / length):.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


class TrainingView(View):
    """Trains one model at a time, in a run folder of its own. `began` says that it does."""

    kind = ExperimentConfig
    timeline: Timeline
    explanation = (
        "<h3>Training</h3>"
        "<p>Images are noised to random times t, and the network learns to tell the noise: its "
        "<b>loss</b> is the mean squared error. It never reaches 0, as noise cannot be told "
        "exactly; where in t the error is left is the plot below the film.</p>"
        "<p><b>Bits/dim</b> bounds what storing a held-out image costs with this model; lower is "
        "better. The bars are one standard error.</p>"
        "<p>The film draws from the same noise again and again as the weights' average learns: "
        "drag its slider back to where it began.</p>"
    )
    began = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.training = False
        self.work = self.latest(self._take, self._ended, self._failed)
        self.looking = self.latest(self._show_facts)
        self.started: Started | None = None
        self.where: work.TrainingIn | None = None
        self.unfinished: Path | None = None
        self.trained: Path | None = None  # to be opened once it is listed
        self.seen = ""  # what the chosen data set holds, in words
        self.frames: list[tuple[Evaluated | Previewed, np.ndarray]] = []
        self.settled = QTimer(self, singleShot=True, interval=SETTLED_MS)
        self.settled.timeout.connect(self._look_ahead)

        self.column = column = Column(session)
        self.form, self.preset, self.status = column.form, column.preset, column.status
        self.device, self.progress, self.samples = column.device, column.progress, column.samples
        self.train_button, self.pause_button = column.train_button, column.pause_button
        self.stop_button, self.resume_button = column.stop_button, column.resume_button
        self.resume_epochs = column.resume_epochs
        self.loss = CurvePlot("Loss", "loss", "step", "lossPlot", smooth=True)
        self.bpd = CurvePlot("Bits/dim, held-out (bound)", "bits/dim", "step", "bpdPlot")
        self.by_time = CurvePlot("Loss by noise level", "loss", "t", "lossByTimePlot")
        self.rate = CurvePlot("Learning rate", "", "step", "ratePlot")
        self.norm = CurvePlot("Gradient norm", "", "step", "normPlot", smooth=True)
        self.speed = CurvePlot("Images/s", "", "step", "speedPlot")
        self.log = QCheckBox("Log scale", objectName="logCheck")
        self.log.toggled.connect(self.loss.set_log)
        self.film = Mosaic(
            "Press Train: within seconds samples from fixed noise appear here, and become a film."
        )
        self.film.setObjectName("trainingFilmView")
        self.timeline = Timeline()
        self.timeline.position_changed.connect(self._show_frame)
        self._arrange()

        column.changed.connect(self.settled.start)
        column.chosen.connect(self._look_at)
        self.train_button.clicked.connect(self.train)
        self.pause_button.clicked.connect(self.toggle_pause)
        self.stop_button.clicked.connect(self.stop)
        self.resume_button.clicked.connect(self.resume)
        session.resumeAsked.connect(self.resume_run)
        session.runsChanged.connect(self._open_trained)

    @property
    def plots(self) -> dict[str, CurvePlot]:
        """The curves over steps, by the names that exports give them."""
        return {
            "loss": self.loss, "bits_per_dim": self.bpd, "learning_rate": self.rate,
            "gradient_norm": self.norm, "images_per_second": self.speed,
        }  # fmt: skip

    def _arrange(self) -> None:
        film, loss = QVBoxLayout(), QVBoxLayout()
        film.addWidget(self.film, 1)
        film.addWidget(self.timeline)
        loss.addWidget(self.loss, 1)
        loss.addWidget(self.log)
        grid = QGridLayout()
        grid.addLayout(film, 0, 0, 2, 2)
        grid.addLayout(loss, 0, 2, 1, 2)
        grid.addWidget(self.bpd, 1, 2, 1, 2)
        for k, plot in enumerate((self.by_time, self.rate, self.norm, self.speed)):
            grid.addWidget(plot, 2, k)
            grid.setColumnStretch(k, 1)
        for row, stretch in enumerate((6, 5, 4)):
            grid.setRowStretch(row, stretch)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 6, 9, 6)
        layout.addLayout(grid, 1)
        layout.addWidget(
            Formula(
                "The network learns what was mixed into noised images.",
                [("L = E w(t) ‖y − y_θ(x_t, t)‖^2,   bits/dim ≤ −(ELBO) / (D log 2)",
                  "Ho et al. 2020, eq. 14; Kingma et al. 2021")],
                "trainingFormula",
            )
        )  # fmt: skip

    def config(self) -> ExperimentConfig:
        """The experiment that the fields ask for; a Problem where they do not go together."""
        return self.column.config()

    def ask(self) -> ExperimentConfig:
        return self.config()

    def prepare(self, ask: ExperimentConfig) -> None:
        self.column.show_config(ask)

    def _look_at(self, dataset: str) -> None:
        """Show what is in the images that were chosen."""
        self.seen = ""
        self.status.setText("Looking at the images…")
        self.looking.ask(partial(work.facts, dataset))

    def _show_facts(self, found: list[work.Facts | Reading]) -> None:
        last = found[-1]
        if isinstance(last, Reading):
            self._show_reading(last)
        elif not self.training:
            self.seen = last.words
            self.status.setText(self.seen)
            self.samples.show_images(last.images)

    def _show_reading(self, event: Reading) -> None:
        """How far the images of a folder are read."""
        self.status.setText(f"Reading the images: {event.done:,} of {event.count:,}.")
        if self.training:
            self.progress.setRange(0, event.count)
            self.progress.setFormat("%p % read")
            self.progress.setValue(event.done)

    def _look_ahead(self) -> None:
        """Measure what a training with these settings would take here."""
        if self.window().property("loading") or self.training:
            return
        try:
            self.work.ask(partial(work.outlook, self.config()))
        except Problem:
            return  # Train will say what does not go together

    def _show_outlook(self, found: work.Outlook) -> None:
        words = f"Training would take about {about(found.seconds)} here"
        words += f", at {found.images_per_second:.0f} images/s; the first pictures come in seconds"
        if found.digits is not None:
            words += f", the first digits after about {about(found.digits)}"
        self.status.setText(f"{self.seen} {words}.".lstrip())

    def offer_resume(self, folder: Path, epochs: int) -> None:
        """Offer to go on with the run in that folder, to `epochs` in all unless others are set."""
        self.unfinished = folder
        self.resume_button.setText(f"Resume {folder.name}")
        self.resume_epochs.set_value(epochs)
        self.column.resume_row.setVisible(not self.training)

    def train(self) -> None:
        try:
            config = self.config()
        except Problem as problem:
            self.session.problem.emit(str(problem))
            return
        self._begin(self.session.new_run_folder(config.preset), config)

    def resume(self) -> None:
        if self.unfinished is not None:
            self._begin(self.unfinished, None, self.resume_epochs.value())

    def resume_run(self, folder: Path) -> None:
        """Go on with the training in that run folder, unless one is under way.

        One that has learned all its epochs waits to be told how many it shall have.
        """
        run = next((run for run in self.session.runs if run.folder == folder), None)
        if self.training:
            self.session.problem.emit("A model is training: stop it first, then resume the other.")
        elif run is not None and run.finished:
            self.offer_resume(folder, 2 * run.config.epochs)
            self.status.setText(
                f"{folder.name} is finished, after epoch {run.config.epochs}. Say up to which it "
                "shall go on, then press Resume."
            )
        elif run is not None:
            self.offer_resume(folder, run.config.epochs)
            self.resume()

    def toggle_pause(self) -> None:
        if self.work.paused:
            self.work.resume()
        else:
            self.work.pause()
        self.pause_button.setText("Resume" if self.work.paused else "Pause")

    def stop(self) -> None:
        if self.training:
            self.stop_button.setEnabled(False)
            self.progress.setFormat("saving a checkpoint…")
            self.work.stop()

    def _begin(
        self, folder: Path, config: ExperimentConfig | None, epochs: int | None = None
    ) -> None:
        if self.training:
            return
        for plot in (*self.plots.values(), self.by_time):
            plot.clear()
        self.frames = []
        self.samples.show_images(None)
        self._show_frame()
        self.started = self.where = None
        self.status.setText("Loading the images…")
        self.progress.setRange(0, 0)
        self.work.ask(partial(work.training, folder, config, epochs))
        self._set_busy(True)
        self.began.emit()

    def _set_busy(self, busy: bool) -> None:
        self.training = busy
        self.column.set_busy(busy, self.unfinished is not None)

    def _take(self, events: list[Any]) -> None:
        steps: list[Step] = []
        for event in events:
            match event:
                case Reading():
                    self._show_reading(event)
                case work.Outlook():
                    self._show_outlook(event)
                case work.TrainingIn():
                    self.where = event
                case Started():
                    self.started = event
                    self.progress.setRange(0, min(event.steps, MOST_SHOWN))
                    self.progress.setFormat("%p %")
                case Step():
                    steps.append(event)
                case Previewed():
                    self._add_frame(event)
                case Evaluated():
                    self.bpd.append(event.step, event.bits_per_dim, event.error)
                    parts = np.arange(len(event.loss_by_time)) + 0.5
                    self.by_time.set_points(parts / max(1, len(parts)), event.loss_by_time)
                    self._add_frame(event)
                case Warned():
                    self.session.message.emit(event.message)
                case Finished():
                    self.status.setText(f"Finished after {event.step} steps.")
        if steps and self.started is not None:
            at = [s.step for s in steps]
            self.loss.append(at, [s.loss for s in steps])
            self.rate.append(at, [s.rate for s in steps])
            self.norm.append(at, [s.gradient for s in steps])
            self.speed.append(at, [s.images_per_second for s in steps])
            self._show_progress(steps[-1], self.started)

    def _show_progress(self, last: Step, started: Started) -> None:
        self.progress.setValue(min(last.step, MOST_SHOWN))
        left = last.elapsed / max(last.step - started.step, 1) * (started.steps - last.step)
        self.status.setText(
            f"Epoch {last.epoch} of {started.epochs}, step {last.step:,} of {started.steps:,} · "
            f"loss {last.loss:.4f} · {last.images_per_second:.0f} images/s · "
            f"{clock(last.elapsed)} elapsed, {clock(left)} left"
        )

    def _add_frame(self, event: Evaluated | Previewed) -> None:
        """One more frame; who looks at the newest goes on to look at the newest."""
        pictures = event.samples.transpose(0, 2, 3, 1)
        grey = pictures.shape[3] == 1
        images = np.ascontiguousarray(pictures[..., 0] if grey else pictures)
        self.samples.show_images(images)
        newest = not self.frames or self.timeline.fraction() == 1
        self.frames.append((event, images))
        if len(self.frames) > MOST_FRAMES:
            self.frames = self.frames[:-1:2] + self.frames[-1:]
        self.timeline.set_count(len(self.frames))
        if newest:
            self.timeline.set_fraction(1.0)
        self._show_frame()

    def _show_frame(self) -> None:
        """The film where its slider stands."""
        if not self.frames:
            self.film.show_images(None)
            self.timeline.set_caption("")
            return
        event, images = self.frames[round(self.timeline.fraction() * (len(self.frames) - 1))]
        self.film.show_images(images)
        self.timeline.set_caption(f"step {event.step:,}")

    def _failed(self, why: str) -> None:
        """A training that fails is told in a dialog; a look ahead that does, in the column."""
        if self.training:
            self.session.problem.emit(why)
        else:
            self.status.setText(why)

    def _ended(self) -> None:
        if not self.training:
            return
        if self.progress.maximum() == 0:
            self.progress.setRange(0, 1)
        if self.started is None:
            self.progress.setValue(0)
            self.progress.setFormat("not training")
            self.status.setText("Training did not begin.")
        elif self.where is not None:
            whole = self.progress.value() >= min(self.started.steps, MOST_SHOWN)
            self.progress.setFormat("%p % · " + ("finished" if whole else "stopped and saved"))
            self.unfinished = None if whole else self.where.folder
            if self.unfinished is not None:
                self.offer_resume(self.unfinished, self.started.epochs)
            if self.loss.points()[0].size:
                self.trained = self.where.folder
                self.session.refresh_runs()
        self._set_busy(False)

    def _open_trained(self) -> None:
        """Let a row draw from what was trained, once it is listed."""
        for run in self.session.runs:
            if run.folder == self.trained and run.checkpoints:
                self.trained = None
                self.session.open_model(row_of(run.config.process), run.name)

    def grid(self) -> np.ndarray | None:
        return self.film.images

    def animation(self) -> list[np.ndarray]:
        return [images for _, images in self.frames]

    def curves(self) -> dict[str, np.ndarray]:
        points = {name: np.column_stack(plot.points()) for name, plot in self.plots.items()}
        return {name: found for name, found in points.items() if len(found)}

    def shutdown(self) -> None:
        self.settled.stop()
        super().shutdown()

    def visit(self, guide: Guide) -> None:
        """Train a moment, pause, go on, stop; the run and its curves are kept."""
        self.train_button.click()
        guide.wait(lambda: self.loss.points()[0].size >= 10, "training made 10 steps")
        guide.look("learning")
        self.pause_button.click()
        guide.rest(0.3)
        self.pause_button.click()
        guide.wait(lambda: self.loss.points()[0].size >= 16, "training went on after a pause")
        guide.wait(lambda: bool(self.frames), "the first samples were drawn")
        self.stop_button.click()
        guide.wait(lambda: not self.training, "training stopped and saved")
