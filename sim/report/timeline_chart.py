"""When what runs: one prefill and one decode step, from the event-driven simulator."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from ..events import Span, Timeline
from ..formulas.results import RequestEstimate
from .html import Markup, join, tag
from .numbers import digits, percent, scaled, si
from .svg import Scale, chart, line, text

__all__ = ["timelines"]

_WIDTH, _LEFT, _RIGHT = 940, 112, 932
_ROW, _BAR = 22, 15
_UNITS = {"tlmm": "matrices", "integer": "attention", "vector": "vector", "host": "host"}
_HEADS = ("head", "lm_head")   # labels of its operator
_LAYER = re.compile(r"layer (\d+) ")
_NARROWEST = 0.4   # units of the drawing
_MOST = 4_000      # bars of a row; of more, those that would lie on each other are one


def timelines(estimate: RequestEstimate) -> Markup:
    """Per phase the whole step, and the layer in its middle enlarged."""
    found = []
    for name, timeline in estimate.timelines().items():
        title = f"One {name}" if name == "prefill" else "One decode step"
        layer = estimate.model.config.num_layers // 2
        inside = [span for span in timeline.spans if _layer_of(span) == layer]
        begin, end = min(span.start for span in inside), max(span.end for span in inside)
        found += [
            _chart(timeline, 0.0, timeline.makespan, f"{title} of {estimate.model.name}", title),
            _chart(timeline, begin, end, f"Layer {layer} of it", f"Layer {layer} of it"),
        ]
    return tag("div", found, class_="scroll steps")


def _layer_of(span: Span) -> int | None:
    found = _LAYER.match(span.task.label)
    return int(found[1]) if found else None


def _chart(timeline: Timeline, begin: float, end: float, description: str, title: str) -> Markup:
    """What runs from ``begin`` to ``end``: a row per unit, and the DRAM's load."""
    x = Scale(begin, end, _LEFT, _RIGHT)
    units = list(_rows_of(timeline))
    bottom = 24 + _ROW * (len(units) + 1)
    rows = [_row(spans, name, index, x, begin, end) for index, (name, spans) in enumerate(units)]
    return chart(
        _WIDTH, bottom + 22, description,
        text(0, 14, f"{title}: {si(end - begin, 's')}", "value"), rows,
        _load(timeline, 24 + _ROW * len(units), x, begin, end), _axis(x, begin, end, bottom))


def _rows_of(timeline: Timeline) -> Iterator[tuple[str, list[Span]]]:
    """Names and spans of the rows: one for each unit, and one for the LM head, whatever runs it."""
    found = timeline.system.units
    names = {unit: name for unit, name in _UNITS.items() if unit in found} | {
        unit: unit for unit in found if unit not in _UNITS}
    heads: list[Span] = []
    for unit, name in names.items():
        spans = list(timeline.on(unit))
        heads += [span for span in spans if span.task.label in _HEADS]
        yield name, [span for span in spans if span.task.label not in _HEADS]
    if heads:
        yield "LM head", heads


def _row(
    spans: Sequence[Span], name: str, index: int, x: Scale, begin: float, end: float
) -> Markup:
    top = 24 + _ROW * index
    spans = [span for span in spans if span.end > begin and span.start < end]
    busy = sum(min(span.end, end) - max(span.start, begin) for span in spans) / (end - begin)
    return join(
        text(0, top + 12, name, "note"),
        text(_LEFT - 8, top + 12, percent(busy) if spans else "", "tick", "end"),
        [_bar(bar, top, x) for bar in _folded(spans, begin, end)])


def _folded(spans: Sequence[Span], begin: float, end: float) -> Iterator[Sequence[Span]]:
    """One after the other; of very many, such as begin within one bar's least width together."""
    if len(spans) <= _MOST:
        yield from ([span] for span in spans)
        return
    width = _narrowest(begin, end)
    for _, group in groupby(spans, key=lambda span: int((span.start - begin) / width)):
        yield list(group)


def _narrowest(begin: float, end: float) -> float:
    """Seconds that the narrowest bar covers."""
    return (end - begin) * _NARROWEST / (_RIGHT - _LEFT)


def _bar(spans: Sequence[Span], top: float, x: Scale) -> Markup:
    """Operators one after the other: what they wait for most is the colour."""
    left, right = x(spans[0].start), x(spans[-1].end)
    moved = sum(sum(span.task.transfers.values()) for span in spans)
    seconds: dict[str, float] = {}
    for span in spans:
        waits = _waits(span)
        seconds[waits] = seconds.get(waits, 0.0) + span.end - span.start
    waits = max(seconds, key=lambda each: seconds[each])
    names = [span.task.label or span.task.name for span in (spans[0], spans[-1])]
    what = names[0] if len(spans) == 1 else f"{len(spans)} from {names[0]} to {names[1]}"
    said = (f"{what}: {si(sum(seconds.values()), 's')}, "
            f"{si(moved, 'B')} of DRAM traffic, waits for {waits}")
    return tag("rect", tag("title", said), x=left, y=top,
               width=round(max(_NARROWEST, right - left), 2), height=_BAR, class_=f"op {waits}")


def _waits(span: Span) -> str:
    """Whatever takes the largest part of a span: start-up, compute, or what is left, memory."""
    task, seconds = span.task, span.end - span.start
    if task.unit == "host":
        return "host"
    if task.start > seconds / 2:
        return "start"
    return "compute" if task.compute >= (1 - 1e-7) * (seconds - task.start) else "memory"


def _load(timeline: Timeline, top: float, x: Scale, begin: float, end: float) -> Markup:
    """The DRAM's load: the height is the part of its bandwidth."""
    channel, = timeline.system.channels.values()
    rects = []
    for start, stop, rate in _pieces(timeline, channel.name, begin, end):
        height = round(_BAR * rate / channel.bandwidth, 2)
        rects.append(tag("rect", x=x(start), y=round(top + _BAR - height, 2),
                         width=round(max(_NARROWEST, x(stop) - x(start)), 2), height=height,
                         class_="memory"))
    return join(text(0, top + 12, "DRAM load", "note"), rects)


def _pieces(
    timeline: Timeline, channel: str, begin: float, end: float
) -> Iterator[tuple[float, float, float]]:
    """(start, stop, bytes per second) of every piece with a load; of very many, their means."""
    times = [*(load.time for load in timeline.loads[1:]), timeline.makespan]
    pieces = [
        (max(load.time, begin), min(stop, end), rate)
        for load, stop in zip(timeline.loads, times, strict=True)
        if (rate := load.rates[channel]) and stop > begin and load.time < end
    ]
    if len(pieces) <= _MOST:
        yield from pieces
        return
    width = _narrowest(begin, end)
    for _, group in groupby(pieces, key=lambda piece: int((piece[0] - begin) / width)):
        inside = list(group)
        start, stop = inside[0][0], inside[-1][1]
        moved = sum(rate * (until - since) for since, until, rate in inside)
        yield start, stop, moved / (stop - start)


def _axis(x: Scale, begin: float, end: float, bottom: float) -> Markup:
    """Time since the first of what is shown."""
    factor, unit = scaled(end - begin, "s")
    ticks = Scale(0, (end - begin) * factor, _LEFT, _RIGHT)
    parts = [line([(_LEFT, bottom), (_RIGHT, bottom)], "axis")]
    for value in ticks.ticks(8):
        place = ticks(value)
        if place < _RIGHT - 30:
            parts.append(line([(place, bottom), (place, bottom + 4)], "axis"))
            parts.append(text(place, bottom + 16, f"{digits(value)} {unit}", "tick", "middle"))
    return join(parts)
