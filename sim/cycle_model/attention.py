"""Attention over the cache: from passes to rows of results, as ``hw.attention``."""

from __future__ import annotations

import numpy as np

from ...tools.compiled import njit
from . import registers as r
from . import streams as q
from .port import ask, can_ask, take_word
from .queues import can_take, first, has_room, pack, put, take, unpack
from .rows import can_code, code, has_beat, meets, note_end, sink, step_quantizer, take_beat

__all__ = ["attend", "drive_attend"]

_A = 0
# Columns of a pass, and of a tile.
_POSITION, _LAST_POSITION, _QUERIES, _GROUP, _BASE = range(r.PASS_FIELDS)
_REMAINING, _OF_PASS, _LAST, _ROWS, _WORD = range(r.CACHE_TILE_FIELDS)


@njit
def _pass(number: int) -> int:
    """Where a pass is kept."""
    return r.PASS + r.PASS_FIELDS * (number % r.RING)


@njit
def _tile(number: int) -> int:
    """Where a tile of the cache is kept."""
    return r.CACHE_TILE_AT + r.CACHE_TILE_FIELDS * (number % r.RING)


@njit
def drive_attend(m: np.ndarray, now: int) -> None:
    """Heads and tokens into passes: as ``fpga.attend_driver``."""
    decodes = m[r.TOKENS] == 1
    if m[r.WALK] == 0:
        m[r.KV], m[r.MEMBER], m[r.TOKEN], m[r.HEAD_AT] = 0, 0, 0, m[r.D_C]
        m[r.SOURCE], m[r.SOURCE_HEAD] = m[r.D_A], m[r.D_A]
        m[r.OUT], m[r.OUT_HEAD] = m[r.D_D], m[r.D_D]
        m[r.WALK] = 1
    elif m[r.WALK] == 1:
        waiting = m[r.D_GROUP] - m[r.MEMBER] if decodes else m[r.TOKENS] - m[r.TOKEN]
        m[r.COUNT] = min(m[r.QUERIES], waiting)
        if has_room(m, q.PASSES):
            new = _pass(m[r.PASSES])
            m[new + _POSITION] = m[r.POSITION] + m[r.TOKEN]
            m[new + _LAST_POSITION] = m[new + _POSITION] + (0 if decodes else m[r.COUNT] - 1)
            m[new + _QUERIES] = m[r.COUNT]
            m[new + _GROUP] = m[r.COUNT] if decodes else 1
            m[new + _BASE] = m[r.HEAD_AT]
            put(m, q.PASSES, now + 1, m[r.PASSES])
            m[r.PASSES] += 1
            m[r.LEFT] = m[r.COUNT]
            m[r.WALK] = 2
    elif m[r.WALK] == 2:
        if has_room(m, q.A_ROWS) and has_room(m, q.SINK_ROWS):
            beats = m[r.D_HEAD_WORDS] * m[r.WORD_BEATS]
            put(m, q.A_ROWS, now + 1, pack(m[r.SOURCE], beats))
            put(m, q.SINK_ROWS, now + 1, pack(m[r.OUT], beats))
            m[r.PENDING] += 1
            m[r.SOURCE] += m[r.D_HEAD_WORDS] if decodes else m[r.D_A_STRIDE]
            m[r.OUT] += m[r.D_HEAD_WORDS] if decodes else m[r.D_D_STRIDE]
            if decodes:
                m[r.MEMBER] += 1
            else:
                m[r.TOKEN] += 1
            m[r.LEFT] -= 1
            if m[r.LEFT] == 0:
                m[r.WALK] = 3
    elif m[r.WALK] == 3:
        m[r.WALK] = 1
        if decodes:
            m[r.WALK] = 4
        elif m[r.TOKEN] == m[r.TOKENS]:
            m[r.TOKEN] = 0
            m[r.MEMBER] += 1
            m[r.SOURCE_HEAD] += m[r.D_HEAD_WORDS]
            m[r.OUT_HEAD] += m[r.D_HEAD_WORDS]
            m[r.SOURCE], m[r.OUT] = m[r.SOURCE_HEAD], m[r.OUT_HEAD]
            m[r.WALK] = 4
    elif m[r.WALK] == 4:
        m[r.WALK] = 1
        if m[r.MEMBER] == m[r.D_GROUP]:
            m[r.MEMBER] = 0
            m[r.KV] += 1
            m[r.HEAD_AT] += m[r.D_REGION]
            if m[r.KV] == m[r.D_HEADS]:
                m[r.WALK] = 5
                m[r.WALKED] = 1


