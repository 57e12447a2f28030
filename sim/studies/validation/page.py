"""docs/explanation/validation.md, written from the rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .row import Basis, Row
from .rows import all_rows

__all__ = ["page"]

_TEMPLATE = Path(__file__).with_name("page.md")


def page() -> str:
    """The whole page: ``page.md`` with the tables in their places."""
    rows = all_rows()
    text = _TEMPLATE.read_text(encoding="utf-8")
    text = text.replace("<!-- summary -->\n", _summary(rows))
    return text.replace("<!-- tables -->\n", _tables(rows))


def _summary(rows: Sequence[Row]) -> str:
    """Per source and basis: how many rows, mean and worst absolute error."""
    lines = ["| reference | basis | figures | mean error | worst |", "|---|---|---|---|---|"]
    for source in dict.fromkeys(row.source for row in rows):
        for basis in Basis:
            errors = [abs(r.error) for r in rows if (r.source, r.basis) == (source, basis)]
            if errors:
                mean = sum(errors) / len(errors)
                lines.append(
                    f"| {source} | {basis} | {len(errors)} | {mean:.1%} | {max(errors):.1%} |"
                )
    return "\n".join(lines) + "\n"


def _tables(rows: Sequence[Row]) -> str:
    """One table per source."""
    parts = []
    for source in dict.fromkeys(row.source for row in rows):
        lines = [f"## {source}\n", "| figure | unit | this tool | reference | error | basis |"]
        lines.append("|---|---|---|---|---|---|")
        for row in rows:
            if row.source == source:
                error = f"{row.error:+.1%}".replace("+0.0%", "0.0%").replace("-0.0%", "0.0%")
                lines.append(
                    f"| {row.what} | {row.unit} | {_digits(row.ours)} | {row.reference:g} "
                    f"| {error} | {row.basis} |"
                )
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _digits(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{float(f'{value:.3g}'):g}"
