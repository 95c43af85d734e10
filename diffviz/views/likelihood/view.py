"""The likelihood view: how many bits a picture takes, where they are, and beside which others."""

from functools import partial
from typing import Any

import numpy as np
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from diffviz.controls.fields import narrow
from diffviz.controls.form import Form
from diffviz.shell.session import Session
from diffviz.views.likelihood import work
from diffviz.views.likelihood.picture import STOPS, PictureHalf
from diffviz.views.likelihood.sets import SetsHalf
from diffviz.views.view import Guide, View
from diffviz.widgets.formula import Formula
from diffviz.widgets.timeline import Timeline
from trainer.bits import SETS, Exactly, Several


class LikelihoodView(View):
    """Judges a picture as soon as it is chosen, and test images and what is made of them beside."""

    kind = work.Likely
    timeline: Timeline
    explanation = (
        "<h3>How likely is this picture? And nonsense?</h3>"
        "<p>A diffusion model is a density: it says how likely any picture is, in bits for each "
        "value that the best code would take. 8 is what bytes take that nobody knows anything of. "
        "The <b>exact</b> value follows the probability-flow ODE from the picture to noise; the "
        "<b>bound</b> adds up what the model misses of the noise at each level: so it can be taken "
        "apart. The curve says which levels of noise cost what: at the left whole shapes, at the "
        "right single grey levels. The map says which pixels; drag the slider for one level's."
        "</p>"
        "<p>Rank the test images: the likeliest are the plainest, not the best. And judge what no "
        "digit is. A <b>blank</b> image is likelier than any digit, though the model would never "
        "draw one: likelihood counts surprises pixel by pixel, and a black picture holds none "
        "(Nalisnick et al. 2018, arXiv:1810.09136). Most of what makes a digit is decided in very "
        "few bits, at the left of the curve.</p>"
        "<p>Bytes have no density, so noise is added first; which, changes the value: More…, "
        "Dequantisation.</p>"
    )

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.one = self.latest(self._take, self._rest, self._fail)
        self.all = self.latest(self._take, self.show_status, self._fail)
        self.asked: work.Likely | None = None  # what the picture is judged by
        self.wrong = ""
        self.form: Form[work.Likely] = Form(
            work.Likely, "likely", session, self, without=("place",)
        )
        self.picture, self.sets = PictureHalf(), SetsHalf()
        self.timeline = Timeline()
        self.timeline.set_count(STOPS)
        middle = QHBoxLayout()
        middle.addWidget(self.picture, 1)
        middle.addWidget(self.sets, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 6, 9, 6)
        for name in ("change", "by"):  # else the window is wider than 1280 pixels
            narrow(self.form[name], 6)
        layout.addLayout(self.form.row("model", "image", "change", "count", "by"))
        layout.addLayout(middle, 1)
        layout.addWidget(self.timeline)
        layout.addWidget(
            Formula(
                "The bound adds up what the model misses of the noise; the exact value, how the "
                "ODE stretches space.",
                [("−log_2 P(x) ≤ ½ ∫ E‖ε − ε_θ(x_λ)‖^2 dλ / ln 2 + \"prior + decoder\"",
                  "Kingma et al. 2021"),
                 ("log p_0(x_0) = log p_1(x_1) + ∫ ∇·(dx/dt) dt", "Song et al. 2021")],
                "likelyFormula",
            )
        )  # fmt: skip
        self.form.changed.connect(self._changed)
        self.timeline.position_changed.connect(self.show_level)
        self.sets.ranking.selectionChanged.connect(self._chosen)
        self.show_level()
        self.show_status()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._changed()

    def _changed(self) -> None:
        """A setting changed, or somebody looks: judge what is not judged yet, the picture first."""
        if self.form["model"].run is not None and self.isVisible():
            ask, before = self.form.ask(), self.asked
            if ask != before:
                self.asked, self.picture.found, self.wrong = ask, {}, ""
                if before is None or _of_sets(ask) != _of_sets(before):
                    self.sets.sets = {}
                    self.all.ask(partial(work.all_sets, ask, self.session.places))
                self.all.pause()
                self.one.ask(partial(work.one, ask, self.session.places))
                self._show()
        self.show_status()

    def _rest(self) -> None:
        """The picture is judged: let the others go on."""
        self.all.resume()
        self.show_status()

    def _take(self, events: list[Any]) -> None:
        for event in events:
            if isinstance(event, Several):
                self.sets.sets.setdefault(event.name, []).append(event)
            else:
                self.picture.found[type(event)] = event
        self._show()
        self.show_status()

    def _fail(self, why: str) -> None:
        self.wrong = why
        self.all.resume()
        self.show_status()

    def _chosen(self) -> None:
        """A ranked image was clicked: it becomes the picture."""
        if chosen := self.sets.ranking.selected:
            number = self.sets.ranked[chosen[0]]
            self.form.set_values({"image": str(number), "change": "none"})

    def _show(self) -> None:
        self.picture.mean = self.sets.mean_costs()
        self.show_level()
        self.sets.show_all(self.bits())

    def show_level(self) -> None:
        """Show the map of the slider's level, and say what it costs."""
        self.picture.go(self.timeline.fraction())
        self.picture.show_all()
        self.timeline.set_caption(self.picture.caption())

    def bits(self) -> float | None:
        """The picture's bits/dim, judged as the sets are; None while it is not."""
        taken, exact = self.picture.taken, self.picture.found.get(Exactly)
        if self.asked is not None and self.asked.by == "exact":
            return None if exact is None or exact.why else float(exact.value)
        return None if taken is None else float(taken.bound)

    def show_status(self) -> None:
        """Say how things stand."""
        if self.form["model"].run is None:
            words = "Waiting for the models to be listed."
        else:
            words = self.wrong or self.sets.say(self.bits())
            digits = len(self.sets.bits("none"))
            if digits and self.all.busy and self.asked is not None and not self.wrong:
                words += f" {digits:,} of {self.asked.count:,} test images."
        self.sets.status.setText(words)

    def ask(self) -> work.Likely:
        return (self.asked or self.form.ask()).with_changes(place=self.timeline.fraction())

    def prepare(self, ask: work.Likely) -> None:
        self.form.restore(ask)
        self.timeline.set_fraction(ask.place)

    def grid(self) -> np.ndarray | None:
        """The ranked test images."""
        return self.sets.ranking.images

    def animation(self) -> list[np.ndarray]:
        """The picture's map, from noise to image."""
        return self.picture.film()

    def curves(self) -> dict[str, np.ndarray]:
        """Costs over log-SNR, and each set's bits/dim, in ascending order, over the share below."""
        found = {
            f"bits/dim for each unit: {line.name}": np.column_stack([line.x, line.y])
            for line in self.picture.lines()
            if np.isfinite(line.x).all()
        }
        for name, title in SETS.items():
            bits = np.sort(self.sets.bits(name))
            if len(bits):
                found[f"bits/dim of {title}"] = np.column_stack(
                    [(np.arange(len(bits)) + 0.5) / len(bits), bits]
                )
        return found

    def visit(self, guide: Guide) -> None:
        self.form.set_values({"count": 40})
        guide.wait(lambda: Exactly in self.picture.found and not self.all.busy,
                   "pictures were judged")  # fmt: skip


def _of_sets(ask: work.Likely) -> work.Likely:
    """What the sets depend on."""
    return ask.with_changes(image="0", change="none", draws=2)
