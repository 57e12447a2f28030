"""The page: what comes in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..formulas.results import Estimate
from .breakdown import cycle_split
from .comparison import comparison
from .constants import (
    budget_table,
    constants_table,
    detail_table,
    models_table,
)
from .context import context_chart
from .energy import energy_split
from .frame import document_page
from .html import Markup, join, tag
from .labels import legend, shares
from .operators import operator_table
from .published import published
from .roofline import roofline
from .summary import cards, energy_obtained
from .timeline_chart import timelines

__all__ = ["page"]

# How a clock was obtained, and what that says of the design.
_PLACED = {"assumption": "assumed: not placed and routed",
           "analysed": "by timing analysis of the netlist: not placed and routed",
           "derived": "calculated: not placed and routed", "source": "cited"}


def page(
    estimates: Sequence[Estimate], tools: Mapping[str, str],
    compared: Sequence[Mapping[str, Any]] = (), known: str = "",
) -> str:
    """The whole document, for estimates on one device and one accelerator.

    ``compared``: of ``compare_runs``; ``known``: of the error on this device.
    """
    first = estimates[0]
    clock = first.hardware.clock.frequency
    return document_page(
        f"{', '.join(e.model.name for e in estimates)} on {first.device.name}",
        "Trilobite estimate",
        f"{first.hardware.name} on {first.device.name}"
        if first.device.name not in first.hardware.name else first.hardware.name,
        f"Ternary weights, {clock.nominal:g} MHz ({_PLACED.get(clock.kind, clock.kind)}). "
        f"A prompt of {first.prompt} tokens, {first.tokens} tokens generated, one request at a "
        f"time. {known} Nominal values; the lines below them run from all constants at their best "
        "to all at their worst.",
        [cards(estimates), comparison(compared), _how_to_read(), published(estimates),
         [_model(estimate) for estimate in estimates], _appendix(estimates)],
        tools)


def _how_to_read() -> Markup:
    """The tags, explained once."""
    return tag("section", tag("h2", "How a figure was obtained"), legend(), class_="reading")


def _model(estimate: Estimate) -> Markup:
    """One model in detail."""
    name = estimate.model.name
    return tag(
        "section", tag("h2", name),
        tag("p", f"{estimate.cycles.method.cycles}: {estimate.cycles.agreement}.", class_="lead"),
        operator_table(estimate),
        tag("div", [
            _figure(roofline(estimate), "Roofline", "Discs: prefill; rings: decode. Blue waits for "
                    "compute, orange for memory, grey for start-up.",
                    {"prefill": estimate.prefill.obtained, "decode": estimate.decode.obtained}),
            _figure(context_chart(estimate), "Decode rate over context",
                    "Line: nominal; band: best to worst.", {"decode": estimate.decode.obtained}),
        ], class_="charts"),
        _figure(timelines(estimate), "Timeline", "Blue waits for compute, orange for memory, grey "
                "for start-up; the last row is the load of the DRAM. A bar says what it is when "
                "pointed at; --trace writes all of it for Perfetto.",
                {"prefill": estimate.prefill.obtained, "decode": estimate.decode.obtained}),
        tag("div", [
            _figure(cycle_split(estimate), "Cycles",
                    f"At {estimate.hardware.clock.frequency.nominal:g} MHz, all layers.",
                    {"prefill": estimate.prefill.obtained, "decode": estimate.decode.obtained}),
            _figure(energy_split(estimate), "Energy", f"Mean power while decoding: "
                    f"{estimate.power.nominal:.1f} W ({estimate.power.low:.1f}–"
                    f"{estimate.power.high:.1f}).", {"decode": energy_obtained(estimate)}),
        ], class_="charts wide"),
        class_="model",
    )


def _figure(
    content: Markup, title: str, caption: str,
    obtained: Mapping[str, Mapping[str, float]] | None = None,
) -> Markup:
    """A chart or table with its title, its caption, and how its numbers were obtained."""
    how = [tag("div", tag("span", name), shares(parts), class_="from")
           for name, parts in (obtained or {}).items()]
    return tag("figure", tag("h3", title), content, tag("figcaption", caption, how))


def _appendix(estimates: Sequence[Estimate]) -> Markup:
    """Constants and method."""
    first = estimates[0]
    method, details = first.cycles.method, first.cycles.table(estimates)
    return join(
        tag("section", tag("h2", "Models"), models_table(estimates)),
        tag("section", tag("h2", details.title), detail_table(details)),
        tag("section", tag("h2", f"Accelerator: {first.hardware.name}"),
            constants_table(first.hardware),
            tag("h3", f"What its sized parts take of {first.device.name}"), budget_table(first)),
        tag("section", tag("h2", f"Device: {first.device.name}"), constants_table(first.device)),
        tag("section", tag("h2", "How it is calculated"), tag("dl", [
            join(tag("dt", term), tag("dd", text)) for term, text in method.terms
        ])),
        tag("section", tag("h2", "Not modelled"), tag("ul", [
            tag("li", text) for text in method.not_modelled
        ])),
    )
