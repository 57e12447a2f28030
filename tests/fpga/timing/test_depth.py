"""Estimated depths of small designs, worked out by hand."""

import math

import pytest
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from trilobite.fpga.timing.depth import logic_depth


def design(body):
    """A component with two inputs and an output of 8 bits, whose logic is ``body(m, a, b)``."""
    class Made(wiring.Component):
        def __init__(self):
            super().__init__({"i_a": In(8), "i_b": In(8), "o": Out(8)})

        def elaborate(self, platform):
            m = Module()
            m.d.sync += self.o.eq(body(m, self.i_a, self.i_b))
            return m

    return Made()


@pytest.mark.parametrize(("body", "levels"), [
    (lambda m, a, b: a, 0.5),                              # the choice of the reset's value
    (lambda m, a, b: ~a & b, 0.9),
    (lambda m, a, b: a + b, 1.5),
    (lambda m, a, b: (a + b) + (a ^ b), 2.5),              # the longer of two ways
    (lambda m, a, b: Mux(a == b, a, b), 1.0 + math.log(16, 6)),
    (lambda m, a, b: (a * b)[:8], 5.5),
    (lambda m, a, b: a >> b[:3], 2.0),
])
def test_levels_between_registers(body, levels):
    assert logic_depth(design(body)).levels == pytest.approx(levels, abs=0.06)


def test_a_register_ends_a_path():
    def body(m, a, b):
        between = Signal(8)
        m.d.sync += between.eq(a + b)
        return between + b

    found = logic_depth(design(body))
    assert found.levels == 1.5
    assert "test_depth.py" in found.end


def test_an_index_into_a_signal_and_a_memory_count():
    def chosen(m, a, b):
        return a.bit_select(b[:3], 1)

    def remembered(m, a, b):
        m.submodules.memory = memory = Memory(shape=8, depth=8, init=[])
        read = memory.read_port(domain="comb")
        m.d.comb += read.addr.eq(a[:3] + b[:3])
        return read.data

    assert logic_depth(design(chosen)).levels == 2.0
    assert logic_depth(design(remembered)).levels == 2.5

