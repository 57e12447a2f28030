"""Estimates of processors beside published measurements: the rows of ``measured``."""

from __future__ import annotations

from collections.abc import Iterator

from ....tools.progress import Progress
from ...measurements.errors import compare_all
from ...measurements.page import summary_rows
from ..study import StudyTable

__all__ = ["tables"]


def tables(progress: Progress) -> Iterator[StudyTable]:
    """Errors by device, phase and split; then every row."""
    del progress
    rows = compare_all()
    yield StudyTable("Errors by device", ("device", "phase", "rows are", "rows", "median", "worst",
                                          "inside low to high"), tuple(summary_rows(rows)))
    yield StudyTable(
        "Every measurement",
        ("device", "on", "engine", "model", "format", "phase", "unit", "measured", "estimate",
         "low", "high", "error", "rows are", "source"),
        tuple((row.device, row.processor, row.engine, row.model, row.format, row.phase, row.unit,
               row.value, *(("-", "-", "-", one.why) if one.predicted is None else (
                   *(float(f"{value:.3g}") for value in (
                       one.predicted.nominal, one.predicted.low, one.predicted.high)),
                   f"{one.error:+.0%}")),
               "held out" if row.is_held_out else "fitted", row.source)
              for one in rows for row in (one.measured,)))
