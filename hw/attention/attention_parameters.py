"""The shape of an attention unit, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass

from ...numerics import ATTENTION_TILE
from ..matmul.engine_parameters import check_sizes, signed_width

__all__ = ["BANKS", "TILE", "TILES_AHEAD", "TILES_UNDER_WAY", "AttentionParameters"]

TILE = ATTENTION_TILE
# Tiles whose keys come between a tile's keys and its values. Their words must take longer than its
# softmax: with a wide port, those of one tile do not.
TILES_AHEAD = 3
BANKS = TILES_AHEAD + 1             # a power of two: their numbers wrap
TILES_UNDER_WAY = TILES_AHEAD + 2   # between their scores and the end of their outputs
_LONGEST_CHUNK = 32   # bytes of a head that a word holds at most


@dataclass(frozen=True)
class AttentionParameters:
    """Parameters of one attention unit.

    Parameters
    ----------
    word_bytes : int
        Bytes of a memory word, a power of two from 4 to 128. As many products with codes, and as
        many with weights, are made per cycle for each query.
    queries : int
        Q: queries that share one reading of keys and values.
    lanes : int
        Float32 elements of a beat of the results, a power of two.
    max_head_dim : int
        Longest head, a multiple of ``chunk``.
    max_context : int
        Most tokens that a query sees.
    factor_cycles : int
        Cycles from a word until its factors are multiplied: 1, out of the memory of codes or
        weights; more, with registers in between.

    Raises
    ------
    TypeError
        A parameter is not an integer.
    ValueError
        A parameter is out of range.
    """

    word_bytes: int
    queries: int
    lanes: int
    max_head_dim: int
    max_context: int
    factor_cycles: int = 1

    def __post_init__(self) -> None:
        check_sizes(self, "Attention's")
        if self.word_bytes & (self.word_bytes - 1) or not 4 <= self.word_bytes <= 4 * TILE:
            raise ValueError(f"Attention's word_bytes must be 4, 8, ... {4 * TILE}, not "
                             f"{self.word_bytes}")
        if self.lanes & (self.lanes - 1) or self.lanes > self.chunk:
            raise ValueError(f"Attention's lanes must be a power of two up to {self.chunk}, not "
                             f"{self.lanes}")
        if self.max_head_dim % self.chunk:
            raise ValueError(f"Attention's max_head_dim must be a multiple of {self.chunk}, not "
                             f"{self.max_head_dim}")

    def check_head_dim(self, head_dim: int) -> None:
        """Raise ``ValueError`` if heads of ``head_dim`` elements do not fit."""
        if head_dim % self.chunk or not 0 < head_dim <= self.max_head_dim:
            raise ValueError(f"A head must have a multiple of {self.chunk} elements up to "
                             f"{self.max_head_dim}, not {head_dim}")

    @property
    def chunk(self) -> int:
        """Consecutive elements of one token's head in a word."""
        return min(self.word_bytes, _LONGEST_CHUNK)

    @property
    def word_tokens(self) -> int:
        """Consecutive tokens of which a word holds a chunk each."""
        return self.word_bytes // self.chunk

    @property
    def max_chunks(self) -> int:
        """Chunks of the longest head."""
        return self.max_head_dim // self.chunk

    @property
    def rows(self) -> int:
        """Rows of ``word_tokens`` tokens in a tile."""
        return TILE // self.word_tokens

    @property
    def scale_words(self) -> int:
        """Words that hold a float32 for each token of a tile."""
        return 4 * TILE // self.word_bytes

    @property
    def word_floats(self) -> int:
        """Float32 numbers in a word."""
        return self.word_bytes // 4

    @property
    def dot_width(self) -> int:
        """Bits of the dot product of a query and a key."""
        return signed_width(self.max_head_dim << 14)

    @property
    def sum_width(self) -> int:
        """Bits of a tile's sum of int16 weights times int8 values."""
        return signed_width(TILE << 22)
