"""Decode rate over context length."""

from __future__ import annotations

from ..formulas.results import RequestEstimate
from .html import Markup, join, tag
from .numbers import digits
from .svg import Frame, Scale, chart, line, polygon, text

__all__ = ["context_chart"]

_WIDTH, _HEIGHT = 460, 310


def context_chart(estimate: RequestEstimate) -> Markup:
    """Nominal rate as a line, best to worst as a band; the request's contexts are marked."""
    curve = estimate.curve
    frame = Frame(
        Scale(0, curve[-1].context, 48, 446),
        Scale(0, 1.08 * max(point.rate.high for point in curve), 266, 26),
        "positions in the cache", "token/s",
    )
    upper = [(frame.x(point.context), frame.y(point.rate.high)) for point in curve]
    lower = [(frame.x(point.context), frame.y(point.rate.low)) for point in reversed(curve)]
    nominal = [(frame.x(point.context), frame.y(point.rate.nominal)) for point in curve]
    return chart(
        _WIDTH, _HEIGHT, f"Decode rate of {estimate.model.name} over context length",
        _request(frame, estimate), frame.axes(), polygon([*upper, *lower], "band"),
        line(nominal, "curve"), _end(frame, estimate, 0), _end(frame, estimate, -1),
    )


def _request(frame: Frame, estimate: RequestEstimate) -> Markup:
    """The span of contexts of the estimated request."""
    left, right = frame.x(estimate.prompt), frame.x(estimate.prompt + estimate.tokens)
    return join(
        tag("rect", x=left, y=frame.y.end, width=max(1.0, round(right - left, 2)),
            height=frame.y.start - frame.y.end, class_="span"),
        text(left + 4, frame.y.start - 8, "this request", "note"),
    )


def _end(frame: Frame, estimate: RequestEstimate, index: int) -> Markup:
    """One end of the curve with its value."""
    point = estimate.curve[index]
    x, y = frame.x(point.context), frame.y(point.rate.nominal)
    anchor, shift = ("start", 6) if index == 0 else ("end", -4)
    return join(
        tag("circle", cx=x, cy=y, r=3, class_="end"),
        text(x + shift, y - 9, digits(point.rate.nominal), "value", anchor),
    )
