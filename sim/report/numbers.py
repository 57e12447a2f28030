"""Numbers as people read them: three significant digits, an SI prefix, one prefix per range."""

from __future__ import annotations

from ..descriptions.quantity import Range
from .html import Markup, join, tag

__all__ = ["digits", "percent", "range_text", "ranged", "scaled", "si"]

_PREFIXES = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ")]


def digits(value: float) -> str:
    """Three significant digits, thousands separated, never an exponent for everyday sizes."""
    if value == 0:
        return "0"
    if value >= 999.5:
        return f"{value:,.0f}"
    decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{decimals}f}" if value >= 0.0995 else f"{value:.2g}"


def scaled(value: float, unit: str) -> tuple[float, str]:
    """Factor and prefixed unit that bring ``value`` between 1 and 1000; rates keep their unit."""
    if unit.startswith("token") or value == 0:
        return 1.0, unit
    for size, prefix in _PREFIXES:
        if value >= 0.9995 * size:
            return 1 / size, f"{prefix}{unit}"
    return 1e6, f"µ{unit}"


def si(value: float, unit: str) -> str:
    """``365 ms``, ``196 MB``, ``69.0 token/s``."""
    factor, prefixed = scaled(value, unit)
    return f"{digits(value * factor)} {prefixed}"


def range_text(value: Range, unit: str) -> tuple[str, str, str, str]:
    """Nominal, prefixed unit, low, high, all in that unit: ``365``, ``ms``, ``334``, ``526``."""
    factor, prefixed = scaled(value.nominal, unit)
    low, nominal, high = (digits(factor * end) for end in (value.low, value.nominal, value.high))
    return nominal, prefixed, low, high


def ranged(value: Range, unit: str) -> Markup:
    """The nominal value, and the range after it in small: ``365 ms  334–526``."""
    nominal, prefixed, low, high = range_text(value, unit)
    return join(f"{nominal} {prefixed} ", tag("small", f"{low}–{high}", class_="range"))


def percent(fraction: float) -> str:
    """A share: ``92 %``, ``0.4 %``."""
    return f"{100 * fraction:.0f} %" if fraction >= 0.01 else f"{100 * fraction:.1f} %"
