"""What holds for the linear of every format: exact sums, the output rule, any number of tokens."""


import numpy as np
import pytest

from support.format_table import FORMAT_TABLE
from support.integer_weights import pack_values, random_weight, whole_range
from trilobite.errors import FormatError
from trilobite.quant.formats import Int8, Ternary
from trilobite.runtime.linear import make_linear

F = np.float32
SHAPES = [(1, 1), (7, 13), (64, 256), (33, 161), (700, 900), (2100, 1024)]
every_format = pytest.mark.parametrize("case", FORMAT_TABLE, ids=str)


@every_format
def test_sums_are_exact_for_any_shape_and_number_of_tokens(case, kernel):
    for rows, columns in SHAPES:
        M, K = rows, -(-columns // case.columns) * case.columns
        weight = random_weight(case.format, M, K)
        linear = make_linear(weight.packed, None)
        assert linear.shape == (M, K) and linear.format == case.format
        q = weight.random_activations(40)
        expected = weight.sums(q)
        for count in (0, 1, 2, 3, 17, 40):
            assert np.array_equal(linear.integer(q[:count]), expected[:count]), (M, K, count)


@every_format
def test_largest_sums_are_exact(case, kernel):
    K = 20_480
    codes = whole_range(case.format)
    rows = [np.full(K, code) for code in (codes[0], codes[-1], codes[len(codes) // 2])]
    for zero_point in (0, 15):
        weight = pack_values(case.format, np.stack(rows), zero_point=zero_point)
        linear = make_linear(weight.packed, None)
        for extreme in weight.extremes:
            q = np.full((20, K), extreme, linear.activation_type)
            q[1, ::7] = -127
            for count in (1, 2, 20):
                assert np.array_equal(linear.integer(q[:count]), weight.sums(q[:count]))


@every_format
def test_output_rule(case, kernel):
    M, K, N = 40, 256, 70
    rng = np.random.default_rng(2)
    weight = random_weight(case.format, M, K)
    x = rng.standard_normal((N, K)).astype(F)
    output = weight.output(*weight.activations(x))
    bias = rng.standard_normal(M).astype(F)
    for linear, expected in ((make_linear(weight.packed, None), output),
                             (make_linear(weight.packed, bias), output + bias)):
        y = linear(x)
        assert y.dtype == F and np.array_equal(y, expected)
        assert np.array_equal(y, np.concatenate([linear(x[n:n + 1]) for n in range(N)]))


@every_format
def test_memory_is_that_of_the_packed_weight(case, kernel):
    M, K = 512, 1280
    linear = make_linear(random_weight(case.format, M, K).packed, None)
    eight = {"int8": 8, "fp8": 8}
    bits = {"ternary": 1.6, "ternary-group": 2, "int2": 2, "int3": 3, "int4": 4} | eight
    bits |= {"mxfp4": 4, "nvfp4": 4, "int4-fp8": 4, "ternary-planes": 4, "hlq2": 2, "hlq3": 3}
    bits = bits[case.format.name]
    if kernel in {"avx512", "avx2", "lookup"} or (case.format, kernel) == (Ternary("2bit"), "vnni"):
        bits = max(bits, 2)
    size = getattr(case.format, "group_size", None) or case.columns
    has_groups = hasattr(case.format, "group_size") or case.format.name in {"mxfp4", "nvfp4"}
    terms = getattr(case.format, "parameters", 1)
    scales = 5 * terms * M * K / size if has_groups else 0
    assert linear.nbytes <= M * K * bits / 8 + scales + 8 * M   # a scale and a count to a row


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


def test_sums_that_could_overflow_are_refused():
    weight = random_weight(Int8(), 1, 2**17)
    with pytest.raises(FormatError, match="K = 131072 could overflow its int32 sums"):
        make_linear(weight.packed, None)


@pytest.mark.parametrize(("kernel", "message"), [
    ("", "Format 'int8' names no kernel"), ("unheard-of", "Kernel 'unheard-of' is unknown"),
])
def test_format_without_a_kernel_is_refused(monkeypatch, kernel, message):
    weight = random_weight(Int8(), 1, 1).packed
    monkeypatch.setattr(Int8, "kernel", kernel)
    with pytest.raises(FormatError, match=message):
        make_linear(weight, None)
