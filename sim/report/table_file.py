"""The estimate as a table for a spreadsheet: a line for each operator of each phase."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...tools.files import write_output
from ..formulas.phase_results import OperatorCost
from ..formulas.results import RequestEstimate

__all__ = ["COLUMNS", "report_csv", "write_csv"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")

COLUMNS = (
    "model", "device", "hardware", "phase", "tokens", "context", "operator", "unit", "count",
    "macs", "operations", "dram_bytes", "cycles", "start_s", "compute_s", "memory_s",
    "time_low_s", "time_s", "time_high_s", "waits_for", "obtained",
)


def write_csv(estimates: Sequence[RequestEstimate], path: Path) -> None:
    """Write ``report_csv`` to ``path``. Raises like ``write_report``."""
    write_output(path, report_csv(estimates))


def report_csv(estimates: Sequence[RequestEstimate]) -> str:
    """Comma-separated, with a header of ``COLUMNS``; seconds, bytes, counts over all layers."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in _rows(estimates):
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return file.getvalue()


def _cell(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _rows(estimates: Sequence[RequestEstimate]) -> Iterator[dict[str, Any]]:
    for estimate in estimates:
        for name, phase in (("prefill", estimate.prefill), ("decode", estimate.decode)):
            where = {
                "model": estimate.model.name, "device": estimate.device_name,
                "hardware": estimate.hardware_name, "phase": name, "tokens": phase.tokens,
                "context": phase.context,
            }
            for cost in phase.operators:
                yield where | _operator(cost)
            if estimate.host_kind is None:
                continue
            yield where | {
                "operator": "host", "unit": "host", "count": 1, "time_low_s": phase.host.low,
                "time_s": phase.host.nominal, "time_high_s": phase.host.high, "waits_for": "host",
                "obtained": estimate.host_kind,
            }


def _operator(cost: OperatorCost) -> dict[str, Any]:
    values = cost.to_json()
    time = values.pop("time")
    return {
        "operator": values.pop("name"), "time_low_s": time["low"], "time_s": time["nominal"],
        "time_high_s": time["high"],
    } | {name: value for name, value in values.items() if name in COLUMNS}
