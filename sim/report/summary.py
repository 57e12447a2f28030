"""The first screen: three figures per model."""

from __future__ import annotations

from collections.abc import Sequence

from ..descriptions.quantity import Range
from ..formulas.phase_results import PhaseEstimate
from ..formulas.results import RequestEstimate
from .html import Markup, join, tag
from .labels import shares, waits
from .numbers import digits, percent, scaled, si

__all__ = ["cards", "energy_obtained"]


def cards(estimates: Sequence[RequestEstimate]) -> Markup:
    """One card per model: time to first token, tokens per second, joules per token."""
    return tag("div", [_card(estimate) for estimate in estimates], class_="cards")


def _card(estimate: RequestEstimate) -> Markup:
    """One model."""
    return tag(
        "article",
        tag("h2", estimate.model.name),
        tag("p", f"{si(estimate.model.parameters, '').rstrip()} parameters, "
                 f"{si(estimate.weight_bytes, 'B')} of weights", class_="muted"),
        _figure("Time to first token", estimate.first_token, "s", estimate.prefill.obtained),
        _figure("Decode", estimate.rate, "token/s", estimate.decode.obtained),
        _figure("Energy of a decoded token", estimate.decode_joules, "J",
                energy_obtained(estimate)),
        tag("p", _sentence("Prefill", estimate.prefill), tag("br"),
            _sentence("Decode", estimate.decode), class_="waiting"),
        class_="card",
    )


def _figure(label: str, value: Range, unit: str, obtained: dict[str, float]) -> Markup:
    """A large number with its range, and how it was obtained."""
    factor, prefixed = scaled(value.nominal, unit)
    low, high = digits(value.low * factor), digits(value.high * factor)
    return tag(
        "div",
        tag("h3", label),
        tag("p", tag("b", digits(value.nominal * factor)), f" {prefixed}", class_="big"),
        _strip(value, low, high),
        shares(obtained),
        class_="figure",
    )


def _strip(value: Range, low: str, high: str) -> Markup:
    """Draw a line from best to worst, and the nominal value on it as a dot."""
    width = value.high - value.low
    place = round(100 * (value.nominal - value.low) / width, 1) if width else 50.0
    track = tag(
        "svg",
        tag("line", x1=4, y1=5, x2=104, y2=5, class_="track"),
        tag("circle", cx=4 + place, cy=5, r=4, class_="dot"),
        viewBox="0 0 108 10", class_="strip", role="img", aria_label=f"from {low} to {high}",
    )
    return tag("p", tag("span", low), track, tag("span", high), class_="bounds")


def _sentence(name: str, phase: PhaseEstimate) -> Markup:
    """What a phase waits for, most of all."""
    resource, share = next(iter(phase.waits.items()))
    return join(f"{name} waits for ", waits(resource), f" {percent(share)} of its time")


def energy_obtained(estimate: RequestEstimate) -> dict[str, float]:
    """How the constants behind the decode energy were obtained, weighted by their joules."""
    sums: dict[str, float] = {}
    for part, kind in estimate.energy_kinds.items():
        energy = estimate.decode.energy[part].nominal
        sums[kind] = sums.get(kind, 0.0) + energy / estimate.decode.joules.nominal
    return dict(sorted(sums.items(), key=lambda item: -item[1]))
