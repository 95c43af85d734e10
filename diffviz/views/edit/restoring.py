"""The edit view's tool that undoes a degradation, beside what would be exact."""

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QLabel, QWidget

from diffviz.shell.session import Session
from diffviz.views.edit import work
from diffviz.views.edit.masked import MaskedTool
from diffviz.views.edit.tools import name_it, row_of
from diffviz.widgets.mosaic import Mosaic
from trainer.ask import Ask
from trainer.requests import Masked, Restoring

TO_COME = "How far off both are, and how far they spread, will stand here."


class RestoreTool(MaskedTool):
    """Blur an image, or lose most of it: which images may it have been?"""

    key, title, verb = "restore", "Restore", "Restore"
    sentence = (
        "What is left of an image pulls the model's guess towards all images that it may have "
        "been; no model was trained for it. Where they differ, nobody can know."
    )
    lines = (
        ("∇ log p(y | x_t) ≈ (∂x̂_0/∂x_t)^T A^T (r^2 A A^T + σ_y^2 I)^{−1} (y − A x̂_0)",
         "ΠGDM: Song et al. 2023, eq. 7"),
        ("x ← x − ζ ∇ ‖y − A x̂_0‖", "DPS: Chung et al. 2022"),
    )  # fmt: skip
    kind = Restoring
    make = staticmethod(work.restore)
    empty, drawn = "What the image may have been appears here.", "restorations"

    def __init__(self, session: Session, first: Ask, parent: QWidget | None = None) -> None:
        super().__init__(session, first, parent)
        self.told: list[work.Summed] = []
        self.measured = Mosaic("Press Restore: what is left of it appears here.")
        self.exact = Mosaic("Training images, as likely as they are given what is left.")
        self.model_sum = Mosaic("Mean and spread")
        self.exact_sum = Mosaic("Mean and spread")
        both = "Left their mean; right their standard deviation, white for 1"
        for widget, name, words, tip in (
            (self.measured, "Measured", "Measured", "What is left of the image, and noise"),
            (self.exact, "Exact", "Draws of the exact posterior", "Training images x_i, drawn by "
             "p(x_i | y): exact, if nothing else were possible"),
            (self.model_sum, "ModelSum", "The restorations' mean and spread", both),
            (self.exact_sum, "ExactSum", "The exact posterior's mean and spread", both),
        ):  # fmt: skip
            widget.setObjectName(f"restore{name}View")
            name_it(widget, words, tip)
        self.facts = QLabel(TO_COME, objectName="restoreFacts", wordWrap=True)
        self.facts.setTextFormat(Qt.TextFormat.RichText)
        form = self.form
        self.masking = QWidget()
        inside = row_of("Forget", self.forget, self.brush, self.clear_button)
        inside.setContentsMargins(0, 0, 0, 0)
        self.masking.setLayout(inside)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        upper = row_of(
            form.row("image", "degradation", end=False),
            form.row("how", end=False, labelled=False), form.row("noise", end=False),
        )  # fmt: skip
        lower = row_of(
            form.row("method", "sampler", "steps", "count", end=False), "Show", self.show_what,
            form.more_button,
        )  # fmt: skip
        grid.addLayout(upper, 0, 0, 1, 3)
        grid.addLayout(lower, 1, 0, 1, 3)
        grid.addLayout(row_of(form.row("classes", end=False), self.masking), 2, 0, 1, 3)
        heads = ("Original", "Restored by the model", "The training set's exact posterior")
        columns = ((self.painter, self.measured), (self.view, self.model_sum),
                   (self.exact, self.exact_sum))  # fmt: skip
        below = ("Measured", "Their mean and spread", "Its mean and spread")
        for k, (large, small) in enumerate(columns):
            grid.addWidget(QLabel(f"<b>{heads[k]}</b>"), 3, k)
            grid.addWidget(large, 4, k)
            grid.addWidget(QLabel(f"<b>{below[k]}</b>"), 5, k)
            grid.addWidget(small, 6, k)
            grid.setColumnStretch(k, 2 if k else 1)
        grid.setRowStretch(4, 3)
        grid.setRowStretch(6, 2)
        grid.addWidget(self.facts, 7, 0, 1, 3)
        grid.addWidget(self.timeline, 8, 0, 1, 3)
        form["degradation"].changed.connect(self._follow)
        self._follow()

    @property
    def by_mask(self) -> bool:
        """Whether a mask says what is lost."""
        return bool(self.form["degradation"].value() == "mask")

    def _follow(self) -> None:
        self.masking.setVisible(self.by_mask)
        self.form["how"].setVisible(bool(self.form["how"].options))
        self.painter.show_mask(self.by_mask)

    def painted_by_hand(self) -> None:
        self.form["degradation"].set_value("mask")
        super().painted_by_hand()

    def wanted(self, of: dict[str, str]) -> Masked | None:
        """As `Tool.wanted`; a mask is needed only where it says what is lost."""
        return super().wanted(of) if self.by_mask else self.current(of)

    def begin(self, request: Masked) -> None:
        super().begin(request)
        for view in (self.measured, self.view, self.exact, self.model_sum, self.exact_sum):
            view.show_images(None)
        self.facts.setText(TO_COME)
        self.told = []

    def take(self, event: work.Left | work.Weighed | work.Completing | work.Summed) -> None:
        match event:
            case work.Left():
                self.measured.show_images(event.measured)
            case work.Completing():
                super().take(event)
            case work.Weighed():
                self.exact.show_images(event.draws)
                self._tell(event, self.exact_sum)
            case work.Summed():
                self._tell(event, self.model_sum)

    def _tell(self, found: work.Summed, view: Mosaic) -> None:
        view.show_images(np.concatenate([found.mean, found.spread]), 2)
        self.told.append(found)
        rows = []
        for one in self.told:
            name, shared = "Model", ""
            if isinstance(one, work.Weighed):
                name = "Training set"
                shared = f"shared by {one.effective:,.1f} of {one.known:,} images"
            cells = (
                f"<b>{name}</b>", f"spread {one.spreads:.3f}",
                f"mean {one.error:.3f} off the original",
                f"{one.residual:.3f} off what is measured (noise {self.request.noise:g})",
                shared,
            )  # fmt: skip
            rows.append("".join(f"<td style='padding-right: 14px'>{cell}</td>" for cell in cells))
        self.facts.setText(f"<table cellspacing=0><tr>{'</tr><tr>'.join(rows)}</tr></table>")
