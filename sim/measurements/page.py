"""docs/explanation/measured.md, written from the rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .errors import Compared, compare_all, sources_apart, spread

__all__ = ["page", "summary_rows"]

_TEMPLATE = Path(__file__).with_name("page.md")
_PHASES = ("decode", "prefill", "first-token", "power")
_DIGITS = 3


def page() -> str:
    """The whole page: ``page.md`` with the tables in their places."""
    rows = compare_all()
    text = _TEMPLATE.read_text(encoding="utf-8")
    for name, table in (("goals", _goals(rows)), ("summary", _summary(rows)),
                        ("apart", _apart()),
                        ("rows", _rows(rows)), ("sources", _sources(rows))):
        text = text.replace(f"<!-- {name} -->\n", table)
    return text


def summary_rows(rows: Sequence[Compared]) -> list[tuple[str, str, str, int, str, str, str]]:
    """Device, phase, split, rows, median, worst and share inside the range."""
    found = []
    for device in dict.fromkeys(one.measured.device for one in rows):
        for phase in _PHASES:
            for held in (True, False):
                some = [one for one in rows if one.measured.device == device
                        and one.measured.phase == phase and one.measured.is_held_out == held]
                if said := spread(some):
                    inside = sum(one.is_inside for one in some)
                    found.append((device, phase, _split(held), said[0], f"{said[1]:.0%}",
                                  f"{said[2]:.0%}", f"{inside} of {said[0]}"))
    return found


def _split(held: bool) -> str:
    return "held out" if held else "fitted"


def _goals(rows: Sequence[Compared]) -> str:
    lines = []
    for phase in _PHASES:
        for held in (True, False):
            some = [one for one in rows if one.measured.phase == phase
                    and one.measured.is_held_out == held]
            if said := spread(some):
                near = [sum(abs(one.error or 0.0) <= limit for one in some
                            if one.error is not None) for limit in (0.1, 0.25)]
                lines.append((phase, _split(held), said[0], f"{said[1]:.0%}", f"{said[2]:.0%}",
                              near[0], near[1], sum(one.is_inside for one in some)))
    return _table(("phase", "rows are", "rows", "median error", "worst", "within 10 %",
                   "within 25 %", "inside low to high"), lines)


def _summary(rows: Sequence[Compared]) -> str:
    return _table(("device", "phase", "rows are", "rows", "median error", "worst",
                   "inside low to high"), summary_rows(rows))


def _apart() -> str:
    return _table(("device", "phase", "rows", "median distance", "worst"),
                  [(one.device, one.phase, one.rows, f"{one.median:.0%}", f"{one.worst:.0%}")
                   for one in sources_apart()])


def _rows(rows: Sequence[Compared]) -> str:
    numbers = {source: number for number, source in enumerate(_named(rows), 1)}
    lines = []
    for one in rows:
        row = one.measured
        length = f"context {row.context}" if row.phase in ("decode", "power") else (
            f"prompt {row.prompt}")
        predicted = ("–", "–", one.why) if one.predicted is None else (
            _number(one.predicted.nominal),
            f"{_number(one.predicted.low)}–{_number(one.predicted.high)}", f"{one.error:+.0%}")
        lines.append((row.device, row.processor, row.engine, row.model, row.format, row.phase,
                      length, _number(row.value), *predicted, row.unit, _split(row.is_held_out),
                      numbers[row.source]))
    return _table(("device", "on", "engine", "model", "format", "phase", "length", "measured",
                   "estimate", "low–high", "error", "unit", "rows are", "source"), lines)


def _sources(rows: Sequence[Compared]) -> str:
    lines = []
    for number, source in enumerate(_named(rows), 1):
        some = [one.measured for one in rows if one.measured.source == source]
        where = "; ".join(dict.fromkeys(row.where for row in some))
        second = "; ".join(dict.fromkeys(row.second_hand for row in some if row.second_hand))
        notes = "; ".join(dict.fromkeys(row.note for row in some if row.note))
        lines.append((number, source, where, _split(some[0].is_held_out), second or "–",
                      notes or "–"))
    return _table(("", "source", "where", "rows are", "read in (second-hand)", "assumed of it"),
                  lines)


def _named(rows: Sequence[Compared]) -> list[str]:
    return list(dict.fromkeys(one.measured.source for one in rows))


def _table(heads: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    said = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    said += ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]
    return "\n".join(said) + "\n"


def _number(value: float) -> str:
    return f"{float(f'{value:.{_DIGITS}g}'):,.10g}"
