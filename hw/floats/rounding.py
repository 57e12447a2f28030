"""The last stage of a unit: normalize finely, round to nearest even, flush, saturate, pack."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value, ValueLike, signed
from amaranth.lib import data

from .format import FloatFormat

__all__ = ["Unrounded", "digits_width"]


def digits_width(format: FloatFormat, most_above: int) -> int:
    """Bits of ``Unrounded.digits`` with at most ``most_above`` zeros above the leading one."""
    return format.mantissa_width + 2 + most_above


class Unrounded:
    """A result before its rounding: what the last stage of a unit turns into a packed number.

    The highest one of ``digits`` is ``above`` places below the top, 0 to ``most_above``, unless
    ``zero``. From it on, ``digits`` have the significand, half a unit of its last place, and
    ``most_above - above`` bits below that; ``sticky`` stands for ones further below. The value is
    ``(-1)^sign * significand * 2^(exponent - bias - mantissa_width)`` and what is below.

    ``exponent`` is signed, and may lie below and above the format's range. ``nan`` goes
    before ``infinite``, and that before everything else.

    The fields are a register between two stages (``load``), or signals (``drive``).

    Parameters
    ----------
    format : FloatFormat
        The format of the rounded number.
    exponent_width : int
        The number of bits of ``exponent``.
    most_above : int
        The largest number of zeros above the leading one: 1 or 3.
    """

    def __init__(self, format: FloatFormat, exponent_width: int, most_above: int) -> None:
        self._format = format
        self._most_above = most_above
        self.value: Any = Signal(data.StructLayout({   # a View
            "sticky": 1, "digits": digits_width(format, most_above),
            "above": range(most_above + 1),
            "exponent": signed(exponent_width), "sign": 1,
            "zero": 1, "infinite": 1, "nan": 1,
        }), name="unrounded", reset_less=True)

    def load(self, m: Module, **fields: ValueLike) -> None:
        """Set all fields at the next clock edge.

        Raises
        ------
        TypeError
            A field is missing, or there is one too many.
        """
        m.d.sync += self._assignments(fields)

    def drive(self, m: Module, **fields: ValueLike) -> None:
        """Set all fields in this cycle. Raises as ``load``."""
        m.d.comb += self._assignments(fields)

    def _assignments(self, fields: dict[str, ValueLike]) -> list:
        names = set(self.value.shape().members)
        if fields.keys() != names:
            raise TypeError(f"The fields of a result are {sorted(names)}, not {sorted(fields)}")
        return [self.value[name].eq(field) for name, field in fields.items()]

    def round(self, m: Module) -> data.View:
        """The rounded, packed number, one cycle later.

        A result below the smallest normal number is rounded as IEEE 754 rounds subnormal numbers,
        and flushed if it still is one: so the places that count for the largest of them are one
        fewer, and all ones round up to the smallest normal number.

        What becomes of the sum of the significand and the rounding is decided beside its carry
        chain and not behind it.
        """
        format, value = self._format, self.value
        significand, half, below = self._places(m)
        mantissa = significand[:-1]
        top = format.special_exponent
        round_up, overflows, least, flushed = (
            Signal(name=name) for name in ("round_up", "overflows", "least", "flushed"))
        just_below_normal = value.exponent == 0
        ones = mantissa.all()
        rounded = Signal(format.mantissa_width + format.exponent_width)
        m.d.comb += [
            round_up.eq(half & (below | significand[0])),
            overflows.eq(value.infinite | (~value.zero & (
                (value.exponent >= top) | ((value.exponent == top - 1) & ones & round_up)))),
            least.eq(just_below_normal & ones & ~value.zero),
            flushed.eq(value.zero | (value.exponent <= 0)),
            rounded.eq(Cat(mantissa, value.exponent[:format.exponent_width]) + round_up),
        ]

        packed: Any = Signal(format.layout, name="packed", reset_less=True)   # a View
        m.d.sync += packed.sign.eq(value.sign)
        with m.If(value.nan):
            m.d.sync += packed.eq(format.nan)
        with m.Elif(overflows):
            m.d.sync += [packed.exponent.eq(top), packed.mantissa.eq(0)]
        with m.Elif(flushed):
            m.d.sync += [packed.exponent.eq(least), packed.mantissa.eq(0)]
        with m.Else():
            m.d.sync += Cat(packed.mantissa, packed.exponent).eq(rounded)
        return packed

    def _places(self, m: Module) -> tuple[Value, Value, Value]:
        """The significand, the bit below it, and whether there is a one below that."""
        width, value = self._format.mantissa_width + 1, self.value
        significand = Signal(width)
        half, below = Signal(name="half"), Signal(name="below")
        with m.Switch(value.above):
            for above in range(self._most_above + 1):
                lowest = self._most_above - above + 1
                with m.Case(above):
                    m.d.comb += [
                        significand.eq(value.digits[lowest:lowest + width]),
                        half.eq(value.digits[lowest - 1]),
                        below.eq(value.digits[:lowest - 1].any() | value.sticky),
                    ]
        return significand, half, below
