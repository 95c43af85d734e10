"""A comparison of samplers: what it asks for, and what of that is computed. Knows no widgets."""

from dataclasses import dataclass, field, replace

from diffviz.views.samplers.work import Draw, Drawn, Judged, rms

Piece = tuple[str, Draw]  # "draw" or "judge", and what


@dataclass
class Comparison:
    """Draws that share model, noise and number of images; a reference; and results by request.

    `judged_count` samples a draw give its FID; 0: none is wanted. A result is kept for as long as
    the comparison: a setting that is changed back finds it again. `refused` holds a sentence for
    each piece that could not be computed.
    """

    draws: list[Draw] = field(default_factory=list)
    reference: Draw | None = None
    judged_count: int = 0
    drawn: dict[Draw, Drawn] = field(default_factory=dict)
    judged: dict[Draw, Judged] = field(default_factory=dict)
    refused: dict[Piece, str] = field(default_factory=dict)

    def judgement(self, draw: Draw) -> Piece | None:
        """The piece that gives that draw's FID, if one is wanted."""
        return ("judge", replace(draw, count=self.judged_count)) if self.judged_count else None

    def pieces(self) -> list[Piece]:
        """All that is asked for, in the order in which to compute it: pictures before figures."""
        found: list[Piece] = [("draw", draw) for draw in self.draws]
        if self.reference is not None:
            found.append(("draw", self.reference))
        for draw in sorted(self.draws, key=lambda draw: draw.steps):
            judgement = self.judgement(draw)
            if judgement is not None and ("draw", draw) not in self.refused:
                found.append(judgement)
        return list(dict.fromkeys(found))

    def missing(self) -> list[Piece]:
        """The pieces that are neither computed nor refused."""
        computed = {("draw", draw) for draw in self.drawn} | {("judge", d) for d in self.judged}
        return [p for p in self.pieces() if p not in computed and p not in self.refused]

    def error(self, draw: Draw) -> float | None:
        """RMS distance of a draw to the reference; None where it is not there or makes no sense."""
        if self.reference is None or self.reference == draw:
            return None
        mine, fine = self.drawn.get(draw), self.drawn.get(self.reference)
        if mine is None or fine is None or mine.random or fine.random:
            return None
        return rms(mine.final, fine.final)

    def fid(self, draw: Draw) -> Judged | None:
        """What was measured of that draw's samples, if it was."""
        judgement = self.judgement(draw)
        return None if judgement is None else self.judged.get(judgement[1])

    def values(self, key: str) -> dict[str, list[tuple[int, float]]]:
        """By sampler, in the order of the draws, its (NFE, "error" or "fid") points, ascending."""
        found: dict[str, dict[int, float]] = {}
        for draw in self.draws:
            result = self.drawn.get(draw)
            judged = self.fid(draw)
            value = self.error(draw) if key == "error" else judged.fid if judged else None
            if result is not None and value is not None and value > 0:
                found.setdefault(draw.sampler, {})[result.nfe] = value
        return {sampler: sorted(points.items()) for sampler, points in found.items()}
