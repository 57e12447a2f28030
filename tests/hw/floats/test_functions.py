"""exp, reciprocal, rsqrt and sigmoid in gates against ``numerics``, bit for bit."""

import numpy as np
import pytest

from support.float32 import CORNERS, random_bits
from support.float_functions import LATENCIES, FloatFunctions, expected
from support.sweep import BLOCK, Sweep, check_sweep
from trilobite import numerics
from trilobite.hw.floats.quadratic import Quadratic
from trilobite.hw.floats.reciprocal import FloatReciprocal, FloatRsqrt
from trilobite.hw.floats.shared_quadratic import SharedQuadratic
from trilobite.hw.unused import never_elaborated
from trilobite.numerics.tables import EXP_TABLE
from trilobite.sim.verify.bench import build, sample

# Around the limits of the results: where exp and sigmoid become 0 or infinite, or a segment ends.
LIMITS = np.array([88.72, 88.73, 89, 90, -87.33, -87.34, -88, -89, -104, 1e-4, -1e-4, 0.5, -0.5,
                   np.log(2) / 256, -np.log(2) / 256, 1.0078125, 2.0**126, 2.0**127, 3.0],
                  np.float32)
MIDDLES = [*CORNERS, *LIMITS.view(np.uint32).tolist()]


def every_kind(on, count):
    """By blocks: any number; two blocks of exponents from 2^-15 to 2^8, where exp is neither 1 nor
    out of range; corner cases and limits with their 32 neighbours.
    """
    bits = random_bits(on, count, 0)
    exponent = on.keep(112 + (on.field(bits, 23, 5) * 3 >> 2))
    moderate = on.keep((bits & 0x807FFFFF) | (exponent << 23))
    middle = on.keep(count & 0)
    for index, value in enumerate(MIDDLES):
        middle = on.keep(on.select(on.field(count, 5, 6) == index, value, middle))
    neighbour = on.keep(middle + on.field(count, 0, 5) - 16)
    kind = on.field(count, 12, 2)
    return {"i": on.keep(on.select(kind == 0, bits,
                                   on.select(kind == 1, neighbour, moderate)))}


def every_mantissa(on, count):
    """Two binades, [1, 4): both halves of rsqrt's table."""
    return {"i": on.keep((count & 0x00FFFFFF) + 0x3F800000)}


def every_negative_mantissa(on, count):
    """Two binades, (-4, -1]."""
    return {"i": on.keep((count & 0x00FFFFFF) + 0xBF800000)}


def dense(on, count):
    """Every 256th float32, with all low bits."""
    return {"i": on.keep((count << 8) + on.field(count, 9, 8))}


@pytest.mark.parametrize(("stimulus", "blocks"), [
    pytest.param(every_kind, 80, id="every-kind"),
    pytest.param(every_mantissa, (1 << 24) // BLOCK, id="binades", marks=pytest.mark.slow),
    pytest.param(every_negative_mantissa, (1 << 24) // BLOCK, id="negative",
                 marks=pytest.mark.slow),
    pytest.param(dense, (1 << 24) // BLOCK, id="dense", marks=pytest.mark.slow),
])
def test_functions_of_many_operands(stimulus, blocks, tmp_path):
    sweep = Sweep(FloatFunctions(), stimulus, LATENCIES)
    check_sweep(sweep, "function_sweep", expected, blocks, tmp_path)


@pytest.mark.parametrize("table", [EXP_TABLE[:3], EXP_TABLE[:, :2], EXP_TABLE[:1]])
def test_a_table_of_another_shape_is_refused(table):
    with never_elaborated(), pytest.raises(ValueError, match="power of two of segments"):
        Quadratic(table)


@pytest.mark.parametrize(("unit", "function"), [(FloatReciprocal, numerics.reciprocal),
                                                (FloatRsqrt, numerics.rsqrt)])
def test_a_shared_quadratic_gives_the_same_bits_at_any_distance_but_one(unit, function):
    rng = np.random.default_rng(0)
    cycles = 600
    values = np.abs(rng.standard_normal(cycles) * 2.0 ** rng.integers(-9, 9, cycles))
    values = values.astype(np.float32)
    valid = np.zeros(cycles, bool)
    for cycle in range(cycles):   # as often as may be
        valid[cycle] = cycle < 8 or not valid[cycle - SharedQuadratic.period]
    component = unit(shared=True)
    recorded = sample(build(component, f"shared_{unit.__name__.lower()}"), {
        "i": values.view(np.uint8).reshape(-1, 4), "i_valid": valid[:, None].astype(np.uint8)})
    shown = np.ascontiguousarray(recorded["o"]).view(np.uint32).ravel()[unit.latency:]
    exact = np.array([function(value) for value in values[:len(shown)]], np.float32)
    expected_bits = exact.view(np.uint32)
    entered = valid[:len(shown)]
    assert entered.sum() > 250
    np.testing.assert_array_equal(shown[entered], expected_bits[entered])


def test_latencies_are_the_documented_ones():
    """Their sum over a pipeline says when its results come, which the sweeps measure."""
    assert LATENCIES == {"o_exp": 38, "o_reciprocal": 21, "o_rsqrt": 21, "o_sigmoid": 63}
