"""The page: what comes in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..quantity import Range
from ..results import Estimate, Phase
from .html import Markup, join, tag

__all__ = ["page"]


def page(estimates: Sequence[Estimate], tools: Mapping[str, str]) -> str:
    """The whole document."""
    head = tag("head", tag("meta", charset="utf-8"), tag("title", "Trilobite estimate"))
    body = tag(
        "body", tag("h1", "Estimate"), _summary(estimates),
        [_model(estimate) for estimate in estimates],
        tag("p", ", ".join(f"{name} {version}" for name, version in tools.items())),
    )
    return "<!DOCTYPE html>\n" + tag("html", head, body, lang="en") + "\n"


def _summary(estimates: Sequence[Estimate]) -> Markup:
    """Time to first token, tokens per second, joules per token of each model."""
    rows = [
        tag("tr", tag("th", estimate.model.name), *(
            tag("td", text) for text in (
                _text(estimate.first_token, "s"), _text(estimate.rate, "token/s"),
                _text(estimate.decode_joules, "J/token"),
            )
        ))
        for estimate in estimates
    ]
    return tag("table", rows)


def _model(estimate: Estimate) -> Markup:
    """Prefill and decode of one model by operator."""
    return tag(
        "section", tag("h2", estimate.model.name),
        tag("h3", "Prefill"), _operators(estimate.prefill),
        tag("h3", "Decode"), _operators(estimate.decode),
    )


def _operators(phase: Phase) -> Markup:
    """One row per operator: time and what it waits for."""
    return tag("table", [
        tag("tr", tag("th", cost.operator.name), tag("td", f"{cost.time.nominal * 1e3:.3f} ms"),
            tag("td", cost.waits_for))
        for cost in phase.operators
    ])


def _text(value: Range, unit: str) -> Markup:
    """Nominal, with the range behind it."""
    return join(f"{value.nominal:.3g} {unit} ({value.low:.3g} to {value.high:.3g})")
