"""What leaves the window: the formats, listed once; dialogs, endings and refusals are read off."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.ask import Ask, setting
from trainer.catalogue import Catalogue, Entry
from trainer.problems import Problem

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

__all__ = [
    "FORMATS", "MARK", "SETTINGS_KEY", "WORDS", "ExportSettings", "Format", "Shown", "format_of",
    "formats", "with_ending",
]  # fmt: skip
SETTINGS_KEY = "diffviz"
MARK = f"{SETTINGS_KEY}:"  # before the settings where a format has one place for any comment
MOST_BYTES = 2**31  # of pixels that one export may have in memory
WORDS = {"grid": "A grid", "film": "An animation", "curves": "Curves", "view": "A view"}


@dataclass(frozen=True)
class ExportSettings(Ask):
    """How large and how fast exports are."""

    # fmt: off
    scale: int = setting(
        2, "Pixels per image pixel", "Each image pixel becomes a square of so many pixels", least=1,
        most=16,
    )
    fps: int = setting(25, "Frames a second", "Frames a second of films", least=1, most=50)
    # fmt: on


@dataclass(frozen=True)
class Shown:
    """What is to be written: `frames`, or `curves` over `x`, or what `widget` shows.

    A frame is images (N, H, W) or (N, H, W, 3) uint8, and a grid is one frame; a curve is (n, 2),
    x and y. `settings` make it again; they are {} where nothing does.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    look: ExportSettings = ExportSettings()
    frames: Sequence[np.ndarray] = ()
    curves: Mapping[str, np.ndarray] = field(default_factory=dict)
    x: str = "x"
    widget: "QWidget | None" = None

    @property
    def text(self) -> str:
        """The settings as ASCII that no markup has to escape, but for quotes; "" for none."""
        text = json.dumps(self.settings) if self.settings else ""
        for sign in "<>&":
            text = text.replace(sign, f"\\u{ord(sign):04x}")
        return text

    @property
    def comment(self) -> str:
        """The settings for a place that may hold any text."""
        return MARK + self.text if self.settings else ""


@dataclass(frozen=True)
class Format(Entry):
    """A kind of file. Its object is called with a `Shown` on the window's thread, where it may draw
    widgets, and returns what gives the file's bytes: that is called on a worker.

    `takes` says what it can hold, of WORDS; with `draws` views and curves are pictures of widgets,
    one a file, else their numbers. A side has at most `most` pixels (0: any). `carries` is the
    place of what finds the settings in such a file: it takes the path, and raises ValueError
    (or one of files.DAMAGE) for another kind of file; "" where files do not carry settings.
    """

    suffix: str = ""
    takes: tuple[str, ...] = ()
    most: int = 0
    draws: bool = False
    carries: str = ""

    @property
    def filter(self) -> str:
        """Its line in a file dialog."""
        return f"{self.title} (*{self.suffix})"

    def begin(self, shown: Shown) -> Callable[[], bytes]:
        """What gives the file; a Problem, before anything is computed, if it cannot be made."""
        if shown.frames:
            from diffviz.widgets.mosaic import compose

            sheet = compose(shown.frames[0])
            height, width = (shown.look.scale * n for n in sheet.shape[:2])
            advice = (
                f"This one would have {width:,} × {height:,}. Lower the pixels per image pixel "
                "(File, Export settings), show fewer images, or choose another kind of file."
            )
            if self.most and max(height, width) > self.most:
                most = f"{self.title} files have at most {self.most:,} pixels a side."
                raise Problem(f"{most} {advice}")
            if height * width * len(shown.frames) * (3 if sheet.ndim == 3 else 1) > MOST_BYTES:
                raise Problem(f"That is more than memory should hold at once. {advice}")
        made: Callable[[], bytes] = self.find()(shown)
        return made


_PICTURES = "diffviz.export.files:in_picture"
FORMATS = Catalogue(
    "export format",
    Format("png", "PNG", "Every pixel", "diffviz.export.pictures:png", suffix=".png", draws=True,
           takes=("grid", "curves", "view"), carries=_PICTURES),
    Format("svg", "SVG", "Lines that can be enlarged", "diffviz.export.drawings:svg",
           suffix=".svg", draws=True, takes=("curves", "view"),
           carries="diffviz.export.files:in_drawing"),
    Format("csv", "CSV", "The numbers of curves", "diffviz.export.tables:csv", suffix=".csv",
           takes=("curves", "view")),
    Format("gif", "GIF", "256 colours, plays everywhere", "diffviz.export.pictures:gif",
           suffix=".gif", takes=("film",), most=65_535, carries=_PICTURES),
    Format("webp", "WebP", "Every pixel, and small", "diffviz.export.pictures:webp",
           suffix=".webp", takes=("film",), most=16_383, carries=_PICTURES),
    Format("mp4", "MP4", "Needs ffmpeg", "diffviz.export.pictures:mp4", suffix=".mp4",
           takes=("film",), carries="diffviz.export.files:in_film"),
)  # fmt: skip


def formats(what: str = "") -> list[Format]:
    """The formats that can hold that, or all."""
    found = [entry for entry in FORMATS.values() if isinstance(entry, Format)]
    return [one for one in found if not what or what in one.takes]


def format_of(path: Path, what: str) -> Format:
    """The format that the path's ending names; a Problem unless it can hold that."""
    for one in formats(what):
        if one.suffix == path.suffix.lower():
            return one
    known = ", ".join(one.suffix for one in formats(what))
    raise Problem(
        f"{WORDS[what]} can be written as {known}, not as '{path.name}'. End the name in one of "
        "these."
    )


def with_ending(path: Path, chosen: Format) -> Path:
    """The path with the ending of the chosen format; a Problem where it has another one."""
    if path.suffix.lower() == chosen.suffix:
        return path
    if path.suffix.strip("."):
        raise Problem(
            f"'{path.name}' does not end in {chosen.suffix}, but {chosen.title} was chosen. Choose "
            f"the kind of file that it is to be, or end the name in {chosen.suffix}."
        )
    return path.with_name(path.name.rstrip(".") + chosen.suffix)
