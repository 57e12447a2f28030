"""A picture of what an accelerator does, cycle by cycle, drawn from its own counters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np

from ...fpga.events import COUNTERS
from ...fpga.sequencer import OPERATIONS
from .html import Markup, join, tag
from .svg import polygon, text

__all__ = ["Samples", "draw_schedule"]

_WIDTH, _LEFT, _RIGHT, _LANE, _CHART = 960, 120, 940, 26, 64
_LABELLED = ("matmul", "attend")   # operations that are wide enough for what they are of
_CHARTS = (("read_words", "words read"), ("write_words", "words written"),
           ("weight_beats", "weight beats"), ("attention_words", "cache words"))
_STYLE = """
.text { fill: #1d2733; font-size: 13px } .small { fill: #4a5866; font-size: 12px }
.bar { fill: #3b6fb6 } .area { fill: #3b6fb6; opacity: 0.75 } .grid { stroke: #c3ccd6 }
@media (prefers-color-scheme: dark) {
  .text { fill: #e6edf3 } .small { fill: #a9b6c4 }
  .bar { fill: #6ea3e8 } .area { fill: #6ea3e8 } .grid { stroke: #3a4654 }
}
"""


@dataclass(frozen=True)
class Samples:
    """The accelerator's counters as they were at several moments.

    ``counts`` is int64 [moments, counters]; the counters are ``COUNTERS``, in their order.
    ``layer`` has the operation and the operator of each descriptor of a layer, if they are known.
    """

    counts: np.ndarray
    layer: tuple[tuple[str, str], ...] = ()

    def of(self, counter: str) -> np.ndarray:
        """One counter at each moment."""
        return self.counts[:, list(COUNTERS).index(counter)]

    def after(self, cycle: int) -> Samples:
        """What followed from ``cycle`` on, all counters from 0 there."""
        later = self.counts[self.of("cycles") >= cycle]
        return Samples(later - later[:1], self.layer)

    def spans(self) -> list[tuple[str, int, int]]:
        """Operations one after the other: name, first and last cycle.

        One that follows its like cannot be told from it, nor can one be seen that begins and ends
        between two looks, most of which belong to another.
        """
        cycles = self.of("cycles")
        names = [operation.name.lower() for operation in OPERATIONS]
        spent = np.stack([np.diff(self.of(f"{name}_cycles")) for name in names])
        found: list[tuple[str, int, int]] = []
        for moment, most in enumerate(spent.argmax(axis=0)):
            begin, end = int(cycles[moment]), int(cycles[moment + 1])
            if not spent[most, moment]:
                continue
            if found and found[-1][0] == names[most]:
                begin = found.pop()[1]
            found.append((names[most], begin, end))
        return found


def draw_schedule(samples: Samples, title: str) -> Markup:
    """An SVG: a lane for each operation that occurs, and how busy port, engine and attention are.

    Raises ``ValueError`` if nothing happened.
    """
    spans = samples.spans()
    if not spans:
        raise ValueError("There is nothing to draw: no operation was seen")
    total = int(samples.of("cycles")[-1])

    def x(cycle: float) -> float:
        return round(_LEFT + cycle / total * (_RIGHT - _LEFT), 2)

    names = list(dict.fromkeys(name for name, _, _ in spans))
    parts = [text(_LEFT, 20, title, "text")]
    top = 36
    for lane, name in enumerate(names):
        y = top + lane * _LANE
        parts.append(text(_LEFT - 8, y + 16, name.upper(), "small", "end"))
        parts += [tag("rect", class_="bar", x=x(begin), y=y + 3, height=_LANE - 8, rx=2,
                      width=round(max(x(end) - x(begin), 0.5), 2))
                  for each, begin, end in spans if each == name]
    top += len(names) * _LANE
    parts += _labels(spans, samples.layer, x, top + 14)
    top += 28
    for counter, label in _CHARTS:
        parts += _chart(samples, counter, label, x, top)
        top += _CHART
    parts += _axis(total, x, top)
    return tag("svg", tag("title", title), tag("style", Markup(_STYLE)), *parts,
               xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {_WIDTH} {top + 40}", role="img",
               font_family="system-ui, sans-serif")


def _labels(spans: Sequence[tuple[str, int, int]], layer: Sequence[tuple[str, str]], x: Callable,
            y: float) -> list[Markup]:
    """The operators of each operation, where the spans are those of one whole layer.

    The layer before may still be ending.
    """
    # Operations that follow their like are one span.
    groups = [(operation, [operator for _, operator in group])
              for operation, group in groupby(layer, key=itemgetter(0))]
    before, inside = spans[:len(spans) - len(groups)], spans[len(spans) - len(groups):]
    if ([name for name, _, _ in inside] != [operation for operation, _ in groups]
            or [name for name, _, _ in before] not in ([], ["matmul"])):
        return []
    return [text((x(begin) + x(end)) / 2, y, _label(operators), "small", "middle")
            for (_, begin, end), (operation, operators) in zip(inside, groups, strict=True)
            if operation in _LABELLED]


def _label(operators: Sequence[str]) -> str:
    """Such as ``q k v`` of ``q_proj``, ``k_proj`` and ``v_proj``."""
    return " ".join(operator.removesuffix("_proj").replace("_", " ") for operator in operators)


def _chart(samples: Samples, counter: str, label: str, x: Callable, top: float) -> list[Markup]:
    """An area: how much of each moment's cycles a counter counted."""
    cycles, counts = samples.of("cycles"), samples.of(counter)
    height = _CHART - 20
    base = top + height

    def y(share: float) -> float:
        return round(base - height * share, 2)

    points = [(x(0), base)]
    for begin, end, share in zip(cycles, cycles[1:], np.diff(counts) / np.maximum(
            np.diff(cycles), 1), strict=False):
        points += [(x(begin), y(share)), (x(end), y(share))]
    points.append((x(cycles[-1]), base))
    mean = counts[-1] / cycles[-1]
    return [
        *(tag("line", class_="grid", x1=_LEFT, x2=_RIGHT, y1=at, y2=at) for at in (top, base)),
        polygon(points, "area"),
        text(_LEFT - 8, top + 16, label, "small", "end"),
        text(_LEFT - 8, top + 32, f"{mean:.2f} a cycle", "small", "end"),
    ]


def _axis(total: int, x: Callable, top: float) -> list[Markup]:
    step = 10 ** (len(str(total)) - 1)
    step = next(step // part for part in (1, 2, 5, 10) if total // (step // part) >= 4)
    ticks = [text(x(cycle), top + 8, f"{cycle:,}", "small", "middle")
             for cycle in range(0, total + 1, step)]
    return [join(*ticks), text(_RIGHT, top + 28, "cycles", "small", "end")]
