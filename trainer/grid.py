"""Any two settings of a drawing against each other: a cell for each pair of values.

What can be an axis is read off the ask `Drawing` and the samplers' options, and so are the values,
by each setting's own `parse`. Importing this needs no torch.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.ask import Choice, Setting, setting, settings_of
from trainer.catalogue import SAMPLERS
from trainer.comparing import REFERENCES, Comparison, fine_solver
from trainer.problems import Problem
from trainer.requests import ANY, EACH, Drawing

OPTION = "options."  # begins the id of an axis that is an option of the sampler
MOST_CELLS = 144
SHOWN = (
    Choice("pictures", "pictures"),
    Choice("seconds", "time (s)", "Seconds that a cell's images took together"),
    Choice("nfe", "NFE", "Network evaluations an image, the true cost"),
    Choice("error", "error (RMS)", "Root-mean-square distance to the fine reference"),
    Choice("fid", "FID", "Distance of many samples to the training set"),
)


class _Axes(Mapping[str, Choice]):
    """The settings that can be an axis, by id; made anew at each look, as catalogues may grow."""

    def _all(self) -> dict[str, Choice]:
        found = {n: Choice(n, one.title, one.tip) for n, one in settings_of(Drawing).items()
                 if not one.of}  # fmt: skip
        for entry in SAMPLERS.values():
            for one in entry.options:
                name = OPTION + one.name
                found.setdefault(name, Choice(name, f"{one.title} ({entry.title})", one.tip))
        return found

    def __getitem__(self, name: str) -> Choice:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


AXES = _Axes()


def axis_setting(name: str) -> Setting:
    """The setting that an axis's id means; of an option, as the first sampler declares it."""
    if not name.startswith(OPTION):
        return settings_of(Drawing)[name]
    options = (one for entry in SAMPLERS.values() for one in entry.options)
    return next(one for one in options if OPTION + one.name == name)


def parts(one: Setting, text: str) -> list[str]:
    """The words of a list. Numbers are parted by spaces, semicolons or commas, of which one between
    digits may be a decimal one; names by commas, or by spaces where there is no comma."""
    if one.kind in (int, float):
        found: list[str] = []
        for word in re.split(r"[;\s]+|,\s+|,$", text.strip()):
            several = one.kind is int or word.count(",") > 1 or "." in word
            found += word.split(",") if several else [word]
    elif re.search(r"[,;\n]", text):
        found = re.split(r"[,;\n]", text)
    else:
        found = re.split(r"\s+(?!\S*=)", text.strip())  # an exact model's id has options in it
    return [word.strip() for word in found if word.strip()]


def values_of(name: str, text: str) -> tuple[Any, ...]:
    """The values that a list means for an axis, each once; a Problem for a wrong one."""
    one = axis_setting(name)
    found = tuple(dict.fromkeys(one.parse(word) for word in parts(one, text)))
    if not found:
        raise Problem(f"{one.title} ({name}) needs values: there are none in its list.")
    return found


def first_values(name: str) -> str:
    """Values to begin with, as a list."""
    one = axis_setting(name)
    if name == "classes":
        return f"{EACH}, {ANY}, 3"
    if one.kind is bool:
        return "false, true"
    if one.entries():
        return ", ".join(list(one.entries())[:4])
    if one.kind not in (int, float):
        return str(one.default)
    if one.suggested:
        found = one.suggested[:4]
    elif not one.default:
        top = one.most if one.most is not None and one.most <= 10 else 2
        found = (0, one.kind(top / 2), one.kind(top))
    else:
        found = tuple(one.kind(one.default * factor) for factor in (0.5, 1, 2))
    fits = [
        v for v in found
        if (one.least is None or v >= one.least) and (one.most is None or v <= one.most)
        and (one.above is None or v > one.above)
    ]  # fmt: skip
    return " ".join(f"{value:g}" for value in fits)


