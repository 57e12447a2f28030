"""How weights become bytes of a memory image: five trits to a byte, cheap to take apart.

Plain Python and numpy: what packs a model needs no Amaranth. A *cell* is what is moved as one
piece: the index of a group of 3 or of 5 trits, or a trit. Its value is ``sum(trit_i * 3^i)``.

- Groups of 5: a byte is an index, sign and magnitude.
- Groups of 3: a byte holds an index of 5 bits and a pair of trits in the other three. A pair has 9
  values, so one of them is marked by three ones where the magnitude of an index, at most 13, has
  never more than two; the index then moves down. Three bytes hold three indices, and their three
  pairs two more groups: the first byte's pair with the first trit of the second one's, and the
  third byte's with the other trit. This takes a LUT per bit; a base-3 number would take five.
- Other groups: a byte is the base-3 number ``sum((trit_i + 1) * 3^i)``.
"""

from __future__ import annotations

import numpy as np

__all__ = ["ESCAPE", "PAIRS", "cell_trits", "decode", "encode", "from_sign_magnitude",
           "pair_trits", "sign_magnitude", "word_cells"]

ESCAPE = 0b111 << 4   # in a byte of a group of 3: the pair is the last one
PAIRS = 9
_LAST_PAIR = PAIRS - 1
_INDEX_WIDTH = 5      # of a group of 3
# The cells of three bytes: their indices, then the two groups made of their pairs.
_CELLS = {1: [0], 2: [0, 1, 3], 3: [0, 1, 2, 3, 4]}


def cell_trits(group_size: int) -> int:
    """Trits of a cell."""
    return group_size if group_size in (3, 5) else 1


def word_cells(group_size: int, word_bytes: int) -> int:
    """Cells of a word of ``word_bytes`` bytes."""
    if group_size != 3:
        return 5 * word_bytes // cell_trits(group_size)
    threes, rest = divmod(word_bytes, 3)
    return 5 * threes + (len(_CELLS[rest]) if rest else 0)


def sign_magnitude(values: np.ndarray, width: int) -> np.ndarray:
    """Integers as ``width`` bits: the sign on top of the magnitude."""
    return np.abs(values) | (values < 0).astype(np.int64) << (width - 1)


def from_sign_magnitude(codes: np.ndarray, width: int) -> np.ndarray:
    """Inverse of ``sign_magnitude``."""
    magnitude = codes & ((1 << (width - 1)) - 1)
    return np.where(codes >> (width - 1) & 1, -magnitude, magnitude)


def pair_trits(pairs: np.ndarray) -> np.ndarray:
    """The trits [..., 2] of pairs, 0 to 8: ``(trit_0 + 3 * trit_1) mod 9``."""
    return _trits((pairs + 4) % PAIRS - 4, 2)


def encode(cells: np.ndarray, group_size: int, word_bytes: int) -> np.ndarray:
    """The bytes of words: cells, int64 [words, word_cells], to uint8 [words, word_bytes]."""
    if group_size == 5:
        return sign_magnitude(cells, 8).astype(np.uint8)
    if group_size != 3:
        return ((cells.reshape(len(cells), word_bytes, 5) + 1) @ 3 ** np.arange(5)).astype(np.uint8)
    threes = np.zeros((len(cells), -(-word_bytes // 3), 5), np.int64)
    threes.reshape(len(cells), -1)[:, _three_places(word_bytes)] = cells
    first, second = _trits(threes[..., 3], 3), _trits(threes[..., 4], 3)
    trits = np.stack([first[..., :2], np.stack([first[..., 2], second[..., 2]], axis=-1),
                      second[..., :2]], axis=-2)
    pairs = trits @ np.array([1, 3]) % PAIRS
    indices = sign_magnitude(threes[..., :3], _INDEX_WIDTH)
    sign, magnitude = indices >> 4 << 7, indices & 15
    codes = sign | np.where(pairs == _LAST_PAIR, ESCAPE | magnitude, magnitude << 3 | pairs)
    return codes.reshape(len(cells), -1)[:, :word_bytes].astype(np.uint8)


def decode(image: np.ndarray, group_size: int) -> np.ndarray:
    """Inverse of ``encode``. What no encoder writes is not checked."""
    words, word_bytes = image.shape
    codes = image.astype(np.int64)
    if group_size == 5:
        return from_sign_magnitude(codes, 8)
    if group_size != 3:
        return _trits(codes - 121, 5).reshape(words, -1)
    codes = np.pad(codes, ((0, 0), (0, -word_bytes % 3))).reshape(words, -1, 3)
    escaped = codes & ESCAPE == ESCAPE
    trits = pair_trits(np.where(escaped, _LAST_PAIR, codes & 7))
    indices = codes >> 7 << 4 | np.where(escaped, codes, codes >> 3) & 15
    groups = [trits[..., place, :] @ np.array([1, 3]) + 9 * trits[..., 1, trit]
              for trit, place in enumerate((0, 2))]
    cells = np.concatenate([from_sign_magnitude(indices, _INDEX_WIDTH),
                            np.stack(groups, axis=-1)], axis=-1)
    return cells.reshape(words, -1)[:, _three_places(word_bytes)]


def _trits(values: np.ndarray, count: int) -> np.ndarray:
    """The trits [..., count] of ``sum(trit_i * 3^i)``."""
    return (values[..., None] + 3 ** count // 2) // 3 ** np.arange(count) % 3 - 1


def _three_places(word_bytes: int) -> list[int]:
    """Where the cells of a word lie among those of its threes of bytes, the last one cut off."""
    return [5 * three + cell for three in range(-(-word_bytes // 3))
            for cell in _CELLS[min(3, word_bytes - 3 * three)]]
