"""The constants behind the figures: every one with its range, unit, kind and source."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..descriptions.quantity import Quantity
from ..formulas.cycle_source import DetailTable
from ..formulas.results import Estimate
from .html import Markup, join, tag
from .labels import how
from .numbers import si

__all__ = ["budget_table", "constants_table", "detail_table", "models_table", "quantities_table",
           "tools_table"]

_HEADS = ("constant", "low", "nominal", "high", "unit", "how", "source")

# Fields of a model's config that decide its cost, with their units.
_MODEL_UNITS = {
    "hidden_size": "elements", "intermediate_size": "elements", "num_layers": "layers",
    "num_heads": "heads", "num_kv_heads": "heads", "head_dim": "elements", "vocab_size": "tokens",
    "max_position_embeddings": "tokens", "activation": "", "tie_word_embeddings": "",
    "sub_norm": "", "qk_norm": "",
}


def constants_table(description: Any) -> Markup:
    """Every quantity of a device or an accelerator, group by group."""
    rows = []
    for field in dataclasses.fields(description):
        value = getattr(description, field.name)
        if dataclasses.is_dataclass(value):
            summary = (type(value).__doc__ or "").splitlines()[0]
            heading = tag("th", field.name, tag("small", summary), colspan=len(_HEADS))
            rows.append(tag("tr", heading, class_="group"))
            rows += [_row(name, quantity) for name, quantity in _quantities(value)]
    return _table(_HEADS, rows, "constants", range(1, 4))


def quantities_table(named: Iterable[tuple[str, Quantity]]) -> Markup:
    """Quantities by their names, one below the other."""
    return _table(_HEADS, [_row(name, quantity) for name, quantity in named], "constants",
                  range(1, 4))


def _quantities(group: Any) -> Iterator[tuple[str, Quantity]]:
    """Name and value of a group's constants, without those that a description leaves out."""
    for field in dataclasses.fields(group):
        if (value := getattr(group, field.name)) is not None:
            yield field.name, value


def _row(name: str, quantity: Quantity) -> Markup:
    """One constant; the ends are left out where there is no range."""
    low, high = quantity.low, quantity.high
    values = ("", low, "") if low == high else (low, quantity.nominal, high)
    return tag(
        "tr", tag("th", name.replace("_", " "), scope="row"),
        [tag("td", _plain(value), class_="number") for value in values],
        tag("td", quantity.unit), tag("td", how(quantity.kind)),
        tag("td", quantity.source, class_="cite"),
    )


def models_table(estimates: Sequence[Estimate]) -> Markup:
    """The configs side by side, what follows from them, and where they come from."""
    configs = [estimate.model.config for estimate in estimates]
    rows = [
        tag("tr", tag("th", name.replace("_", " "), scope="row"),
            [tag("td", _plain(getattr(config, name)), class_="number") for config in configs],
            tag("td", unit))
        for name, unit in _MODEL_UNITS.items()
    ]
    derived = (
        ("parameters", [f"{estimate.model.parameters:,}" for estimate in estimates], ""),
        ("bits per matrix weight", [f"{_streamed_bits(e):.2f}" for e in estimates], "bit"),
        ("weights in DRAM", [si(estimate.weight_bytes, "B") for estimate in estimates], ""),
        ("cache per position", [f"{e.kv_bytes_per_position:,}" for e in estimates], "B"),
    )
    rows += [
        tag("tr", tag("th", name, scope="row"),
            [tag("td", value, class_="number") for value in values], tag("td", unit))
        for name, values, unit in derived
    ]
    rows.append(tag(
        "tr", tag("th", "source", scope="row"),
        [tag("td", estimate.model.source, class_="cite") for estimate in estimates], tag("td"),
    ))
    return _table(("field", *(e.model.name for e in estimates), "unit"), rows, "models",
                  range(1, len(estimates) + 1))


def _streamed_bits(estimate: Estimate) -> float:
    """Bits that are read per weight of the layers' matrices, padding included."""
    matrices = [c.operator for c in estimate.decode.operators if c.operator.unit == "tlmm"]
    streamed = sum(operator.count * operator.traffic.weights for operator in matrices)
    return 8 * streamed / sum(operator.count * operator.macs for operator in matrices)


def detail_table(details: DetailTable) -> Markup:
    """What a cost model shows of its cycles."""
    rows = [
        tag("tr", tag("th", row.head, tag("small", row.note), scope="row"),
            [tag("td", figure, class_="number") for figure in row.figures],
            tag("td", how(row.obtained)) if row.obtained else "")
        for row in details.rows
    ]
    figures = len(details.rows[0].figures) if details.rows else 0
    return _table(details.heads, rows, details.name, range(1, figures + 1))


def budget_table(estimate: Estimate) -> Markup:
    """What the sized parts take of the device."""
    rows = [
        tag("tr", tag("th", budget.resource, scope="row"),
            tag("td", f"{budget.used:,}", class_="number"),
            tag("td", f"{budget.available:,}", class_="number"),
            tag("td", f"{budget.used / budget.available:.0%}" if budget.available else "–",
                class_="number"))
        for budget in estimate.hardware.budget(estimate.device)
    ]
    return _table(("resource", "used", "available", "share"), rows, "budget", range(1, 4))


def tools_table(tools: Mapping[str, str]) -> Markup:
    """Versions of what took part."""
    return tag("p", join([
        tag("span", f"{name} {version}", class_="tool") for name, version in tools.items()
    ]), class_="tools")


def _plain(value: Any) -> str:
    """A constant as its file states it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _table(
    heads: Sequence[str], rows: Sequence[Markup], class_: str, numbers: Collection[int]
) -> Markup:
    """A table that scrolls sideways where it is too wide; ``numbers``: its columns of figures."""
    head = tag("thead", tag("tr", [
        tag("th", head, class_="number" if index in numbers else None)
        for index, head in enumerate(heads)
    ]))
    return tag("div", tag("table", head, tag("tbody", rows), class_=class_), class_="scroll")
