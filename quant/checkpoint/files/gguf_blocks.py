"""ggml's tensor types: a row is a run of blocks of equal size, each with its own scale.

Decoding follows the layouts of ggml-common.h and the float32 operations of ggml-quants.c, in their
order. ``gguf.quants`` is the oracle in the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ....errors import FormatError
from .floats import to_float32
from .gguf_groups import decode_groups

__all__ = ["SUPERBLOCK", "TYPES", "BlockType"]

SUPERBLOCK = 256
_FP4_DOUBLED = np.array(   # twice the values of E2M1, as ggml keeps them
    [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.float32
)
_POWERS = (1, 3, 9, 27, 81)
_NONLINEAR = np.array(   # the values of IQ4_NL and IQ4_XS
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32
)
_PAIRS = np.array([0, 2, 4, 6], np.uint8)[:, None]   # shifts of the 2-bit codes in a byte
_BITS = np.arange(8, dtype=np.uint8)

Decoder = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class BlockType:
    """One type: ``number`` in the file, ``values`` in a block of ``nbytes`` bytes.

    ``decode`` turns blocks uint8 [n, nbytes] into float32 [n, values].
    """

    name: str
    number: int
    values: int
    nbytes: int
    decode: Decoder

    def row_bytes(self, K: int) -> int:
        """Bytes of a row of ``K`` values, which must be a multiple of ``values``."""
        return K // self.values * self.nbytes

    def dequantize(self, rows: np.ndarray) -> np.ndarray:
        """Float32 [R, K] of uint8 rows [R, row_bytes(K)]; scales that are none give NaN, infinity.

        Raises ``FormatError`` on a code that the type does not have.
        """
        blocks = np.ascontiguousarray(rows).reshape(-1, self.nbytes)
        with np.errstate(invalid="ignore", over="ignore"):
            return self.decode(blocks).reshape(len(rows), -1)


def half(blocks: np.ndarray, at: int) -> np.ndarray:
    """The float16 at byte ``at`` of every block, as float32 [n, 1]."""
    return np.ascontiguousarray(blocks[:, at : at + 2]).view("<f2").astype(np.float32)


def trits_tq1(blocks: np.ndarray) -> np.ndarray:
    """Trits int8 [n, 256] of TQ1_0 blocks: five to a byte of the first 48, four of the last 4."""
    trits = np.empty((len(blocks), SUPERBLOCK), np.int8)
    for first, width, at, digits in ((0, 32, 0, 5), (160, 16, 32, 5), (240, 4, 48, 4)):
        codes = blocks[:, at : at + width]
        for n in range(digits):
            shifted = (codes * np.uint8(_POWERS[n])).astype(np.uint16)   # modulo 256
            trits[:, first + n * width : first + (n + 1) * width] = (shifted * 3 >> 8) - 1
    return trits


def trits_tq2(blocks: np.ndarray) -> np.ndarray:
    """Trits int8 [n, 256] of TQ2_0 blocks; ``FormatError`` on a code of 3."""
    codes = blocks[:, :64].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8)[:, None] & 3
    if (codes == 3).any():
        raise FormatError("TQ2_0 holds the code 3; a trit is coded 0, 1 or 2")
    return codes.reshape(len(blocks), SUPERBLOCK).astype(np.int8) - np.int8(1)


def _nibbles(packed: np.ndarray) -> np.ndarray:
    """Uint8 [n, 2 * bytes]: low nibbles of all bytes, then the high ones."""
    return np.concatenate([packed & 15, packed >> 4], axis=1)


def _with_fifth_bits(blocks: np.ndarray, at: int) -> np.ndarray:
    """Codes uint8 [n, 32] of Q5_0 and Q5_1: fifth bits in four bytes at ``at``, then nibbles."""
    fifth = blocks[:, at:at + 4, None] >> _BITS & 1   # bit j is that of code j
    return _nibbles(blocks[:, at + 4:]) | fifth.reshape(-1, 32) << 4


def _scales_q4k(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scales and minimums, 6 bits each, of the eight groups of a Q4_K block's twelve bytes."""
    low, high, rest = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = np.concatenate([low & 63, rest & 15 | low >> 2 & 48], axis=1)
    minimums = np.concatenate([high & 63, rest >> 4 | high >> 2 & 48], axis=1)
    return scales.astype(np.float32), minimums.astype(np.float32)


def _q2_k(blocks: np.ndarray) -> np.ndarray:
    scale = (half(blocks, 80) * (blocks[:, :16] & 15))[:, :, None]
    minimum = (half(blocks, 82) * (blocks[:, :16] >> 4))[:, :, None]
    codes = blocks[:, 16:80].reshape(-1, 2, 1, 32) >> _PAIRS & 3
    return (scale * codes.reshape(-1, 16, 16) - minimum).reshape(-1, SUPERBLOCK)


def _q3_k(blocks: np.ndarray) -> np.ndarray:
    packed = blocks[:, 96:108]
    low = np.concatenate([packed[:, :8] & 15, packed[:, :8] >> 4], axis=1)
    high = (packed[:, None, 8:] >> _PAIRS & 3).reshape(-1, 16)
    scales = (low | high << 4).astype(np.int8) - np.int8(32)
    codes = (blocks[:, 32:96].reshape(-1, 2, 1, 32) >> _PAIRS & 3).reshape(-1, 8, 32)
    third = blocks[:, None, :32] >> _BITS[:, None] & 1   # where it is not set, 4 is taken away
    values = (codes.astype(np.int8) - np.int8(4) * (1 - third).astype(np.int8))
    scale = (half(blocks, 108) * scales)[:, :, None]
    return (scale * values.reshape(-1, 16, 16)).reshape(-1, SUPERBLOCK)


