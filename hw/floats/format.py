"""Binary floating-point formats, and the bits that a unit looks at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.hdl import Value
from amaranth.lib import data

__all__ = ["FLOAT32", "FloatFormat", "constant"]


@dataclass(frozen=True)
class FloatFormat:
    """An IEEE 754 binary format: sign, biased exponent, mantissa without its leading one.

    The highest exponent is that of infinity (mantissa 0) and NaN (any other mantissa). A subnormal
    number (exponent 0, mantissa not 0) counts as zero with its sign, and none is ever a result.

    Parameters
    ----------
    exponent_width : int
        Bits of the exponent, 2 to 11.
    mantissa_width : int
        Bits of the mantissa, 1 to 52.

    Raises
    ------
    TypeError
        A width is not an integer.
    ValueError
        A width is out of range.
    """

    exponent_width: int
    mantissa_width: int

    def __post_init__(self) -> None:
        for name, low, high in (("exponent_width", 2, 11), ("mantissa_width", 1, 52)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"Float format {name} must be an integer, not {value!r}")
            if not low <= value <= high:
                raise ValueError(f"Float format {name} must be {low} to {high}, not {value!r}")

    @property
    def width(self) -> int:
        """Bits of a number."""
        return 1 + self.exponent_width + self.mantissa_width

    @property
    def bias(self) -> int:
        """Biased exponent of 1.0."""
        return (1 << (self.exponent_width - 1)) - 1

    @property
    def special_exponent(self) -> int:
        """Biased exponent of infinity and NaN."""
        return (1 << self.exponent_width) - 1

    @property
    def infinity(self) -> int:
        """Bits of +infinity."""
        return self.special_exponent << self.mantissa_width

    @property
    def nan(self) -> int:
        """Bits of the NaN that the units give."""
        return self.infinity | 1 << (self.mantissa_width - 1)

    @cached_property
    def layout(self) -> data.StructLayout:
        """Layout of a number, its sign in the highest bit."""
        return data.StructLayout({
            "mantissa": self.mantissa_width, "exponent": self.exponent_width, "sign": 1,
        })

    def is_zero(self, number: data.View) -> Value:
        """``number`` is zero, or counts as zero."""
        return number.exponent == 0

    def is_special(self, number: data.View) -> Value:
        """``number`` is an infinity or a NaN."""
        return number.exponent == self.special_exponent

    def is_infinite(self, number: data.View) -> Value:
        """``number`` is an infinity."""
        return self.is_special(number) & (number.mantissa == 0)

    def is_nan(self, number: data.View) -> Value:
        """``number`` is a NaN."""
        return self.is_special(number) & (number.mantissa != 0)


FLOAT32 = FloatFormat(exponent_width=8, mantissa_width=23)


def constant(value: np.float32) -> data.Const:
    """A float32 constant."""
    return FLOAT32.layout.from_bits(int(np.float32(value).view(np.uint32)))
