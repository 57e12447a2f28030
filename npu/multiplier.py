"""INT4 times FP8 E4M3, exactly."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib.wiring import In, Out

from ..hw.component import Component
from .array_parameters import PRODUCT_WIDTH

__all__ = ["NAN_MAGNITUDE", "Multiplier", "e4m3_parts"]

NAN_MAGNITUDE = 0x7F


def e4m3_parts(code: Value) -> tuple[Value, Value]:
    """Mantissa (4 bits) and shift (0 to 14) with ``|value| * 2^9 == mantissa << shift``.

    NaN (0x7F and 0xFF), which no quantizer here writes, has the mantissa 0.
    """
    exponent, fraction = code[3:7], code[:3]
    hidden = exponent.any() & (code[:7] != NAN_MAGNITUDE)
    mantissa = Mux(code[:7] == NAN_MAGNITUDE, Const(0, 4), (fraction | (hidden << 3))[:4])
    return mantissa, Mux(exponent.any(), exponent - 1, 0)[:4]


class Multiplier(Component):
    """The product of an INT4 weight and an E4M3 activation, in units of 2^-9.

    It is combinational: a product of 4 by 4 bits, moved up by the activation's exponent. So no
    multiplier of 4 by 19 bits is needed (docs/reference/numerics.md, "Matmul"). NaN counts as 0.

    Members
    -------
    weight : ``In(signed(4))``
    activation : ``In(8)``
        An E4M3 code.
    o : ``Out(signed(22))``
    """

    def __init__(self) -> None:
        super().__init__({
            "weight": In(signed(4)), "activation": In(8), "o": Out(signed(PRODUCT_WIDTH)),
        })

    def elaborate(self, platform):
        m = Module()
        mantissa, shift = e4m3_parts(self.activation)
        magnitude = Signal(unsigned(4))
        factor = Signal(signed(5))
        product = Signal(signed(9))
        m.d.comb += [
            magnitude.eq(mantissa),
            factor.eq(Mux(self.activation[7], -self.weight, self.weight)),
            product.eq(factor * magnitude),
            self.o.eq(product << shift),
        ]
        return m
