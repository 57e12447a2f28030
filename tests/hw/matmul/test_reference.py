import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilobite.hw.matmul.engine_parameters import TlmmParameters
from trilobite.hw.matmul.reference import (
    matmul,
    pack_activations,
    pack_beats,
    pack_job,
    pack_weights,
    unpack_beats,
    unpack_sums,
    weight_indices,
)

SMALL = TlmmParameters(group_size=2, tables=2, columns=2, max_k=8, max_m=6)


def test_beats_by_hand():
    """Two fields of 5 bits: 00001 below 10010 is 10_0100_0001, in two bytes."""
    beats = np.array([[0x41, 0x02]], np.uint8)
    np.testing.assert_array_equal(pack_beats(np.array([[1, 18]]), 5), beats)
    np.testing.assert_array_equal(unpack_beats(beats, 5, 2), [[1, -14]])


@given(st.integers(2, 21), st.data())
def test_signed_fields_survive_packing(width, data):
    limit = 1 << (width - 1)
    row = st.lists(st.integers(-limit, limit - 1), min_size=3, max_size=3)
    fields = np.array(data.draw(st.lists(row, min_size=1, max_size=4)))
    np.testing.assert_array_equal(unpack_beats(pack_beats(fields, width), width, 3), fields)


def test_weight_indices_by_hand():
    """Rows of K = 5 in passes of 2 groups of 2, blocks of 2 rows; sign 8, padding is index 0."""
    trits = np.array([[-1, -1, 1, 1, -1], [0, 1, 1, -1, 0], [1, 0, 0, 0, 1]], np.int8)
    expected = [[[[12, 4], [3, 10]], [[1, 0], [0, 0]]], [[[9, 0], [0, 0]], [[1, 0], [0, 0]]]]
    np.testing.assert_array_equal(weight_indices(SMALL, trits), expected)
    assert pack_weights(SMALL, trits).shape == (4, 2)
    assert pack_weights(SMALL, trits)[0].tolist() == [0x4C, 0xA3]


def test_the_index_of_five_trits_is_a_byte_of_sign_and_magnitude():
    trits = np.random.default_rng(0).integers(-1, 2, (3, 20)).astype(np.int8)
    parameters = TlmmParameters(group_size=5, tables=4, columns=1, max_k=20, max_m=3)
    packed = pack_weights(parameters, trits).astype(np.int64)
    values = np.where(packed & 0x80, -(packed & 0x7F), packed)
    np.testing.assert_array_equal(values, trits.reshape(3, 4, 5) @ [1, 3, 9, 27, 81])


def test_activations_fill_whole_passes():
    beats = pack_activations(SMALL, np.array([[1, -1, 2, -2, 3]], np.int8))
    assert beats.tolist() == [[1, 255, 2, 254], [3, 0, 0, 0]]


def test_a_job_holds_passes_below_blocks():
    """max_k = 8 gives passes 2 bits (0 to 2), max_m = 6 gives blocks 2 bits (0 to 3)."""
    assert pack_job(SMALL, K=5, M=5).tolist() == [[2 | 3 << 2]]


def test_sums_are_cut_to_the_rows_there_are():
    width = SMALL.accumulator_width
    fields = np.array([[1, -2, 0], [3, 99, 1]])   # the last field of a beat is ``last``
    bits = [sum((int(value) & ((1 << width) - 1)) << width * i for i, value in enumerate(row[:2]))
            | int(row[2]) << 2 * width for row in fields]
    beats = np.array([list(word.to_bytes(-(-(2 * width + 1) // 8), "little")) for word in bits],
                     np.uint8)
    assert unpack_sums(SMALL, beats, 3).tolist() == [[1, -2, 3]]
    with pytest.raises(ValueError, match="are not every 3th of 2"):
        unpack_sums(SMALL, beats, 5)


def test_matmul_is_exact_at_the_extremes():
    ones = np.full((1, 6912), -1, np.int8)
    assert matmul(ones, np.full((1, 6912), -128, np.int8)).tolist() == [[884736]]
