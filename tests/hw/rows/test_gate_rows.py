"""The gate of interleaved rows as a stream, against ``runtime.kernels.elementwise``."""

from functools import cache

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from support.float32 import to_bits
from trilobite.hw.matmul.reference import pack_floats, unpack_floats
from trilobite.hw.rows.gate_rows import GateRows
from trilobite.hw.rows.gates import Gate
from trilobite.hw.unused import never_elaborated
from trilobite.runtime.kernels import elementwise
from trilobite.sim.verify.bench import Traffic, build, exchange

LANES, BLOCK = 2, 3
BLOCKS, VALUES = 24, LANES * BLOCK


class OneKind(wiring.Component):
    """A ``GateRows`` that always computes the same gate."""

    def __init__(self, silu):
        self.silu = silu
        self.gate = GateRows(LANES, BLOCK)
        beat = self.gate.signature.members["o"].signature
        super().__init__({"i": In(beat), "o": Out(beat)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.gate = gate = self.gate
        m.d.comb += gate.i_silu.eq(self.silu)
        wiring.connect(m, gate.i, wiring.flipped(self.i))
        wiring.connect(m, gate.o, wiring.flipped(self.o))
        return m


@pytest.fixture(params=["silu", "relu2"])
def kind(request):
    return request.param


@cache
def simulation(kind):
    return build(OneKind(kind == "silu"), f"gate_rows_{kind}")


def operands(seed):
    """Gate and up outputs: float32 [BLOCKS, VALUES] twice."""
    rng = np.random.default_rng(seed)
    gate, up = rng.standard_normal((2, BLOCKS, VALUES), np.float32)
    gate *= np.exp2(rng.integers(-6, 7, gate.shape)).astype(np.float32)
    gate[0], up[1] = 0, 0
    return gate, up


def traffic(seed, **keywords):
    interleaved = np.stack(operands(seed), axis=1).ravel()
    return Traffic({"i": pack_floats(interleaved, LANES)}, {"o": BLOCKS * BLOCK}, **keywords)


def check(kind, seed, observed):
    function = elementwise.silu_gate if kind == "silu" else elementwise.relu2_gate
    expected = function(*(values.reshape(1, -1) for values in operands(seed)))[0]
    got = unpack_floats(observed.outputs["o"], BLOCKS * VALUES)
    np.testing.assert_array_equal(to_bits(got), to_bits(expected))


def test_every_bit_is_the_runtimes_with_and_without_stalls(kind):
    stalls = [0.0, 0.5, {"i": 0.8}, {"o": 0.9}]
    runs = [traffic(0, stall=stall) for stall in stalls]
    for observed in exchange(simulation(kind), runs):
        check(kind, 0, observed)


def test_a_reset_drops_what_is_under_way_and_starts_with_a_gate(kind):
    runs = [traffic(1, reset_after=cycle, stall=0.3) for cycle in (2, 5, 90, 150)]
    check(kind, 1, exchange(simulation(kind), [*runs, traffic(1)])[-1])


def test_an_element_per_cycle_after_the_first_block():
    cycles = exchange(simulation("silu"), [traffic(0)])[0].cycles
    # The first gate outputs go ahead; the elements of the last beat enter one after the other.
    assert cycles == BLOCK + 1 + BLOCKS * VALUES + Gate.latency + 1


@pytest.mark.parametrize("chosen", ["silu", "relu2"])
def test_a_gate_of_one_function_needs_no_choice(chosen):
    simulated = build(GateRows(LANES, BLOCK, (chosen,)), f"gate_rows_only_{chosen}")
    check(chosen, 2, exchange(simulated, [traffic(2, stall=0.3)])[0])


@pytest.mark.parametrize("activations", [(), ("gelu",), ("silu", "gelu")])
def test_a_gate_of_another_function_is_refused(activations):
    with never_elaborated(), pytest.raises(ValueError, match="silu, relu2 or both, not"):
        GateRows(LANES, BLOCK, activations)
