"""What the charts share: scales, ticks, axes. Colours and fonts are the style sheet's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .html import Markup, join, tag
from .numbers import digits

__all__ = ["Frame", "Scale", "chart", "line", "polygon", "text"]


@dataclass(frozen=True)
class Scale:
    """Maps values from ``low`` to ``high`` onto positions from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The position of ``value``, kept inside the scale."""
        value = min(max(value, self.low), self.high)
        low, high = self.low, self.high
        if self.log:
            value, low, high = math.log10(value), math.log10(low), math.log10(high)
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 2)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values inside the scale: powers of ten, or about ``count`` even steps."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            factors = (1,) if last - first > 3 else (1, 3)
            ticks = [f * 10.0 ** exponent for exponent in range(first, last + 1) for f in factors]
            return [tick for tick in ticks if self.low <= tick <= self.high]
        raw = (self.high - self.low) / count
        size = 10 ** math.floor(math.log10(raw))
        step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw)
        first = math.ceil(self.low / step)
        return [index * step for index in range(first, math.floor(self.high / step) + 1)]


@dataclass(frozen=True)
class Frame:
    """A chart's plotting area: its scales, and the axes around it."""

    x: Scale
    y: Scale
    x_label: str
    y_label: str

    def axes(self) -> Markup:
        """Grid lines, tick labels and axis labels."""
        left, right, bottom, top = self.x.start, self.x.end, self.y.start, self.y.end
        parts = []
        for value in self.y.ticks():
            parts.append(line([(left, self.y(value)), (right, self.y(value))], "grid"))
            parts.append(text(left - 6, self.y(value) + 4, _tick(value), "tick", "end"))
        for value in self.x.ticks():
            parts.append(line([(self.x(value), bottom), (self.x(value), bottom + 4)], "axis"))
            parts.append(text(self.x(value), bottom + 17, _tick(value), "tick", "middle"))
        parts.append(line([(left, bottom), (right, bottom)], "axis"))
        parts.append(text(right, bottom + 33, self.x_label, "label", "end"))
        parts.append(text(left - 38, top - 10, self.y_label, "label"))
        return join(parts)


def chart(width: int, height: int, description: str, *children: object) -> Markup:
    """An ``svg`` element that scales with the page; ``description`` is read to the blind."""
    return tag(
        "svg", *children, viewBox=f"0 0 {width} {height}", role="img", aria_label=description,
        class_="chart",
    )


def line(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    """A line through ``points``."""
    return tag("polyline", points=_points(points), class_=class_)


def polygon(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    """A filled area."""
    return tag("polygon", points=_points(points), class_=class_)


def text(x: float, y: float, content: str, class_: str, anchor: str | None = None) -> Markup:
    """Text with its baseline at ``y``."""
    return tag("text", content, x=round(x, 2), y=round(y, 2), class_=class_, text_anchor=anchor)


def _points(points: Sequence[tuple[float, float]]) -> str:
    """Coordinates as SVG writes them."""
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _tick(value: float) -> str:
    """A tick's label."""
    if value == int(value):
        return f"{value:,.0f}"
    return digits(value).rstrip("0").rstrip(".")
