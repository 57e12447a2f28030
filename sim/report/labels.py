"""The small coloured tags: how a figure was obtained, and what an operator waits for."""

from __future__ import annotations

from collections.abc import Mapping

from ..descriptions.quantity import RESULT_KINDS
from .html import Markup, tag
from .numbers import percent

__all__ = ["how", "legend", "shares", "waits"]

_KIND_LABELS = {
    "rtl": "RTL simulation", "model": "cycle model", "formula": "RTL formula", "source": "cited",
    "analysed": "analysed", "derived": "derived", "assumption": "assumed", "quoted": "quoted",
}
_SHORT_LABELS = {"rtl": "RTL", "model": "model", "formula": "formula"}
_WAIT_LABELS = {"compute": "compute", "memory": "memory", "start": "start-up", "host": "host"}


def how(kind: str, share: float | None = None, short: bool = False) -> Markup:
    """The tag of one of ``RESULT_KINDS``, with its share of a figure where that is given.

    ``short``: of one word, for tables.
    """
    label = _SHORT_LABELS.get(kind, _KIND_LABELS[kind]) if short else _KIND_LABELS[kind]
    text = label if share is None else f"{label} {percent(share)}"
    return tag("span", text, class_=f"tag {kind}", title=RESULT_KINDS[kind])


def shares(obtained: Mapping[str, float]) -> Markup:
    """How much of a figure was obtained in which way."""
    return tag("p", [how(kind, share) for kind, share in obtained.items()], class_="tags")


def waits(resource: str) -> Markup:
    """What is waited for."""
    return tag("span", _WAIT_LABELS[resource], class_=f"wait {resource}")


def legend() -> Markup:
    """Every tag with its meaning."""
    items = [tag("li", how(kind), " ", meaning) for kind, meaning in RESULT_KINDS.items()]
    return tag("ul", items, class_="legend")
