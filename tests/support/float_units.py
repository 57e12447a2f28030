"""All float units of a format in one component, so that they share a build and their stimuli."""

import numpy as np
from amaranth.hdl import Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from trilobite.hw.floats.add import FloatAdd
from trilobite.hw.floats.compare import FloatCompare, FloatMaximum
from trilobite.hw.floats.from_integer import IntegerToFloat
from trilobite.hw.floats.multiply import FloatMultiply
from trilobite.hw.floats.to_integer import FloatToInteger
from trilobite.hw.matmul.reference import pack_beats
from trilobite.sim.verify.bench import build, sample

# Ports of FloatUnits and the latency of the units behind them.
LATENCIES = {
    "o_add": FloatAdd.latency, "o_subtract": FloatAdd.latency,
    "o_multiply": FloatMultiply.latency, "o_maximum": FloatMaximum.latency,
    "o_greater": FloatCompare.latency, "o_equal": FloatCompare.latency,
    "o_float": IntegerToFloat.latency, "o_scaled": IntegerToFloat.latency,
    "o_integer": FloatToInteger.latency,
}


class FloatUnits(wiring.Component):
    """``o_add`` = i_a + i_b and so on; ``o_float`` = i_integer, ``o_scaled`` = i_integer *
    2^exponent, ``o_integer`` = rint(i_a).
    """

    def __init__(self, format, integer_width, rounded_width, exponent):
        self.format = format
        self.integer_width = integer_width
        self.rounded_width = rounded_width
        self.exponent = exponent
        floats = {f"o_{name}": Out(format.width)
                  for name in ("add", "subtract", "multiply", "maximum", "float", "scaled")}
        super().__init__({
            "i_a": In(format.width), "i_b": In(format.width),
            "i_integer": In(signed(integer_width)),
            "o_greater": Out(1), "o_equal": Out(1), "o_integer": Out(signed(rounded_width)),
            **floats,
        })

    def elaborate(self, platform):
        m = Module()
        format = self.format
        pairs = {
            "add": FloatAdd(format), "subtract": FloatAdd(format, subtract=True),
            "multiply": FloatMultiply(format), "maximum": FloatMaximum(format),
            "compare": FloatCompare(format),
        }
        for name, unit in pairs.items():
            m.submodules[name] = unit
            m.d.comb += [unit.i_a.eq(self.i_a), unit.i_b.eq(self.i_b)]
            if name != "compare":
                m.d.comb += getattr(self, f"o_{name}").eq(unit.o)
        m.d.comb += [self.o_greater.eq(pairs["compare"].o_greater),
                     self.o_equal.eq(pairs["compare"].o_equal)]
        m.submodules.float = to_float = IntegerToFloat(format, self.integer_width)
        m.submodules.scaled = scaled = IntegerToFloat(format, self.integer_width, self.exponent)
        m.submodules.integer = to_integer = FloatToInteger(format, self.rounded_width)
        m.d.comb += [
            to_float.i.eq(self.i_integer), scaled.i.eq(self.i_integer), to_integer.i.eq(self.i_a),
            self.o_float.eq(to_float.o), self.o_scaled.eq(scaled.o),
            self.o_integer.eq(to_integer.o),
        ]
        return m


def results(units, a, b, integers):
    """Apply operands (unsigned integers, 1-D, of one length) cycle by cycle.

    Returns the result of each by output port, as unsigned integers.
    """
    beats = {
        "i_a": pack_beats(a[:, None], units.format.width),
        "i_b": pack_beats(b[:, None], units.format.width),
        "i_integer": pack_beats(integers[:, None], units.integer_width),
    }
    return sample_pipeline(build(units, "float_units"), beats, LATENCIES)


def sample_pipeline(built, beats, latencies):
    """``sample`` of a pipeline that never stops: row t of an output belongs to row t of inputs.

    ``latencies`` by output port. Ports are at most 64 bits wide; int64 [rows] come back.
    """
    rest = max(latencies.values())
    padded = {name: np.pad(rows, ((0, rest), (0, 0))) for name, rows in beats.items()}
    recorded = sample(built, padded)
    aligned = {}
    for name, latency in latencies.items():
        rows = recorded[name][latency:len(recorded[name]) - rest + latency]
        wide = np.zeros((len(rows), 8), np.uint8)
        wide[:, :rows.shape[1]] = rows
        aligned[name] = wide.view(np.int64)[:, 0]
    return aligned
