"""The roofline: how far each matmul is from what memory and arithmetic allow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..formulas.phase_results import OperatorCost
from ..formulas.results import Estimate
from .html import Markup, join, tag
from .numbers import digits
from .svg import Frame, Scale, chart, line, polygon, text

__all__ = ["roofline"]

_WIDTH, _HEIGHT = 460, 310

# Operators that stand for their neighbours in the chart.
_LABELS = {
    ("prefill", "gate_proj"): "matrices", ("prefill", "attention_values"): "attention",
    ("prefill", "gate_up_proj"): "matrices", ("prefill", "attention"): "attention",
    ("decode", "gate_proj"): "matrices", ("decode", "gate_up_proj"): "matrices",
    ("decode", "lm_head"): "LM head",
}


@dataclass(frozen=True)
class _Point:
    """One operator in one phase: MAC per DRAM byte, and GMAC/s achieved."""

    phase: str
    cost: OperatorCost
    intensity: float
    rate: float


def roofline(estimate: Estimate) -> Markup:
    """Arithmetic intensity against achieved rate, under the roofs of memory, engine and lanes."""
    points = list(_points(estimate))
    clock = estimate.hardware.clock.frequency.nominal * 1e-3
    engine = estimate.hardware.tlmm.parameters().macs_per_cycle * clock
    lanes = estimate.hardware.integer.lanes.count * clock
    memory = estimate.device.dram.sustained
    slowest = min([lanes, *(point.rate for point in points)])
    frame = Frame(
        Scale(0.4, 4 * max(engine / memory.low, *(p.intensity for p in points)), 48, 446, log=True),
        Scale(slowest / 3, 2.5 * engine, 266, 26, log=True),
        "MAC per byte of DRAM traffic", "GMAC/s",
    )
    return chart(
        _WIDTH, _HEIGHT, f"Roofline of {estimate.model.name}",
        frame.axes(), _memory_band(frame, memory.low, memory.high, engine),
        _memory_roof(frame, memory.nominal, engine),
        _roof(frame, engine, memory.nominal, f"table-lookup engine {digits(engine)}"),
        _roof(frame, lanes, memory.nominal, f"INT8 lanes {digits(lanes)}"),
        [_mark(frame, point) for point in points],
        [_label(frame, point, label) for point in points
         if (label := _LABELS.get((point.phase, point.cost.operator.name)))],
    )


def _points(estimate: Estimate) -> Iterator[_Point]:
    """Every operator that multiplies and touches DRAM, in both phases."""
    for name, phase in (("prefill", estimate.prefill), ("decode", estimate.decode)):
        for cost in phase.operators:
            macs = cost.operator.macs * cost.operator.count
            if macs and cost.bytes:
                yield _Point(name, cost, macs / cost.bytes, macs / cost.time.nominal * 1e-9)


def _memory_roof(frame: Frame, bandwidth: float, engine: float) -> Markup:
    """The slope on which operators are as fast as DRAM brings their bytes."""
    left = max(frame.x.low, frame.y.low / bandwidth)
    ends = [(frame.x(x), frame.y(x * bandwidth)) for x in (left, engine / bandwidth)]
    x, y = ends[1]
    label = f"DRAM {digits(bandwidth)} GB/s"
    return join(line(ends, "roof"), text(x - 16, y + 4, label, "note", "end"))


def _memory_band(frame: Frame, low: float, high: float, engine: float) -> Markup:
    """Between the lowest and the highest sustained bandwidth."""
    lower = [(frame.x(x), frame.y(x * low)) for x in (_left(frame, low), engine / low)]
    upper = [(frame.x(x), frame.y(x * high)) for x in (engine / high, _left(frame, high))]
    return polygon([*lower, *upper], "band")


def _left(frame: Frame, bandwidth: float) -> float:
    """The intensity at which a memory roof enters the frame."""
    return max(frame.x.low, frame.y.low / bandwidth)


def _roof(frame: Frame, rate: float, bandwidth: float, label: str) -> Markup:
    """A horizontal roof from where the memory roof meets it, labelled at its right end."""
    y = frame.y(rate)
    ends = [(frame.x(rate / bandwidth), y), (frame.x.end, y)]
    return join(line(ends, "roof"), text(frame.x.end, y - 6, label, "note", "end"))


def _mark(frame: Frame, point: _Point) -> Markup:
    """A disc for prefill, a ring for decode, coloured by what is waited for."""
    title = (
        f"{point.cost.operator.name}, {point.phase}: {digits(point.rate)} GMAC/s "
        f"at {digits(point.intensity)} MAC/B, waits for {point.cost.waits_for}"
    )
    return tag(
        "circle", tag("title", title), cx=frame.x(point.intensity), cy=frame.y(point.rate), r=4.5,
        class_=f"point {point.phase} {point.cost.waits_for}",
    )


def _label(frame: Frame, point: _Point, label: str) -> Markup:
    """What a point stands for: to the lower right of it, or where a roof passes there, left."""
    x, y = frame.x(point.intensity), frame.y(point.rate)
    if (point.phase, label) == ("decode", "matrices"):
        return text(x - 9, y - 2, label, "note", "end")
    return text(x + 8, y + 12, label, "note")
