"""The elementary functions against an independent implementation and against the true functions."""

import math

import numpy as np
import pytest
from numba import njit

from support import numerics_reference as reference
from trilobite import numerics
from trilobite.numerics.tables import EXP_TABLE, RECIPROCAL_TABLE, RSQRT_TABLE

F = np.float32
# What the docstring of ``numerics`` and docs/reference/numerics.md state, in ulp.
LARGEST_ERROR = {
    "exp": 1.01, "reciprocal": 1.05, "rsqrt": 1.00, "sigmoid": 3.33, "tanh": 3.15,
    "gelu_tanh": 3.17,
}
NAMES = list(LARGEST_ERROR)
BELOW_MINUS_1 = 5.05e-8   # of gelu_tanh, absolute


def first_bits(x):
    return int(F(x).view(np.uint32))


@njit
def apply(function, x, out):
    for i in range(x.size):
        out[i] = function(x[i])


@njit
def true_value(name, x):
    if name == 0:
        return math.exp(x)
    if name == 1:
        return 1 / x
    if name == 2:
        return 1 / math.sqrt(x)
    if name == 3:
        return 1 / (1 + math.exp(-x))
    if name == 4:
        return math.tanh(x)
    return x / (1 + math.exp(-2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


@njit
def largest_error(function, name, first, last, step):
    """Largest error in ulp over every ``step``-th float32 with bits ``first`` to ``last``."""
    largest = 0.0
    for bits in range(first, last + 1, step):
        x = np.uint32(bits).view(np.float32)
        true = true_value(name, np.float64(x))
        ulp = 2.0 ** (math.frexp(true)[1] - 24)
        largest = max(largest, abs(np.float64(function(x)) - true) / ulp)
    return largest


def error_over(name, ranges, step=1):
    number = NAMES.index(name)
    function = getattr(numerics, name)
    return max(
        largest_error(function, number, first_bits(low), first_bits(high), step)
        for low, high in ranges
    )


# Where the result is a normal number that can be told from 0 and 1: [-87.336, -0], [0, high].
RANGES = {
    "exp": [(-0.0, -87.33654), (0.0, 88.72283)], "sigmoid": [(-0.0, -87.33654), (0.0, 30.0)],
    "tanh": [(-(2.0**-126), -20.0), (2.0**-126, 20.0)],
    "gelu_tanh": [(-(2.0**-124), -1.0), (2.0**-124, 20.0)],
}
# The mantissa decides; rsqrt also looks at the exponent's parity.
PERIODS = {"reciprocal": [(1.0, 2.0)], "rsqrt": [(1.0, 4.0)]}


@pytest.mark.parametrize("name", PERIODS)
def test_largest_error_over_every_mantissa(name):
    measured = error_over(name, PERIODS[name])
    assert LARGEST_ERROR[name] - 0.01 < measured <= LARGEST_ERROR[name]


@pytest.mark.parametrize("name", RANGES)
def test_largest_error_over_a_dense_sample(name):
    assert error_over(name, RANGES[name], step=511) <= LARGEST_ERROR[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", RANGES)
def test_largest_error_over_every_input(name):
    measured = error_over(name, RANGES[name])
    print(f"{name}: {measured:.4f} ulp")
    assert LARGEST_ERROR[name] - 0.05 < measured <= LARGEST_ERROR[name]


@njit
def largest_below_minus_1(step):
    """Largest absolute error of gelu_tanh over every ``step``-th float32 from -1 to -20."""
    largest = 0.0
    first, last = np.float32(-1).view(np.uint32), np.float32(-20).view(np.uint32)
    for bits in range(first, last + 1, step):
        x = np.uint32(bits).view(np.float32)
        error = abs(np.float64(numerics.gelu_tanh(x)) - true_value(5, np.float64(x)))
        largest = max(largest, error)
    return largest


def test_gelu_far_below_zero():
    measured = largest_below_minus_1(1)
    assert 0.95 * BELOW_MINUS_1 < measured <= BELOW_MINUS_1
    beyond = np.array([-20, -88, -1e3, -3e38], F)
    assert np.array_equal([numerics.gelu_tanh(x) for x in beyond[1:]], [0, 0, 0])
    assert abs(numerics.gelu_tanh(beyond[0])) < 1e-80 or numerics.gelu_tanh(beyond[0]) == 0


def test_soft_cap_is_the_formula():
    x = np.linspace(-400, 400, 1001, dtype=F)
    capped = np.array([numerics.soft_cap(value, F(50), F(1 / 50)) for value in x])
    np.testing.assert_allclose(capped, 50 * np.tanh(x.astype(float) / 50), rtol=5e-7)


@pytest.mark.parametrize("name", LARGEST_ERROR)
def test_equal_to_the_independent_implementation(name):
    rng = np.random.default_rng(0)
    any_bits = rng.integers(0, 2**32, 1 << 21, dtype=np.uint32).view(F)
    usual = (rng.standard_normal(1 << 21) * 30).astype(F)
    edges = np.concatenate([
        np.nextafter(F(edge), F([-np.inf, np.inf, edge])).astype(F)
        for edge in (0, 2.0**-126, -(2.0**-126), 1, 2.0**126, -88, 89, -87.33654, 88.72284, np.inf)
    ])
    for x in (any_bits, usual, edges):
        out = np.empty_like(x)
        apply(getattr(numerics, name), x, out)
        expected = getattr(reference, name)(x).astype(F)
        same = out.view(np.uint32) == expected.view(np.uint32)
        assert (same | (np.isnan(out) & np.isnan(expected))).all()


@pytest.mark.parametrize("name", LARGEST_ERROR)
def test_scalar_call_equals_vectorized_loop(name):
    x = (np.random.default_rng(1).standard_normal(4099) * 20).astype(F)
    looped = np.empty_like(x)
    function = getattr(numerics, name)
    apply(function, x, looped)
    scalar = np.array([function(value) for value in x], F)
    assert np.array_equal(looped, scalar, equal_nan=True)


@njit
def multiply_add(a, b, c, out):
    for i in range(out.size):
        out[i] = numerics.add(numerics.mul(a[i], b[i]), c[i])


def test_products_and_sums_are_not_fused():
    a = np.full(67, 1 + 2.0**-12, F)
    c = np.full(67, -(1 + 2.0**-11), F)
    out = np.empty(67, F)
    multiply_add(a, a, c, out)   # (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24, a tie that goes to even
    assert not out.any()
    assert numerics.add(numerics.mul(a[0], a[0]), c[0]) == 0


@njit
def halve(x, out):
    for i in range(out.size):
        out[i] = numerics.mul(x[i], np.float32(0.5))


def test_loops_flush():
    x = np.array([2.0**-126, -(2.0**-126), 2.0**-125] * 23, F)
    out = np.empty_like(x)
    halve(x, out)
    assert np.array_equal(out, np.array([0.0, 0.0, 2.0**-126] * 23, F))
    assert np.signbit(out[:3]).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("table", "function"),
    [
        (EXP_TABLE, lambda i: 2 ** (i / 128)),
        (RECIPROCAL_TABLE, lambda i: 128 / (128 + i)),
        (RSQRT_TABLE[:128], lambda i: math.sqrt(128 / (128 + i))),
        (RSQRT_TABLE[128:], lambda i: math.sqrt(64 / (128 + i))),
    ],
)
def test_tables(table, function):
    assert table.shape == (128, 3) and table.dtype == F and not table.flags.writeable
    assert table[:, 0].tolist() == [float(F(function(i))) for i in range(128)]
