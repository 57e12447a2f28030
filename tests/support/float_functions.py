"""The elementary functions in one component, and what the runtime's give."""

import numba
import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from support.float32 import to_bits, to_float
from trilobite import numerics
from trilobite.hw.floats import FLOAT32
from trilobite.hw.floats.exponential import FloatExp, FloatSigmoid
from trilobite.hw.floats.reciprocal import FloatReciprocal, FloatRsqrt

FUNCTIONS = {
    "exp": (FloatExp, numerics.exp),
    "reciprocal": (FloatReciprocal, numerics.reciprocal),
    "rsqrt": (FloatRsqrt, numerics.rsqrt),
    "sigmoid": (FloatSigmoid, numerics.sigmoid),
}
LATENCIES = {f"o_{name}": unit.latency for name, (unit, _) in FUNCTIONS.items()}


class FloatFunctions(wiring.Component):
    """``o_exp`` = exp(i) and so on, each after its own latency."""

    def __init__(self):
        super().__init__({"i": In(FLOAT32.layout),
                          **{port: Out(FLOAT32.layout) for port in LATENCIES}})

    def elaborate(self, platform):
        m = Module()
        for name, (unit, _) in FUNCTIONS.items():
            m.submodules[name] = function = unit()
            m.d.comb += [function.i.eq(self.i), getattr(self, f"o_{name}").eq(function.o)]
        return m


@numba.njit
def _apply(function, x):
    out = np.empty_like(x)
    for index in range(x.size):
        out[index] = function(x[index])
    return out


@np.errstate(all="ignore")
def expected(operands):
    """The runtime's results by output port, from ``i`` as bits."""
    x = to_float(operands["i"]).astype(np.float32)
    return {f"o_{name}": to_bits(_apply(function, x))
            for name, (_, function) in FUNCTIONS.items()}
