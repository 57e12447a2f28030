"""The page of estimates on a processor of a SoC: what comes in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..descriptions.presets import constants
from ..processors.estimate import ProcessorEstimate
from .comparison import comparison
from .constants import quantities_table
from .context import context_chart
from .energy import energy_split
from .frame import document_page
from .html import Markup, join, tag
from .labels import legend
from .numbers import si
from .operators import operator_table
from .summary import cards
from .timeline_chart import timelines

__all__ = ["processor_page"]

_TERMS = (
    ("Time of an operator", "its launches, then the longer one of arithmetic and memory. Operators "
     "follow one another; nothing of one overlaps with the next."),
    ("Arithmetic", "Two operations for each multiply-accumulate, at the share of the peak that the "
     "engine reaches. Attention runs at the rate of the matrices."),
    ("Memory", "Weights as the format stores them, once in a step; keys and values of all "
     "positions; the head for one token. At the share that the engine reaches of the bandwidth "
     "that the processor has alone."),
    ("Shares", "Fitted to published measurements that are not held out, by kind and family of the "
     "processor, engine, device and format."),
    ("Energy", "Idle board and busy processor by time; DRAM by bits."),
    ("Ranges", "Of times: the factor that held 90 % of the measurements that were left out of the "
     "fit. Of power: every constant at its best or at its worst together."),
)
_NOT_MODELLED = (
    "Throttling, unless minutes of load are given.",
    "Activations that leave the caches; reading the model from storage; tokenizing and sampling.",
    "Versions of an engine, which differ by a factor of two and more for prompts.",
)


def processor_page(
    estimates: Sequence[ProcessorEstimate], tools: Mapping[str, str],
    compared: Sequence[Mapping[str, Any]], known: str,
) -> str:
    """The whole document, for estimates on one processor; ``known``: its error on measurements."""
    first = estimates[0]
    capacity = first.soc.dram.capacity.count
    said = sorted({line for estimate in estimates for line in estimate.assumptions})
    fits = "; ".join(f"{e.model.name} needs {si(e.needed_bytes, 'B')}" for e in estimates)
    return document_page(
        f"{', '.join(e.model.name for e in estimates)} on {first.device_name}",
        "Trilobite estimate", f"{first.hardware_name} on {first.device_name}",
        f"A prompt of {first.prompt} tokens, {first.tokens} tokens generated, one request at a "
        f"time. Memory: {fits}, of {si(capacity, 'B')}. {known}",
        [tag("section", [tag("p", line, class_="lead") for line in said]) if said else "",
         cards(estimates), comparison(compared),
         tag("section", tag("h2", "How a figure was obtained"), legend(), class_="reading"),
         [_model(estimate) for estimate in estimates], _appendix(first)], tools)


def _model(estimate: ProcessorEstimate) -> Markup:
    figures = (
        (context_chart(estimate), "Decode rate over context",
         "Line: nominal; band: best to worst."),
        (timelines(estimate), "Timeline", "Blue waits for compute, orange for memory, grey for "
         "start-up; the last row is the load of the DRAM."),
        (energy_split(estimate), "Energy",
         f"Mean power while decoding: {estimate.power.nominal:.1f} W "
         f"({estimate.power.low:.1f}–{estimate.power.high:.1f})."))
    return tag("section", tag("h2", estimate.model.name), operator_table(estimate),
               [tag("figure", tag("h3", title), content, tag("figcaption", caption))
                for content, title, caption in figures], class_="model")


def _appendix(first: ProcessorEstimate) -> Markup:
    return join(
        tag("section", tag("h2", f"Device: {first.device_name}"),
            quantities_table((one.path, one.quantity) for one in constants(first.soc))),
        tag("section", tag("h2", "How it is calculated"), tag("dl", [
            join(tag("dt", term), tag("dd", text)) for term, text in _TERMS])),
        tag("section", tag("h2", "Not modelled"), tag("ul", [
            tag("li", text) for text in _NOT_MODELLED])))
