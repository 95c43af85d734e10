"""The frames of the four views as arrays, and which of them belong to one place of the slider."""

import numpy as np

from diffviz.views.trajectories import work
from diffviz.widgets.mosaic import BACKGROUND, compose

GAP = 4  # pixels between the pictures of a film's sheet
View = tuple[str, str]  # a row and a direction


class Films:
    """Every frame drawn so far, by view and index; `leader` is the row whose t the slider tells."""

    def __init__(self, rows: tuple[str, ...]) -> None:
        self.rows = rows
        self.frames: dict[View, dict[int, work.Moment]] = {}
        self._levels: dict[View, tuple[np.ndarray, np.ndarray]] = {}

    def clear(self) -> None:
        self.frames, self._levels = {}, {}

    def add(self, moment: work.Moment) -> None:
        view = moment.row, moment.direction
        self.frames.setdefault(view, {})[moment.index] = moment
        self._levels.pop(view, None)

    def drawn(self) -> float:
        """How much of the slider every row's reverse film has reached, from 0 to 1."""
        films = [self.frames.get((row, "reverse"), {}) for row in self.rows]
        return min(max(film) / film[max(film)].last if film else 0.0 for film in films)

    def longest(self) -> int:
        """The most frames that any row's reverse film holds."""
        return max((len(self.frames.get((row, "reverse"), {})) for row in self.rows), default=0)

    def _level(self, view: View) -> tuple[np.ndarray, np.ndarray]:
        """The frames' indices, ascending, and their noise levels."""
        if view not in self._levels:
            indices = sorted(self.frames[view])
            levels = [self.frames[view][index].noise_level for index in indices]
            self._levels[view] = np.array(indices), np.array(levels)
        return self._levels[view]

    def moment(self, row: str, direction: str, fraction: float) -> work.Moment | None:
        """The frame of that view at `fraction` of the slider, 0 (noise) to 1 (data); None if none.

        The first row that has frames leads: its t is the slider's. The others show the frame
        nearest in noise level, so that rows of other processes and step counts stay comparable.
        The ends are the ends for all.
        """
        view = row, direction
        if not self.frames.get(view):
            return None
        leader = next((r, direction) for r in self.rows if self.frames.get((r, direction)))
        indices, levels = self._level(view)
        if leader == view or fraction in (0.0, 1.0):
            place = fraction * self.frames[view][int(indices[0])].last
            nearest = np.abs(indices - place).argmin()
        else:
            lead_indices, lead_levels = self._level(leader)
            place = fraction * self.frames[leader][int(lead_indices[0])].last
            nearest = np.abs(levels - np.interp(place, lead_indices, lead_levels)).argmin()
        return self.frames[view][int(indices[nearest])]

    def sheet(self, fraction: float, show: str) -> np.ndarray:
        """The four pictures at that place of the slider as one: forward beside reverse, uint8.

        Rows of other sizes are put into the larger one's.
        """
        rows = []
        for row in self.rows:
            moments = [self.moment(row, side, fraction) for side in ("forward", "reverse")]
            grids = [compose(m.pictures[show]) for m in moments if m is not None]
            rows.append(_beside(grids, 1))
        return _beside(rows, 0)


def _beside(parts: list[np.ndarray], axis: int) -> np.ndarray:
    """Pictures side by side along an axis, on a common ground; colour if any is."""
    if any(part.ndim == 3 for part in parts):
        parts = [np.stack([p] * 3, -1) if p.ndim == 2 else p for p in parts]
    across = max(part.shape[1 - axis] for part in parts)
    framed = []
    for part in parts:
        margin = [(0, 0)] * part.ndim
        margin[axis] = (0, GAP if part is not parts[-1] else 0)
        margin[1 - axis] = (0, across - part.shape[1 - axis])
        framed.append(np.pad(part, margin, constant_values=BACKGROUND))
    return np.concatenate(framed, axis)
