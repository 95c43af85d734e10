"""Drawing: the look that all figures share, and the two shapes most of them have."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Sheet
from matplotlib.ticker import FuncFormatter, LogLocator

from trainer.problems import write_file

WIDTH = 7.2  # inches: the page's column
INK = "#1c2733"
FAINT = "#8a94a0"
COLOURS = ("#2f7fd1", "#d9731a", "#219a6b", "#9a5fc4", "#c9475d", "#7a8a1e")
STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.linewidth": 0.8,
    "axes.prop_cycle": matplotlib.cycler(color=list(COLOURS)),  # type: ignore[attr-defined]
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "grid.color": FAINT,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "diffviz",
}


@dataclass(frozen=True)
class Figure:
    """A figure of the report: its drawing, and what one sees in it.

    `text` is paragraphs of plain words, `settings` what made it; `facts` are the numbers and arrays
    that the text speaks of. `inline` is the SVG for the page: its ink is the page's.
    """

    number: str
    name: str
    title: str
    text: tuple[str, ...]
    settings: dict[str, Any]
    inline: str = field(repr=False)
    png: bytes = field(repr=False)
    svg: bytes = field(repr=False)
    facts: dict[str, Any] = field(repr=False, default_factory=dict)

    @property
    def stem(self) -> str:
        return f"figure-{self.number}-{self.name}"

    def save(self, out: Path) -> list[Path]:
        """Write the PNG and the SVG into that folder."""
        paths = [out / f"{self.stem}.png", out / f"{self.stem}.svg"]
        for path, content in zip(paths, (self.png, self.svg), strict=True):
            write_file(path, content)
        return paths


@contextmanager
def sheet(height: float, width: float = WIDTH) -> Iterator[Sheet]:
    """An empty sheet of that size in inches, in the shared style; draw on it inside the block."""
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        made = Sheet(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(made)
        yield made


def render(made: Sheet, kind: str, background: str) -> bytes:
    """The sheet as "png" (200 dots an inch) or "svg", the same bytes for the same drawing."""
    stream = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    made.savefig(
        stream, format=kind, dpi=200, facecolor=background, metadata=metadata,
        bbox_inches="tight", pad_inches=0.06,
    )  # fmt: skip
    return stream.getvalue()


def finish(
    made: Sheet,
    number: str,
    name: str,
    title: str,
    text: Sequence[str],
    settings: dict[str, Any],
    **facts: Any,
) -> Figure:
    """The Figure of a sheet, drawn as PNG and SVG on white and as SVG in the page's own ink."""
    svg = render(made, "svg", "none").decode()
    inline = svg[svg.index("<svg") :].replace(INK, "currentColor")
    # Several drawings share one page: their identifiers must not meet.
    inline = re.sub(r'\bid="', f'id="f{number}-', inline)
    inline = re.sub(r"url\(#", f"url(#f{number}-", inline)
    inline = re.sub(r'href="#', f'href="#f{number}-', inline)
    alone = svg.replace("<svg ", '<svg style="background: white" ', 1).encode()
    png = render(made, "png", "white")
    return Figure(number, name, title, tuple(text), settings, inline, png, alone, facts)


def small(value: float) -> str:
    """A number with two or three digits, as 0.048 or 4.0·10⁻⁵."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.3g}"
    digits, power = f"{value:.1e}".split("e")
    return f"{digits}·10{str(int(power)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def mosaic(rows: Sequence[np.ndarray], gap: int = 2) -> np.ndarray:
    """Rows of pictures, each uint8 (N, H, W) or (N, H, W, 3), as one RGBA (h, w, 4).

    Gaps are see-through. Rows may differ in length.
    """
    height, width = rows[0].shape[1:3]
    columns = max(len(row) for row in rows)
    whole = np.zeros((len(rows) * (height + gap) - gap, columns * (width + gap) - gap, 4), np.uint8)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            y, x = r * (height + gap), c * (width + gap)
            colours = picture if picture.ndim == 3 else picture[..., None]
            whole[y : y + height, x : x + width, :3] = colours
            whole[y : y + height, x : x + width, 3] = 255
    return whole


def show(
    axes: Axes,
    rows: Sequence[np.ndarray],
    columns: Sequence[str] = (),
    names: Sequence[str] = (),
    gap: int = 2,
) -> None:
    """Put rows of pictures on `axes`, `columns` written above them and `names` at their left."""
    height, width = rows[0].shape[1:3]
    axes.imshow(mosaic(rows, gap), interpolation="none")
    axes.set_axis_off()
    for c, text in enumerate(columns):
        x = c * (width + gap) + width / 2 - 0.5
        axes.text(x, -2.5, text, ha="center", va="bottom", fontsize=7.5)
    for r, text in enumerate(names):
        y = r * (height + gap) + height / 2 - 0.5
        axes.text(-3, y, text, ha="right", va="center", fontsize=8.5)


def plain_log(axis: Axis) -> None:
    """Make an axis logarithmic, with numbers such as 0.2 written out."""
    axis.axes.set_yscale("log")
    axis.set_minor_locator(LogLocator(subs=(2, 5)))
    for place in (axis.set_major_formatter, axis.set_minor_formatter):
        place(FuncFormatter(lambda value, _: f"{value:g}"))


def strip_height(rows: int, columns: int, labels: float = 0.3) -> float:
    """The height in inches of a sheet of square pictures that fills the width."""
    return (WIDTH - 0.7) / columns * rows + labels
