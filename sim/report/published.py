"""Our estimate beside what others measured with the same model on the same device."""

from __future__ import annotations

from collections.abc import Sequence

from ..formulas.published import PublishedComparison
from ..formulas.results import Estimate
from .html import Markup, tag
from .labels import how
from .numbers import ranged, si

__all__ = ["published"]


def published(estimates: Sequence[Estimate]) -> Markup | None:
    """Our figures beside the published ones of the same model on the same device."""
    rows = []
    for estimate in estimates:
        if estimate.comparisons:
            rows.append(_ours(estimate))
            rows += [_theirs(quoted) for quoted in estimate.comparisons]
    if not rows:
        return None
    heads = ("Design", "time to first token", "decode", "power", "energy of a token",
             "our power model at their rate, traffic")
    table = tag("table", tag("thead", tag("tr", [tag("th", head) for head in heads])),
                tag("tbody", rows), class_="comparison")
    return tag(
        "section", tag("h2", "Beside what others measured"),
        tag("p", f"On the same board with the same model. Theirs run; ours is an estimate of a "
                 f"design {estimates[0].cycles.method.design}.", class_="lead"),
        tag("div", table, class_="scroll"),
    )


def _ours(estimate: Estimate) -> Markup:
    """The estimate's row."""
    return tag(
        "tr",
        tag("th", f"Trilobite, {estimate.model.name}", tag("small", "this estimate")),
        tag("td", ranged(estimate.first_token, "s"), tag("small", f"{estimate.prompt} tokens")),
        tag("td", ranged(estimate.rate, "token/s")),
        tag("td", ranged(estimate.power, "W")),
        tag("td", ranged(estimate.decode_joules, "J")),
        tag("td", "–"),
        class_="ours",
    )


def _theirs(comparison: PublishedComparison) -> Markup:
    """A published row."""
    quoted = comparison.published
    first = quoted.first_token
    return tag(
        "tr",
        tag("th", f"{quoted.name} ", how("quoted"),
            tag("small", f"{quoted.note}. {quoted.source}")),
        tag("td", si(first.nominal, "s"), tag("small", "128 tokens")) if first else tag("td", "–"),
        tag("td", si(quoted.tokens_per_second.nominal, "token/s")),
        tag("td", si(quoted.power.nominal, "W")),
        tag("td", si(quoted.energy.nominal, "J")),
        tag("td", ranged(comparison.power, "W")) if comparison.power else tag("td", "–"),
    )
