"""GGUF types of 1 or 2 bits with a float16 scale to a group: Q1_0, Q2_0, PrismML's PQ2_0, PTQ1_0.

Bonsai models are stored so. The layouts are those of ``block_q1_0``, ``block_q2_0``,
``block_pq2_0`` and ``block_ptq1_0`` in ggml-common.h (github.com/PrismML-Eng/llama.cpp), values as
``dequantize_row_*`` of ggml-quants.c give them. PrismML's first files call PQ2_0 by the number of
Q2_0; ``gguf_file`` tells them apart.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["GROUPED", "decode_groups", "has_twos", "levels"]

GROUPED = {"Q1_0": 128, "Q2_0": 64, "PQ2_0": 128, "PTQ1_0": 128}   # and the values of a group
_STAGES = ((0, 16, 0, 5), (80, 8, 16, 5), (120, 2, 24, 4))   # value, bytes, byte, digits to a byte


def levels(blocks: np.ndarray, type: str) -> tuple[np.ndarray, np.ndarray]:
    """Levels int8 [n, values], -1 to 2, and their scales float32 [n], of uint8 ``blocks``."""
    at = blocks.shape[1] - 2 if type == "PTQ1_0" else 0
    scale = np.ascontiguousarray(blocks[:, at : at + 2]).view("<f2").astype(np.float32)[:, 0]
    return _LEVELS[type](blocks), scale


def has_twos(blocks: np.ndarray) -> bool:
    """Whether a code of Q2_0 or PQ2_0 ``blocks`` stands for 2, so that they are not ternary."""
    codes = blocks[:, 2:]
    return bool((codes & codes >> 1 & 0x55).any())


def decode_groups(type: str) -> Callable[[np.ndarray], np.ndarray]:
    """What makes float32 [n, values] of blocks of ``type``: levels times the scale."""
    def decode(blocks: np.ndarray) -> np.ndarray:
        values, scale = levels(blocks, type)
        return values * scale[:, None]

    return decode


def _signs(blocks: np.ndarray) -> np.ndarray:
    """Bit j % 8 of byte j / 8, after the scale: 1 is 1, 0 is -1."""
    bits = np.unpackbits(blocks[:, 2:], axis=1, bitorder="little").view(np.int8)
    return 2 * bits - np.int8(1)


def _pairs(blocks: np.ndarray) -> np.ndarray:
    """Code j is in the bits 2 (j % 4) and up of byte j / 4, after the scale; 0 is -1."""
    codes = blocks[:, 2:, None] >> np.array([0, 2, 4, 6], np.uint8) & 3
    return codes.reshape(len(blocks), -1).view(np.int8) - np.int8(1)


def _trits(blocks: np.ndarray) -> np.ndarray:
    """The trits of TQ1_0: digit n of a stage's byte m is value ``first + width * n + m``."""
    trits = np.empty((len(blocks), 128), np.int8)
    for first, width, at, digits in _STAGES:
        codes = blocks[:, at : at + width]
        for n in range(digits):
            shifted = (codes * np.uint8(3**n)).astype(np.uint16)   # modulo 256
            trits[:, first + n * width : first + (n + 1) * width] = (shifted * 3 >> 8) - 1
    return trits


_LEVELS = {"Q1_0": _signs, "Q2_0": _pairs, "PQ2_0": _pairs, "PTQ1_0": _trits}
