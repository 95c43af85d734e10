"""What a part of the campaign tried and found: counted by row, told as a table and as JSON."""

import json
import sys
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Tally:
    """Rows of counts, and the faults; `facts` are figures of the part as a whole."""

    part: str
    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    faults: list[dict[str, str]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def count(self, row: str, what: str, by: int = 1) -> None:
        counts = self.rows.setdefault(row, {})
        counts[what] = counts.get(what, 0) + by

    def fault(self, row: str, what: str, said: str = "") -> None:
        """Something that must not be; `what` says how to see it again."""
        self.count(row, "FAULT")
        print(f"FAULT in {row}: {what}\n{said[-1500:]}", file=sys.stderr, flush=True)
        self.faults.append({"row": row, "what": what, "said": said[-1500:]})

    @property
    def total(self) -> int:
        return sum(sum(counts.values()) for counts in self.rows.values())

    def table(self) -> str:
        names = list(dict.fromkeys(name for counts in self.rows.values() for name in counts))
        width = max([len(row) for row in self.rows] + [len(self.part), 5])
        lines = ["  ".join([f"{self.part:{width}}", *(f"{n:>9}" for n in names)])]
        for row, counts in self.rows.items():
            lines.append(
                "  ".join(
                    [f"{row:{width}}", *(f"{counts.get(n, 0):>{max(9, len(n))}}" for n in names)]
                )
            )
        lines += [f"{name}: {value}" for name, value in self.facts.items()]
        for found in self.faults[:20]:
            lines += [f"FAULT in {found['row']}: {found['what']}", found["said"]]
        return "\n".join(lines)

    def json(self) -> str:
        return json.dumps(
            {"part": self.part, "rows": self.rows, "facts": self.facts, "faults": self.faults}
        )
