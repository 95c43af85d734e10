"""What is inside a network: its blocks, and at each t what they answer, look at and can change."""

from typing import Any

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Signal
from PySide6.QtGui import QColor, QHideEvent, QMouseEvent, QPainter, QPen, QShowEvent
from PySide6.QtWidgets import QGridLayout, QVBoxLayout, QWidget

from diffviz.shell.session import Session
from diffviz.views.levels import LevelsView
from diffviz.views.network import work
from diffviz.views.view import Guide
from diffviz.widgets.caption import Words
from diffviz.widgets.formula import Formula
from diffviz.widgets.graph import Graph, Node
from diffviz.widgets.lines import Line, LinesPlot
from diffviz.widgets.mosaic import Mosaic
from diffviz.widgets.themed import picture
from trainer import inside
from trainer.inside import Level

MARK = "#E69F00"
WIDER = 2.2  # so many times as wide as high is the room for feature maps
CLOSED = (
    "This model is worked out in closed form: there is no network inside. What can still change is "
    "exact here; choose a trained model to see blocks."
)
HEADS = {
    "images": "x<sub>t</sub>, and the guess",
    "maps": "The block's feature maps",
    "attention": "The pixel's attention",
    "changing": "What can still change: −3 … 3 standard deviations",
}


class Pointed(Mosaic):
    """Images of which one pixel is pointed at: `pointed` tells its row and column."""

    pointed = Signal(int, int)

    def __init__(self, placeholder: str) -> None:
        super().__init__(placeholder)
        self.pixel = (-1, -1)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        index = self.index_at(event.position())
        if index >= 0 and self.images is not None:
            inside = (event.position() - self.cell(index).topLeft()) / self.scale()
            height, width = self.images.shape[1:3]
            self.pixel = min(int(inside.y()), height - 1), min(int(inside.x()), width - 1)
            self.pointed.emit(*self.pixel)
            self.update()

    def leaveEvent(self, event: Any) -> None:
        """The pixel stays as it was."""

    def _paint_marks(self, painter: QPainter) -> None:
        if self.images is None or self.pixel[0] < 0:
            return
        painter.setPen(QPen(QColor(MARK), 2))
        side = self.scale()
        for k in range(len(self.images)):
            corner = self.cell(k).topLeft() + QPointF(self.pixel[1], self.pixel[0]) * side
            painter.drawRect(QRectF(corner.x(), corner.y(), side, side))


