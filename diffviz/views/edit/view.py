"""The edit view: four ways of steering a trained model without training it."""

from functools import partial
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

from diffviz.controls.fields import choose
from diffviz.controls.model import ModelChoice
from diffviz.shell.session import Session
from diffviz.views.edit import work
from diffviz.views.edit.inpainting import InpaintTool
from diffviz.views.edit.latents import EncodeTool, InterpolateTool
from diffviz.views.edit.masked import MaskedTool
from diffviz.views.edit.restoring import RestoreTool
from diffviz.views.edit.tools import Tool
from diffviz.views.view import Guide, View
from diffviz.widgets.formula import Formula
from trainer.ask import settings_of
from trainer.requests import OfModel

TOUR_STEPS = 20


class EditView(View):
    """Chooses the model and the tool, runs the tool's work, and says how far it is."""

    kind = work.Edit
    explanation = (
        "<h3>Steering a trained model</h3>"
        "<p>A diffusion model knows which images are likely. That is enough to do more than draw "
        "from it, without training again.</p>"
        "<p><b>Inpaint</b>: keep a part of a real image and let the model draw the rest. At every "
        "level the known part is noised to that level, so that the model sees both parts alike "
        "(Song et al. 2021; repeats: RePaint, Lugmayr et al. 2022).</p>"
        "<p><b>Restore</b>: of an image that was blurred, made smaller or mostly lost, draw what "
        "it may have been. What is left steers each step, through the model's guess (ΠGDM, Song "
        "et al. 2023; DPS, Chung et al. 2022, arXiv:2209.14687). Beside it stands what would be "
        "exact if the training images were all there is: each as likely as it explains what is "
        "left. Their spread is the uncertainty that is left.</p>"
        "<p><b>Encode and decode</b>: the probability-flow ODE has the same marginals as the SDE "
        "but no randomness. It leads from an image to one latent, and from that latent back to "
        "the image, up to the solver's error.</p>"
        "<p><b>Interpolate</b>: go from latent to latent along the great circle, and decode. "
        "Plain blends of the pixels are no digits; what the latents decode to mostly is.</p>"
    )

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.computing = self.latest(self._take, self._ended)
        self.looking = self.latest(self._found, failed=self._miss)
        self.busy: Tool | None = None  # which tool computes
        self.asked: tuple[Any, ...] | None = None  # what images were last looked for, and by whom
        self.missing = ""  # why they cannot be shown
        self.awaited = False  # to be computed as soon as model and images are known
        self.looked: dict[Tool, tuple[Any, ...]] = {}  # the images that each shows
        first = work.Edit()
        self.inpaint = InpaintTool(session, first.inpaint)
        self.restoring = RestoreTool(session, first.restore)
        self.encode = EncodeTool(session, first.encode)
        self.interpolate = InterpolateTool(session, first.interpolate)
        self.tools: list[Tool] = [self.inpaint, self.restoring, self.encode, self.interpolate]

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
        self.model = ModelChoice(session, "edit", settings_of(OfModel)["model"])
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
        self.model.changed.connect(self._choose_model)
        self._choose_model()
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
        self.stop_button.clicked.connect(self.computing.stop)
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

    def _sought(self) -> tuple[Any, ...]:
        """What the images on view depend on."""
        return *self.model.values().values(), self.tool.names(), self.tool.waiting

    def wanted(self) -> Any:
        """What the controls ask for; None while a model, an image or a mask is missing."""
        if self.model.run is None or self.looked.get(self.tool) != self._sought():
            return None
        return self.tool.wanted(self.model.values())

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._changed()

    def _choose_model(self) -> None:
        for tool in (self.inpaint, self.restoring):
            tool.form.offer(self.model)
        self._changed()

    def _show_tool(self) -> None:
        tool = self.tool
        self.stack.setCurrentWidget(tool)
        self.timeline = tool.timeline
        self.formula.show_lines(tool.sentence, list(tool.lines))
        self.run_button.setText(tool.verb)
        self._changed()

    def _changed(self) -> None:
        """A setting changed: look up the images that it asks for; say how things stand."""
        tool, sought = self.tool, self._sought()
        if self.model.run is not None and (self.isVisible() or self.awaited):
            shown = self.looked.get(tool) == sought
            if not shown and self.asked != (tool, *sought):
                self.asked, self.missing = (tool, *sought), ""
                of = OfModel(**self.model.values())
                places, names = self.session.places, tool.names()
                self.looking.ask(partial(work.originals, of, places, names, tool.waiting))
        if self.awaited and self.wanted() is not None:
            self.press()
        self._show_status()

    def _miss(self, why: str) -> None:
        self.missing = why
        self._show_status()

    def _found(self, events: list[work.Originals]) -> None:
        assert self.asked is not None
        tool, model, checkpoint, names, _ = self.asked
        self.asked = None
        self.looked[tool] = (model, checkpoint, names, "")  # a mask waits no longer
        for found in events:
            tool.show_originals(found)
            if found.why:
                self.session.message.emit(found.why)

    def press(self) -> None:
        """Compute what the controls ask for; what is under way is given up for it."""
        request, tool = self.wanted(), self.tool
        if request is None:
            return
        self.awaited = False
        self.busy = tool
        tool.begin(request)
        self.computing.ask(partial(tool.make, request, self.session.places))
        self._show_status()

    def _take(self, events: list[Any]) -> None:
        assert self.busy is not None
        for event in events:
            self.busy.take(event)
        self._show_status()

    def _ended(self) -> None:
        self.busy = None
        self._show_status()

    def _show_status(self) -> None:
        tool, wanted = self.tool, self.wanted()
        self.stop_button.setEnabled(self.busy is not None)
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
        elif wanted is None and self.asked is None and isinstance(tool, MaskedTool):
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
        return self.tool.animation() if isinstance(self.tool, MaskedTool) else []

    def ask(self) -> work.Edit:
        of = self.model.values()
        asks = {tool.key: tool.request or tool.current(of) for tool in self.tools}
        film = self.tool if isinstance(self.tool, MaskedTool) else self.inpaint
        place = film.timeline.fraction() if film.done else 1.0
        show = film.show_what.currentData()
        return work.Edit(tool=self.tool.key, show=show, fraction=place, **asks)

    def prepare(self, ask: work.Edit) -> None:
        self.looked.clear()  # a mask may wait for its image
        self.asked = None
        shown = getattr(ask, ask.tool)
        self.model.set_values({"model": shown.model, "checkpoint": shown.checkpoint})
        for film in (self.inpaint, self.restoring):
            choose(film.show_what, ask.show)
            film.place = ask.fraction
        for index, tool in enumerate(self.tools):
            tool.prepare(getattr(ask, tool.key))
            if tool.key == ask.tool:
                self.tabs.setCurrentIndex(index)

    def restore(self, ask: work.Edit) -> None:
        self.prepare(ask)
        self.awaited = True
        self._changed()

    def visit(self, guide: Guide) -> None:
        guide.wait(self.run_button.isEnabled, "the test images were loaded")
        self.inpaint.form.set_values({"steps": TOUR_STEPS})
        self.run_button.click()
        guide.wait(lambda: self.grid() is not None, "a completion was drawn")
        self.stop_button.click()
        guide.look("completed")
        self.tabs.setCurrentIndex(self.tools.index(self.restoring))
        self.restoring.form.set_values({"steps": TOUR_STEPS, "count": 9})
        guide.wait(self.run_button.isEnabled, "the image to restore was loaded")
        self.run_button.click()
        guide.wait(lambda: not self.computing.busy, "an image was restored")
