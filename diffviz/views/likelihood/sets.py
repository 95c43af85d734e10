"""The right half of the likelihood view: test images ranked, and whole sets beside each other."""

import math
from typing import Any

import numpy as np
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from diffviz.widgets.caption import Words
from diffviz.widgets.lines import BarePlot, Legend, Line
from diffviz.widgets.picker import Note, Picker
from trainer.bits import SETS, Several

MOST_SHOWN = 200  # ranked images: of more the first and the last half
WIDE = 1.7  # how much wider than high the ranking's room is
LEAST, MOST, BIN = -7.0, 5.0, 1 / 6  # of log2 bits/dim in the histograms


class BitsPlot(BarePlot):
    """Lines over bits/dim, of which each tick is twice the one before."""

    def build(self, item: Any) -> None:
        super().build(item)
        ticks = [(power, f"{2.0**power:g}") for power in range(int(LEAST), int(MOST) + 1)]
        item.getAxis("bottom").setTicks([ticks, []])


class SetsHalf(QWidget):
    """Shows what has been judged so far of each set."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.sets: dict[str, list[Several]] = {}
        self.ranked = np.zeros(0, int)  # numbers of the test images on view
        self.ranking = Picker("The test images will stand here, the likeliest first.")
        self.ranking.setObjectName("likelyRankView")
        self.ranking.setAccessibleName("Test images from the likeliest to the least")
        self.ranking.setToolTip("Click one to judge it by itself")
        self.status = Words("likelyStatus")
        self.histogram = BitsPlot(
            "likelySetsPlot", "Bits/dim of several sets", "share", across="bits/dim"
        )
        self.histogram.set_placeholder("How likely digits and nonsense are comes here.")
        names = {title: series for series, title in enumerate(SETS.values())}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(QLabel("Test images, from the likeliest to the least"))
        column.addWidget(self.ranking, 5)
        column.addWidget(self.status)
        column.addWidget(Legend("likelySetsLegend", names | {"this picture": 6}))
        column.addWidget(self.histogram, 4)

    def bits(self, name: str) -> np.ndarray:
        """Bits/dim of what is judged of that set so far, (n,)."""
        return np.concatenate([np.zeros(0), *(one.bits for one in self.sets.get(name, []))])

    def mean_costs(self) -> np.ndarray | None:
        """What a digit costs in the mean, as Taken's costs."""
        digits = self.sets.get("none", [])
        if not digits:
            return None
        found: np.ndarray = np.average(
            [one.costs for one in digits], 0, [len(one.bits) for one in digits]
        )
        return found

    def show_all(self, value: float | None) -> None:
        """Bring everything up to date; `value` is the picture's bits/dim, if known."""
        self._show_ranking()
        lines = self.lines(value)
        self.histogram.show_lines(lines)
        if lines:
            low, high = min(line.x[0] for line in lines), max(line.x[-1] for line in lines)
            self.histogram.set_ranges((float(low) - BIN, float(high) + BIN), (0, 1.02))

    def _show_ranking(self) -> None:
        digits = self.sets.get("none", [])
        self.ranking.select(())
        if not digits:
            self.ranking.show_images(None)
            return
        bits = self.bits("none")
        order = np.argsort(bits, kind="stable")
        if len(order) > MOST_SHOWN:
            order = np.concatenate([order[: MOST_SHOWN // 2], order[-MOST_SHOWN // 2 :]])
        self.ranked = np.concatenate([one.numbers for one in digits])[order]
        images = np.concatenate([one.images for one in digits])[order]
        self.ranking.show_images(images, math.ceil(math.sqrt(WIDE * len(order))))
        self.ranking.show_notes([Note(f"{value:.2f}") for value in bits[order]])

    def lines(self, value: float | None) -> list[Line]:
        """Each set's histogram, as steps; and where `value` is."""
        edges, lines = np.arange(LEAST, MOST + BIN / 2, BIN), []
        x = np.repeat(edges, 2)
        for series, (name, title) in enumerate(SETS.items()):
            if len(bits := self.bits(name)):
                levels = np.log2(bits.clip(2.0**LEAST, None)).clip(LEAST, MOST - BIN / 2)
                share = np.histogram(levels, edges)[0] / len(bits)
                y = np.concatenate([[0.0], np.repeat(share, 2), [0.0]])
                first, *_, last = np.nonzero(y)[0]  # two of each bin
                there = slice(first - 1, last + 2)  # no line along the ground
                lines.append(Line(title, x[there], y[there], series))
        if value is not None and lines:
            at = float(np.clip(np.log2(max(value, 2.0**LEAST)), LEAST, MOST))
            lines.append(Line("this picture", np.full(2, at), np.array([0.0, 1.0]), 6, "dot"))
        return lines

    def say(self, value: float | None) -> str:
        """What is found so far, in a few sentences."""
        digits, blank, found = self.bits("none"), self.bits("blank"), []
        if not len(digits):
            return "Test images, the same upside down and inverted, blanks and noise come next…"
        if value is not None:
            found.append(f"The picture is likelier than {(digits > value).mean():.0%} of digits.")
        means = (f"{title} {self.bits(name).mean():,.{2 if self.bits(name).mean() < 100 else 0}f}"
                 for name, title in SETS.items() if len(self.bits(name)))  # fmt: skip
        found.append(f"Mean bits/dim: {', '.join(means)}.")
        if len(blank):
            likelier = (digits < blank.mean()).mean()
            found.append(
                f"{likelier:.0%} of digits are likelier than blank."
                if likelier > 0
                else "Blank is likelier than every digit."
            )
        return " ".join(found)
