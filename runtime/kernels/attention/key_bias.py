"""What a bias of the keys adds to attention's scores, apart from the keys that are quantized.

A key is R(x + b): what a projection gives, its bias, and the rotation of the token's position t. In
some models (Qwen2) b is hundreds of times larger than x, and a scale that covers it leaves x no
bits. So only R x is quantized, and q . R b is computed in float32: of channels j and
j + head_dim / 2 that is ``along[j] * cos(t w_j) + across[j] * sin(t w_j)``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ....numerics import ATTENTION_TILE, add, mul, sub
from ....tools.compiled import njit

__all__ = ["BiasScores", "add_bias", "bias_scores", "no_bias"]


class BiasScores(NamedTuple):
    """The parts of a score that a key bias makes; none of them where there are 0 pairs.

    ``along`` and ``across`` float32 [N, heads, pairs], scaled as scores are;
    ``cosine`` and ``sine`` float32 [pairs, capacity], of every position that is kept.
    """

    along: np.ndarray
    across: np.ndarray
    cosine: np.ndarray
    sine: np.ndarray


def no_bias(queries: np.ndarray) -> BiasScores:
    """No pairs, for ``queries`` [N, heads, head_dim]."""
    none = np.empty((*queries.shape[:2], 0), np.float32)
    tables = np.empty((0, 0), np.float32)
    return BiasScores(none, none, tables, tables)


@njit
def bias_scores(
    queries: np.ndarray, bias: np.ndarray, cosine: np.ndarray, sine: np.ndarray, scale: np.float32
) -> BiasScores:
    """Score rotated ``queries`` float32 [N, heads, head_dim] by ``bias`` [kv_heads, head_dim].

    ``along = (q_j b_j + q_k b_k) * scale`` and ``across = (q_k b_j - q_j b_k) * scale``, with
    k = j + head_dim / 2 and the ``scale`` of scores, every operation rounded (``numerics``).
    """
    N, heads, width = queries.shape
    half, share = width // 2, heads // bias.shape[0]
    along = np.empty((N, heads, half), np.float32)
    across = np.empty((N, heads, half), np.float32)
    for n in range(N):
        for head in range(heads):
            q, b = queries[n, head], bias[head // share]
            for j in range(half):
                k = j + half
                along[n, head, j] = mul(add(mul(q[j], b[j]), mul(q[k], b[k])), scale)
                across[n, head, j] = mul(sub(mul(q[k], b[j]), mul(q[j], b[k])), scale)
    return BiasScores(along, across, cosine, sine)


@njit
def add_bias(scores: np.ndarray, first: int, n: int, head: int, bias: BiasScores) -> None:
    """Add to the ``scores`` of positions ``first`` and after what ``bias`` makes of them.

    The pairs are summed up one after the other: ``sum + (along * cos + across * sin)``.
    """
    along, across = bias.along[n, head], bias.across[n, head]
    sums = np.empty(ATTENTION_TILE, np.float32)
    for begin in range(0, scores.shape[0], ATTENTION_TILE):
        count = min(ATTENTION_TILE, scores.shape[0] - begin)
        sums[:] = np.float32(0.0)
        for j in range(along.shape[0]):
            cosine = bias.cosine[j, first + begin:first + begin + count]
            sine = bias.sine[j, first + begin:first + begin + count]
            for t in range(count):
                part = add(mul(along[j], cosine[t]), mul(across[j], sine[t]))
                sums[t] = add(sums[t], part)
        for t in range(count):
            scores[begin + t] = add(scores[begin + t], sums[t])
