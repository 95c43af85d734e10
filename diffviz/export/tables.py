"""Curves as numbers."""

import csv as comma
import io
from collections.abc import Callable
from functools import partial

from diffviz.export import Shown


def csv(shown: Shown) -> Callable[[], bytes]:
    """A row an x, a column a curve; names with commas are quoted.

    A cell is empty where a curve has no point at that x; of two points there, the last counts.
    """
    return partial(_csv, shown)


def _csv(shown: Shown) -> bytes:
    rows: dict[float, list[str]] = {}
    for column, points in enumerate(shown.curves.values()):
        for at, value in points:
            rows.setdefault(float(at), [""] * len(shown.curves))[column] = f"{value:.6g}"
    stream = io.StringIO()
    write = comma.writer(stream, lineterminator="\n")
    write.writerow([shown.x, *shown.curves])
    write.writerows([f"{at:.10g}", *cells] for at, cells in sorted(rows.items()))
    return stream.getvalue().encode()
