"""What holds for the linear of every format: exact sums, the output rule, any number of tokens."""

import numpy as np
import pytest

from support.integer_weights import pack_values, random_weight, whole_range
from trilobite import numerics
from trilobite.quant.formats import Int8, Ternary
from trilobite.runtime.linear import make_linear

F = np.float32
FORMATS = [Ternary("base3"), Ternary("2bit"), Int8()]
SHAPES = [(1, 1), (7, 13), (64, 256), (33, 161), (700, 900)]


def random_activations(N, K, seed=1):
    return np.random.default_rng(seed).integers(-128, 128, (N, K)).astype(np.int8)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("weight_format", FORMATS, ids=str)
def test_sums_are_exact_for_any_number_of_tokens(weight_format, shape):
    weight = random_weight(weight_format, *shape)
    linear = make_linear(weight.packed, None)
    assert linear.shape == shape and linear.format == weight_format and linear.nbytes > 0
    q = random_activations(64, shape[1])
    expected = weight.sums(q)
    for count in (0, 1, 3, 17, 64):
        assert np.array_equal(linear.integer(q[:count]), expected[:count])


@pytest.mark.parametrize("weight_format", FORMATS, ids=str)
def test_largest_sums_are_exact(weight_format):
    M, K = 5, 20_000
    codes = whole_range(weight_format)
    values = np.stack([np.full(K, code) for code in (codes[0], codes[-1], codes[len(codes) // 2])])
    weight = pack_values(weight_format, np.concatenate([values, values[:2]])[:M])
    linear = make_linear(weight.packed, None)
    for extreme in (-128, 127):
        q = np.full((64, K), extreme, np.int8)
        q[:, ::7] = -127
        for count in (1, 64):
            assert np.array_equal(linear.integer(q[:count]), weight.sums(q[:count]))


@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize("weight_format", FORMATS, ids=str)
def test_output_rule(weight_format, bias):
    M, K, N = 40, 96, 64
    rng = np.random.default_rng(2)
    weight = random_weight(weight_format, M, K)
    offset = rng.standard_normal(M).astype(F) if bias else None
    linear = make_linear(weight.packed, offset)
    x = rng.standard_normal((N, K)).astype(F)
    q, scale_x = numerics.quantize_activations(x)
    scale_w = np.broadcast_to(weight.packed.tensors["scale"].reshape(-1), M)
    expected = weight.sums(q).astype(F) * scale_x[:, None] * scale_w
    if bias:
        expected = expected + offset
    y = linear(x)
    assert y.dtype == F and np.array_equal(y, expected)
    one_by_one = np.concatenate([linear(x[n:n + 1]) for n in range(N)])
    assert np.array_equal(y, one_by_one)


def test_float32():
    rng = np.random.default_rng(3)
    weight = rng.standard_normal((5, 8)).astype(F)
    bias = rng.standard_normal(5).astype(F)
    x = rng.standard_normal((3, 8)).astype(F)
    linear = make_linear(weight, bias)
    assert linear.format is None and linear.shape == (5, 8) and linear.nbytes == weight.nbytes
    np.testing.assert_allclose(linear(x), x.astype(float) @ weight.T + bias, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 9), (10,), (1, 2, 10)])
def test_activations_of_another_width_are_refused(shape):
    linear = make_linear(np.zeros((4, 10), F), None)
    with pytest.raises(ValueError, match=r"takes \[N, K\]"):
        linear(np.zeros(shape, F))