def _q4_k(blocks: np.ndarray) -> np.ndarray:
    codes = blocks[:, 16:].reshape(-1, 4, 1, 32) >> np.array([0, 4], np.uint8)[:, None] & 15
    return _eight_groups(blocks, codes.reshape(-1, 8, 32))


def _q5_k(blocks: np.ndarray) -> np.ndarray:
    low = blocks[:, 48:].reshape(-1, 4, 1, 32) >> np.array([0, 4], np.uint8)[:, None] & 15
    fifth = blocks[:, None, 16:48] >> _BITS[:, None] & 1
    return _eight_groups(blocks, low.reshape(-1, 8, 32) | fifth << 4)


def _eight_groups(blocks: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Values of Q4_K and Q5_K out of their ``codes`` [n, 8, 32]."""
    scales, minimums = _scales_q4k(blocks[:, 4:16])
    scale = (half(blocks, 0) * scales)[:, :, None]
    minimum = (half(blocks, 2) * minimums)[:, :, None]
    return (codes * scale - minimum).reshape(-1, SUPERBLOCK)


def _q6_k(blocks: np.ndarray) -> np.ndarray:
    low = blocks[:, :128].reshape(-1, 2, 1, 64) >> np.array([0, 4], np.uint8)[:, None] & 15
    high = blocks[:, 128:192].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8)[:, None] & 3
    codes = low.reshape(-1, 256) | high.reshape(-1, 256) << 4
    values = (codes.astype(np.int8) - np.int8(32)).reshape(-1, 16, 16)
    scale = half(blocks, 208) * blocks[:, 192:208].view(np.int8)
    return (scale[:, :, None] * values).reshape(-1, SUPERBLOCK)


def _iq4_xs(blocks: np.ndarray) -> np.ndarray:
    high = np.ascontiguousarray(blocks[:, 2:4]).view("<u2") >> (2 * _BITS).astype(np.uint16) & 3
    low = (blocks[:, 4:8, None] >> np.array([0, 4], np.uint8) & 15).reshape(-1, 8)
    scales = (low | high.astype(np.uint8) << 4).astype(np.int8) - np.int8(32)
    scale = (half(blocks, 0) * scales)[:, :, None]
    codes = _nibbles(blocks[:, 8:].reshape(-1, 16)).reshape(-1, 8, 32)
    return (scale * _NONLINEAR[codes]).reshape(-1, SUPERBLOCK)


def _mxfp4(blocks: np.ndarray) -> np.ndarray:
    scale = np.ldexp(np.float32(1), blocks[:, :1].astype(np.int32) - 128)
    return scale * _FP4_DOUBLED[_nibbles(blocks[:, 1:])]


def _plain(dtype: str, name: str) -> Decoder:
    return lambda blocks: to_float32(blocks.view(dtype), name)


_ALL = (
    BlockType("F32", 0, 1, 4, _plain("<f4", "F32")),
    BlockType("F16", 1, 1, 2, _plain("<f2", "F16")),
    BlockType("BF16", 30, 1, 2, _plain("<u2", "BF16")),
    BlockType("Q4_0", 2, 32, 18,
              lambda b: half(b, 0) * (_nibbles(b[:, 2:]).view(np.int8) - np.int8(8))),
    BlockType("Q4_1", 3, 32, 20, lambda b: half(b, 0) * _nibbles(b[:, 4:]) + half(b, 2)),
    BlockType("Q5_0", 6, 32, 22,
              lambda b: half(b, 0) * (_with_fifth_bits(b, 2).view(np.int8) - np.int8(16))),
    BlockType("Q5_1", 7, 32, 24, lambda b: half(b, 0) * _with_fifth_bits(b, 4) + half(b, 2)),
    BlockType("Q8_0", 8, 32, 34, lambda b: half(b, 0) * b[:, 2:].view(np.int8)),
    BlockType("Q2_K", 10, SUPERBLOCK, 84, _q2_k),
    BlockType("Q3_K", 11, SUPERBLOCK, 110, _q3_k),
    BlockType("Q4_K", 12, SUPERBLOCK, 144, _q4_k),
    BlockType("Q5_K", 13, SUPERBLOCK, 176, _q5_k),
    BlockType("Q6_K", 14, SUPERBLOCK, 210, _q6_k),
    BlockType("IQ4_NL", 20, 32, 18, lambda b: half(b, 0) * _NONLINEAR[_nibbles(b[:, 2:])]),
    BlockType("IQ4_XS", 23, SUPERBLOCK, 136, _iq4_xs),
    BlockType("TQ1_0", 34, SUPERBLOCK, 54, lambda b: half(b, 52) * trits_tq1(b)),
    BlockType("TQ2_0", 35, SUPERBLOCK, 66, lambda b: half(b, 64) * trits_tq2(b)),
    BlockType("MXFP4", 39, 32, 17, _mxfp4),
    BlockType("Q1_0", 41, 128, 18, decode_groups("Q1_0")),
    BlockType("Q2_0", 42, 64, 18, decode_groups("Q2_0")),
    BlockType("PQ2_0", 142, 128, 34, decode_groups("PQ2_0")),
    BlockType("PTQ1_0", 143, 128, 28, decode_groups("PTQ1_0")),
)
TYPES: dict[str, BlockType] = {type.name: type for type in _ALL}
