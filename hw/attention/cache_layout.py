"""How an int8 cache of keys and values lies in external memory. Plain Python and numpy.

Per layer and KV head, tiles of ``TILE`` tokens follow each other. A tile is

    scales of its keys | scales of its values | codes of its keys | codes of its values

Scales are float32, one per token. Codes come in rows of ``word_tokens`` tokens; a row has a word
for each chunk of the head, in which the tokens' chunks follow each other. So each byte of a word
always meets the same product unit, and storing a token writes part of a few words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .attention_parameters import TILE, AttentionParameters

__all__ = ["CacheLayout"]


@dataclass(frozen=True)
class CacheLayout:
    """The words of one KV head's keys and values.

    Parameters
    ----------
    parameters : AttentionParameters
        The unit that reads them.
    head_dim : int
        Elements of a head. Raises ``ValueError`` if the unit cannot take it.
    """

    parameters: AttentionParameters
    head_dim: int

    def __post_init__(self) -> None:
        self.parameters.check_head_dim(self.head_dim)

    @property
    def chunks(self) -> int:
        """Words of a row of codes."""
        return self.head_dim // self.parameters.chunk

    @property
    def code_words(self) -> int:
        """Words of the keys' codes of a tile, or of the values'."""
        return self.parameters.rows * self.chunks

    @property
    def tile_words(self) -> int:
        """Words of a tile."""
        return 2 * (self.parameters.scale_words + self.code_words)

    def words(self, capacity: int) -> int:
        """Words for ``capacity`` tokens, in whole tiles."""
        return -(-capacity // TILE) * self.tile_words

    def pack(self, keys: np.ndarray, key_scales: np.ndarray, values: np.ndarray,
             value_scales: np.ndarray) -> np.ndarray:
        """Uint8 [words, word_bytes] of codes int8 [tokens, head_dim] and scales float32 [tokens].

        What a tile holds past the last token is zero.
        """
        tiles = -(-len(keys) // TILE)
        parts = [self._scales(key_scales, tiles), self._scales(value_scales, tiles),
                 self._codes(keys, tiles), self._codes(values, tiles)]
        words = np.concatenate(parts, axis=1)
        return words.reshape(-1, self.parameters.word_bytes)

    def _scales(self, scales: np.ndarray, tiles: int) -> np.ndarray:
        padded = np.zeros((tiles, TILE), "<f4")
        padded.ravel()[:len(scales)] = scales
        return padded.view(np.uint8)

    def _codes(self, codes: np.ndarray, tiles: int) -> np.ndarray:
        p = self.parameters
        padded = np.zeros((tiles * TILE, self.head_dim), np.int8)
        padded[:len(codes)] = codes
        rows = padded.reshape(tiles, p.rows, p.word_tokens, self.chunks, p.chunk)
        return np.ascontiguousarray(rows.transpose(0, 1, 3, 2, 4)).view(np.uint8).reshape(tiles, -1)