def said(name: str, value: Any) -> str:
    """A value of an axis, for people."""
    one = axis_setting(name)
    if (known := one.entries()) and str(value) in known:
        return known[str(value)].title
    if name == "checkpoint":
        step = str(value).removesuffix(".safetensors")
        return f"step {int(step):,}" if step.isdecimal() else step or "newest"
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Grid(Drawing):
    """Drawings that differ in two settings, the rows' and the columns'; in all else as it says."""

    # fmt: off
    model: str = setting("modern-sde", "Model", "The trained model that draws")
    count: int = setting(4, "Images", "How many images each cell shows", least=1, most=1024,
                         suggested=(1, 4, 9, 16))
    rows: str = setting("sampler", "Rows", "The setting that differs from row to row", choices=AXES)
    row_values: str = setting(
        "ddim, dpm-solver++, ddpm", "Row values", "A list: numbers parted by spaces or commas, "
        "names by commas",
    )
    columns: str = setting(
        "steps", "Columns", "The setting that differs from column to column", choices=AXES,
    )
    column_values: str = setting(
        "5 10 20 50", "Column values", "A list: numbers parted by spaces or commas, names by "
        "commas",
    )
    show: str = setting(
        "pictures", "Show", "The pictures, or a heat map of what they cost and how good they are",
        choices=SHOWN,
    )
    reference: str = setting(
        "ddim 200", "Error to", "The fine solution of the ODE, from the same noise and in float32, "
        "that a cell without noise is measured against; one with noise against itself at many more "
        "steps", choices=REFERENCES, more=True,
    )
    judged: int = setting(
        0, "FID", "Draw this many samples a cell and measure their distance to the training set: "
        "it takes a while on a CPU, and fewer samples bias it upwards; 0: none", least=0,
        most=10_000, suggested=(0, 256, 512, 1024), more=True,
    )
    # fmt: on

    def check(self) -> None:
        super().check()
        if self.rows == self.columns:
            raise Problem("Rows and columns are the same setting: choose two.")
        down, across = self.down(), self.across()
        if len(down) * len(across) > MOST_CELLS:
            raise Problem(
                f"{len(down)} rows of {len(across)} are {len(down) * len(across)} cells; a grid "
                f"has at most {MOST_CELLS}. Name fewer values."
            )

    def down(self) -> tuple[Any, ...]:
        """The rows' values."""
        return values_of(self.rows, self.row_values)

    def across(self) -> tuple[Any, ...]:
        """The columns' values."""
        return values_of(self.columns, self.column_values)

    def cell(self, row: Any, column: Any) -> Drawing:
        """What the cell at these values draws; a Problem where they do not go together."""
        base = Drawing(**{name: getattr(self, name) for name in settings_of(Drawing)})
        given = {self.rows: row, self.columns: column}
        options = {n.removeprefix(OPTION): v for n, v in given.items() if n.startswith(OPTION)}
        changes = {name: value for name, value in given.items() if not name.startswith(OPTION)}
        if changes.get("model", base.model) != base.model:
            changes.setdefault("checkpoint", "")  # the base's checkpoint is of another model
        made = base.with_changes(**changes)
        return made.with_changes(options={**made.options, **options}) if options else made

    def cells(self) -> list[list[Drawing | str]]:
        """Every cell, row by row: what it draws, or the sentence that says why it cannot."""
        found: list[list[Drawing | str]] = []
        for row in self.down():
            found.append([])
            for column in self.across():
                try:
                    found[-1].append(self.cell(row, column))
                except Problem as problem:
                    found[-1].append(str(problem))
        return found

    def draws(self) -> list[Drawing]:
        return [cell for row in self.cells() for cell in row if isinstance(cell, Drawing)]

    def fine(self) -> dict[str, Any] | None:
        """The changes that make a cell its reference (Comparison)."""
        found = fine_solver(self.reference)
        return found and found | {"precision": "float32"}


