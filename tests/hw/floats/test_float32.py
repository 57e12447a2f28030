"""Float32 units against numpy: pairs of corner cases, and millions of operands of every kind."""

import numpy as np
import pytest

from support.float32 import CORNERS, random_bits, related_bits, to_bits, to_float
from support.float_units import LATENCIES, FloatUnits, results
from support.sweep import Arrays, Sweep, check_sweep
from trilobite import numerics
from trilobite.hw.floats import FLOAT32

INTEGER_WIDTH, ROUNDED_WIDTH, EXPONENT = 32, 16, -140


def units():
    return FloatUnits(FLOAT32, INTEGER_WIDTH, ROUNDED_WIDTH, EXPONENT)


def stimulus(on, count):
    a = random_bits(on, count, 0)
    b = related_bits(on, count, a)
    return {"i_a": a, "i_b": b, "i_integer": b}


@np.errstate(all="ignore")
def expected(operands):
    """What numpy says, by output port."""
    a_bits, b_bits = (operands[port].astype(np.uint64) for port in ("i_a", "i_b"))
    a, b = to_float(a_bits), to_float(b_bits)
    integer = operands["i_integer"].astype(np.uint32).view(np.int32)
    clipped_nan = np.where(np.isnan(a), np.where(a_bits >> np.uint64(31), -np.inf, np.inf), a)
    rounded = np.clip(np.rint(clipped_nan), -32768, 32767).astype(np.int64) & 0xFFFF
    return {
        "o_add": to_bits(a + b), "o_subtract": to_bits(a - b), "o_multiply": to_bits(a * b),
        "o_maximum": np.where(b > a, b_bits, a_bits),
        "o_greater": (a > b).astype(np.uint64), "o_equal": (a == b).astype(np.uint64),
        "o_float": to_bits(integer.astype(np.float32)),
        "o_scaled": to_bits(np.ldexp(integer.astype(np.float64), EXPONENT)),
        "o_integer": rounded.astype(np.uint64),
    }


def test_pairs_of_corner_cases():
    a, b = (np.repeat(CORNERS, len(CORNERS)), np.tile(CORNERS, len(CORNERS)))
    got = results(units(), a, b, b)
    for port, values in expected({"i_a": a, "i_b": b, "i_integer": b}).items():
        np.testing.assert_array_equal(got[port], values.astype(np.int64), err_msg=port)


@pytest.mark.parametrize("blocks", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_millions_of_operands(blocks, tmp_path):
    check_sweep(Sweep(units(), stimulus, LATENCIES), "float32_sweep", expected, blocks, tmp_path)


def test_the_operands_are_of_every_kind():
    """What the sweep would be blind without: ties, cancellation, both ends of the range."""
    operands = stimulus(Arrays, np.arange(200_000, dtype=np.uint64))
    results = {port: to_float(bits) for port, bits in expected(operands).items()}
    a, b = to_float(operands["i_a"]), to_float(operands["i_b"])
    with np.errstate(all="ignore"):
        exact = a.astype(np.float64) * b.astype(np.float64)
        finite = np.isfinite(exact) & (exact != 0)
        magnitude = np.abs(exact[finite])
        assert np.sum((magnitude > 2.0**-126.0001) & (magnitude < 2.0**-126)) > 0
        assert np.sum(np.isinf(results["o_multiply"]) & np.isfinite(exact)) > 1000
        assert np.sum((results["o_multiply"] == 0) & (exact != 0)) > 1000
        cancelled = np.abs(results["o_add"]) < np.abs(a) * np.float32(2.0**-10)
        assert np.sum(cancelled & (results["o_add"] != 0)) > 1000
        assert np.sum(np.isnan(results["o_add"])) > 1000
    assert set(operands["i_a"]).issuperset(CORNERS)


def test_numpy_and_numerics_agree_on_these_operands():
    """So that what is compared with numpy above is the runtime's arithmetic."""
    operands = stimulus(Arrays, np.arange(20_000, dtype=np.uint64))
    wanted = expected(operands)
    a, b = to_float(operands["i_a"]), to_float(operands["i_b"])
    for port, function in (("o_add", numerics.add), ("o_subtract", numerics.sub),
                           ("o_multiply", numerics.mul)):
        got = np.array([function(x, y) for x, y in zip(a, b, strict=True)])
        np.testing.assert_array_equal(to_bits(got), wanted[port], err_msg=port)
