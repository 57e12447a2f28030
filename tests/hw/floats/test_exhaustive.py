"""Every operand and every pair of operands of 8-bit formats, against exact fractions."""

import numpy as np
import pytest

from support.float_units import FloatUnits, results
from support.fraction_floats import NAN, FractionFloats
from trilobite.hw.floats import FloatFormat

INTEGER_WIDTH, ROUNDED_WIDTH, EXPONENT = 16, 5, -9
FORMATS = [
    pytest.param((4, 3), id="e4m3"),
    pytest.param((5, 2), id="e5m2", marks=pytest.mark.slow),
    pytest.param((3, 4), id="e3m4", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=FORMATS)
def exhausted(request):
    """(format, the model of it, the units' results by port as [a, b], NaN as the format's)."""
    format = FloatFormat(*request.param)
    a, b = (axis.ravel() for axis in np.mgrid[:256, :256])
    integers = np.arange(65536)
    units = FloatUnits(format, INTEGER_WIDTH, ROUNDED_WIDTH, EXPONENT)
    return format, FractionFloats(*request.param), results(units, a, b, integers)


def bits(format, value):
    return format.nan if value == NAN else value


@pytest.mark.parametrize("operation", ["add", "subtract", "multiply"])
def test_arithmetic(exhausted, operation):
    format, model, got = exhausted
    expected = [bits(format, getattr(model, operation)(a, b))
                for a in range(256) for b in range(256)]
    np.testing.assert_array_equal(got[f"o_{operation}"], expected)


def test_comparison(exhausted):
    _, model, got = exhausted
    pairs = [(a, b) for a in range(256) for b in range(256)]
    expected = np.array([model.compare(a, b) for a, b in pairs])
    np.testing.assert_array_equal(got["o_greater"], expected[:, 0])
    np.testing.assert_array_equal(got["o_equal"], expected[:, 1])
    maximum = [b if model.compare(b, a)[0] else a for a, b in pairs]
    np.testing.assert_array_equal(got["o_maximum"], maximum)


@pytest.mark.parametrize(("port", "exponent"), [("o_float", 0), ("o_scaled", EXPONENT)])
def test_from_integer(exhausted, port, exponent):
    _, model, got = exhausted
    signed = np.arange(65536, dtype=np.uint16).view(np.int16)
    expected = [model.from_integer(int(integer), exponent) for integer in signed]
    np.testing.assert_array_equal(got[port], expected)


def test_to_integer(exhausted):
    _, model, got = exhausted
    expected = np.array([model.to_integer(a, ROUNDED_WIDTH) for a in range(256)])
    for_all_b = got["o_integer"].reshape(256, 256)
    np.testing.assert_array_equal(for_all_b, (expected % 32)[:, None] * np.ones(256, np.int64))
