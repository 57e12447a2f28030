"""The bytes of weight images: worked out by hand, and every one of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilobite.hw.matmul.weight_codes import (
    cell_trits,
    decode,
    encode,
    from_sign_magnitude,
    pair_trits,
    sign_magnitude,
    word_cells,
)


def test_three_bytes_of_groups_of_three_worked_out_by_hand():
    """Five groups: 5, -13, 0; (1, 0, -1) is -8 and (-1, 0, 1) is 8."""
    # Pairs: (1, 0) is 1; (-1, 1), the third trits of both, is 2; (-1, 0) is -1, hence the last one.
    expected = [0 << 7 | 5 << 3 | 1, 1 << 7 | 13 << 3 | 2, 0 << 7 | 0b111 << 4 | 0]
    cells = np.array([[5, -13, 0, -8, 8]])
    assert encode(cells, 3, 3).tolist() == [expected]
    assert decode(np.array([expected], np.uint8), 3).tolist() == cells.tolist()


def test_a_last_pair_moves_the_index_down():
    """Two bytes: the groups -11 and 2, and (-1, 0, 0)."""
    assert encode(np.array([[-11, 2, -1]]), 3, 2).tolist() == [[1 << 7 | 0b111 << 4 | 11, 2 << 3]]


def test_pairs_are_numbers_modulo_nine():
    trits = pair_trits(np.arange(9))
    assert trits.tolist() == [[0, 0], [1, 0], [-1, 1], [0, 1], [1, 1],
                              [-1, -1], [0, -1], [1, -1], [-1, 0]]


def test_a_byte_of_groups_of_three_has_243_values_and_each_is_its_own():
    indices, pairs = (grid.ravel() for grid in np.meshgrid(np.arange(-13, 14), np.arange(9)))
    trits = pair_trits(pairs)
    zeros = np.zeros_like(indices)
    # The first byte's pair goes to the first group of the rest.
    cells = np.stack([indices, zeros, zeros, trits @ [1, 3], zeros], axis=1)
    codes = encode(cells, 3, 3)
    assert len(set(codes[:, 0].tolist())) == 243
    assert not codes[:, 1:].any()
    np.testing.assert_array_equal(decode(codes, 3), cells)


@pytest.mark.parametrize(("group_size", "cells"), [
    (2, [5, 10, 15, 320]), (3, [1, 3, 5, 106]), (4, [5, 10, 15, 320]), (5, [1, 2, 3, 64])])
def test_the_cells_of_a_word(group_size, cells):
    assert [word_cells(group_size, word_bytes) for word_bytes in (1, 2, 3, 64)] == cells


@given(st.integers(2, 5), st.integers(1, 9), st.integers(0, 99))
def test_any_cells_come_back(group_size, word_bytes, seed):
    highest = 3 ** cell_trits(group_size) // 2
    cells = np.random.default_rng(seed).integers(
        -highest, highest + 1, (4, word_cells(group_size, word_bytes)))
    image = encode(cells, group_size, word_bytes)
    assert image.dtype == np.uint8
    assert image.shape == (4, word_bytes)
    np.testing.assert_array_equal(decode(image, group_size), cells)


def test_sign_and_magnitude():
    values = np.arange(-7, 8)
    assert sign_magnitude(values[:3], 4).tolist() == [0b1111, 0b1110, 0b1101]
    np.testing.assert_array_equal(from_sign_magnitude(sign_magnitude(values, 4), 4), values)
