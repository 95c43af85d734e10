"""The left half of the likelihood view: one picture, what it takes, in which noise and where."""

from typing import Any

import numpy as np
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from diffviz.widgets.caption import Words
from diffviz.widgets.lines import BarePlot, Legend, Line
from diffviz.widgets.mosaic import Mosaic
from trainer.bits import LEVELS, Exactly, Figure, Taken, coloured, heated

STOPS = LEVELS + 3  # of the slider: all; the prior, from noise to image, the decoder


def band_name(taken: Taken, band: int) -> str:
    """What the costs at that place are of; -1: of all."""
    if not 0 < band <= LEVELS:
        return {-1: "all parts together", 0: "decoder"}.get(band, "prior")
    return f"log-SNR {taken.edges[band]:.1f} to {taken.edges[band - 1]:.1f}"


class PictureHalf(QWidget):
    """Shows what `found` holds of a picture, by what it is, at the slider's `band`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.found: dict[type, Any] = {}
        self.mean: np.ndarray | None = None  # what test images cost, as Taken's costs
        self.band = -1  # a place in Taken's costs, or -1: all
        self.pair = Mosaic("The picture will stand here.")
        self.pair.setObjectName("likelyPictureView")
        self.pair.setAccessibleName("The picture, and which of its pixels cost most")
        self.value = Words("likelyValue")
        self.costs = BarePlot(
            "likelyCostPlot", "Bits over log-SNR", "bits/dim for each unit", across="log-SNR"
        )
        self.costs.set_placeholder("What each level of noise costs comes here.")
        names = {"mean test image": 0, "this picture": 1, "the map's level": 6}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(QLabel("The picture, and where its bits are"))
        column.addWidget(self.pair, 5)
        column.addWidget(self.value)
        column.addWidget(Legend("likelyCostLegend", names))
        column.addWidget(self.costs, 4)

    @property
    def taken(self) -> Taken | None:
        return self.found.get(Taken)

    def go(self, fraction: float) -> None:
        """Let the map be of the slider's place."""
        stop = round(fraction * (STOPS - 1))
        self.band = -1 if stop == 0 else STOPS - 1 - stop

    def caption(self) -> str:
        """What the map shows."""
        if (taken := self.taken) is None:
            return "all parts together" if self.band < 0 else ""
        cost = taken.costs.sum() if self.band < 0 else taken.costs[self.band]
        return f"{band_name(taken, self.band)}: {cost:.4f} bits/dim"

    def show_all(self) -> None:
        """Bring everything up to date."""
        figure, taken = self.found.get(Figure), self.taken
        if figure is None:
            self.pair.show_images(None)
        else:
            heat = np.zeros(figure.image.shape[:2])
            if taken is not None:
                heat = taken.heat.sum(0) if self.band < 0 else taken.heat[self.band]
            both = [coloured(figure.image), heated(figure.image, heat)]
            self.pair.show_images(np.stack(both), 2)
        lines = self.lines()
        self.costs.show_lines(lines)
        if taken is not None:
            most = max(float(np.nanmax(line.y)) for line in lines[:-1])
            self.costs.set_ranges((taken.edges[-1], taken.edges[0]), (0.0, 1.05 * most))
        self.value.setText(self._words())

    def lines(self) -> list[Line]:
        """Bits/dim for each unit of log-SNR, as steps: of the picture, and of the mean digit."""
        taken, lines = self.taken, []
        if taken is None:
            return []
        width = float(taken.edges[0] - taken.edges[1])
        x = np.repeat(taken.edges[::-1], 2)[1:-1]
        if self.mean is not None:
            mean = np.repeat(self.mean[LEVELS:0:-1], 2) / width
            lines.append(Line("mean test image", x, mean, 0))
        mine = np.repeat(taken.costs[LEVELS:0:-1], 2) / width
        lines.append(Line("this picture", x, mine, 1))
        # Always there, be it nowhere: another set of lines is dearer than other data.
        there = 0 < self.band <= LEVELS
        middle = taken.edges[self.band - 1 : self.band + 1].mean() if there else np.nan
        lines.append(
            Line("the map's level", np.full(2, middle), np.array([0, mine.max()]), 6, "dot")
        )
        return lines

    def _words(self) -> str:
        taken, exact = self.taken, self.found.get(Exactly)
        if taken is None:
            return ""
        words = f"at most {taken.bound:.3f} ± {taken.error:.3f} by the SDE's bound"
        if exact is None:
            return f"{words}; the exact value is being integrated…"
        if exact.why:
            return f"{words}; no exact value: {exact.why}"
        return (
            f"<b>{exact.value:.3f}</b> ± {exact.error:.3f} bits/dim, the ODE's exact value "
            f"({exact.nfe:.0f} NFE, the solver's error {exact.solver:.3f}); {words}"
        )

    def film(self) -> list[np.ndarray]:
        """The map, from the prior's through all noise to the decoder's."""
        figure, taken = self.found.get(Figure), self.taken
        if figure is None or taken is None:
            return []
        return [heated(figure.image, heat)[None] for heat in taken.heat[::-1]]
