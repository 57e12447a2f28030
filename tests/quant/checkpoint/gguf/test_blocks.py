"""ggml's block types: by hand, then against ``gguf.quants`` on every kind of bytes."""

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilobite.errors import FormatError
from trilobite.quant.checkpoint.files.gguf_blocks import TYPES
from trilobite.quant.checkpoint.files.gguf_groups import GROUPED
from trilobite.quant.export.gguf_encode import LIMITS, bfloat16, place, round_to

BY_GGUF = [name for name in TYPES if name not in GROUPED]   # the package knows the others not
QUANTIZED = [name for name, type in TYPES.items() if type.values > 1]


def oracle(name):
    return gguf.GGMLQuantizationType[name]


def same_bits(ours, theirs):
    """Equal bit for bit, but for which NaN."""
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    finite = ~np.isnan(ours)
    np.testing.assert_array_equal(ours.view(np.uint32)[finite], theirs.view(np.uint32)[finite])


def test_q4_0_by_hand():
    # Scale 0.5; byte 0 holds codes 9 (low, element 0) and 15 (high, element 16).
    block = np.zeros((1, 18), np.uint8)
    block[0, :2] = np.array([0.5], "<f2").view(np.uint8)
    block[0, 2] = 0xF9
    values = TYPES["Q4_0"].dequantize(block)
    assert (values[0, 0], values[0, 16], values[0, 1]) == (0.5, 3.5, -4.0)


def test_tq1_0_by_hand():
    # Digits 2, 0, 1, 1, 1 of elements 0, 32, 64, 96, 128: 2*81 + 9 + 3 + 1 = 175, stored as
    # ceil(175 * 256 / 243) = 185.
    values = np.zeros((1, 256), np.int8)
    values[0, 0], values[0, 32] = 1, -1
    block = place(values, np.ones((1, 1), np.float16), "TQ1_0")
    assert block[0, 0] == 185
    np.testing.assert_array_equal(TYPES["TQ1_0"].dequantize(block), values)


def test_tq2_0_by_hand():
    values = np.zeros((1, 256), np.int8)
    values[0, [0, 32, 64, 96]] = [-1, 1, 0, 1]
    block = place(values, np.full((1, 1), 2, np.float16), "TQ2_0")
    assert block[0, 0] == 0b10_01_10_00
    np.testing.assert_array_equal(TYPES["TQ2_0"].dequantize(block), values * 2.0)


def test_sizes_and_numbers_are_those_of_ggml():
    for name in BY_GGUF:
        type, kind = TYPES[name], oracle(name)
        assert kind.value == type.number
        assert gguf.GGML_QUANT_SIZES[kind] == (type.values, type.nbytes)


@pytest.mark.parametrize("name", BY_GGUF)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 4), blocks=st.integers(1, 3))
def test_any_bytes_decode_as_in_gguf(name, seed, rows, blocks):
    random = np.random.default_rng(seed)
    data = random.integers(0, 256, (rows, blocks * TYPES[name].nbytes), np.uint8)
    if name == "TQ2_0":   # without the code that is no trit
        packed = data.reshape(-1, 66)[:, :64]
        packed &= ~((packed & packed >> 1 & 0x55) * np.uint8(2))
    with np.errstate(all="ignore"):
        theirs = gguf.quants.dequantize(data, oracle(name)).astype(np.float32)
        same_bits(TYPES[name].dequantize(data), theirs)


def test_a_fourth_trit_is_refused():
    block = np.zeros((1, 66), np.uint8)
    block[0, 5] = 0b11_00
    with pytest.raises(FormatError, match="the code 3"):
        TYPES["TQ2_0"].dequantize(block)


@pytest.mark.parametrize("name", LIMITS)
@given(st.data())
def test_placed_codes_stand_for_themselves(name, data):
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    width = TYPES[name].values
    low, high = LIMITS[name]
    values = random.integers(low, high + 1, (3, 2 * width)).astype(np.int8)
    if name == "Q2_K":   # of four neighbours in a block
        values = (values & 3) + np.repeat(random.integers(-3, 1, (3, 2)), width, 1).astype(np.int8)
    scale = np.abs(random.standard_normal((3, 2))).astype(np.float16)
    blocks = place(values, scale, name)
    expected = values * np.repeat(scale.astype(np.float32), width, axis=1)
    np.testing.assert_array_equal(TYPES[name].dequantize(blocks), expected)
    if name in BY_GGUF:
        np.testing.assert_array_equal(gguf.quants.dequantize(blocks, oracle(name)), expected)


@pytest.mark.parametrize("name", ["F32", "F16", "BF16", "Q8_0", "Q4_0"])
@given(seed=st.integers(0, 2**32 - 1), exponent=st.integers(-20, 4))
def test_rounding_gives_the_bytes_of_gguf(name, seed, exponent):
    rows = np.random.default_rng(seed).standard_normal((4, 64)).astype(np.float32)
    rows = np.ldexp(rows, exponent).astype(np.float32)
    rows[1] = 0
    theirs = gguf.quants.quantize(rows, oracle(name)).view(np.uint8).reshape(4, -1)
    np.testing.assert_array_equal(round_to(rows, name), theirs)


@pytest.mark.parametrize("name", ["Q3_K", "Q2_K"])
@given(seed=st.integers(0, 2**32 - 1), exponent=st.integers(-10, 4))
def test_rounding_to_few_bits_is_read_by_gguf_and_keeps_zeros(name, seed, exponent):
    rows = np.random.default_rng(seed).standard_normal((4, 512)).astype(np.float32)
    rows = np.ldexp(rows, exponent).astype(np.float32)
    rows[1] = 0
    rows[2, 16:32] = 0   # a group
    rows[3, 256:] = rows[3, 0]
    blocks = round_to(rows, name)
    found = TYPES[name].dequantize(blocks)
    same_bits(found, gguf.quants.dequantize(blocks, oracle(name)).astype(np.float32))
    assert not found[1].any() and not found[2, 16:32].any()
    assert np.square(found - rows).sum() < (0.06 if name == "Q3_K" else 0.2) * np.square(rows).sum()


def test_bfloat16_ties_go_to_even():
    tied = np.array([0x3F80_8000, 0x3F81_8000, 0x3F80_8001], np.uint32).view(np.float32)
    np.testing.assert_array_equal(bfloat16(tied), [0x3F80, 0x3F82, 0x3F81])
