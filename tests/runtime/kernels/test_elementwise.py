"""Elementwise blocks against float64 formulas, and against their written roundings."""

import numpy as np
import pytest

from trilobite import numerics
from trilobite.runtime.kernels.choice import available_kernels
from trilobite.runtime.kernels.elementwise import (
    add_and_norm,
    add_residual,
    apply_rope,
    gate_for,
    relu2_gate,
    rms_norm,
    silu_gate,
    silu_gate_avx512,
)


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((5, 37)).astype(np.float32)


def test_rms_norm_of_a_known_vector():
    # mean(3^2, 4^2) = 12.5 with epsilon 12.5: factor 1/5.
    out = rms_norm(np.array([[3, 4]], np.float32), np.array([10, 1], np.float32), np.float32(12.5))
    np.testing.assert_allclose(out, [[6, 0.8]], rtol=3e-7)


def test_rms_norm_is_near_and_follows_its_rule(x):
    weight = np.linspace(0.5, 2, 37, dtype=np.float32)
    out = rms_norm(x, weight, np.float32(1e-5))
    wide = x.astype(float)
    exact = wide / np.sqrt(np.mean(wide**2, axis=1, keepdims=True) + 1e-5) * weight
    np.testing.assert_allclose(out, exact, rtol=1e-6)
    for row, value in zip(x, out, strict=True):
        mean = numerics.mul(numerics.sum_of_squares(row), np.float32(1 / 37))
        factor = numerics.rsqrt(numerics.add(mean, np.float32(1e-5)))
        expected = [
            numerics.mul(numerics.mul(v, factor), w) for v, w in zip(row, weight, strict=True)
        ]
        assert np.array_equal(value, np.array(expected, np.float32))


def test_rms_norm_of_zeros_is_zero():
    out = rms_norm(np.zeros((1, 8), np.float32), np.ones(8, np.float32), np.float32(1e-5))
    assert np.array_equal(out, np.zeros((1, 8), np.float32))


def test_rope_turns_a_quarter():
    x = np.array([[[1, 2, 3, 4]]], np.float32)
    apply_rope(x, np.zeros((1, 2), np.float32), np.ones((1, 2), np.float32))
    assert np.array_equal(x, [[[-3, -4, 1, 2]]])


def test_rope_keeps_lengths_and_depends_on_distance_only():
    rng = np.random.default_rng(2)
    q, k = (rng.standard_normal(8).astype(np.float32) for _ in range(2))
    angles = np.multiply.outer(np.arange(20), 10000.0 ** -(np.arange(0, 8, 2) / 8))
    cosine, sine = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)

    def turned(vector, position):
        row = vector.reshape(1, 1, 8).copy()
        apply_rope(row, cosine[position:position + 1], sine[position:position + 1])
        return row[0, 0]

    assert np.linalg.norm(turned(q, 13)) == pytest.approx(np.linalg.norm(q), rel=1e-6)
    assert turned(q, 15) @ turned(k, 11) == pytest.approx(turned(q, 4) @ turned(k, 0), rel=1e-5)


def test_silu_gate(x):
    wide = x.astype(float)
    np.testing.assert_allclose(silu_gate(x, x), wide / (1 + np.exp(-wide)) * wide, rtol=2e-6)


def test_relu2_gate_is_exactly_two_roundings(x):
    up = x[::-1].copy()
    positive = np.maximum(x, 0)
    assert np.array_equal(relu2_gate(x, up), positive * positive * up)


def test_relu2_gate_flushes_subnormals():
    tiny = np.full((1, 1), 1e-20, np.float32)   # its square, 1e-40, is subnormal
    assert relu2_gate(tiny, np.ones((1, 1), np.float32))[0, 0] == 0


def test_residual_is_added_in_place(x):
    before, update = x.copy(), x[::-1].copy()
    add_residual(x, update)
    assert np.array_equal(x, before + update)


def test_add_and_norm_is_one_after_the_other(x):
    update, weight = x[::-1].copy(), np.linspace(0.5, 2, 37, dtype=np.float32)
    other = x.copy()
    add_residual(other, update)
    assert np.array_equal(
        add_and_norm(x, update, weight, np.float32(1e-5)),
        rms_norm(other, weight, np.float32(1e-5)),
    )
    assert np.array_equal(x, other)


@pytest.mark.skipif("avx512" not in available_kernels(), reason="this CPU has no AVX-512")
def test_the_silu_gate_in_avx512_has_the_same_bits():
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 1 << 32, (2, 100_003), dtype=np.uint32).view(np.float32)
    any_gate, any_up = numerics.flush_array(np.nan_to_num(bits, nan=-0.0))
    gates = np.concatenate([any_gate, rng.uniform(-100, 100, 100_003).astype(np.float32)])
    ups = np.concatenate([any_up, any_up])
    for gate, up in ((gates, ups), (gates[:5], ups[:5])):
        expected, result = silu_gate(gate[None], up[None]), silu_gate_avx512(gate[None], up[None])
        assert np.array_equal(result, expected, equal_nan=True)
        assert np.array_equal(np.signbit(result), np.signbit(expected))


def test_the_gate_follows_activation_and_kernel(monkeypatch):
    monkeypatch.setenv("TRILOBITE_KERNEL", "portable")
    assert gate_for("silu") is silu_gate
    assert gate_for("relu2") is relu2_gate
    if "avx512" in available_kernels():
        monkeypatch.setenv("TRILOBITE_KERNEL", "avx512")
        assert gate_for("silu") is silu_gate_avx512
