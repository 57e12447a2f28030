"""Cycles of a step by what they are for."""

from __future__ import annotations

from ..formulas.phase_results import OperatorCost, PhaseEstimate
from ..formulas.results import Estimate
from .html import Markup, tag
from .numbers import percent, si

__all__ = ["cycle_split"]

_GROUPS = ("matrices", "attention", "LM head", "elementwise", "host")


def cycle_split(estimate: Estimate) -> Markup:
    """One stacked bar and one column of cycles at the assumed clock per phase."""
    hertz = estimate.hardware.clock.frequency.nominal * 1e6
    phases = [(f"Prefill of {estimate.prefill.tokens}", estimate.prefill),
              ("One decode step", estimate.decode)]
    shares = [(title, phase, _seconds(phase)) for title, phase in phases]
    head = tag("tr", tag("th", ""), [tag("th", title, class_="number") for title, _, _ in shares])
    bars = tag("tr", tag("th", "", class_="blank"), [
        tag("td", _bar(phase, seconds)) for _, phase, seconds in shares])
    rows = [
        tag("tr", tag("th", tag("span", "", class_=f"swatch g{index}"), group), [
            tag("td", f"{seconds[group] * hertz:,.0f} ", tag(
                "small", percent(seconds[group] / phase.time.nominal), class_="range"),
                class_="number") for _, phase, seconds in shares])
        for index, group in enumerate(_GROUPS)
        if any(seconds[group] for _, _, seconds in shares)
    ]
    total = tag("tr", tag("th", "total"), [
        tag("td", f"{phase.time.nominal * hertz:,.0f}", class_="number") for _, phase, _ in shares
    ], class_="total")
    return tag("table", tag("thead", head), tag("tbody", bars, rows, total), class_="energy")


def _seconds(phase: PhaseEstimate) -> dict[str, float]:
    """Nominal seconds by group."""
    found = dict.fromkeys(_GROUPS, 0.0)
    for cost in phase.operators:
        found[_group(cost)] += cost.time.nominal
    found["host"] += phase.host.nominal
    return found


def _group(cost: OperatorCost) -> str:
    operator = cost.operator
    if operator.unit == "tlmm":
        return "matrices"
    if operator.name == "lm_head":
        return "LM head"
    is_attention = operator.name.startswith(("attention", "softmax"))
    return "attention" if is_attention else "elementwise"


def _bar(phase: PhaseEstimate, seconds: dict[str, float]) -> Markup:
    """The groups side by side."""
    left, rects = 0.0, []
    for index, group in enumerate(_GROUPS):
        share = seconds[group] / phase.time.nominal
        rects.append(tag(
            "rect", tag("title", f"{group}: {si(seconds[group], 's')}, {percent(share)}"),
            x=round(200 * left, 2), y=0, width=round(200 * share, 2), height=14,
            class_=f"g{index}"))
        left += share
    return tag(
        "svg", rects, viewBox="0 0 200 14", preserveAspectRatio="none", class_="stack", role="img",
        aria_label=", ".join(f"{group} {percent(value / phase.time.nominal)}"
                             for group, value in seconds.items()))
