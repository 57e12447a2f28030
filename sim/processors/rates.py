"""Which of a processor's rates a model's matrices run at."""

from __future__ import annotations

import dataclasses

from ...errors import EstimateError
from ..descriptions.quantity import Quantity
from ..descriptions.soc import Processor, Rate, Soc

__all__ = ["choose_processor", "choose_rate", "rate_assumption"]

_OPERATORS = ("linear", "matmul")   # inside an engine's graph, or a matrix called by itself
_OTHER = {"int8": "float16", "float16": "int8"}


def choose_processor(soc: Soc, kind: str | None) -> Processor:
    """The processor of ``kind``; the CPU where none is said, or the first one.

    Raises
    ------
    EstimateError
        There is none of that kind.
    """
    for processor in soc.processors:
        if processor.kind == (kind or "cpu"):
            return processor
    if kind is None:
        return soc.processors[0]
    known = ", ".join(processor.kind for processor in soc.processors)
    raise EstimateError(f"{soc.name} has no {kind} that is described; it has {known}")


def choose_rate(processor: Processor, precision: str) -> Rate:
    """The rate of matrices in ``precision``.

    Where there is none: int8 codes are multiplied at the rate of float16; float16 at half of that
    of int8, as with vectors of one width.

    Raises
    ------
    EstimateError
        The processor has neither.
    """
    for name in (precision, _OTHER[precision]):
        found = {rate.operator: rate for rate in processor.rates if rate.precision == name}
        for operator in _OPERATORS:
            if operator in found:
                rate = found[operator]
                return _halved(rate) if name == "int8" != precision else rate
    raise EstimateError(f"The {processor.name} has no rate for matrices in int8 or float16")


def rate_assumption(processor: Processor, precision: str) -> str | None:
    """What was assumed where the description has no rate in ``precision``."""
    if any(rate.precision == precision and rate.operator in _OPERATORS
           for rate in processor.rates):
        return None
    how = "at the rate of float16" if precision == "int8" else "at half of the rate of int8"
    return f"the description has no rate in {precision}, which is taken {how}"


def _halved(rate: Rate) -> Rate:
    peak = rate.peak
    half = Quantity(peak.low / 2, peak.nominal / 2, peak.high / 2, peak.unit, "assumption",
                    "half of the rate of int8")
    return dataclasses.replace(rate, precision="float16", peak=half)
