"""Causal attention with a one-pass softmax, tile by tile, as the hardware does it.

The tokens of the context are taken in tiles of ``TILE`` (aligned to position 0). Per tile: scores,
the running maximum m, ``p = exp(score - m)``, the running sum l and the running output o, both
rescaled by ``exp(m_old - m)`` when the maximum grows (online softmax: Milakov and Gimelshein 2018,
arXiv 1805.02867; FlashAttention, arXiv 2205.14135). A token gets the same result whether it comes
in a prefill or in a decode step, because both run this code on the same tiles.

int8: q, k and v are int8 with a scale per head and token, so QK is an exact integer. For PV the
tile's weights ``p * v_scale`` are rounded to int16 with one scale per tile (absmax / 32767), which
makes PV an exact integer too, at an error below 2e-5 of the largest weight.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ....numerics import (
    ATTENTION_TILE,
    LANES,
    WEIGHT_FLOOR,
    WEIGHT_MAX,
    WEIGHT_STEP,
    add,
    add_lanes,
    exp,
    mul,
    quantize_activation,
    reciprocal,
    sub,
)
from ....tools.compiled import njit
from ..threads import chunks_for, over_range
from .key_bias import BiasScores, add_bias, no_bias
from .scoring import Scoring, begin_softmax, cap_scores, plain_scoring

__all__ = ["TILE", "attend_float32", "attend_int8", "store_int8", "token_of"]

TILE = ATTENTION_TILE

# Keys, their scales, values, their scales, and the fields of ``BiasScores``, as threads take no
# tuple in a tuple; keys and values. As ``attend_int8`` describes them.
Int8Arrays = tuple[
    np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray
]
Float32Arrays = tuple[np.ndarray, np.ndarray]


@njit
def store_int8(x: np.ndarray, cache: np.ndarray, scales: np.ndarray, start: int) -> None:
    """Quantize float32 ``x`` [N, heads, head_dim] into ``cache`` int8 [heads, capacity, head_dim].

    ``scales`` float32 [heads, capacity] receives one scale per head and token.
    """
    for n in range(x.shape[0]):
        for head in range(x.shape[1]):
            scales[head, start + n] = quantize_activation(x[n, head], cache[head, start + n])


@njit
def _sum_tile(weights: np.ndarray, lanes: np.ndarray) -> np.float32:
    """``sum_lanes`` of [TILE] weights, none of them negative; ``lanes`` [LANES] is scratch."""
    for lane in range(LANES):
        lanes[lane] = weights[lane]
    for first in range(LANES, TILE, LANES):
        for lane in range(LANES):
            lanes[lane] = add(lanes[lane], weights[first + lane])
    return add_lanes(lanes)


@njit
def _softmax_tile(
    scores: np.ndarray, count: int, state: np.ndarray, lanes: np.ndarray
) -> np.float32:
    """Turn ``count`` scores into weights in place and update ``state`` = (maximum, sum).

    Returns the factor by which everything accumulated so far shrinks. ``scores`` [TILE] beyond
    ``count`` becomes zero, so that the sum's lane order does not depend on ``count``.
    """
    maximum = state[0]
    for t in range(count):
        maximum = max(maximum, scores[t])
    shrink = exp(sub(state[0], maximum))
    for t in range(count):
        scores[t] = exp(sub(scores[t], maximum))
    scores[count:] = np.float32(0.0)
    state[0] = maximum
    state[1] = add(mul(state[1], shrink), _sum_tile(scores, lanes))
    return shrink


@njit
def _weigh(weights: np.ndarray, values: np.ndarray, sums: np.ndarray) -> None:
    """Write int32 ``sums`` [head_dim] = ``weights`` int32 [T] times ``values`` int8 [T, head_dim].

    Four tokens at a time: ``sums`` is read and written a quarter as often.
    """
    sums[:] = np.int32(0)
    whole = weights.shape[0] // 4 * 4
    for t in range(0, whole, 4):
        a, b, c, d = weights[t], weights[t + 1], weights[t + 2], weights[t + 3]
        for i in range(sums.shape[0]):
            first = np.int32(a * np.int32(values[t, i])) + np.int32(b * np.int32(values[t + 1, i]))
            other = np.int32(c * np.int32(values[t + 2, i])) + np.int32(
                d * np.int32(values[t + 3, i])
            )
            sums[i] += np.int32(first) + np.int32(other)
    for t in range(whole, weights.shape[0]):
        for i in range(sums.shape[0]):
            sums[i] += np.int32(weights[t] * np.int32(values[t, i]))


@njit
def _attend_one_int8(
    query: np.ndarray, keys: np.ndarray, key_scales: np.ndarray,
    values: np.ndarray, value_scales: np.ndarray, first: int, last: int, scoring: Scoring,
    out: np.ndarray, n: int, head: int, bias: BiasScores,
) -> None:
    """Head ``head`` of token ``n`` over positions ``first`` to ``last``; writes ``out``."""
    width = query.shape[0]
    codes = np.empty(width, np.int8)
    scale = mul(quantize_activation(query, codes), scoring.scale)
    scores = np.zeros(TILE, np.float32)
    weights = np.empty(TILE, np.int32)
    lanes = np.empty(LANES, np.float32)
    sums = np.empty(width, np.int32)
    state = np.empty(2, np.float32)
    state[0], state[1] = begin_softmax(scoring, head)
    out[:] = np.float32(0.0)
    for tile in range(first // TILE * TILE, last + 1, TILE):
        begin, end = max(tile, first), min(tile + TILE, last + 1)
        for t in range(begin, end):
            dot = np.int32(0)
            for d in range(width):
                dot += np.int32(codes[d]) * np.int32(keys[t, d])
            scores[t - begin] = mul(mul(np.float32(dot), key_scales[t]), scale)
        if bias.along.shape[2]:
            add_bias(scores[:end - begin], begin, n, head, bias)
        cap_scores(scores, end - begin, scoring)
        shrink = _softmax_tile(scores, end - begin, state, lanes)
        largest = WEIGHT_FLOOR
        for t in range(begin, end):
            scores[t - begin] = mul(scores[t - begin], value_scales[t])
            largest = max(largest, scores[t - begin])
        to_code = mul(WEIGHT_MAX, reciprocal(largest))
        for t in range(end - begin):
            weights[t] = np.int32(np.rint(mul(scores[t], to_code)))
        _weigh(weights[:end - begin], values[begin:end], sums)
        step = mul(largest, WEIGHT_STEP)
        for d in range(width):
            out[d] = add(mul(out[d], shrink), mul(np.float32(sums[d]), step))
    inverse = reciprocal(state[1])
    for d in range(width):
        out[d] = mul(out[d], inverse)


@njit
def _dot_lanes(a: np.ndarray, b: np.ndarray, lanes: np.ndarray) -> np.float32:
    """Float32 dot product in the order of ``numerics.sum_lanes``; ``lanes`` [LANES] is scratch."""
    lanes[:] = np.float32(0.0)
    whole = a.shape[0] // LANES * LANES
    for start in range(0, whole, LANES):
        for lane in range(LANES):
            lanes[lane] = add(lanes[lane], mul(a[start + lane], b[start + lane]))
    for lane in range(a.shape[0] - whole):
        lanes[lane] = add(lanes[lane], mul(a[whole + lane], b[whole + lane]))
    return add_lanes(lanes)


@njit
def _attend_one_float32(
    query: np.ndarray, keys: np.ndarray, values: np.ndarray, first: int, last: int,
    scoring: Scoring, head: int, out: np.ndarray,
) -> None:
    """One head of one token over positions ``first`` to ``last``; writes ``out`` [head_dim]."""
    width = query.shape[0]
    scores = np.zeros(TILE, np.float32)
    lanes = np.empty(LANES, np.float32)
    state = np.empty(2, np.float32)
    state[0], state[1] = begin_softmax(scoring, head)
    out[:] = np.float32(0.0)
    for tile in range(first // TILE * TILE, last + 1, TILE):
        begin, end = max(tile, first), min(tile + TILE, last + 1)
        for t in range(begin, end):
            scores[t - begin] = mul(_dot_lanes(query, keys[t], lanes), scoring.scale)
        cap_scores(scores, end - begin, scoring)
        shrink = _softmax_tile(scores, end - begin, state, lanes)
        for d in range(width):
            out[d] = mul(out[d], shrink)
        for t in range(begin, end):
            for d in range(width):
                out[d] = add(out[d], mul(scores[t - begin], values[t, d]))
    inverse = reciprocal(state[1])
    for d in range(width):
        out[d] = mul(out[d], inverse)


@njit
def token_of(pair: int, tokens: int, heads: int) -> int:
    """Token of a (token, head) pair: late tokens cost more, so they come from both ends in turn."""
    index = pair // heads
    return index // 2 if index % 2 == 0 else tokens - 1 - index // 2


@njit
def _pairs_int8(
    queries: np.ndarray, cache: Int8Arrays, start: int, window: int, scoring: Scoring,
    out: np.ndarray, begin: int, end: int,
) -> None:
    """The (token, head) pairs ``begin`` to ``end - 1``."""
    keys, key_scales, values, value_scales, along, across, cosine, sine = cache
    bias = BiasScores(along, across, cosine, sine)
    tokens, heads = queries.shape[:2]
    for pair in range(begin, end):
        n, head = token_of(pair, tokens, heads), pair % heads
        kv = head // (heads // keys.shape[0])
        _attend_one_int8(
            queries[n, head], keys[kv], key_scales[kv], values[kv], value_scales[kv],
            max(0, start + n - window + 1), start + n, scoring, out[n, head], n, head, bias,
        )


@njit
def _pairs_float32(
    queries: np.ndarray, cache: Float32Arrays, start: int, window: int, scoring: Scoring,
    out: np.ndarray, begin: int, end: int,
) -> None:
    """The (token, head) pairs ``begin`` to ``end - 1``."""
    keys, values = cache
    tokens, heads = queries.shape[:2]
    for pair in range(begin, end):
        n, head = token_of(pair, tokens, heads), pair % heads
        kv = head // (heads // keys.shape[0])
        _attend_one_float32(
            queries[n, head], keys[kv], values[kv],
            max(0, start + n - window + 1), start + n, scoring, head, out[n, head],
        )


def _attend(
    serial: Callable[..., None], queries: np.ndarray, cache: Int8Arrays | Float32Arrays,
    start: int, window: int, scoring: Scoring | None,
) -> np.ndarray:
    """Run a kernel over all pairs, in as many threads as the work is worth."""
    out = np.empty_like(queries)
    tokens, heads, _ = queries.shape
    products = 2 * queries.size * min(start + tokens, window)
    chunks = chunks_for(tokens * heads, products)
    scoring = scoring or plain_scoring(queries.shape[2])
    over_range(serial, (queries, cache, start, window, scoring, out), tokens * heads, chunks)
    return out


def attend_int8(
    queries: np.ndarray, keys: np.ndarray, key_scales: np.ndarray,
    values: np.ndarray, value_scales: np.ndarray, start: int, window: int,
    bias: BiasScores | None = None, scoring: Scoring | None = None,
) -> np.ndarray:
    """Causal attention over an int8 cache.

    ``queries`` float32 [N, heads, head_dim] of positions ``start`` to ``start + N - 1``; ``keys``
    and ``values`` int8 [kv_heads, capacity, head_dim] already hold those positions; scales float32
    [kv_heads, capacity]. Token at position p sees positions ``max(0, p - window + 1)`` to p. Query
    head h reads KV head ``h // (heads / kv_heads)``; ``bias`` adds to the scores what the keys
    lack. Without ``scoring``, scores are divided by sqrt(head_dim). Returns float32
    [N, heads, head_dim].
    """
    bias = no_bias(queries) if bias is None else bias
    cache = (keys, key_scales, values, value_scales, *bias)
    return _attend(_pairs_int8, queries, cache, start, window, scoring)


def attend_float32(
    queries: np.ndarray, keys: np.ndarray, values: np.ndarray, start: int, window: int,
    scoring: Scoring | None = None,
) -> np.ndarray:
    """Causal attention over a float32 cache; shapes as in ``attend_int8``."""
    return _attend(_pairs_float32, queries, (keys, values), start, window, scoring)
