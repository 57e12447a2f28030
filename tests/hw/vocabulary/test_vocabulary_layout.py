import numpy as np
import pytest

from trilobite.hw.vocabulary.vocabulary_layout import VocabularyLayout


def test_words_worked_out_by_hand():
    """Words of 8 bytes, so groups of two rows; three rows of ten codes."""
    codes = np.arange(-15, 15, dtype=np.int8).reshape(3, 10)
    scales = np.array([1, 2, 4], np.float32)
    layout = VocabularyLayout(8, 10)
    assert (layout.group_rows, layout.row_words, layout.group_words) == (2, 2, 5)
    words = layout.pack(codes, scales)
    assert words.shape == (layout.words(3), 8) == (10, 8)
    assert words[0].view("<f4").tolist() == [1, 2]
    assert words[1].view(np.int8).tolist() == [-15, -14, -13, -12, -11, -10, -9, -8]
    assert words[2].view(np.int8).tolist() == [-7, -6, 0, 0, 0, 0, 0, 0]
    assert words[3].view(np.int8).tolist() == [-5, -4, -3, -2, -1, 0, 1, 2]
    assert words[5].view("<f4").tolist() == [4, 0]
    assert not words[8:].any()


def test_words_of_four_bits_worked_out_by_hand():
    """Words of 4 bytes: a group is a row. The first four codes are the low halves."""
    codes = np.array([[-8, -1, 0, 7, 1, 2, 3, -4, 5]], np.int8)
    layout = VocabularyLayout(4, 9, bits=4)
    assert (layout.word_codes, layout.group_rows, layout.row_words) == (8, 1, 2)
    words = layout.pack(codes, np.array([0.5], np.float32))
    assert words[0].view("<f4").tolist() == [0.5]
    assert [f"{byte:02x}" for byte in words[1]] == ["18", "2f", "30", "c7"]
    assert words[2].tolist() == [5, 0, 0, 0]


def test_other_codes_are_refused():
    with pytest.raises(ValueError, match="4 or 8 bits, not 2"):
        VocabularyLayout(16, 64, bits=2)
