"""Prefill and decode by operator: work, bytes, time, and what each waits for."""

from __future__ import annotations

from ..formulas.phase_results import OperatorCost, PhaseEstimate
from ..formulas.results import RequestEstimate
from .html import Markup, join, tag
from .labels import how, waits
from .numbers import digits, percent, scaled, si

__all__ = ["operator_table"]

_COLUMNS = ("work", "DRAM", "compute / memory", "time", "waits for")


def operator_table(estimate: RequestEstimate) -> Markup:
    """One row per operator, prefill on the left and decode on the right."""
    phases = (estimate.prefill, estimate.decode)
    titles = (
        f"Prefill of {estimate.prefill.tokens} tokens",
        f"One decode step at context {estimate.decode.context}",
    )
    head = tag(
        "thead",
        tag("tr", tag("th", "Operator", rowspan=2),
            [_phase_head(title, phase) for title, phase in zip(titles, phases, strict=True)]),
        tag("tr", [_column_heads() for _ in phases]),
    )
    rows = [
        tag("tr", _name(first), _cells(first, phases[0]), _cells(second, phases[1]))
        for first, second in zip(phases[0].operators, phases[1].operators, strict=True)
    ]
    host = tag("tr", tag("th", "host", tag("small", "sampling, control")),
               [_host_cells(estimate, phase) for phase in phases]
               ) if any(phase.host.nominal for phase in phases) else None
    total = tag("tr", tag("th", "total"), [_total_cells(phase) for phase in phases], class_="total")
    table = tag("table", head, tag("tbody", rows, host, total), class_="operators")
    return tag("div", table, class_="scroll")


def _phase_head(title: str, phase: PhaseEstimate) -> Markup:
    """What a phase is, and how busy it keeps memory and engine."""
    busy = (
        f"bandwidth {percent(phase.bandwidth_used)}, engine {percent(phase.engine_used)} of peak"
    )
    return tag("th", title, tag("small", busy), colspan=len(_COLUMNS), class_="phase")


def _column_heads() -> Markup:
    """The heads of one phase's columns."""
    return join([
        tag("th", name, class_="first number" if index == 0 else
            "" if name.startswith(("compute", "waits")) else "number")
        for index, name in enumerate(_COLUMNS)
    ])


def _name(cost: OperatorCost) -> Markup:
    """Name, shape and how often it runs."""
    operator = cost.operator
    shape = f"{operator.shape[0]} × {operator.shape[1]}, " if operator.shape else ""
    return tag("th", operator.name, tag("small", f"{shape}{operator.count}×"), scope="row")


def _cells(cost: OperatorCost, phase: PhaseEstimate) -> Markup:
    """One operator in one phase."""
    operator = cost.operator
    work = operator.macs or operator.operations
    unit = "MAC" if operator.macs else "flop"
    return join(
        tag("td", si(work * operator.count, unit), class_="first number"),
        tag("td", si(cost.bytes, "B") if cost.bytes else "–", class_="number"),
        tag("td", _bars(cost, phase), class_="bars"),
        tag("td", si(cost.time.nominal, "s"), class_="number"),
        tag("td", waits(cost.waits_for), how(cost.obtained, short=True), class_="waits"),
    )


def _bars(cost: OperatorCost, phase: PhaseEstimate) -> Markup:
    """Seconds of computing above seconds of loading, on the phase's common scale."""
    longest = max(max(other.compute, other.memory) for other in phase.operators)
    widths = [round(100 * seconds / longest, 2) for seconds in (cost.compute, cost.memory)]
    return tag(
        "svg",
        tag("rect", x=0, y=1, width=max(0.4, widths[0]), height=5, class_="compute"),
        tag("rect", x=0, y=8, width=max(0.4, widths[1]), height=5, class_="memory"),
        viewBox="0 0 100 14", preserveAspectRatio="none", class_="pair", role="img",
        aria_label=f"compute {si(cost.compute, 's')}, memory {si(cost.memory, 's')}",
    )


def _host_cells(estimate: RequestEstimate, phase: PhaseEstimate) -> Markup:
    """The processor's part of a phase."""
    return join(
        tag("td", "", class_="first"), tag("td"), tag("td"),
        tag("td", si(phase.host.nominal, "s"), class_="number"),
        tag("td", waits("host"), how(estimate.host_kind or "", short=True),
            class_="waits"),
    )


def _total_cells(phase: PhaseEstimate) -> Markup:
    """The sums of a phase."""
    macs = sum(cost.operator.macs * cost.operator.count for cost in phase.operators)
    factor, unit = scaled(macs, "MAC")
    return join(
        tag("td", f"{digits(macs * factor)} {unit}", class_="first number"),
        tag("td", si(phase.dram_bytes, "B"), class_="number"),
        tag("td"),
        tag("td", si(phase.time.nominal, "s"), class_="number"),
        tag("td", _range(phase), class_="muted"),
    )


def _range(phase: PhaseEstimate) -> str:
    """Best to worst time of a phase."""
    factor, unit = scaled(phase.time.nominal, "s")
    return f"{digits(phase.time.low * factor)} to {digits(phase.time.high * factor)} {unit}"