@njit
def attend(m: np.ndarray, now: int) -> None:
    """One cycle of the units of an ATTEND, from the results back to the queries."""
    sink(m, q.ATTENDED, now)
    _put_out(m, now)
    _write_weights(m, now)
    _quantize_weights(m, now)
    _weigh(m, now)
    _score(m, now)
    _take_words(m, now)
    _walk(m, now)
    _load(m, now)
    beats = m[r.D_HEAD_WORDS] * m[r.WORD_BEATS]
    step_quantizer(m, beats, now)
    if has_beat(m, _A, now) and can_code(m, beats, now):
        take_beat(m, _A)
        code(m, beats, now)


@njit
def _load(m: np.ndarray, now: int) -> None:
    """A pass's queries into the lanes: as ``query_loader``."""
    if can_take(m, q.PASSES, now) and has_room(m, q.WALKS) and has_room(m, q.LOADS):
        number = take(m, q.PASSES)
        put(m, q.WALKS, now + 1, number)
        put(m, q.LOADS, now + 1, number)
        return
    if not can_take(m, q.LOADS, now) or m[r.LOADED + m[r.LOAD_BANK]] == 1:
        return
    queries = m[_pass(first(m, q.LOADS)) + _QUERIES]
    if m[r.LOAD_LANE] == queries:
        take(m, q.LOADS)
        m[r.LOADED + m[r.LOAD_BANK]] = 1
        m[r.PASSES_LOADED] += 1
        m[r.LOAD_BANK] = 1 - m[r.LOAD_BANK]
        m[r.LOAD_LANE], m[r.LOAD_SCALES] = 0, 0
        return
    if can_take(m, q.CODES, now) and take(m, q.CODES) == 1:
        m[r.LOAD_LANE] += 1
    if m[r.LOAD_SCALES] < queries and can_take(m, q.SCALES, now):
        take(m, q.SCALES)
        m[r.LOAD_SCALES] += 1


