"""The rule of numbers: hand-worked values, special values, sum order, int8 activations."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trilobite import numerics

F = np.float32
INFINITY = F(np.inf)
SMALLEST = F(2.0**-126)


def bits(value):
    return int(np.float32(value).view(np.uint32))


@pytest.mark.parametrize(
    ("a", "b", "product"),
    [
        (3, 0.5, 1.5),
        (F(1 + 2**-23), F(1 + 2**-23), F(1 + 2**-22)),   # 2^-46 is rounded away
        (SMALLEST, 0.5, 0.0),
        (-SMALLEST, 0.5, -0.0),
        (SMALLEST, 1, SMALLEST),
        (F(2.0**-126 * (2 - 2**-23)), 0.5, SMALLEST),    # a tie that rounds up to a normal number
        (INFINITY, -2, -INFINITY),
    ],
)
def test_mul(a, b, product):
    assert bits(numerics.mul(F(a), F(b))) == bits(product)


@pytest.mark.parametrize(
    ("a", "b", "difference"),
    [
        (1, 1, 0.0),
        (F(SMALLEST * F(1.5)), SMALLEST, 0.0),
        (SMALLEST, F(SMALLEST * F(1.5)), -0.0),
        (F(SMALLEST * 2), SMALLEST, SMALLEST),
        (2**24, -1, 2**24),                              # a tie, to even
    ],
)
def test_sub_and_add(a, b, difference):
    assert bits(numerics.sub(F(a), F(b))) == bits(difference)
    assert bits(numerics.add(F(a), -F(b))) == bits(difference)


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("flush", 2.0**-127, 0.0),
        ("flush", -(2.0**-149), -0.0),
        ("flush", SMALLEST, SMALLEST),
        ("exp", 0.0, 1.0),
        ("exp", 89.0, INFINITY),
        ("exp", INFINITY, INFINITY),
        ("exp", -INFINITY, 0.0),
        ("exp", -87.34, 0.0),
        ("exp", 2.0**-140, 1.0),
        ("reciprocal", 1.0, 1.0),
        ("reciprocal", -4.0, -0.25),
        ("reciprocal", 0.0, INFINITY),
        ("reciprocal", -0.0, -INFINITY),
        ("reciprocal", -(2.0**-127), -INFINITY),
        ("reciprocal", INFINITY, 0.0),
        ("reciprocal", -INFINITY, -0.0),
        ("reciprocal", 2.0**126, SMALLEST),
        ("reciprocal", -(2.0**127), -0.0),
        ("rsqrt", 1.0, 1.0),
        ("rsqrt", 4.0, 0.5),
        ("rsqrt", 2.0**-126, 2.0**63),
        ("rsqrt", 0.0, INFINITY),
        ("rsqrt", -0.0, INFINITY),
        ("rsqrt", 2.0**-140, INFINITY),
        ("rsqrt", -(2.0**-140), INFINITY),
        ("rsqrt", INFINITY, 0.0),
        ("sigmoid", 0.0, 0.5),
        ("sigmoid", 100.0, 1.0),
        ("sigmoid", -100.0, 0.0),
        ("sigmoid", -INFINITY, 0.0),
    ],
)
def test_special_values(name, x, expected):
    assert bits(getattr(numerics, name)(F(x))) == bits(expected)


@pytest.mark.parametrize(
    ("name", "x"),
    [(name, np.nan) for name in ("flush", "exp", "reciprocal", "rsqrt", "sigmoid")]
    + [("rsqrt", -1.0), ("rsqrt", -np.inf)],
)
def test_not_a_number(name, x):
    assert np.isnan(getattr(numerics, name)(F(x)))


def test_sum_order_by_hand():
    values = np.zeros(32, F)
    values[0], values[16] = 2.0**24, 1.0    # lane 0 loses the one
    values[8] = 1.0                         # and its partner's one, to even
    assert numerics.sum_lanes(values) == 2.0**24
    values[1] = 2.0                         # lane 1 arrives later, and counts
    assert numerics.sum_lanes(values) == 2.0**24 + 2


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 31, 64, 1000])
def test_sum_order(size):
    values = np.random.default_rng(size).standard_normal(size).astype(F) * F(1e3)
    padded = np.zeros(-(-size // 16) * 16, F)
    for function, terms in ((numerics.sum_lanes, values), (numerics.sum_of_squares, values**2)):
        padded[:size] = terms
        lanes = np.zeros(16, F)
        for row in padded.reshape(-1, 16):
            lanes = lanes + row
        while lanes.size > 1:
            lanes = lanes[: lanes.size // 2] + lanes[lanes.size // 2 :]
        assert bits(function(values)) == bits(lanes[0])


def test_quantize_activation_by_hand():
    row = np.array([127, -127, 0.5, 1.5, -2.5, 63.4], F)
    q = np.empty(6, np.int8)
    scale = numerics.quantize_activation(row, q)
    assert scale == F(127) * F(1 / 127)
    assert q.tolist() == [127, -127, 0, 2, -2, 63]


def test_quantize_activations():
    x = np.random.default_rng(0).standard_normal((5, 77)).astype(F)
    x[3] = 0
    q, scale = numerics.quantize_activations(x)
    assert q.dtype == np.int8 and scale.dtype == F
    for n in range(5):
        absmax = max(np.abs(x[n]).max(), F(1e-5))
        inverse = F(127) * numerics.reciprocal(absmax)
        assert np.array_equal(q[n], np.clip(np.rint(x[n] * inverse), -128, 127))
        assert scale[n] == absmax * F(1 / 127)
    assert np.abs(q * scale[:, None] - x).max() <= scale.max() * 0.5001


@pytest.mark.parametrize(
    ("total", "converted"),
    [
        (np.int32(2**24 + 1), 2.0**24),               # a tie, to even
        (np.int32(2**24 + 3), 2.0**24 + 4),
        (np.int32(-(2**31)), -(2.0**31)),
        (np.int64(2**60 + 2**36), 2.0**60),           # a tie, to even
        (np.int64(2**60 + 2**36 + 1), 2.0**60 + 2.0**37),   # float64 on the way would lose the 1
    ],
)
def test_sums_are_rounded_once(total, converted):
    assert numerics.scale_sum(total, F(1), F(1)) == converted
    assert numerics.add_group(F(0), total, F(0.5)) == converted / 2


def test_scale_sum_rounds_after_each_product():
    total, scale_x, scale_w = np.int32(16_777_213), F(0.1), F(0.3)
    assert numerics.scale_sum(total, scale_x, scale_w) == F(total) * scale_x * scale_w
    assert numerics.scale_sum(np.int32(-1), F(2.0**-100), F(2.0**-27)) == 0


def test_flush_array_is_flush_of_every_element():
    values = np.array([0, -0.0, 2.0**-127, -(2.0**-149), SMALLEST, -SMALLEST, 1, -INFINITY], F)
    expected = [bits(numerics.flush(value)) for value in values]
    assert [bits(value) for value in numerics.flush_array(values)] == expected


def test_fp8_activations_by_hand():
    # absmax 448: 448 * reciprocal(448) is 1 to within an ulp, so that no value here changes.
    x = np.float32([448, -448, 17.5, 19.25, 2.0**-9, 1.4 * 2.0**-9, -0.0, 0.013])
    units = np.empty(8, np.int32)
    scale = numerics.quantize_activation_fp8(x, units)
    assert scale == pytest.approx(1, rel=1e-6)
    # 17.5 lies between 16 and 18, 19.25 between 18 and 20; 0.013 * 512 is 6.66.
    assert units.tolist() == [448 * 512, -448 * 512, 18 * 512, 20 * 512, 1, 1, 0, 7]


@given(hnp.arrays(np.float32, 40, elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_fp8_activations_round_as_ml_dtypes_does(x):
    units, scale = numerics.quantize_activations_fp8(x[None])
    absmax = max(np.abs(x).max(), np.float32(1e-5))
    inverse = numerics.mul(np.float32(448), numerics.reciprocal(absmax))
    scaled = np.array([numerics.mul(value, inverse) for value in x])
    codes = np.clip(scaled, -448, 448).astype(ml_dtypes.float8_e4m3fn)
    assert np.array_equal(units[0], codes.astype(np.float64) * 512)
    assert scale[0] == numerics.mul(absmax, np.float32(1 / 448))
