"""Gates and residual add as streams, against ``runtime.kernels.elementwise``."""

from functools import cache

import numpy as np
import pytest

from support.float32 import CORNERS, to_bits, to_float
from trilobite.hw.matmul.reference import pack_floats, unpack_floats
from trilobite.hw.rows.elementwise import Elementwise, residual_add
from trilobite.hw.rows.gates import Relu2Gate, SiluGate
from trilobite.hw.unused import never_elaborated
from trilobite.runtime.kernels import elementwise
from trilobite.sim.verify.bench import Traffic, build, exchange


def added(x, update):
    total = x.copy()
    elementwise.add_residual(total, update)
    return total


# By name: what makes the block, its streams, the runtime's function, elements of a beat.
BLOCKS = {
    "residual": (residual_add, ("i_a", "i_b"), added, 3),
    "silu": (lambda lanes: Elementwise(SiluGate, lanes), ("i_gate", "i_up"),
             elementwise.silu_gate, 1),
    "relu2": (lambda lanes: Elementwise(Relu2Gate, lanes), ("i_gate", "i_up"),
              elementwise.relu2_gate, 2),
}


@pytest.fixture(params=BLOCKS)
def block(request):
    return BLOCKS[request.param]


@cache
def simulation(make, lanes, simulator):
    return build(make(lanes), "elementwise", simulator)


def operands(count):
    """What a model computes with, then all pairs of corner cases: float32 [count] twice."""
    rng = np.random.default_rng(0)
    corners = to_float(np.array(CORNERS, np.uint64)).astype(np.float32)
    pairs = (np.repeat(corners, len(corners)), np.tile(corners, len(corners)))
    return [np.concatenate([scale * rng.standard_normal(500, np.float32), pair])[:count]
            for pair, scale in zip(pairs, (8.0, 1.0), strict=True)]


def traffic(block, count, **keywords):
    _, ports, _, lanes = block
    inputs = {port: pack_floats(values, lanes)
              for port, values in zip(ports, operands(count), strict=True)}
    return Traffic(inputs, {"o": -(-count // lanes)}, **keywords)


@np.errstate(all="ignore")
def check(block, count, runs, simulator="verilator"):
    """Simulate ``runs`` of ``count`` elements; compare all that no reset cut short."""
    make, _, function, lanes = block
    observed = exchange(simulation(make, lanes, simulator), runs)
    expected = to_bits(function(*(values[None] for values in operands(count)))[0])
    for run, each in zip(runs, observed, strict=True):
        if run.reset_after is None:
            got = unpack_floats(each.outputs["o"], count)
            np.testing.assert_array_equal(to_bits(got), expected)
    return observed


def test_every_bit_is_the_runtimes_with_and_without_stalls(block):
    stalls = [0.0, 0.5, {block[1][0]: 0.8}, {block[1][1]: 0.8}, {"o": 0.8}]
    observed = check(block, 1501, [traffic(block, 1501, stall=stall) for stall in stalls])
    with never_elaborated():
        latency = block[0](1).latency
    assert observed[0].cycles == -(-1501 // block[3]) + latency


def test_a_reset_drops_what_is_under_way(block):
    runs = [traffic(block, 100, reset_after=cycle, stall=0.3) for cycle in (3, 20, 90)]
    check(block, 100, [*runs, traffic(block, 100)])


@pytest.mark.icarus
def test_icarus_agrees(block):
    check(block, 300, [traffic(block, 300, stall=0.2)], "icarus")


def test_no_lanes_are_refused():
    with never_elaborated(), pytest.raises(ValueError, match="at least 1 lane, not 0"):
        Elementwise(SiluGate, 0)