@njit
def _walk(m: np.ndarray, now: int) -> None:
    """Keys of the next tile, then values of some tiles before: as ``tile_walker``."""
    if can_take(m, q.CACHE_REQUESTS, now) and can_ask(m, q.CACHE_WORDS, now):
        word, words = unpack(take(m, q.CACHE_REQUESTS))
        ask(m, q.CACHE_WORDS, word, words, now)
    chunks = m[r.D_CHUNKS]
    free = has_room(m, q.CACHE_REQUESTS) and has_room(m, q.CACHE_BLOCKS)
    waiting = m[r.TILES] - m[r.VALUES_ASKED]
    full = waiting == m[r.TILES_AHEAD] + 1
    ask_keys = free and m[r.WALKING] == 1 and not full
    ask_values = free and waiting > 0 and (full or m[r.WALKING] == 0)
    if m[r.WALKING] == 0 and can_take(m, q.WALKS, now):
        m[r.WALK_PASS] = take(m, q.WALKS)
        of = _pass(m[r.WALK_PASS])
        m[r.WALKING], m[r.WALK_WORD] = 1, m[of + _BASE]
        m[r.WALK_LEFT], m[r.WALK_REMAINING] = m[of + _LAST_POSITION] + 1, m[of + _POSITION] + 1
    if ask_keys:
        tile = _tile(m[r.TILES])
        last = m[r.WALK_LEFT] <= m[r.CACHE_TILE]
        rows = -(-m[r.WALK_LEFT] // m[r.WORD_TOKENS]) if last else m[r.CACHE_ROWS]
        m[tile + _REMAINING], m[tile + _OF_PASS] = m[r.WALK_REMAINING], m[r.WALK_PASS]
        m[tile + _LAST], m[tile + _ROWS] = int(last), rows
        m[tile + _WORD] = m[r.WALK_WORD] + 2 * m[r.SCALE_WORDS] + m[r.CACHE_ROWS] * chunks
        words = 2 * m[r.SCALE_WORDS] + rows * chunks
        put(m, q.CACHE_REQUESTS, now + 1, pack(m[r.WALK_WORD], words))
        put(m, q.CACHE_BLOCKS, now + 1, 2 * m[r.TILES])
        m[r.TILES] += 1
        m[r.WALK_WORD] += 2 * (m[r.SCALE_WORDS] + m[r.CACHE_ROWS] * chunks)
        m[r.WALK_REMAINING] -= m[r.CACHE_TILE]
        m[r.WALK_LEFT] -= m[r.CACHE_TILE]
        if last:
            m[r.WALKING] = 0
    elif ask_values:
        number = m[r.VALUES_ASKED]
        tile = _tile(number)
        put(m, q.CACHE_REQUESTS, now + 1, pack(m[tile + _WORD], m[tile + _ROWS] * chunks))
        put(m, q.CACHE_BLOCKS, now + 1, 2 * number + 1)
        m[r.VALUES_ASKED] += 1


@njit
def _take_words(m: np.ndarray, now: int) -> None:
    """Words of keys when their queries are there, of values when their weights are: ``words``."""
    if not can_take(m, q.CACHE_BLOCKS, now):
        return
    block = first(m, q.CACHE_BLOCKS)
    tile = _tile(block // 2)
    values = block % 2 == 1
    if m[r.BEGUN] == 0:
        if values:
            if m[r.WEIGHED_BEFORE] > 0 and m[r.UNUSED] < 2:
                m[r.BEGUN] = 1
                m[r.WEIGHED] -= 1
                m[r.UNUSED] += 1
        elif m[tile + _REMAINING] != m[_pass(m[tile + _OF_PASS]) + _POSITION] + 1:
            m[r.BEGUN] = 1
        elif m[r.PASSES_LOADED] > 0:
            m[r.BEGUN] = 1
            m[r.PASSES_LOADED] -= 1
        if m[r.BEGUN] == 0 or m[r.BLOCK_WAIT] == 1:
            return
    if not can_take(m, q.CACHE_WORDS, now):
        return
    take_word(m, q.CACHE_WORDS)
    m[r.N_ATTENTION_WORDS] += 1
    m[r.BLOCK_WORD] += 1
    words = m[tile + _ROWS] * m[r.D_CHUNKS] + (0 if values else 2 * m[r.SCALE_WORDS])
    if m[r.BLOCK_WORD] == words:
        m[r.BLOCK_WORD], m[r.BEGUN] = 0, 0
        take(m, q.CACHE_BLOCKS)
        if values:
            put(m, q.SUMMED, now + m[r.SUM_LATENCY], 0)
        else:
            put(m, q.SCORED_TILES, now + m[r.DOT_LATENCY] + 1, block // 2)


@njit
def _has_room_for_job(m: np.ndarray) -> bool:
    """All four readers of jobs take one more."""
    return (has_room(m, q.JOBS_SUMMED) and has_room(m, q.JOBS_WEIGHED)
            and has_room(m, q.JOBS_WRITTEN) and has_room(m, q.JOBS_PUT_OUT))


@njit
def _score(m: np.ndarray, now: int) -> None:
    """A query of a tile after the other, a token per cycle: as ``scores``."""
    if not can_take(m, q.SCORED_TILES, now):
        return
    tile = _tile(first(m, q.SCORED_TILES))
    of = _pass(m[tile + _OF_PASS])
    left = m[tile + _REMAINING] + m[r.SCORE_LANE] // m[of + _GROUP]
    ends = False
    if m[r.COUNTED] == 0:
        m[r.SCORE_COUNT] = min(max(left, 0), m[r.CACHE_TILE])
        m[r.COUNTED] = 1
    elif m[r.SCORE_RUNS] == 0:
        if m[r.SCORE_COUNT] == 0:
            ends = True
        elif has_room(m, q.MAXIMA) and _has_room_for_job(m):
            job = 2 * int(left <= m[r.CACHE_TILE]) + int(m[r.SCORE_LANE] + 1 == m[of + _QUERIES])
            for reader in range(q.JOBS_SUMMED, q.JOBS_PUT_OUT + 1):
                put(m, reader, now + 1, job)
            m[r.SCORE_RUNS] = 1
    elif has_room(m, q.SCORES):
        m[r.SCORE_TOKEN] += 1
        ends = m[r.SCORE_TOKEN] == m[r.SCORE_COUNT]
        put(m, q.SCORES, now + m[r.SCORE_LATENCY] + 1, int(ends))
        if ends:
            put(m, q.MAXIMA, now + m[r.SCORE_LATENCY] + 2, 0)
    if ends:
        m[r.COUNTED], m[r.SCORE_RUNS], m[r.SCORE_TOKEN] = 0, 0, 0
        m[r.SCORE_LANE] += 1
        if m[r.SCORE_LANE] == m[of + _QUERIES]:
            m[r.SCORE_LANE] = 0
            take(m, q.SCORED_TILES)
            if m[tile + _LAST] == 1:
                m[r.LOADED + m[r.OLDEST_BANK]] = 0
                m[r.OLDEST_BANK] = 1 - m[r.OLDEST_BANK]


@njit
def _weigh(m: np.ndarray, now: int) -> None:
    """Exponentials, the sum of each row, and weights: ``exponentials``, ``softmax_sums``."""
    if can_take(m, q.ROW_SUMS, now) and can_take(m, q.SHRINKS, now):
        take(m, q.ROW_SUMS)
        take(m, q.SHRINKS)
        take(m, q.JOBS_SUMMED)
    if can_take(m, q.EXPONENTIALS, now):
        last = first(m, q.EXPONENTIALS) == 1
        summable = not last or (has_room(m, q.ROW_FACTORS) and m[r.LANE_SUM_IDLE_AT] <= now)
        if summable and can_take(m, q.JOBS_WEIGHED, now) and has_room(m, q.SCALED):
            take(m, q.EXPONENTIALS)
            put(m, q.SCALED, now + m[r.WEIGH_LATENCY] + 1, int(last))
            if last:
                take(m, q.JOBS_WEIGHED)
                put(m, q.ROW_SUMS, now + m[r.ROW_SUM_LATENCY], 0)
                put(m, q.ROW_FACTORS, now + m[r.FOLD_LATENCY] + 1, 0)
                m[r.LANE_SUM_IDLE_AT] = now + m[r.ROW_SUM_LATENCY] + 1
    if can_take(m, q.MAXIMA, now):
        if m[r.SHRUNK] == 0:
            if has_room(m, q.SHRINKS):
                put(m, q.SHRINKS, now + m[r.EXPONENTIAL_LATENCY] + 1, 0)
                m[r.SHRUNK] = 1
        elif can_take(m, q.SCORES, now) and has_room(m, q.EXPONENTIALS):
            last = take(m, q.SCORES)
            put(m, q.EXPONENTIALS, now + m[r.EXPONENTIAL_LATENCY] + 1, last)
            if last == 1:
                take(m, q.MAXIMA)
                m[r.SHRUNK] = 0


@njit
def _quantize_weights(m: np.ndarray, now: int) -> None:
    """A row of weights to int16: the quantizer of ``softmax_weights``, one weight per beat."""
    if can_take(m, q.WEIGHT_ROW, now) and can_take(m, q.WEIGHT_INVERSES, now) and has_room(
            m, q.WEIGHT_CODES):
        last = take(m, q.WEIGHT_ROW)
        put(m, q.WEIGHT_CODES, now + m[r.CODE_LATENCY] + 1, last)
        if last == 1:
            take(m, q.WEIGHT_INVERSES)
    if can_take(m, q.SCALED, now) and has_room(m, q.WEIGHT_ROW):
        last = first(m, q.SCALED)
        if last == 0 or (has_room(m, q.WEIGHT_INVERSES) and has_room(m, q.WEIGHT_STEPS)
                         and not meets(m, r.CODED_WEIGHTS, now)):
            take(m, q.SCALED)
            put(m, q.WEIGHT_ROW, now + 2, last)
            if last == 1:
                note_end(m, r.CODED_WEIGHTS, now)
                put(m, q.WEIGHT_INVERSES, now + m[r.WEIGHT_LARGEST_LATENCY] + 1, 0)
                put(m, q.WEIGHT_STEPS, now + m[r.WEIGHT_LARGEST_LATENCY] + 1, 0)
    if can_take(m, q.WEIGHT_STEPS, now) and has_room(m, q.STEPS):
        take(m, q.WEIGHT_STEPS)
        put(m, q.STEPS, now + 1, 0)


@njit
def _write_weights(m: np.ndarray, now: int) -> None:
    """Weights into the lanes; with the last query's last one the tile is weighed."""
    m[r.WEIGHED_BEFORE] = m[r.WEIGHED]
    if (can_take(m, q.WEIGHT_CODES, now) and can_take(m, q.JOBS_WRITTEN, now)
            and take(m, q.WEIGHT_CODES) == 1 and take(m, q.JOBS_WRITTEN) % 2 == 1):
        m[r.WEIGHED] += 1


@njit
def _put_out(m: np.ndarray, now: int) -> None:
    """``lanes`` elements per cycle; a job waits for the results of the one before: ``outputs``."""
    if not (can_take(m, q.JOBS_PUT_OUT, now) and can_take(m, q.ROW_FACTORS, now)
            and can_take(m, q.STEPS, now) and can_take(m, q.SUMMED, now)
            and m[r.KEEPING_UNTIL] <= now):
        return
    job = first(m, q.JOBS_PUT_OUT)
    last = job >= 2
    if last and not has_room(m, q.ATTENDED):
        return
    if last:
        put(m, q.ATTENDED, now + m[r.OUTPUT_LATENCY] + 1, 0)
    m[r.OUTPUT_BEAT] += 1
    if m[r.OUTPUT_BEAT] == m[r.D_CHUNKS] * m[r.CHUNK_BEATS]:
        m[r.OUTPUT_BEAT] = 0
        m[r.KEEPING_UNTIL] = now + m[r.KEEP_LATENCY] + 1
        take(m, q.JOBS_PUT_OUT)
        take(m, q.ROW_FACTORS)
        take(m, q.STEPS)
        if job % 2 == 1:
            take(m, q.SUMMED)
            m[r.UNUSED] -= 1
