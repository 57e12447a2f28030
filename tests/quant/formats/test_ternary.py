"""Ternary: the absmean rule, and both packings."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilobite.errors import FormatError
from trilobite.quant.formats import Codes, Ternary
from trilobite.quant.formats.ternary import absmean

SCALE = np.float32([[0.5]])


def test_a_vector_worked_out_by_hand():
    # mean|w| = 4.2 / 6 = 0.7; w / 0.7 = 1.43, -0.14, -2.86, 0.43, 0.86, -0.29
    weight = np.float32([[1.0, -0.1, -2.0, 0.3, 0.6, -0.2]])
    packed = Ternary("base3").quantize(weight)
    np.testing.assert_array_equal(packed.codes().values, [[1, 0, -1, 0, 1, 0]])
    assert packed.tensors["scale"].tolist() == [[np.float32(0.7)]]
    # 2*1 + 1*3 + 0*9 + 1*27 + 2*81 = 194; the sixth trit and four of padding: 1+3+9+27+81 = 121
    assert packed.tensors["packed"].tolist() == [[194, 121]]
    # digits 2, 1, 0, 1 in bits 0-1, 2-3, ...: 0b01000110; 2, 1 and padding 1, 1: 0b01010110
    assert Ternary("2bit").quantize(weight).tensors["packed"].tolist() == [[0x46, 0x56]]


def test_ties_round_to_even():
    # The mean is 1: 0.5 and -0.5 are ties, and go to the even neighbour, 0; 1.5 would go to 2.
    weight = np.float32([[0.5, -0.5, 1.5, 1.5]])
    codes = Ternary().quantize(weight).codes()
    assert codes.scale.tolist() == [[1.0]]
    np.testing.assert_array_equal(codes.values, [[0, 0, 1, 1]])


def test_the_scale_has_a_lower_limit():
    weight = np.float32([[4e-6, 6e-6, -9e-6, 0]])
    codes = Ternary().quantize(weight).codes()
    assert codes.scale.tolist() == [[np.float32(1e-5)]]
    np.testing.assert_array_equal(codes.values, [[0, 1, -1, 0]])


@pytest.mark.parametrize("trits", list(itertools.product((-1, 0, 1), repeat=5)))
def test_every_base3_byte(trits):
    digits = "".join(str(trit + 1) for trit in reversed(trits))   # int() reads the highest first
    codes = Codes(np.int8([trits]), SCALE)
    packed = Ternary("base3").pack(codes)
    assert packed["packed"].tolist() == [[int(digits, 3)]]
    np.testing.assert_array_equal(Ternary("base3").unpack(packed, (1, 5)).values, [trits])


def slow_pack(trits, base, per_byte):
    rows = []
    for unpadded in trits.tolist():
        row = unpadded + [0] * (-len(unpadded) % per_byte)
        chunks = [row[start : start + per_byte] for start in range(0, len(row), per_byte)]
        rows.append([sum((t + 1) * base**i for i, t in enumerate(chunk)) for chunk in chunks])
    return rows


@pytest.mark.parametrize(("packing", "base", "per_byte"), [("base3", 3, 5), ("2bit", 4, 4)])
@given(rows=st.integers(1, 4), columns=st.integers(1, 21), seed=st.integers(0, 2**32 - 1))
def test_packing_equals_a_slow_one(packing, base, per_byte, rows, columns, seed):
    trits = np.random.default_rng(seed).integers(-1, 2, (rows, columns), dtype=np.int8)
    packed = Ternary(packing).pack(Codes(trits, SCALE))["packed"]
    assert packed.tolist() == slow_pack(trits, base, per_byte)


@pytest.mark.parametrize("byte", range(243, 256))
def test_bytes_above_242_are_refused(byte):
    tensors = {"packed": np.uint8([[121, byte]]), "scale": SCALE}
    with pytest.raises(FormatError, match=f"byte {byte} "):
        Ternary("base3").unpack(tensors, (1, 10))


@pytest.mark.parametrize("position", range(4))
def test_two_bit_code_three_is_refused(position):
    tensors = {"packed": np.uint8([[0b01010101 | 0b11 << 2 * position]]), "scale": SCALE}
    with pytest.raises(FormatError, match="code 3"):
        Ternary("2bit").unpack(tensors, (1, 4))


@pytest.mark.parametrize(("packing", "byte"), [("base3", 242), ("2bit", 0b10101010)])
def test_padding_must_be_zero(packing, byte):
    tensors = {"packed": np.uint8([[byte]]), "scale": SCALE}
    with pytest.raises(FormatError, match="padding, after column 2"):
        Ternary(packing).unpack(tensors, (1, 3))


@pytest.mark.parametrize("packing", ["base4", None, 2, ["base3"]])
def test_parameters_are_checked(packing):
    with pytest.raises(FormatError, match="packing"):
        Ternary(packing)


@given(
    st.floats(float(np.finfo(np.float32).tiny), 2.0**100, width=32), st.integers(1, 9),
    st.integers(1, 40), st.floats(0, 1), st.integers(0, 2**32 - 1),
)
def test_weights_that_are_ternary_come_out_exactly(scale, rows, columns, zeros, seed):
    generator = np.random.default_rng(seed)
    trits = generator.choice([-1, 1], (rows, columns)) * (generator.random((rows, columns)) > zeros)
    weight = (trits * np.float32(scale)).astype(np.float32)
    packed = Ternary().quantize(weight)
    np.testing.assert_array_equal(packed.dequantize(), weight)
    form = Ternary()
    blocks = (weight[row:row + 2] for row in range(0, rows, 2))
    assert form.statistics(blocks) == packed.tensors["scale"]


def test_a_second_magnitude_anywhere_makes_it_an_average():
    weight = np.full((3, 4), 2, np.float32)
    weight[2, 3] = -1
    assert Ternary().quantize(weight).tensors["scale"] == np.float32(23 / 12)


def test_a_magnitude_without_a_reciprocal_is_below_the_lower_limit():
    weight = np.float32([[1e-40, 0, -1e-40]])
    assert Ternary().quantize(weight).tensors["scale"] == np.float32(1e-5)


@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_absmean_does_not_depend_on_the_blocks(rows, columns, size, seed):
    generator = np.random.default_rng(seed)
    exponents = generator.uniform(-30, 30, (rows, columns))
    weight = (generator.choice([-1, 1], (rows, columns)) * 2.0**exponents).astype(np.float32)
    blocks = (weight[start : start + size] for start in range(0, rows, size))
    assert absmean(blocks) == absmean([weight])


def test_absmean_is_the_mean_magnitude():
    weight = np.random.default_rng(1).standard_normal((37, 53)).astype(np.float32)
    expected = np.float32(np.abs(weight.astype(np.float64)).mean())
    assert absmean([weight]) == expected


def test_trits_and_scale_are_those_of_transformers():
    torch = pytest.importorskip("torch")
    weight = np.random.default_rng(2).standard_normal((64, 96)).astype(np.float32)
    codes = Ternary().quantize(weight).codes()
    # integrations/bitnet.py, WeightQuant.forward, before its last division
    scale = 1.0 / torch.tensor(weight).abs().mean().clamp_(min=1e-5)
    theirs = (torch.tensor(weight) * scale).round().clamp(-1, 1)
    np.testing.assert_array_equal(codes.values, theirs.numpy())
    np.testing.assert_allclose(codes.scale, 1.0 / scale.numpy(), rtol=1e-6)
