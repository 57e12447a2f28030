"""The Pareto front of ``trilobite explore`` as a page: the answer, the plot, the designs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...tools.files import write_output
from .document import tool_versions
from .frame import document_page
from .html import Markup, join, tag
from .numbers import digits, percent, si
from .svg import Frame, Scale, chart, text

__all__ = ["front_page", "write_front"]

_WIDTH, _HEIGHT = 460, 310
_MOST_ROWS = 40
# Plots: (x, its label, y, its label).
_PLOTS = (
    ("joules_per_token", "J per decoded token", "tokens_per_second", "token/s"),
    ("first_token", "seconds to the first token", "tokens_per_second", "token/s"),
    ("lut", "LUT", "tokens_per_second", "token/s"),
    ("perplexity", "perplexity", "joules_per_token", "J per decoded token"),
)
_CLASSES = {"ternary": "compute", "int4-fp8": "memory"}


def write_front(document: Mapping[str, Any], path: Path) -> None:
    """Write the page of what ``explore --json`` writes. Raises like ``write_report``."""
    write_output(path, front_page(document))


def front_page(document: Mapping[str, Any]) -> str:
    """The whole page; ``document`` as in docs/reference/json.md."""
    front = document["front"]
    title = f"{document['model']} on {', '.join(document['devices'])}"
    return document_page(
        title, "Trilobite explore", title, document["answer"],
        [_counts(document), _plots(document) if front else "", _checked(document["checked"]),
         _whole(document["whole"]),
         _designs(front) if front else "", _provenance(document)],
        tool_versions())


def _counts(document: Mapping[str, Any]) -> Markup:
    """How many designs there are, and keep the limits."""
    figures = (
        ("designs", document["points"]), ("within the power", document["within_power"]),
        ("within LUT and DSP", document["within_lut"]),
        ("within the pause", document["within_pause"]),
        ("within all", document["within_all"]), ("on the front", len(document["front"])),
    )
    return tag("div", [
        tag("article", tag("h3", name), tag("p", tag("b", f"{count:,}"), class_="big"),
            class_="card") for name, count in figures
    ], class_="cards counts")


def _plots(document: Mapping[str, Any]) -> Markup:
    """The front in pairs of objectives."""
    return tag("section", tag("h2", "Pareto front"), tag("p", _legend(document), class_="lead"),
               tag("div", [
                   tag("figure", tag("h3", f"{y_label} over {x_label}"),
                       _plot(document, x, x_label, y, y_label))
                   for x, x_label, y, y_label in _PLOTS if _differs(document, x)
               ], class_="charts"))


def _differs(document: Mapping[str, Any], x: str) -> bool:
    """Whether the designs differ in ``x`` by more than two digits show."""
    values = [row[x] for row in document["front"]]
    return max(values) > 1.05 * min(values)


def _legend(document: Mapping[str, Any]) -> Markup:
    formats = sorted({row["format"] for row in document["front"]})
    marks = [tag("span", form, class_=f"wait {_CLASSES[form]}") for form in formats]
    words = [join(mark, ", ") for mark in marks]
    return join(words, "ringed: the answer",
                ", crosses: published designs" if document["published"] else "",
                ". A point says what it is when pointed at. Every point is on the front of all "
                "five objectives; in one pair of them some look worse than others.")


def _plot(
    document: Mapping[str, Any], x: str, x_label: str, y: str, y_label: str
) -> Markup:
    points = [(row[x], row[y]) for row in document["front"]]
    quoted = [(one[x], one[y], one["name"]) for one in document["published"]
              if one.get(x) is not None]
    xs = [point[0] for point in (*points, *quoted)]
    ys = [point[1] for point in (*points, *quoted)]
    low, high = min(xs), max(xs)
    logarithmic = low > 0 and high / low > 8
    margin = 0.08 * (high - low) or 0.05 * high
    scale = (Scale(low / 1.3, high * 1.3, 56, 446, log=True) if logarithmic
             else Scale(max(0, low - margin), high + margin, 56, 446))
    frame = Frame(scale, Scale(0, 1.1 * max(ys), 266, 26), x_label, y_label)
    best = document["best"]
    return chart(
        _WIDTH, _HEIGHT, f"{y_label} over {x_label} of the front's designs", frame.axes(),
        [_point(frame, row, x, y) for row in document["front"]],
        [_cross(frame, *one) for one in quoted],
        tag("circle", cx=frame.x(best[x]), cy=frame.y(best[y]), r=8, class_="chosen"))


def _point(frame: Frame, row: Mapping[str, Any], x: str, y: str) -> Markup:
    return tag("circle", tag("title", _sentence(row)), cx=frame.x(row[x]), cy=frame.y(row[y]),
               r=3.5, class_=f"point {_CLASSES[row['format']]}")


def _cross(frame: Frame, x: float, y: float, name: str) -> Markup:
    left, top = frame.x(x), frame.y(y)
    return join(
        tag("path", tag("title", f"{name}: {digits(y)} tokens/s, as published"),
            d=f"M{left - 5:g},{top - 5:g}l10,10m0,-10l-10,10", class_="cross"),
        text(left + 9, top + 4, name, "note"))


def _sentence(row: Mapping[str, Any]) -> str:
    """What a tooltip says."""
    return (f"{_engine(row)}, {row['lanes']} lanes, {row['mhz']:g} MHz, {row['urams']} URAM, "
            f"{row['policy']}, int{row['kv_bits']} cache, {row['device']}: "
            f"{digits(row['tokens_per_second'])} tokens/s, first token "
            f"{si(row['first_token'], 's')}, {si(row['joules_per_token'], 'J')} per token, "
            f"{digits(row['watts'])} W, {row['lut']:,.0f} LUT ({percent(row['lut_share'])}), "
            f"perplexity {row['perplexity']:.2f}")


def _engine(row: Mapping[str, Any]) -> str:
    return f"{row['format']} {'x'.join(map(str, row['engine'].values()))}"


def _designs(front: Sequence[Mapping[str, Any]]) -> Markup:
    """The first designs of the front."""
    heads = ("engine", "lanes", "MHz", "URAM", "prompt", "cache", "perplexity", "first token",
             "token/s", "J/token", "W", "LUT", "of the device", "device")
    shown = front[:_MOST_ROWS]
    rows = [tag("tr", tag("th", _engine(row), scope="row"), list(_cells(row))) for row in shown]
    table = tag("table", tag("thead", tag("tr", [tag("th", head) for head in heads])),
                tag("tbody", rows), class_="operators front")
    return tag("section", tag("h2", "Designs"),
               tag("p", f"The {len(shown)} fastest of {len(front):,} on the front.", class_="lead"),
               tag("div", table, class_="scroll"))


def _cells(row: Mapping[str, Any]) -> Iterator[Markup]:
    for value in (
        row["lanes"], f"{row['mhz']:g}", row["urams"], row["policy"], f"int{row['kv_bits']}",
        f"{row['perplexity']:.2f}", si(row["first_token"], "s"), digits(row["tokens_per_second"]),
        si(row["joules_per_token"], "J"), digits(row["watts"]), f"{row['lut']:,.0f}",
        percent(row["lut_share"]), row["device"],
    ):
        yield tag("td", value)


def _checked(rows: Sequence[Mapping[str, Any]]) -> Markup | str:
    """What RTL simulation said about the first engines."""
    if not rows:
        return ""
    body = [
        tag("tr", tag("th", _engine(row), scope="row"), tag("td", len(row["shapes"])),
            tag("td", f"{sum(row['cycles']):,}"), tag("td", f"{sum(row['predicted']):,}"),
            tag("td", f"{100 * row['worst_error']:.2f} %"), tag("td", row["mismatches"]))
        for row in rows
    ]
    heads = ("engine", "shapes", "cycles in simulation", "by formula", "worst error", "wrong sums")
    return tag("section", tag("h2", "Checked in RTL simulation"), tag("div", tag(
        "table", tag("thead", tag("tr", [tag("th", head) for head in heads])),
        tag("tbody", body)), class_="scroll"))


def _whole(rows: Sequence[Mapping[str, Any]]) -> Markup | str:
    """What the cycle model, and RTL simulation, said about whole accelerators."""
    if not rows:
        return ""
    heads = ("design", "first token: formula", "cycle model", "tokens/s: formula", "cycle model",
             "cycle model beside RTL")
    body = [tag("tr", tag("th", f"{_engine(row)}, {row['lanes']} lanes, {row['mhz']:g} MHz, "
                          f"{row['urams']} URAM, {row['policy']}", scope="row"), _predicted(row))
            for row in rows]
    return tag(
        "section", tag("h2", "As whole accelerators"),
        tag("p", "The search's formulas beside the cycle model of the accelerator in RTL, with "
                 "int8 keys and values; and that model beside RTL simulation of the same "
                 "accelerator with a small model.", class_="lead"),
        tag("div", tag("table", tag("thead", tag("tr", [tag("th", head) for head in heads])),
                       tag("tbody", body), class_="whole"), class_="scroll"))


def _predicted(row: Mapping[str, Any]) -> list[Markup]:
    if "reason" in row:
        return [tag("td", row["reason"], colspan=5)]
    rtl = f"{100 * row['rtl']['worst_error']:.2f} %" if row["rtl"] else "not simulated"
    cells = []
    for name, unit in (("first_token", "s"), ("tokens_per_second", "token/s")):
        cells += [f"{si(row[name], unit)}, {100 * row['errors'][name]:+.0f} %",
                  si(row["predicted"][name], unit)]
    return [tag("td", cell) for cell in (*cells, rtl)]


def _provenance(document: Mapping[str, Any]) -> Markup:
    """Where each figure is from."""
    errors = "; ".join(
        f"{name}: " + ", ".join(f"{100 * value:.1f} % {how.replace('_', ' ')}"
                                for how, value in found.items())
        for name, found in document["fit_errors"].items())
    items = (
        ("Seconds and joules", "the formulas of docs/explanation/estimates.md at nominal "
         f"constants of the device and of {document['hardware']}"),
        ("LUT and DSP", f"fitted to engines that were synthesized; largest error {errors}. What "
         "is around the engine was synthesized. No place and route: clocks are assumed"),
        ("Perplexity", f"measured by the runtime with {document['perplexity_model']}, "
         f"{document['perplexity_tokens']:,} tokens, in each format of weights and of the cache"),
        ("Pause", "the longest piece of a prompt and one decode step"),
    )
    return tag("section", tag("h2", "Where the figures are from"), tag("dl", [
        join(tag("dt", term), tag("dd", said)) for term, said in items]))
