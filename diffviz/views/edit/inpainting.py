"""The edit view's first tool: paint over a part of an image, and let the model complete it."""

from PySide6.QtWidgets import QGridLayout, QWidget

from diffviz.shell.session import Session
from diffviz.views.edit import work
from diffviz.views.edit.masked import MaskedTool
from diffviz.views.edit.tools import row_of
from trainer.ask import Ask
from trainer.requests import Inpainting


class InpaintTool(MaskedTool):
    """Paint over a part of a real image; the model completes it, many times."""

    key, title, verb = "inpaint", "Inpaint", "Complete"
    sentence = (
        "What is painted over is drawn anew; after every update the rest is set to the real image, "
        "noised to the same level. Repeats noise and update again, so that both parts agree."
    )
    lines = (
        ('x_t ← m (α(t) x_0 + σ(t) ε) + (1 − m) x_t,   m = 1 "where known"',
         "Song et al. 2021, appendix I.2; repeats: Lugmayr et al. 2022 (RePaint)"),
    )  # fmt: skip
    kind = Inpainting
    make = staticmethod(work.complete)
    empty, drawn = "The completions appear here, each from other noise.", "completions"

    def __init__(self, session: Session, first: Ask, parent: QWidget | None = None) -> None:
        super().__init__(session, first, parent)
        form = self.form
        upper = form.row("sampler", "steps", "repeats", end=False)
        upper.addStretch(1)
        lower = form.row("seed", "count", end=False)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addLayout(row_of(form.row("image", end=False), "Forget", self.forget), 0, 0)
        grid.addLayout(row_of("Brush", self.brush, self.clear_button, form.more_button), 1, 0)
        grid.addLayout(upper, 0, 1)
        grid.addLayout(row_of(lower, "Show", self.show_what), 1, 1)
        grid.addLayout(row_of(form.row("classes", end=False)), 2, 1)  # of models that know any
        grid.addWidget(self.painter, 3, 0)
        grid.addWidget(self.view, 3, 1)
        grid.addWidget(self.timeline, 4, 0, 1, 2)
        grid.setRowStretch(3, 1)
        grid.setColumnStretch(0, 2)
        grid.setColumnStretch(1, 3)
