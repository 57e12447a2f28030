"""Our figures beside published ones: the rows of ``validation``."""

from __future__ import annotations

from collections.abc import Iterator

from ....tools.progress import Progress
from ..study import StudyTable
from ..validation.row import Basis
from ..validation.rows import all_rows

__all__ = ["tables"]


def tables(progress: Progress) -> Iterator[StudyTable]:
    """Errors by reference and basis; then every figure."""
    del progress
    rows = all_rows()
    summary = []
    for source in dict.fromkeys(row.source for row in rows):
        for basis in Basis:
            errors = [abs(r.error) for r in rows if (r.source, r.basis) == (source, basis)]
            if errors:
                mean = sum(errors) / len(errors)
                worst = max(errors)
                summary.append((source, str(basis), len(errors), f"{mean:.1%}", f"{worst:.1%}"))
    yield StudyTable("Errors by reference",
                     ("reference", "basis", "figures", "mean", "worst"), tuple(summary))
    yield StudyTable(
        "Every figure", ("reference", "figure", "unit", "ours", "published", "error", "basis"),
        tuple((row.source, row.what, row.unit, float(f"{row.ours:.3g}"), row.reference,
               f"{row.error:+.1%}", str(row.basis)) for row in rows),
    )