def shares(values: dict[Any, float]) -> dict[Any, float]:
    """Each value's place between the least (0) and the greatest (1), by its logarithm."""
    logs = {key: math.log(value) for key, value in values.items() if value > 0}
    low, high = min(logs.values(), default=0.0), max(logs.values(), default=0.0)
    return {k: (logs[k] - low) / (high - low) if k in logs and high > low else 0.0 for k in values}


def number(value: float) -> str:
    """A measured figure with three digits."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


INK, GROUND, FULL = (27, 31, 36), (255, 255, 255), (0, 114, 178)
MARGIN, GAP, LETTERS = 8, 6, 13  # pixels of the sheet


def tinted(share: float) -> tuple[int, int, int]:
    """A heat map's colour, light enough to be written on."""
    return tuple(round(g + 0.65 * share * (f - g)) for g, f in zip(GROUND, FULL, strict=True))  # type: ignore[return-value]


def tiled(images: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W) or (N, H, W, 3) as one picture (…, …, 3) in a near-square of columns."""
    colour = images if images.ndim == 4 else np.repeat(images[..., None], 3, 3)
    columns = math.ceil(math.sqrt(len(colour)))
    height, width = colour.shape[1:3]
    found = np.full((-(-len(colour) // columns) * height, columns * width, 3), 255, np.uint8)
    for k, image in enumerate(colour):
        y, x = k // columns * height, k % columns * width
        found[y : y + height, x : x + width] = image
    return found


def _label(name: str, value: Any) -> str:
    """A value in the letters that the sheet's font has."""
    words = said(name, value)
    return words if words.isascii() else str(value)


def sheet(ask: Grid, comparison: Comparison, scale: int = 2) -> np.ndarray:
    """The grid as one picture with its labels, uint8 (H, W, 3), each image pixel `scale` large.

    What is not computed is left empty, or has a dash where it could not be.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(LETTERS)
    cells, draws = ask.cells(), ask.draws()
    down = [_label(ask.rows, value) for value in ask.down()]
    across = [_label(ask.columns, value) for value in ask.across()]
    corner = f"{axis_setting(ask.rows).title} \\ {axis_setting(ask.columns).title}"
    tiles = {d: tiled(comparison.drawn[d].images) for d in draws if d in comparison.drawn}
    figures = {d: f[ask.show] for d in draws if ask.show in (f := comparison.figures(d))}
    place = shares(figures)
    width = max([96, *(scale * t.shape[1] for t in tiles.values()),
                 *(round(font.getlength(w)) + GAP for w in across)])  # fmt: skip
    height = max([40, *(scale * t.shape[0] for t in tiles.values())])
    head = round(max(font.getlength(word) for word in (corner, *down))) + MARGIN
    top = LETTERS + 2 * GAP
    size = (2 * MARGIN + head + len(across) * (width + GAP),
            2 * MARGIN + top + len(down) * (height + GAP))  # fmt: skip
    picture = Image.new("RGB", size, GROUND)
    pen = ImageDraw.Draw(picture)
    pen.text((MARGIN, MARGIN), corner, INK, font)
    for c, word in enumerate(across):
        x = MARGIN + head + c * (width + GAP)
        pen.text((x + width / 2, MARGIN), word, INK, font, anchor="ma")
        for r, row in enumerate(cells):
            y, draw = MARGIN + top + r * (height + GAP), row[c]
            if c == 0:
                pen.text((MARGIN, y + height / 2), down[r], INK, font, anchor="lm")
            if ask.show == "pictures" and draw in tiles:
                tile = Image.fromarray(tiles[draw])
                at = tile.width * scale, tile.height * scale
                picture.paste(tile.resize(at, Image.Resampling.NEAREST), (x, y))
                continue
            known = ask.show != "pictures" and draw in figures
            box = (x, y, x + width - 1, y + height - 1)
            pen.rectangle(box, tinted(place[draw]) if known else (237, 239, 242))
            words = number(figures[draw]) if known else "-"  # type: ignore[index]
            pen.text((x + width / 2, y + height / 2), words, INK, font, anchor="mm")
    return np.array(picture)
