"""``attention.attend_int8`` in AVX-512 VNNI: the same bits, from keys and values kept in tiles.

A head of a token goes through its tiles in passes, all scores first, so that no step waits for the
one before: the running maxima, weights and scales of all tiles are loops that vectorize, and only
the running sum and output go from tile to tile. ``attention`` is the definition.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import NamedTuple

import numpy as np

from ....numerics import (
    ATTENTION_TILE,
    LANES,
    WEIGHT_FLOOR,
    WEIGHT_MAX,
    WEIGHT_STEP,
    add,
    exp,
    mul,
    quantize_activation,
    reciprocal,
    sub,
)
from ....tools.compiled import njit
from ..elementwise import apply_rope
from ..ir.x86.attention import (
    HEAD_UNIT,
    KEY_OFFSET,
    VALUE_VECTOR,
    exp_tiles,
    score_tiles,
    weigh_tile,
)
from ..panel import aligned
from ..parallel_region import parallel_region
from ..threads import chunks_for, in_chunks
from .key_bias import BiasScores, add_bias, no_bias
from .portable import token_of
from .scoring import Scoring, begin_softmax, cap_scores, plain_scoring

__all__ = [
    "TiledCache",
    "append_and_attend_tiled",
    "attend_tiled",
    "store_tiled",
    "tiled_cache",
]

_TILE = ATTENTION_TILE
_QUADS = _TILE // 4
_PRODUCTS_PER_CHUNK = 1 << 18   # 10 us or more: keys and values come from memory
_KEY_OFFSETS = np.uint32(0x0101_0101 * KEY_OFFSET)   # of the four keys in a word, by their top bits
_LOWEST = np.float32(-np.inf)

# Each call counts references to its arrays, which for a short context would cost more than the
# arithmetic; inlined, LLVM sees that nothing needs counting.
_inlined = njit(forceinline=True)


class TiledCache(NamedTuple):
    """One layer's keys and values; a head's are bytes in the order of ``ir.x86.attention``.

    ``keys`` uint8 and ``values`` int8 [kv_heads, tiles, TILE * padded head_dim], the scales float32
    [kv_heads, tiles * TILE].
    """

    keys: np.ndarray
    key_scales: np.ndarray
    values: np.ndarray
    value_scales: np.ndarray


class _Scratch(NamedTuple):
    """Room for one head of one token, over all its tiles."""

    codes: np.ndarray     # int8 [padded head_dim]
    dots: np.ndarray      # int32 [tiles * TILE]
    scores: np.ndarray    # float32 [tiles * TILE]
    maxima: np.ndarray    # float32 [tiles]
    shrinks: np.ndarray   # float32 [tiles]
    steps: np.ndarray     # float32 [tiles]
    weights: np.ndarray   # uint8 [tiles, 2, TILE]
    sums: np.ndarray      # int32 [padded head_dim]
    lanes: np.ndarray     # float32 [LANES]


def tiled_cache(layers: int, kv_heads: int, capacity: int, head_dim: int) -> list[TiledCache]:
    """Empty caches, one to a layer, for at least ``capacity`` tokens."""
    tiles = -(-capacity // _TILE)
    nbytes = tiles * _TILE * (-(-head_dim // HEAD_UNIT) * HEAD_UNIT)
    heads = layers * kv_heads

    def zeros(dtype: type, width: int) -> np.ndarray:
        memory = aligned(heads * width * np.dtype(dtype).itemsize)
        memory[:] = 0
        return memory.view(dtype).reshape(layers, kv_heads, tiles, -1)

    keys, values = zeros(np.uint8, nbytes), zeros(np.int8, nbytes)
    scales = np.zeros((2, layers, kv_heads, tiles * _TILE), np.float32)
    return [
        TiledCache(keys[layer], scales[0, layer], values[layer], scales[1, layer])
        for layer in range(layers)
    ]


@njit
def store_tiled(
    keys: np.ndarray, values: np.ndarray, cache: TiledCache, start: int
) -> None:
    """Quantize and keep float32 ``keys`` and ``values`` [N, kv_heads, head_dim] from ``start`` on.

    A scale per head and token, as in ``attention.store_int8``.
    """
    N, heads, width = keys.shape
    codes = np.zeros(-(-width // 4) * 4, np.int8)
    words = codes.view(np.uint32)
    for n in range(N):
        tile, place = divmod(start + n, _TILE)
        quad, byte = divmod(place, 4)
        for head in range(heads):
            cache.key_scales[head, start + n] = quantize_activation(keys[n, head], codes[:width])
            target = cache.keys[head, tile].view(np.uint32)
            for word in range(words.shape[0]):
                target[word * _TILE + place] = words[word] ^ _KEY_OFFSETS
            row = codes[:width]
            cache.value_scales[head, start + n] = quantize_activation(values[n, head], row)
            stored = cache.values[head, tile]
            for d in range(width):
                stored[d // 16 * VALUE_VECTOR + 64 * quad + 4 * (d % 16) + byte] = codes[d]


@njit
def _scratch(tiles: int, padded: int) -> _Scratch:
    return _Scratch(
        np.zeros(padded, np.int8), aligned(4 * tiles * _TILE).view(np.int32),
        aligned(4 * tiles * _TILE).view(np.float32), np.empty(tiles, np.float32),
        np.empty(tiles, np.float32), np.empty(tiles, np.float32),
        np.empty((tiles, 2, _TILE), np.uint8), aligned(4 * padded).view(np.int32),
        np.empty(LANES, np.float32),
    )


@_inlined
def _score(
    query: np.ndarray, keys: np.ndarray, key_scales: np.ndarray, first: int, last: int,
    scoring: Scoring, scratch: _Scratch, n: int, head: int, bias: BiasScores,
) -> None:
    """Write ``scratch.scores`` of positions ``first`` to ``last``, and minus infinity after them.

    Scores begin with ``first``: a tile that is seen in part has its first seen token in lane 0.
    """
    codes, dots, scores = scratch.codes, scratch.dots, scratch.scores
    width = query.shape[0]
    scale = mul(quantize_activation(query, codes[:width]), scoring.scale)
    tile, skipped = divmod(first, _TILE)
    tiles = last // _TILE + 1 - tile
    score_tiles(
        keys[tile].ctypes.data, codes.ctypes.data, codes.shape[0] // HEAD_UNIT, tiles,
        dots.ctypes.data,
    )
    total = np.int32(0)
    for d in range(width):
        total += np.int32(codes[d])
    excess = np.int32(total * np.int32(KEY_OFFSET))
    seen = min(_TILE, last + 1 - tile * _TILE) - skipped   # of the first tile
    for t in range(seen):
        dot = np.float32(np.int32(dots[skipped + t] - excess))
        scores[t] = mul(mul(dot, key_scales[first + t]), scale)
    scores[seen:_TILE] = _LOWEST
    scales = key_scales[tile * _TILE:]
    for t in range(_TILE, tiles * _TILE):
        dot = np.float32(np.int32(dots[t] - excess))
        scores[t] = mul(mul(dot, scales[t]), scale)
    if bias.along.shape[2]:
        add_bias(scores[:seen], first, n, head, bias)
        if tiles > 1:
            rest = scores[_TILE:last + 1 - tile * _TILE]
            add_bias(rest, (tile + 1) * _TILE, n, head, bias)
    cap_scores(scores, seen, scoring)
    if tiles > 1:
        cap_scores(scores[_TILE:], (tiles - 1) * _TILE, scoring)
        scores[last + 1 - tile * _TILE:tiles * _TILE] = _LOWEST


@_inlined
def _add_tile(weights: np.ndarray, lanes: np.ndarray) -> np.float32:
    """``sum_lanes`` of float32 [TILE] weights, none of them negative."""
    for lane in range(LANES):
        lanes[lane] = add(weights[lane], weights[LANES + lane])
    for lane in range(8):
        lanes[lane] = add(lanes[lane], lanes[lane + 8])
    for lane in range(4):
        lanes[lane] = add(lanes[lane], lanes[lane + 4])
    return add(add(lanes[0], lanes[2]), add(lanes[1], lanes[3]))


@_inlined
def _softmax(
    tiles: int, values: int, before: tuple[np.float32, np.float32], scratch: _Scratch
) -> np.float32:
    """Turn scores into weights in place; write ``shrinks``; return the sum of all weights.

    ``values`` is the address of the first tile's, which will be needed next; ``before`` what
    ``begin_softmax`` gives.
    """
    scores, maxima, shrinks = scratch.scores, scratch.maxima, scratch.shrinks
    running, total = before
    for tile in range(tiles):
        highest = scores[tile * _TILE]
        for t in range(tile * _TILE, tile * _TILE + _TILE):
            highest = scores[t] if scores[t] > highest else highest
        highest = max(running, highest)
        maxima[tile] = highest
        shrinks[tile] = sub(running, highest)
        running = highest
    for tile in range(tiles):
        shrinks[tile] = exp(shrinks[tile])
    units = scratch.codes.shape[0] // HEAD_UNIT
    exp_tiles(scores.ctypes.data, maxima.ctypes.data, tiles, values, units)
    for tile in range(tiles):
        partial = _add_tile(scores[tile * _TILE:tile * _TILE + _TILE], scratch.lanes)
        total = add(mul(total, shrinks[tile]), partial)
    return total


@_inlined
def _to_bytes(
    tiles: int, value_scales: np.ndarray, first: int, scratch: _Scratch
) -> None:
    """Turn weights times ``value_scales`` into 15-bit integers, ``weights``, and write ``steps``.

    The bytes of the first tile stand where its tokens stand in the cache.
    """
    scores, steps, maxima = scratch.scores, scratch.steps, scratch.maxima
    tile, skipped = divmod(first, _TILE)
    for t in range(_TILE - skipped):
        scores[t] = mul(scores[t], value_scales[first + t])
    scales = value_scales[tile * _TILE:]
    for t in range(_TILE, tiles * _TILE):
        scores[t] = mul(scores[t], scales[t])
    for tile in range(tiles):
        largest = WEIGHT_FLOOR
        for t in range(tile * _TILE, tile * _TILE + _TILE):
            largest = scores[t] if scores[t] > largest else largest
        maxima[tile] = largest
    for tile in range(tiles):
        steps[tile] = mul(maxima[tile], WEIGHT_STEP)
        maxima[tile] = mul(WEIGHT_MAX, reciprocal(maxima[tile]))
    for tile in range(tiles):
        row, to_code = scores[tile * _TILE:tile * _TILE + _TILE], maxima[tile]
        low, high = scratch.weights[tile, 0], scratch.weights[tile, 1]
        for t in range(_TILE):
            code = np.int32(np.rint(mul(row[t], to_code)))
            low[t] = np.uint8(code & 255)
            high[t] = np.uint8(code >> 8)
    if skipped:
        for half in range(2):
            row = scratch.weights[0, half]
            for t in range(_TILE - 1, skipped - 1, -1):
                row[t] = row[t - skipped]
            row[:skipped] = 0


@_inlined
def _attend_head(
    query: np.ndarray, keys: np.ndarray, key_scales: np.ndarray,
    values: np.ndarray, value_scales: np.ndarray, first: int, last: int, scoring: Scoring,
    scratch: _Scratch, out: np.ndarray, n: int, head: int, bias: BiasScores,
) -> None:
    """Head ``head`` of token ``n`` over positions ``first`` to ``last``; writes ``out``."""
    begin = first // _TILE
    tiles = last // _TILE + 1 - begin
    _score(query, keys, key_scales, first, last, scoring, scratch, n, head, bias)
    before = begin_softmax(scoring, head)
    total = _softmax(tiles, values[begin].ctypes.data, before, scratch)
    _to_bytes(tiles, value_scales, first, scratch)
    sums, weights = scratch.sums, scratch.weights
    out[:] = np.float32(0.0)
    for tile in range(tiles):
        weigh_tile(
            values[begin + tile].ctypes.data, weights[tile].ctypes.data,
            sums.shape[0] // HEAD_UNIT, sums.ctypes.data,
        )
        shrink, step = scratch.shrinks[tile], scratch.steps[tile]
        for d in range(out.shape[0]):
            out[d] = add(mul(out[d], shrink), mul(np.float32(sums[d]), step))
    inverse = reciprocal(total)
    for d in range(out.shape[0]):
        out[d] = mul(out[d], inverse)


@njit
def _attend_pairs(
    queries: np.ndarray, cache: TiledCache, bias: BiasScores, start: int, window: int,
    scoring: Scoring,
    out: np.ndarray, begin: int, end: int,
) -> None:
    """The (token, head) pairs ``begin`` to ``end - 1``."""
    tokens, heads = queries.shape[:2]
    longest = min(start + tokens, window + _TILE)
    scratch = _scratch(longest // _TILE + 1, cache.keys.shape[2] // _TILE)
    for pair in range(begin, end):
        n, head = token_of(pair, tokens, heads), pair % heads
        kv = head // (heads // cache.keys.shape[0])
        _attend_head(
            queries[n, head], cache.keys[kv], cache.key_scales[kv], cache.values[kv],
            cache.value_scales[kv], max(0, start + n - window + 1), start + n, scoring, scratch,
            out[n, head], n, head, bias,
        )


_attend_in_chunks = in_chunks(_attend_pairs)


def attend_tiled(
    queries: np.ndarray, cache: TiledCache, start: int, window: int,
    bias: BiasScores | None = None, scoring: Scoring | None = None,
) -> np.ndarray:
    """``attention.attend_int8`` of float32 ``queries`` [N, heads, head_dim], bit for bit."""
    bias = no_bias(queries) if bias is None else bias
    chunks = _chunks(queries, start, window)
    with parallel_region() if chunks > 1 else nullcontext():
        scoring = scoring or plain_scoring(queries.shape[2])
        return _attend(queries, cache, bias, start, window, scoring, chunks)


@njit
def _attend(
    queries: np.ndarray, cache: TiledCache, bias: BiasScores, start: int, window: int,
    scoring: Scoring, chunks: int,
) -> np.ndarray:
    out = np.empty_like(queries)
    pairs = queries.shape[0] * queries.shape[1]
    if chunks > 1:
        _attend_in_chunks(queries, cache, bias, start, window, scoring, out, pairs, chunks)
    else:
        _attend_pairs(queries, cache, bias, start, window, scoring, out, 0, pairs)
    return out


@njit
def _append_and_attend(
    queries: np.ndarray, keys: np.ndarray, values: np.ndarray, cosine: np.ndarray,
    sine: np.ndarray, cache: TiledCache, bias: BiasScores, start: int, window: int,
    scoring: Scoring, chunks: int,
) -> np.ndarray:
    apply_rope(queries, cosine, sine)
    apply_rope(keys, cosine, sine)
    store_tiled(keys, values, cache, start)
    return _attend(queries, cache, bias, start, window, scoring, chunks)


def append_and_attend_tiled(
    queries: np.ndarray, keys: np.ndarray, values: np.ndarray, cosine: np.ndarray,
    sine: np.ndarray, cache: TiledCache, start: int, window: int,
    scoring: Scoring | None = None,
) -> np.ndarray:
    """Rotary embedding of ``queries`` and ``keys`` in place, ``store_tiled``, ``attend_tiled``."""
    chunks = _chunks(queries, start, window)
    with parallel_region() if chunks > 1 else nullcontext():
        scoring = scoring or plain_scoring(queries.shape[2])
        return _append_and_attend(
            queries, keys, values, cosine, sine, cache, no_bias(queries), start, window, scoring,
            chunks,
        )


def _chunks(queries: np.ndarray, start: int, window: int) -> int:
    """Into how many threads to split the attention."""
    tokens, heads, _ = queries.shape
    products = 2 * queries.size * min(start + tokens, window)
    return chunks_for(tokens * heads, products, _PRODUCTS_PER_CHUNK)
