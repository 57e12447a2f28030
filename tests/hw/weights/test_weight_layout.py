from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trilobite.hw import TlmmParameters
from trilobite.hw.matmul.reference import weight_indices
from trilobite.hw.weights.weight_layout import WeightLayout
from trilobite.model import LINEAR_NAMES
from trilobite.quant.formats import Ternary
from trilobite.quant.formats.base import Codes
from trilobite.sim.descriptions.accelerator import load_accelerator
from trilobite.sim.descriptions.shapes import load_shape

KV260 = TlmmParameters(group_size=3, tables=32, columns=16, max_k=8192, max_m=8192)
KV260_32 = replace(KV260, columns=32)   # of the accelerator


def test_a_frame_worked_out_by_hand():
    """Beats of 12 trits in words of two bytes: one word each, and 2 trits that five beats share."""
    layout = WeightLayout(TlmmParameters(2, 3, 2, max_k=60, max_m=25), 2)
    assert (layout.word_cells, layout.beat_cells) == (10, 12)
    assert (layout.whole_words, layout.rest_cells) == (1, 2)
    assert (layout.shared_words, layout.piece_cells, layout.frame_beats) == (1, 2, 5)
    assert layout.frame_words == 6

    trits = np.zeros((2, 6), np.int8)
    trits[0, 0], trits[1, 4], trits[1, 5] = 1, -1, 1
    image = layout.pack(trits)
    # All digits 1 is 121. The rest (row 1, columns 4 and 5) opens the frame, at its first places.
    assert image.tolist() == [[121 - 1 + 3, 121], [121 + 1, 121]]


@pytest.mark.parametrize(("word_bytes", "frame"), [
    (16, (39, 2, 5, 197)),   # 1024 = 39 * 26 + 10: two rests of 5 for each of five beats
    (64, (9, 2, 3, 29)),     # 1024 = 9 * 106 + 70: two rests of 35 for each of three beats
])
def test_frames_of_the_kv260_engine_waste_little(word_bytes, frame):
    layout = WeightLayout(KV260_32, word_bytes)
    found = (layout.whole_words, layout.shared_words, layout.frame_beats, layout.frame_words)
    assert found == frame
    room, used = layout.frame_words * layout.word_cells, layout.frame_beats * layout.beat_cells
    assert 0 <= room - used < 0.001 * room


@pytest.mark.parametrize(("shape", "word_bytes", "most"), [
    ("bitnet-0.73b", 16, 1.645), ("bitnet-0.73b", 32, 1.614), ("bitnet-0.73b", 64, 1.614),
    ("bitnet-2b", 64, 1.627)])
def test_bits_per_weight_of_whole_models_scales_included(shape, word_bytes, most):
    config = load_shape(shape).config
    shapes = [config.linear_shape(name) for name in LINEAR_NAMES] * config.num_layers
    assert 1.6 < WeightLayout(KV260_32, word_bytes).bits_per_weight(shapes) < most


def test_the_bundled_engine_is_the_one_whose_bits_are_counted():
    assert load_accelerator("tlmm-kv260").engine == KV260


engines = st.builds(TlmmParameters, st.integers(2, 5), st.integers(1, 9), st.integers(1, 5),
                    st.just(64), st.just(64))


@given(engines, st.integers(1, 12), st.integers(1, 12), st.integers(1, 40), st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_any_matrix_comes_back_and_takes_the_words_that_were_announced(
        parameters, word_bytes, M, K, seed):
    layout = WeightLayout(parameters, word_bytes)
    trits = np.random.default_rng(seed).integers(-1, 2, (M, K)).astype(np.int8)
    image = layout.pack(trits)
    assert image.dtype == np.uint8
    assert image.shape == (layout.words(M, K), word_bytes)
    np.testing.assert_array_equal(layout.unpack(image, M, K), trits)


@given(engines, st.integers(1, 64))
@settings(max_examples=200, deadline=None)
def test_a_frame_holds_its_beats_and_its_rests_do_not_overlap(parameters, word_bytes):
    layout = WeightLayout(parameters, word_bytes)
    assert layout.frame_beats * layout.piece_cells <= layout.word_cells
    assert layout.shared_words * layout.piece_cells >= layout.rest_cells
    assert layout.frame_words * layout.word_cells >= layout.frame_beats * layout.beat_cells
    assert layout.whole_words >= 1


def test_the_bytes_are_those_of_the_ternary_format_where_the_order_is_the_same():
    """One row, one column, cells of a trit: the image is the row, padded."""
    parameters = TlmmParameters(4, 5, 1, max_k=200, max_m=1)
    trits = np.random.default_rng(0).integers(-1, 2, (1, 93)).astype(np.int8)
    row = Ternary().pack(Codes(trits, np.ones((1, 1), np.float32)))["packed"][0]
    image = WeightLayout(parameters, 4).pack(trits).reshape(-1)
    np.testing.assert_array_equal(image[:len(row)], row)
    assert (image[len(row):] == 121).all()


def test_for_groups_of_five_the_bytes_are_the_indices():
    parameters = TlmmParameters(5, 4, 2, max_k=60, max_m=8)
    trits = np.random.default_rng(0).integers(-1, 2, (7, 60)).astype(np.int8)
    image = WeightLayout(parameters, 4).pack(trits)
    np.testing.assert_array_equal(image.reshape(-1), weight_indices(parameters, trits).reshape(-1))


@pytest.mark.parametrize("word_bytes", [0, -1, 16.0])
def test_word_bytes_out_of_range_are_refused(word_bytes):
    with pytest.raises(ValueError, match="word_bytes must be a positive integer, not"):
        WeightLayout(KV260, word_bytes)
