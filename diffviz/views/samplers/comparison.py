"""A comparison of samplers: what it asks for, and what of that is computed. Knows no widgets."""

from dataclasses import dataclass, field

from diffviz.views.growing import Drawn
from diffviz.views.samplers.work import Judged, rms, titled
from trainer.requests import Drawing

FINER = 8  # times a random sampler's steps are its own reference
Piece = tuple[str, Drawing]  # "draw" or "judge", and what


@dataclass
class Comparison:
    """Draws that share model, noise and number of images; a reference; and results by ask.

    Samplers without fresh noise are measured against the reference; one with noise against itself
    at FINER times the steps, `most_steps` at most: noise belongs to the interval, so that both
    follow one path.

    `judged_count` samples a draw give its FID; 0: none is wanted. A result is kept for as long as
    the comparison: a setting that is changed back finds it again. `refused` holds a sentence for
    each piece that could not be computed.
    """

    draws: list[Drawing] = field(default_factory=list)
    reference: Drawing | None = None
    judged_count: int = 0
    most_steps: int = 1000
    drawn: dict[Drawing, Drawn] = field(default_factory=dict)
    judged: dict[Drawing, Judged] = field(default_factory=dict)
    refused: dict[Piece, str] = field(default_factory=dict)

    def judgement(self, draw: Drawing) -> Piece | None:
        """The piece that gives that draw's FID, if one is wanted."""
        return ("judge", draw.with_changes(count=self.judged_count)) if self.judged_count else None

    def pieces(self) -> list[Piece]:
        """All that is asked for, in the order in which to compute it: pictures before figures."""
        found: list[Piece] = [("draw", draw) for draw in self.draws]
        fine = [self.reference, *map(self.reference_of, self.draws)]
        found += [("draw", draw) for draw in fine if draw is not None]
        for draw in sorted(self.draws, key=lambda draw: draw.steps):
            judgement = self.judgement(draw)
            if judgement is not None and ("draw", draw) not in self.refused:
                found.append(judgement)
        return list(dict.fromkeys(found))

    def missing(self) -> list[Piece]:
        """The pieces that are neither computed nor refused."""
        computed = {("draw", draw) for draw in self.drawn} | {("judge", d) for d in self.judged}
        return [p for p in self.pieces() if p not in computed and p not in self.refused]

    def reference_of(self, draw: Drawing) -> Drawing | None:
        """What a draw is measured against, as far as it is known already; None if against none."""
        result = self.drawn.get(draw)
        if self.reference is None or result is None or draw == self.reference:
            return None
        if not result.random:
            return self.reference
        steps = min(self.most_steps, FINER * draw.steps)
        return draw.with_changes(steps=steps) if steps > draw.steps else None

    def error(self, draw: Drawing) -> float | None:
        """RMS distance of a draw to its reference; None where it is not there or makes no sense."""
        fine = self.reference_of(draw)
        mine, theirs = self.drawn.get(draw), self.drawn.get(fine) if fine else None
        return None if mine is None or theirs is None else rms(mine.final, theirs.final)

    def fid(self, draw: Drawing) -> Judged | None:
        """What was measured of that draw's samples, if it was."""
        judgement = self.judgement(draw)
        return None if judgement is None else self.judged.get(judgement[1])

    def values(self, key: str) -> dict[str, list[tuple[int, float]]]:
        """By what draws, in the order of the draws, (NFE, "error" or "fid") points, ascending."""
        found: dict[str, dict[int, float]] = {}
        for draw in self.draws:
            result = self.drawn.get(draw)
            judged = self.fid(draw)
            value = self.error(draw) if key == "error" else judged.fid if judged else None
            if result is not None and value is not None and value > 0:
                found.setdefault(titled(draw), {})[result.nfe] = value
        return {name: sorted(points.items()) for name, points in found.items()}
