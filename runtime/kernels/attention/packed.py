"""Attention over keys and values of four bits or in FP8: ``attention``'s rule on decoded tiles.

A cached vector is integer codes times one float32 scale for its head and token. INT4 codes are -7
to 7, two to a byte (the even channel in the low nibble); an E4M3 code is an integer up to 229,376
in units of 2^-9, the unit being part of the scale. A tile is decoded once for all query heads that
share it. The sums over channels and over a tile's tokens are exact: int32 for INT4, int64 for FP8.
"""

from __future__ import annotations

import numpy as np

from ....numerics import (
    LANES,
    WEIGHT_FLOOR,
    WEIGHT_MAX,
    WEIGHT_STEP,
    add,
    mul,
    quantize_activation,
    quantize_activation_fp8,
    quantize_int4,
    reciprocal,
)
from ....tools.compiled import njit
from ..threads import chunks_for, over_range
from .key_bias import BiasScores, add_bias, no_bias
from .portable import TILE, _softmax_tile, token_of
from .scoring import Scoring, begin_softmax, cap_scores, plain_scoring

__all__ = ["attend_packed", "store_fp8", "store_int4"]

# Packed keys, their scales, packed values, their scales, the integer of each byte or nibble.
PackedArrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]

_UNIT = np.float32(2.0**-9)
_NIBBLES = 16


@njit
def store_int4(x: np.ndarray, cache: np.ndarray, scales: np.ndarray, start: int) -> None:
    """Quantize float32 ``x`` [N, heads, head_dim] into uint8 [heads, capacity, head_dim / 2].

    ``scales`` float32 [heads, capacity] receives one scale per head and token.
    """
    codes = np.empty(x.shape[2], np.int8)
    for n in range(x.shape[0]):
        for head in range(x.shape[1]):
            scales[head, start + n] = quantize_int4(x[n, head], codes)
            packed = cache[head, start + n]
            for pair in range(packed.shape[0]):
                low, high = codes[2 * pair] & 15, codes[2 * pair + 1] & 15
                packed[pair] = np.uint8(low | high << 4)


@njit
def store_fp8(
    x: np.ndarray, cache: np.ndarray, scales: np.ndarray, start: int, codes: np.ndarray
) -> None:
    """Quantize float32 ``x`` [N, heads, head_dim] into E4M3, uint8 [heads, capacity, head_dim].

    ``scales`` as in ``store_int4``, in units of the codes' integers; ``codes`` uint8
    [229,377] gives the bit pattern of each magnitude.
    """
    units = np.empty(x.shape[2], np.int32)
    for n in range(x.shape[0]):
        for head in range(x.shape[1]):
            scales[head, start + n] = mul(quantize_activation_fp8(x[n, head], units), _UNIT)
            packed = cache[head, start + n]
            for d in range(units.shape[0]):
                sign = np.uint8(0x80) if units[d] < 0 else np.uint8(0)
                packed[d] = codes[abs(units[d])] | sign


@njit
def _decode(
    packed: np.ndarray, begin: int, end: int, table: np.ndarray, integers: np.ndarray
) -> None:
    """Write ``integers`` int32 [TILE, head_dim] of the tokens ``begin`` to ``end - 1``."""
    for t in range(begin, end):
        row, codes = integers[t - begin], packed[t]
        if table.shape[0] == _NIBBLES:
            for pair in range(codes.shape[0]):
                row[2 * pair] = table[codes[pair] & 15]
                row[2 * pair + 1] = table[codes[pair] >> 4]
        else:
            for d in range(codes.shape[0]):
                row[d] = table[codes[d]]


