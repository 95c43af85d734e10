"""The edit panel: three ways of steering a trained model without training it."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QStackedWidget,
    QTabBar,
    QVBoxLayout,
    QWidget,
)

from diffviz.controls.model import ModelChoice, list_samplers
from diffviz.jobs import Job
from diffviz.shell.session import Session
from diffviz.views import Panel
from diffviz.views.edit import work as work_edit
from diffviz.views.edit.latents import EncodeTool, InterpolateTool
from diffviz.views.edit.tools import InpaintTool, Tool
from diffviz.widgets.formula import Formula


class EditPanel(Panel):
    """Chooses the model and the tool, runs the tool's work, and says how far it is."""

    title = "Edit"
    explanation = (
        "<h3>Steering a trained model</h3>"
        "<p>A diffusion model knows which images are likely. That is enough to do more than draw "
        "from it, without training again.</p>"
        "<p><b>Inpaint</b>: keep a part of a real image and let the model draw the rest. At every "
        "level the known part is noised to that level, so that the model sees both parts alike "
        "(Song et al. 2021; repeats: RePaint, Lugmayr et al. 2022).</p>"
        "<p><b>Encode and decode</b>: the probability-flow ODE has the same marginals as the SDE "
        "but no randomness. It leads from an image to one latent, and from that latent back to "
        "the image, up to the solver's error.</p>"
        "<p><b>Interpolate</b>: go from latent to latent along the great circle, and decode. "
        "Plain blends of the pixels are no digits; what the latents decode to mostly is.</p>"
    )

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.job: Job | None = None
        self.busy: Tool | None = None  # whose job that is
        self.looking: Job | None = None
        self.asked: tuple[Tool, str, tuple[int, ...]] | None = None  # the originals last looked for
        self.missing = ""  # why they cannot be shown
        self.again = False  # to be computed as soon as model and images are known
        self.looked: dict[Tool, tuple[str, tuple[int, ...]]] = {}  # the originals that each shows
        self.inpaint, self.encode = InpaintTool(), EncodeTool()
        self.interpolate = InterpolateTool()
        self.tools: list[Tool] = [self.inpaint, self.encode, self.interpolate]

        self.tabs = QTabBar(objectName="editTabs")
        self.tabs.setAccessibleName("Tool")
        self.tabs.setDrawBase(False)
        self.tabs.setUsesScrollButtons(False)
        self.tabs.setExpanding(False)
        self.stack = QStackedWidget()
        for tool in self.tools:
            self.tabs.addTab(tool.title)
            self.stack.addWidget(tool)
            tool.changed.connect(self._changed)
        self.model = ModelChoice(session, "edit")
        head = QHBoxLayout()
        head.addWidget(self.tabs, 1)
        head.addWidget(QLabel("Model"))
        head.addWidget(self.model)
        self.formula = Formula("", [], "editFormula")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 6, 9, 6)
        layout.addLayout(head)
        layout.addWidget(self.stack, 1)
        layout.addLayout(self._make_actions())
        layout.addWidget(self.formula)

        self.tabs.currentChanged.connect(self._show_tool)
        self.model.changed.connect(lambda: self.inpaint.asking.offer(self.model.classes))
        self._show_tool()

    def _make_actions(self) -> QHBoxLayout:
        self.progress = QProgressBar(objectName="editProgress", textVisible=True)
        self.progress.setRange(0, 1000)
        self.progress.setFixedWidth(150)
        self.progress.setAccessibleName("Progress")
        self.progress.setToolTip("How much of it is done")
        self.status = QLabel(objectName="editStatus", wordWrap=True)
        self.stop_button = QPushButton("Stop", objectName="stopEditButton", enabled=False)
        self.stop_button.setToolTip("Compute no further; what is on view stays")
        self.run_button = QPushButton(objectName="editRunButton")
        self.run_button.setProperty("primary", True)
        self.run_button.setToolTip("Compute what the controls ask for")
        self.stop_button.clicked.connect(self.stop)
        self.run_button.clicked.connect(self.press)
        row = QHBoxLayout()
        row.addWidget(self.progress)
        row.addWidget(self.status, 1)
        row.addWidget(self.stop_button)
        row.addWidget(self.run_button)
        return row

    @property
    def tool(self) -> Tool:
        """The tool on view."""
        return self.tools[max(0, self.tabs.currentIndex())]

    def wanted(self) -> Any:
        """What the controls ask for; None while a model, an image or a mask is missing."""
        run, tool = self.model.run, self.tool
        if run is None or self.looked.get(tool) != (run.config.dataset, tool.numbers()):
            return None
        return tool.wanted(run.folder, self.model.file)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._changed()

    def offer_samplers(self, names: tuple[str, ...]) -> None:
        list_samplers(self.inpaint.sampler, names)

    def _show_tool(self) -> None:
        tool = self.tool
        self.stack.setCurrentWidget(tool)
        self.timeline = tool.timeline
        self.formula.show_lines(tool.sentence, list(tool.lines))
        self.run_button.setText(tool.verb)
        self._changed()

    def _changed(self) -> None:
        """A setting changed: look up the images that it asks for; say how things stand."""
        run, tool = self.model.run, self.tool
        if run is not None and (self.isVisible() or self.again):
            dataset, numbers = run.config.dataset, tool.numbers()
            shown = self.looked.get(tool) == (dataset, numbers)
            if not shown and self.asked != (tool, dataset, numbers):
                self.drop(self.looking)
                self.asked, self.missing = (tool, dataset, numbers), ""
                make = partial(work_edit.originals, dataset, numbers)
                found = partial(self._found, tool, dataset)
                self.looking = self.begin(make, found, failed=self._miss)
        if self.again and self.wanted() is not None:
            self.press()
        self._show_status()

    def _miss(self, why: str) -> None:
        self.missing = why
        self._show_status()

    def _found(self, tool: Tool, dataset: str, events: list[work_edit.Originals]) -> None:
        self.asked = None
        for found in events:
            self.looked[tool] = dataset, found.numbers
            tool.show_originals(found)

    def press(self) -> None:
        """Compute what the controls ask for; what is under way is given up for it."""
        request, tool = self.wanted(), self.tool
        if request is None:
            return
        self.again = False
        self.drop(self.job)
        self.busy = tool
        tool.begin(request)
        self.job = job = self.begin(partial(tool.work, request), partial(self._take, tool))
        job.ended.connect(partial(self._ended, job))
        self._show_status()

    def stop(self) -> None:
        """Compute no further."""
        if self.job is not None:
            self.job.stop()

    def _take(self, tool: Tool, events: list[Any]) -> None:
        for event in events:
            tool.take(event)
        self._show_status()

    def _ended(self, job: Job) -> None:
        if job is self.job:
            self.job = self.busy = None
            self._show_status()

    def _show_status(self) -> None:
        tool, wanted = self.tool, self.wanted()
        self.stop_button.setEnabled(self.job is not None)
        self.run_button.setEnabled(wanted is not None)
        self.progress.setValue(round(1000 * tool.share))
        if self.model.run is None:
            words = "Waiting for the models to be listed."
        elif self.busy is tool:
            words = "Computing…"
        elif self.busy is not None:
            words = f"{self.busy.title} is computing; it is given up for another."
        elif wanted is None and self.missing:
            words = self.missing
        elif wanted is None and self.asked is None and tool is self.inpaint:
            words = "Paint over what shall be drawn anew."
        elif wanted is None:
            words = "Reading the images…"
        elif tool.request is None:
            words = f"Press {tool.verb}."
        elif not tool.done:
            words = f"Stopped: press {tool.verb} to begin anew."
        elif wanted != tool.request:
            words = f"The settings changed: press {tool.verb}."
        else:
            words = tool.report
        self.status.setText(words)

    def grid(self) -> np.ndarray | None:
        return self.tool.grid()

    def animation(self) -> list[np.ndarray]:
        return self.inpaint.animation() if self.tool is self.inpaint else []

    def settings(self) -> dict[str, Any]:
        run, request = self.model.run, self.tool.request
        if run is None:
            return {}
        folder: Path = run.folder if request is None else request.folder
        return {
            "tool": self.tool.key,
            "model": folder.name,
            "checkpoint": self.model.file if request is None else request.checkpoint,
            **{tool.key: tool.settings() for tool in self.tools},
        }

    def prepare(self, settings: dict[str, Any]) -> None:
        self.looked.clear()  # a mask may wait for its image
        self.asked = None
        if settings.get("model"):
            self.model.choose(str(settings["model"]), str(settings.get("checkpoint", "")))
        for index, tool in enumerate(self.tools):
            tool.prepare(settings.get(tool.key, {}))
            if tool.key == settings.get("tool"):
                self.tabs.setCurrentIndex(index)

    def restore(self, settings: dict[str, Any]) -> None:
        self.prepare(settings)
        self.again = True
        self._changed()
