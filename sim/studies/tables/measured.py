"""Estimates of processors beside published measurements: the rows of ``measured``."""

from __future__ import annotations

from collections.abc import Iterator

from ....tools.progress import Progress
from ...measurements.errors import Compared, compare_all
from ...measurements.page import summary_rows
from ..study import Cell, StudyTable

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
        tuple(_cells(one) for one in rows))


def _cells(one: Compared) -> tuple[Cell, ...]:
    row = one.measured
    estimate: tuple[Cell, ...] = ("-", "-", "-", one.why)
    if one.predicted is not None:
        ends = (one.predicted.nominal, one.predicted.low, one.predicted.high)
        estimate = (*(float(f"{value:.3g}") for value in ends), f"{one.error:+.0%}")
    return (row.device, row.processor, row.engine, row.model, row.format, row.phase, row.unit,
            row.value, *estimate, "held out" if row.is_held_out else "fitted", row.source)
