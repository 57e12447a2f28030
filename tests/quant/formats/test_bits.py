"""Streams of small codes: by hand, against Python's own integers, and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilobite.quant.formats.bits import columns_per_unit, pack_bits, unpack_bits

every_width = pytest.mark.parametrize("bits", [1, 2, 3, 4])


def test_columns_that_fill_bytes():
    assert [columns_per_unit(bits) for bits in (1, 2, 3, 4)] == [8, 4, 8, 2]


def test_by_hand():
    assert pack_bits(np.uint8([[1, 0, 0, 0, 0, 0, 1, 1]]), 1).tolist() == [[0b11000001]]
    assert pack_bits(np.uint8([[3, 2, 1, 0]]), 2).tolist() == [[0b00011011]]
    assert pack_bits(np.uint8([[7, 0, 0, 0, 0, 0, 0, 6]]), 3).tolist() == [[0x07, 0x00, 0xC0]]
    assert pack_bits(np.uint8([[1, 15]]), 4).tolist() == [[0xF1]]


@every_width
@given(data=st.data())
def test_a_row_is_one_little_endian_number(bits, data):
    units = data.draw(st.integers(1, 5))
    K = units * columns_per_unit(bits)
    code = st.integers(0, 2**bits - 1)
    rows = data.draw(st.lists(st.lists(code, min_size=K, max_size=K), min_size=1, max_size=4))
    packed = pack_bits(np.uint8(rows), bits)
    for row, stored in zip(rows, packed, strict=True):
        number = sum(value << (bits * k) for k, value in enumerate(row))
        assert stored.tobytes() == number.to_bytes(K * bits // 8, "little")
    np.testing.assert_array_equal(unpack_bits(packed, bits), rows)


@every_width
def test_every_byte_is_a_code(bits):
    packed = np.arange(256).astype(np.uint8).repeat(3).reshape(-1, 3)
    codes = unpack_bits(packed, bits)
    assert codes.max() == 2**bits - 1
    np.testing.assert_array_equal(pack_bits(codes, bits), packed)