def count_of(number: float, unit: str = "") -> str:
    """A count for people: 1,234, 12.3 k, 4.56 M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= size:
            scale = min(size, 1e3) if letter == "k" else size
            return f"{number / scale:.3g} {letter}{unit}"
    return f"{number:,.0f}{' ' + unit if unit else ''}"


def shape_of(shape: tuple[int, ...]) -> str:
    """48 x 14 x 14 as people write it."""
    return " x ".join(map(str, shape))


class NetworkView(LevelsView):
    """Holds every level as arrays, so that slider and pointer only pick."""

    kind, compute, prefix = work.Network, work.look, "network"
    explanation = (
        "<h3>What is inside?</h3>"
        "<p>Above, the network's <b>blocks</b> in the order in which they are called, from left to "
        "right, lower where they see fewer places; a line leads from each to those that read its "
        "answer, as autograd knows it: those over several boxes are a U-Net's skip connections. "
        "The fuller the colour, the more products a block takes. Click one, or use the arrow keys, "
        "to see its <b>feature maps</b>: grey is 0.</p>"
        "<p>Move the pointer over the image: <b>attention</b> shows which places the pixel's own "
        "reads, in each block that attends. The lines are the radial power of the block's maps "
        "beside that of x<sub>t</sub> and the guess.</p>"
        "<p>Right, the first directions of the denoiser's Jacobian at x<sub>t</sub>. Of the best "
        "denoiser it is the covariance of what the image may be, so these are the posterior's "
        "principal axes (Manor and Michaeli 2024, arXiv:2309.13598): the change itself, then the "
        "guess moved along it. At late t they change what digit it is, at early t a stroke's edge. "
        "Park et al. (2023, arXiv:2307.12868) edit images along them. A score's Jacobian is "
        "symmetric; how far a network's is not says how far it is from being one.</p>"
    )

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, inside.TIMES, parent, ("block",))
        self.anatomy: Any = None
        self.block = -1
        self.graph = Graph("The network's blocks will stand here.")
        self.graph.setObjectName("networkGraph")
        self.graph.setAccessibleName("The network's blocks")
        self.graph.chosen.connect(self.choose)
        self.facts = Words("networkFacts")
        self.status = Words("networkStatus")
        self.images = Pointed("The image, noised, will stand here.")
        self.maps = Mosaic("Its feature maps will stand here.")
        self.attention = Mosaic("Point at the image: what its pixel looks at will stand here.")
        self.changing = Mosaic("The directions come once all t are seen.")
        self.images.pointed.connect(self._show_attention)
        self.heads: dict[str, Words] = {}
        self.plot = LinesPlot(
            "networkPlot", "Power over frequency", "power over its mean",
            across="cycles an image", log=True,
        )  # fmt: skip
        self.plot.set_placeholder("The power of its maps over frequency comes here.")
        for name, words in HEADS.items():
            view = getattr(self, name)
            view.setObjectName(f"network{name.title()}View")
            view.setAccessibleName(words.replace("<sub>", "").replace("</sub>", ""))
            self.heads[name] = Words(f"network{name.title()}Head", words)
        grid = QGridLayout()
        places = {"images": (0, 0), "attention": (0, 2), "maps": (0, 3), "changing": (2, 3)}
        for name, (row, column) in places.items():
            wide = 2 if name == "images" else 1
            grid.addWidget(self.heads[name], row, column, 1, wide)
            grid.addWidget(getattr(self, name), row + 1, column, 1, wide)
        grid.addWidget(self.plot, 2, 0, 2, 3)
        for row, stretch in ((1, 4), (3, 5)):
            grid.setRowStretch(row, stretch)
        for column, stretch in enumerate((2, 2, 2, 7)):
            grid.setColumnStretch(column, stretch)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 6, 9, 6)
        layout.addLayout(self.form.row("model", "classes", "image", "count"))
        layout.addWidget(self.graph)
        layout.addWidget(self.facts)
        layout.addLayout(grid, 1)
        layout.addWidget(self.status)
        layout.addWidget(self.timeline)
        layout.addWidget(
            Formula(
                "Along a direction of the Jacobian the guess can still change; where it is 0, all "
                "is decided.",
                [("Cov[x_0 | x_t] = (σ^2 / α) ∂x̂_0 / ∂x_t",
                  "Manor and Michaeli 2024, theorem 1; Park et al. 2023")],
                "networkFormula",
            )
        )  # fmt: skip
        self.show_time()
        self.show_status()

    def showEvent(self, event: QShowEvent) -> None:
        self.work.resume()
        super().showEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:
        """The directions take long: they wait until somebody looks again."""
        self.work.pause()
        super().hideEvent(event)

    def _changed(self) -> None:
        before = self.asked
        super()._changed()
        if self.asked is not before:
            self.anatomy = None
            self._show_graph()

    def _take(self, events: list[Any]) -> None:
        levels = [event for event in events if isinstance(event, Level)]
        for event in events:
            if not isinstance(event, Level):
                self.anatomy = event
                if not 0 <= self.block < len(event.blocks):
                    self.block = len(event.blocks) // 2
                self._show_graph()
        super()._take(levels)

    def choose(self, block: int) -> None:
        """Look at that block."""
        self.block = block
        self._show_graph()
        self.show_time()

    def _show_graph(self) -> None:
        blocks = self.anatomy.blocks if self.anatomy else ()
        sides = sorted({block.shape[-1] for block in blocks if len(block.shape) == 3}, reverse=True)
        rows = {side: k for k, side in enumerate(sides)}
        total = max(1, self.anatomy.flops) if self.anatomy else 1
        nodes = []
        for block in blocks:
            row = rows[block.shape[-1]] if len(block.shape) == 3 else 0
            words = "x".join(map(str, block.shape))
            nodes.append(Node(
                block.name, words, self._told(block), row, block.reads, block.flops / total,
                quiet=len(block.shape) < 3,
            ))  # fmt: skip
        self.graph.show_nodes(tuple(nodes), self.block)
        self.facts.setText(self._told(blocks[self.block]) if blocks else "")

    def _told(self, block: Any) -> str:
        share = block.flops / max(1, self.anatomy.flops)
        return (
            f"{block.name} ({block.kind}): {shape_of(block.shape)}, "
            f"{count_of(block.parameters)} parameters, {count_of(block.flops, 'FLOP')} "
            f"({share:.0%}), {block.milliseconds:.2f} ms an image"
        )

    def show_time(self) -> None:
        """Put what is computed nearest to the slider into the views."""
        at: Level | None = self.level()
        self.images.show_images(at.images if at else None, 2)
        maps = at.maps[self.block] if at and 0 <= self.block < len(at.maps) else None
        self.maps.show_images(maps, None if maps is None else round((WIDER * len(maps)) ** 0.5))
        closed = at is not None and not at.maps
        flat = at is not None and not closed and maps is None
        if flat:
            self.maps.set_placeholder("This block answers one vector: it has no maps.")
        else:
            self.maps.set_placeholder(
                "A closed form has no blocks." if closed else "Its feature maps will stand here."
            )
        self.graph.set_placeholder(CLOSED if closed else "The network's blocks will stand here.")
        self._show_changing(at)
        self.timeline.set_caption(f"t = {at.t if at else self.time():.3f}")
        self._show_attention()
        self.plot.show_lines(self._lines(at))
        if at and self.levels:
            self.show_status()

    def _show_changing(self, at: Level | None) -> None:
        """The directions at that t, or while they are not there at the nearest that has some."""
        known = [one for one in self.levels if one.changing is not None]
        rows, words = None, HEADS["changing"]
        if at is not None and known:
            near = min(known, key=lambda one: abs(one.t - at.t))
            rows = near.changing.pictures.reshape(-1, *near.changing.pictures.shape[2:])
            words += "" if near is at else f", at t = {near.t:.3f}"
        self.changing.show_images(rows, 1 + len(inside.WALK))
        self.heads["changing"].setText(words)

    def _lines(self, at: Level | None) -> list[Line]:
        if at is None:
            return []
        found: dict[str, np.ndarray | None] = {}
        if 0 <= self.block < len(at.power):
            found["this block's maps"] = at.power[self.block]
        for name, image in zip(("x_t", "guess"), at.images, strict=True):
            found[name] = inside.power_of_picture(image)
        lines = [
            Line(name, np.arange(1.0, len(power)), power[1:], series)  # the mean is taken away
            for series, (name, power) in enumerate(found.items(), start=1)
            if power is not None
        ]
        if lines:
            self.plot.set_ranges((1, max(len(line.x) for line in lines)), (1e-3, 1e2))
        return lines

    def _show_attention(self, *_pixel: int) -> None:
        """What the pixel under the pointer looks at: the middle one until there is a pointer."""
        at: Level | None = self.level()
        if at is None or not at.attention:
            self.attention.show_images(None)
            self.attention.set_placeholder(
                "No block attends here." if at else "What its pixel looks at will stand here."
            )
            return
        height, width = at.images.shape[1:3]
        row, column = self.images.pixel
        if row < 0:
            row, column = height // 2, width // 2
        shown = []
        for _, table in at.attention:
            h, w = table.shape[1:]
            one = table[row * h // height * w + column * w // width]
            down, across = np.arange(height) * h // height, np.arange(width) * w // width
            shown.append(one[down[:, None], across])
        self.attention.show_images(np.stack(shown))
        names = ", ".join(self.anatomy.blocks[k].name for k, _ in at.attention)
        self.attention.setToolTip(f"In order: {names}")

    def show_words(self, words: str) -> None:
        self.status.setText(words)

    def say(self) -> str:
        at: Level | None = self.level()
        if at is None:
            return "The network is called at a late, a middle and an early t first, then between."
        words = ""
        if self.anatomy:
            words = (
                f"{count_of(self.anatomy.parameters)} parameters, "
                f"{count_of(self.anatomy.flops, 'FLOP')} and {self.anatomy.milliseconds:.1f} ms an "
                "image. "
            )
        if at.changing is not None:
            values = ", ".join(f"{value:.3g}" for value in at.changing.values[:4])
            words += (
                f"The Jacobian's first values are {values}; its directions in x_t and in the guess "
                f"agree by {at.changing.symmetry:.2f}, of 1 for every score."
            )
        if self.work.busy:
            whole = sum(one.changing is not None for one in self.levels)
            words += f" {len(self.levels)} of {inside.TIMES} t, directions at {whole}."
        return words

    def ask(self) -> work.Network:
        found: work.Network = super().ask().with_changes(block=self.block)
        return found

    def prepare(self, ask: work.Network) -> None:
        self.block = ask.block
        super().prepare(ask)

    def grid(self) -> np.ndarray | None:
        return picture(self) if self.levels else None

    def animation(self) -> list[np.ndarray]:
        """The view in time, as it is seen."""
        before, frames = self.timeline.fraction(), []
        for level in self.levels:
            self.go(level.t)
            frames.append(picture(self))
        self.timeline.set_fraction(before)
        return frames

    def curves(self) -> dict[str, np.ndarray]:
        """Over t the Jacobian's values; over frequency the lines on view."""
        up = [one for one in self.levels[::-1] if one.changing is not None]
        found = {
            f"value {k + 1} over t": np.array([(one.t, one.changing.values[k]) for one in up])
            for k in range(len(up[0].changing.values) if up else 0)
        }
        return found | {line.name: np.column_stack([line.x, line.y]) for line in self.plot.lines}

    def visit(self, guide: Guide) -> None:
        self.form.set_values({"count": 2})
        guide.wait(lambda: any(one.changing is not None for one in self.levels),
                   "the network was looked into")  # fmt: skip
        self.graph.choose(2)
        self.timeline.set_fraction(0.7)
