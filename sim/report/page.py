"""The page: what comes in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..results import Estimate
from .constants import budget_table, constants_table, cycles_table, models_table, tools_table
from .context import context_chart
from .energy import energy_split
from .html import Markup, join, tag
from .labels import legend
from .operators import operator_table
from .published import published
from .roofline import roofline
from .summary import cards

__all__ = ["page"]

_METHOD = (
    ("Time of an operator", "start-up + max(compute, memory), plus what does not overlap of the "
     "shorter. Operators follow one another; nothing of one overlaps with the next."),
    ("Compute", "Ternary matrices: cycles of the table-lookup engine, from RTL simulation or from "
     "the formula that the simulation confirms, at the assumed clock. Attention and LM head: MACs "
     "over INT8 lanes. Everything elementwise: passes over vector lanes."),
    ("Memory", "Bytes counted from the layout in DRAM, over the sustained bandwidth. In prefill a "
     "tile of weights stays on the chip while all tokens of the prompt pass."),
    ("Energy", "Idle board and clocked fabric by time; DRAM by bits; arithmetic by operations."),
    ("Ranges", "Low and high take every constant at its best or at its worst together, so the true "
     "value lies well inside if the constants' ranges hold."),
)
_NOT_MODELLED = (
    "Place and route: the clock is assumed, and the LUT and FF of a complete accelerator are not "
    "known yet.",
    "DRAM banks and refresh, beyond the range of the sustained bandwidth.",
    "Prefetch of the next operator's weights, which would hide start-up and short operators.",
    "Loading the bitstream and the model; tokenizing the prompt.",
    "Throttling: power is taken as independent of temperature.",
)


def page(estimates: Sequence[Estimate], tools: Mapping[str, str]) -> str:
    """The whole document, for estimates on one device and one accelerator."""
    first = estimates[0]
    style = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
    head = tag(
        "head", tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{', '.join(e.model.name for e in estimates)} on {first.device.name}"),
        tag("style", Markup(style)),
    )
    body = tag(
        "body", _header(estimates),
        tag("main", cards(estimates), _how_to_read(), published(estimates),
            [_model(estimate) for estimate in estimates], _appendix(estimates)),
        tag("footer", tools_table(tools)),
    )
    return "<!DOCTYPE html>\n" + tag("html", head, body, lang="en") + "\n"


def _header(estimates: Sequence[Estimate]) -> Markup:
    """What is estimated, on what."""
    first = estimates[0]
    return tag(
        "header",
        tag("p", "Trilobite estimate", class_="mark"),
        tag("h1", f"{first.hardware.name} on {first.device.name}"
            if first.device.name not in first.hardware.name else first.hardware.name),
        tag("p", f"A prompt of {first.prompt} tokens, {first.tokens} tokens generated, one request "
                 "at a time. Nominal values; the lines below them run from all constants at "
                 "their best to all at their worst.", class_="lead"),
    )


def _how_to_read() -> Markup:
    """The tags, explained once."""
    return tag("section", tag("h2", "How a figure was obtained"), legend(), class_="reading")


def _model(estimate: Estimate) -> Markup:
    """One model in detail."""
    name = estimate.model.name
    return tag(
        "section", tag("h2", name),
        tag("p", f"Cycles of the ternary matrices: {estimate.cycles.agreement}.", class_="lead"),
        operator_table(estimate),
        tag("div", [
            _figure(roofline(estimate), "Roofline", "Discs: prefill; rings: decode. Blue waits for "
                    "compute, orange for memory, grey for start-up."),
            _figure(context_chart(estimate), "Decode rate over context",
                    "Line: nominal; band: best to worst."),
        ], class_="charts"),
        _figure(energy_split(estimate), "Energy", f"Mean power while decoding: "
                f"{estimate.power.nominal:.1f} W ({estimate.power.low:.1f}–"
                f"{estimate.power.high:.1f})."),
        class_="model",
    )


def _figure(content: Markup, title: str, caption: str) -> Markup:
    """A chart or table with its title and caption."""
    return tag("figure", tag("h3", title), content, tag("figcaption", caption))


def _appendix(estimates: Sequence[Estimate]) -> Markup:
    """Constants and method."""
    first = estimates[0]
    return join(
        tag("section", tag("h2", "Models"), models_table(estimates)),
        tag("section", tag("h2", "Cycles of the table-lookup engine"), cycles_table(estimates)),
        tag("section", tag("h2", f"Accelerator: {first.hardware.name}"),
            constants_table(first.hardware),
            tag("h3", f"What its sized parts take of {first.device.name}"), budget_table(first)),
        tag("section", tag("h2", f"Device: {first.device.name}"), constants_table(first.device)),
        tag("section", tag("h2", "How it is calculated"), tag("dl", [
            join(tag("dt", term), tag("dd", text)) for term, text in _METHOD
        ])),
        tag("section", tag("h2", "Not modelled"), tag("ul", [
            tag("li", text) for text in _NOT_MODELLED
        ])),
    )
