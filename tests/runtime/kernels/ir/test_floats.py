"""exp and reciprocal of 16 lanes: the bits of the scalar definitions."""

import numpy as np
import pytest
from llvmlite import ir
from numba import njit
from numba.extending import intrinsic

from trilobite import numerics
from trilobite.runtime.kernels.choice import available_kernels
from trilobite.runtime.kernels.ir.x86.floats import exp_lanes, flushed, reciprocal_lanes
from trilobite.runtime.kernels.ir.x86.vectors import FLOATS, load, store, writes_memory

pytestmark = pytest.mark.skipif(
    "avx512" not in available_kernels(), reason="this CPU has no AVX-512"
)


def on_arrays(function):
    """``function`` of 16 float32 lanes, on an array."""

    @intrinsic
    def on_address(_, source, target):
        def generate(builder: ir.IRBuilder, arguments):
            value = load(builder, arguments[0], FLOATS)
            store(builder, function(builder, value), arguments[1])

        return writes_memory(2, generate)

    @njit
    def on_array(x, out):
        for first in range(0, len(x), 16):
            on_address(x[first:].ctypes.data, out[first:].ctypes.data)

    def call(x):
        out = np.empty_like(x)
        on_array(x, out)
        return out

    return call


@njit
def scalar_exp(x, out):
    for i in range(len(x)):
        out[i] = numerics.exp(x[i])


@njit
def scalar_reciprocal(x, out):
    for i in range(len(x)):
        out[i] = numerics.reciprocal(x[i])


def expected(function, x):
    out = np.empty_like(x)
    function(x, out)
    return out


def same_bits(a, b):
    """NaN equals NaN, whose bits are not specified."""
    return np.array_equal(a, b, equal_nan=True) and np.array_equal(
        np.signbit(a[~np.isnan(a)]), np.signbit(b[~np.isnan(b)])
    )


SPECIAL = np.array(
    [0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 88.72, 88.73, -87.33, -87.34, 89, -88, 2.0**126,
     2.0**127, 2.0**-126], np.float32,
)


def test_exp_of_any_float():
    exp = on_arrays(exp_lanes)
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 32, 1 << 20, dtype=np.uint32).view(np.float32)
    near = rng.uniform(-90, 90, 1 << 20).astype(np.float32)
    for x in (SPECIAL, numerics.flush_array(bits), near):
        assert same_bits(exp(x), expected(scalar_exp, x))


def test_reciprocal_of_any_positive_float():
    reciprocal = on_arrays(reciprocal_lanes)
    bits = np.random.default_rng(1).integers(0, 1 << 31, 1 << 20, dtype=np.uint32)
    special = np.resize(SPECIAL[~np.signbit(SPECIAL)], 16)
    for x in (special, numerics.flush_array(bits.view(np.float32))):
        assert same_bits(reciprocal(x), expected(scalar_reciprocal, x))


def test_flush():
    x = np.array([1e-40, -1e-40, 0, -0.0, 2**-126, -(2**-126), np.inf, np.nan] * 2, np.float32)
    assert same_bits(on_arrays(flushed)(x), numerics.flush_array(x))
