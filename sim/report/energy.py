"""Joules per token, split by what draws them."""

from __future__ import annotations

from ..descriptions.quantity import Range
from ..formulas.energy import PARTS
from ..formulas.phase_results import PhaseEstimate
from ..formulas.results import RequestEstimate
from .html import Markup, tag
from .numbers import percent, ranged, si

__all__ = ["energy_split"]

_LABELS = {
    "static": "static (idle board)", "active": "active (clocked fabric, host)",
    "compute": "compute", "dram": "DRAM traffic",
}
_OF_A_PROCESSOR = _LABELS | {"active": "active (busy processor)",
                             "compute": "compute (in active)"}


def energy_split(estimate: RequestEstimate) -> Markup:
    """One stacked bar and one column of figures per phase."""
    phases = [
        ("Prefill, per prompt token", estimate.prefill), ("Decode, per token", estimate.decode),
    ]
    labels = _OF_A_PROCESSOR if estimate.host_kind is None else _LABELS
    head = tag("tr", tag("th", ""), [tag("th", title, class_="number") for title, _ in phases])
    bars = tag("tr", tag("th", "", class_="blank"), [tag("td", _bar(phase)) for _, phase in phases])
    rows = [
        tag("tr", tag("th", tag("span", "", class_=f"swatch {part}"), labels[part]), [
            tag("td", ranged(_per_token(phase, part), "J"), class_="number") for _, phase in phases
        ])
        for part in PARTS
    ]
    total = tag("tr", tag("th", "total"), [
        tag("td", ranged(_per_token(phase, "total"), "J"), class_="number") for _, phase in phases
    ], class_="total")
    return tag("table", tag("thead", head), tag("tbody", bars, rows, total), class_="energy")


def _per_token(phase: PhaseEstimate, part: str) -> Range:
    """A part of a phase's energy, per token that passes."""
    energy = phase.energy[part]
    return Range(*(value / phase.tokens for value in (energy.low, energy.nominal, energy.high)))


def _bar(phase: PhaseEstimate) -> Markup:
    """The nominal parts side by side."""
    shares = {part: phase.energy[part].nominal / phase.joules.nominal for part in PARTS}
    left, rects = 0.0, []
    for part, share in shares.items():
        title = f"{_LABELS[part]}: {si(_per_token(phase, part).nominal, 'J')}, {percent(share)}"
        rects.append(tag(
            "rect", tag("title", title), x=round(200 * left, 2), y=0, width=round(200 * share, 2),
            height=14, class_=part,
        ))
        left += share
    return tag(
        "svg", rects, viewBox="0 0 200 14", preserveAspectRatio="none", class_="stack", role="img",
        aria_label=", ".join(f"{part} {percent(share)}" for part, share in shares.items()),
    )
