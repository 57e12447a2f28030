"""Numbers that say where they come from: constants with a range, and results with one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from ...errors import EstimateError

__all__ = ["KINDS", "RESULT_KINDS", "Corner", "Quantity", "Range"]

# How a constant was obtained, with what a reader of the report is told about it.
KINDS = {
    "rtl": "taken from the RTL, or measured in its simulation",
    "source": "cited from a publication, a data sheet or a public measurement",
    "analysed": "static timing analysis of the mapped netlist (`synth --timing`), not routed",
    "derived": "calculated here from cited figures; the source says how",
    "assumption": "assumed: nothing to cite, and not measured in RTL",
}

# Results know two kinds more.
RESULT_KINDS = {
    **KINDS,
    "model": "predicted by the cycle model of the RTL, which its tests compare with simulation",
    "formula": "cycle formula of the RTL, which its tests compare with simulation",
    "quoted": "published by others about their design, quoted",
}


class Corner(Enum):
    """Which end of every range a calculation takes: all good, all nominal, all bad."""

    BEST = "best"
    NOMINAL = "nominal"
    WORST = "worst"

    @property
    def opposite(self) -> Corner:
        """The other end: power is highest when costly work is done in little time."""
        swapped = {Corner.BEST: Corner.WORST, Corner.WORST: Corner.BEST}
        return swapped.get(self, self)


@dataclass(frozen=True)
class Quantity:
    """A constant: its range, unit, how it was obtained (one of ``KINDS``) and from where.

    Raises
    ------
    EstimateError
        Not finite, negative, not ``low <= nominal <= high``, an unknown kind, no unit or source.
    """

    low: float
    nominal: float
    high: float
    unit: str
    kind: str
    source: str

    def __post_init__(self) -> None:
        """Check the range and the labels."""
        values = (self.low, self.nominal, self.high)
        if not all(math.isfinite(value) and value >= 0 for value in values):
            raise EstimateError(f"low, nominal and high must be finite and not negative: {values}")
        if not self.low <= self.nominal <= self.high:
            raise EstimateError(f"low <= nominal <= high does not hold: {values}")
        if self.kind not in KINDS:
            raise EstimateError(f"kind {self.kind!r} is unknown; known are {', '.join(KINDS)}")
        if not self.unit.strip() or not self.source.strip():
            raise EstimateError("unit and source must both say something")

    def rate(self, corner: Corner) -> float:
        """The value at ``corner`` of a quantity of which more is better (a bandwidth)."""
        if corner is Corner.NOMINAL:
            return self.nominal
        return self.high if corner is Corner.BEST else self.low

    def cost(self, corner: Corner) -> float:
        """The value at ``corner`` of a quantity of which less is better (an energy)."""
        if corner is Corner.NOMINAL:
            return self.nominal
        return self.low if corner is Corner.BEST else self.high

    @property
    def count(self) -> int:
        """The value of a quantity known to be an exact whole number (checked when loaded)."""
        return int(self.nominal)

    @property
    def is_count(self) -> bool:
        """Whether the quantity is one exact whole number rather than a range."""
        return self.low == self.high and self.nominal == int(self.nominal)


@dataclass(frozen=True)
class Range:
    """A result: its nominal value, and the values at the two ends of all constants' ranges."""

    low: float
    nominal: float
    high: float

    @classmethod
    def of(cls, values: dict[Corner, float]) -> Range:
        """The range that the values at the three corners span, whichever end is the larger."""
        ends = sorted((values[Corner.BEST], values[Corner.WORST]))
        return cls(ends[0], values[Corner.NOMINAL], ends[1])

    @classmethod
    def at_corners(cls, value: Callable[[Corner], float]) -> Range:
        """``of`` a function of the corner."""
        return cls.of({corner: value(corner) for corner in Corner})

    def to_json(self, unit: str) -> dict[str, float | str]:
        """``{low, nominal, high, unit}``."""
        return {"low": self.low, "nominal": self.nominal, "high": self.high, "unit": unit}
