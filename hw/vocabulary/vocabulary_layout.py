"""How the embedding, which may also be the head, lies in external memory. Plain numpy.

Rows of the vocabulary come in groups of as many as a word holds float32 numbers: a word of their
scales, then the rows, each in whole words. So a group is read in one go, and a row and its scale
are found by division.

A row's words hold a code in each byte, in order, or two codes of four bits: the low halves of a
word's bytes come first, then the high ones. So in either case the product unit of a byte meets one
of few activations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["VocabularyLayout"]


@dataclass(frozen=True)
class VocabularyLayout:
    """The words of an integer matrix [rows, width] with a float32 scale per row.

    Parameters
    ----------
    word_bytes : int
        Bytes of a memory word, a multiple of 4.
    width : int
        Elements of a row.
    bits : int
        Bits of an element: 8, or 4 (-8 to 7).
    """

    word_bytes: int
    width: int
    bits: int = 8

    def __post_init__(self) -> None:
        """Check the parameters."""
        if self.bits not in (4, 8):
            raise ValueError(f"A code of the vocabulary has 4 or 8 bits, not {self.bits!r}")

    @property
    def word_codes(self) -> int:
        """Elements in a word."""
        return self.word_bytes * 8 // self.bits

    @property
    def group_rows(self) -> int:
        """Rows of a group."""
        return self.word_bytes // 4

    @property
    def row_words(self) -> int:
        """Words of a row."""
        return -(-self.width // self.word_codes)

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
        padded = np.zeros((groups * self.group_rows, self.row_words * self.word_codes), np.int8)
        padded[:len(codes), :self.width] = codes
        packed: np.ndarray = padded.view(np.uint8)
        if self.bits == 4:
            low, high = packed.reshape(-1, 2, self.word_bytes).swapaxes(0, 1)
            packed = low & 15 | high << 4
        padded_scales = np.zeros(groups * self.group_rows, "<f4")
        padded_scales[:len(codes)] = scales
        words = np.empty((groups, self.group_words, self.word_bytes), np.uint8)
        words[:, 0] = padded_scales.view(np.uint8).reshape(groups, self.word_bytes)
        words[:, 1:] = packed.reshape(groups, -1, self.word_bytes)
        return words.reshape(-1, self.word_bytes)
