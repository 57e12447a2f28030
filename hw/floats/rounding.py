"""The last stage of a unit: round to nearest even, flush, saturate to infinity, pack."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal, ValueLike, signed
from amaranth.lib import data

from .format import FloatFormat

__all__ = ["Unrounded"]


class Unrounded:
    """A normalized result before its rounding, as a register between two stages.

    The value is ``(-1)^sign * significand * 2^(exponent - bias - mantissa_width)`` plus what
    ``round`` (half a unit of the significand's last place) and ``sticky`` (anything below that)
    stand for. ``significand`` has ``mantissa_width + 1`` bits, the highest one set unless ``zero``.

    ``exponent`` is signed, and may lie below and above the format's range. ``nan`` goes
    before ``infinite``, and that before everything else.
    """

    def __init__(self, format: FloatFormat, exponent_width: int) -> None:
        self._format = format
        self.value: Any = Signal(data.StructLayout({   # a View
            "sticky": 1, "round": 1, "significand": format.mantissa_width + 1,
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
        names = set(self.value.shape().members)
        if fields.keys() != names:
            raise TypeError(f"The fields of a result are {sorted(names)}, not {sorted(fields)}")
        m.d.sync += [self.value[name].eq(field) for name, field in fields.items()]

    def round(self, m: Module) -> data.View:
        """The rounded, packed number, one cycle later.

        A result below the smallest normal number is rounded as IEEE 754 rounds subnormal numbers,
        and flushed if it still is one: so the places that count for the largest of them are one
        fewer, and all ones round up to the smallest normal number.
        """
        format, value = self._format, self.value
        mantissa = value.significand[:-1]
        just_below_normal = value.exponent == 0
        round_up = Signal()
        with m.If(just_below_normal):
            m.d.comb += round_up.eq(value.significand.all())
        with m.Else():
            m.d.comb += round_up.eq(value.round & (value.sticky | value.significand[0]))

        rounded = Signal(format.mantissa_width + len(value.exponent))
        exponent = Signal(signed(len(value.exponent)))
        packed: Any = Signal(format.layout, name="packed", reset_less=True)   # a View
        m.d.comb += [
            rounded.eq(Cat(mantissa, value.exponent) + round_up),
            exponent.eq(rounded[format.mantissa_width:]),
        ]
        m.d.sync += packed.sign.eq(value.sign)
        with m.If(value.nan):
            m.d.sync += packed.eq(format.nan)
        with m.Elif(value.infinite | (~value.zero & (exponent >= format.special_exponent))):
            m.d.sync += [packed.exponent.eq(format.special_exponent), packed.mantissa.eq(0)]
        with m.Elif(value.zero | (exponent <= 0)):
            m.d.sync += [packed.exponent.eq(0), packed.mantissa.eq(0)]
        with m.Else():
            m.d.sync += [
                packed.exponent.eq(exponent), packed.mantissa.eq(rounded[:format.mantissa_width]),
            ]
        return packed