@njit
def _add_tile(
    codes: np.ndarray, query_scale: np.float32, keys: np.ndarray, key_scales: np.ndarray,
    values: np.ndarray, value_scales: np.ndarray, scoring: Scoring, state: np.ndarray,
    sums: np.ndarray, out: np.ndarray, first: int, n: int, head: int, bias: BiasScores,
) -> None:
    """Add a tile's tokens, as many as there are scales, to one query's ``state`` and ``out``.

    ``sums`` [head_dim] is room to work in; its type is that of the exact sums. The first token is
    at ``first``; the query is head ``head`` of token ``n``.
    """
    count, width = key_scales.shape[0], codes.shape[0]
    exact = sums.dtype.type
    scores = np.zeros(TILE, np.float32)
    lanes = np.empty(LANES, np.float32)
    for t in range(count):
        dot = exact(0)
        for d in range(width):
            dot += exact(codes[d]) * exact(keys[t, d])
        scores[t] = mul(mul(np.float32(dot), key_scales[t]), query_scale)
    if bias.along.shape[2]:
        add_bias(scores[:count], first, n, head, bias)
    cap_scores(scores, count, scoring)
    shrink = _softmax_tile(scores, count, state, lanes)
    largest = WEIGHT_FLOOR
    for t in range(count):
        scores[t] = mul(scores[t], value_scales[t])
        largest = max(largest, scores[t])
    to_code = mul(WEIGHT_MAX, reciprocal(largest))
    sums[:] = 0
    for t in range(count):
        weight = exact(np.rint(mul(scores[t], to_code)))
        for d in range(width):
            sums[d] += weight * exact(values[t, d])
    step = mul(largest, WEIGHT_STEP)
    for d in range(width):
        out[d] = add(mul(out[d], shrink), mul(np.float32(sums[d]), step))


@njit
def _pairs(
    queries: np.ndarray, cache: PackedArrays, bias: BiasScores, start: int, window: int,
    scoring: Scoring,
    no_sums: np.ndarray, out: np.ndarray, begin: int, end: int,
) -> None:
    """The (token, KV head) pairs ``begin`` to ``end - 1``, each for all its query heads.

    ``no_sums`` is empty; its type is that of the exact sums.
    """
    packed_keys, key_scales, packed_values, value_scales, table = cache
    tokens, heads, width = queries.shape
    kv_heads = packed_keys.shape[0]
    share = heads // kv_heads
    keys = np.zeros((TILE, width), np.int32)
    values = np.zeros((TILE, width), np.int32)
    sums = np.empty(width, no_sums.dtype)
    codes = np.empty((share, width), np.int8)
    scales = np.empty(share, np.float32)
    state = np.empty((share, 2), np.float32)
    for pair in range(begin, end):
        n, kv = token_of(pair, tokens, kv_heads), pair % kv_heads
        for i in range(share):
            state[i, 0], state[i, 1] = begin_softmax(scoring, kv * share + i)
            absmax = quantize_activation(queries[n, kv * share + i], codes[i])
            scales[i] = mul(absmax, scoring.scale)
            out[n, kv * share + i] = np.float32(0.0)
        last = start + n
        seen = max(0, last - window + 1)
        for tile in range(seen // TILE * TILE, last + 1, TILE):
            first, stop = max(tile, seen), min(tile + TILE, last + 1)
            _decode(packed_keys[kv], first, stop, table, keys)
            _decode(packed_values[kv], first, stop, table, values)
            for i in range(share):
                _add_tile(
                    codes[i], scales[i], keys, key_scales[kv, first:stop], values,
                    value_scales[kv, first:stop], scoring, state[i], sums, out[n, kv * share + i],
                    first, n, kv * share + i, bias,
                )
        for i in range(share):
            row = out[n, kv * share + i]
            inverse = reciprocal(state[i, 1])
            for d in range(width):
                row[d] = mul(row[d], inverse)


def attend_packed(
    queries: np.ndarray, cache: PackedArrays, start: int, window: int,
    bias: BiasScores | None = None, scoring: Scoring | None = None,
) -> np.ndarray:
    """Causal attention over packed keys and values, else as ``attention.attend_int8``.

    Keys and values are uint8 [kv_heads, capacity, head_dim / 2], with an int32 table of 16, or
    [kv_heads, capacity, head_dim], with one of 256; scales float32 [kv_heads, capacity].
    """
    tokens = len(queries)
    kv_heads, table = cache[0].shape[0], cache[4]
    products = 2 * queries.size * min(start + tokens, window)
    chunks = chunks_for(tokens * kv_heads, products)
    no_sums = np.empty(0, np.int32 if len(table) == _NIBBLES else np.int64)
    out = np.empty_like(queries)
    bias = no_bias(queries) if bias is None else bias
    scoring = scoring or plain_scoring(queries.shape[2])
    operands = (queries, cache, bias, start, window, scoring, no_sums, out)
    over_range(_pairs, operands, tokens * kv_heads, chunks)
    return out
