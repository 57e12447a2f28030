"""How the int8 embedding, which is also the head, lies in external memory. Plain numpy.

Rows of the vocabulary come in groups of as many as a word holds float32 numbers: a word of their
scales, then the rows, each in whole words. So a group is read in one go, and a row and its scale
are found by division.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["VocabularyLayout"]


@dataclass(frozen=True)
class VocabularyLayout:
    """The words of an int8 matrix [rows, width] with a float32 scale per row.

    Parameters
    ----------
    word_bytes : int
        Bytes of a memory word, a multiple of 4.
    width : int
        Elements of a row.
    """

    word_bytes: int
    width: int

    @property
    def group_rows(self) -> int:
        """Rows of a group."""
        return self.word_bytes // 4

    @property
    def row_words(self) -> int:
        """Words of a row."""
        return -(-self.width // self.word_bytes)

    @property
    def group_words(self) -> int:
        """Words of a group."""
        return 1 + self.group_rows * self.row_words

    def groups(self, rows: int) -> int:
        """Groups that hold ``rows``."""
        return -(-rows // self.group_rows)

    def words(self, rows: int) -> int:
        """Words that hold ``rows``."""
        return self.groups(rows) * self.group_words

    def pack(self, codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """Uint8 [words, word_bytes] of int8 [rows, width] and float32 [rows], zero past them."""
        groups = self.groups(len(codes))
        padded = np.zeros((groups * self.group_rows, self.row_words * self.word_bytes), np.int8)
        padded[:len(codes), :self.width] = codes
        padded_scales = np.zeros(groups * self.group_rows, "<f4")
        padded_scales[:len(codes)] = scales
        words = np.empty((groups, self.group_words, self.word_bytes), np.uint8)
        words[:, 0] = padded_scales.view(np.uint8).reshape(groups, self.word_bytes)
        words[:, 1:] = padded.view(np.uint8).reshape(groups, -1, self.word_bytes)
        return words.reshape(-1, self.word_bytes)
