"""Attention over the cache: from passes to rows of results, as ``hw.attention``."""

from __future__ import annotations

import numpy as np

from ...tools.compiled import njit
from . import registers as r
from . import streams as q
from .port import ask, can_ask, take_word
from .queues import can_take, first, has_room, pack, put, take, unpack
from .registers import D, N
from .rows import can_code, code, has_beat, meets, note_end, sink, step_quantizer, take_beat

__all__ = ["attend", "drive_attend"]

_A = 0
_IDLE, _COUNT, _PASS, _QUERIES_WALK, _NEXT, _HEAD, _WALKED = range(7)   # of the driver's walk
# Columns of a pass, and of a tile.
_POSITION, _LAST_POSITION, _QUERIES, _GROUP, _BASE = range(r.PASS_FIELDS)
_REMAINING, _OF_PASS, _LAST, _ROWS, _WORD = range(r.CACHE_TILE_FIELDS)


@njit
def _pass(m: r.Machine, number: int) -> np.ndarray:
    """A pass: its columns."""
    return m.attention_passes[number % r.RING]


@njit
def _tile(m: r.Machine, number: int) -> np.ndarray:
    """A tile of the cache: its columns."""
    return m.cache_tiles[number % r.RING]


@njit
def drive_attend(m: r.Machine, now: int) -> None:
    """Heads and tokens into passes: as ``fpga.attend_driver``."""
    decodes = m.tokens == 1
    if m.walk == _IDLE:
        m.kv, m.member, m.token, m.head_at = 0, 0, 0, m.descriptor[D.c]
        m.source, m.source_head = m.descriptor[D.a], m.descriptor[D.a]
        m.out, m.out_head = m.descriptor[D.d], m.descriptor[D.d]
        m.walk = _COUNT
    elif m.walk == _COUNT:
        waiting = m.descriptor[D.group] - m.member if decodes else m.tokens - m.token
        m.count = min(m.queries, waiting)
        m.walk = _PASS
    elif m.walk == _PASS:
        if has_room(m, q.PASSES):
            new = _pass(m, m.passes)
            new[_POSITION] = m.position + m.token
            new[_LAST_POSITION] = new[_POSITION] + (0 if decodes else m.count - 1)
            new[_QUERIES] = m.count
            new[_GROUP] = m.count if decodes else 1
            new[_BASE] = m.head_at
            put(m, q.PASSES, now + 1, m.passes)
            m.passes += 1
            m.left = m.count
            m.walk = _QUERIES_WALK
    elif m.walk == _QUERIES_WALK:
        if has_room(m, q.A_ROWS) and has_room(m, q.SINK_ROWS):
            beats = m.descriptor[D.head_words] * m.word_beats
            put(m, q.A_ROWS, now + 1, pack(m.source, beats))
            put(m, q.SINK_ROWS, now + 1, pack(m.out, beats))
            m.pending += 1
            m.source += m.descriptor[D.head_words] if decodes else m.descriptor[D.a_stride]
            m.out += m.descriptor[D.head_words] if decodes else m.descriptor[D.d_stride]
            if decodes:
                m.member += 1
            else:
                m.token += 1
            m.left -= 1
            if m.left == 0:
                m.walk = _NEXT
    elif m.walk == _NEXT:
        m.walk = _COUNT
        if decodes:
            m.walk = _HEAD
        elif m.token == m.tokens:
            m.token = 0
            m.member += 1
            m.source_head += m.descriptor[D.head_words]
            m.out_head += m.descriptor[D.head_words]
            m.source, m.out = m.source_head, m.out_head
            m.walk = _HEAD
    elif m.walk == _HEAD:
        m.walk = _COUNT
        if m.member == m.descriptor[D.group]:
            m.member = 0
            m.kv += 1
            m.head_at += m.descriptor[D.region]
            if m.kv == m.descriptor[D.heads]:
                m.walk = _WALKED
                m.walked = 1


@njit
def attend(m: r.Machine, now: int) -> None:
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
    beats = m.descriptor[D.head_words] * m.word_beats
    step_quantizer(m, beats, now)
    if has_beat(m, _A, now) and can_code(m, beats, now):
        take_beat(m, _A)
        code(m, beats, now)


@njit
def _load(m: r.Machine, now: int) -> None:
    """A pass's queries into the lanes: as ``query_loader``."""
    if can_take(m, q.PASSES, now) and has_room(m, q.WALKS) and has_room(m, q.LOADS):
        number = take(m, q.PASSES)
        put(m, q.WALKS, now + 1, number)
        put(m, q.LOADS, now + 1, number)
        return
    if not can_take(m, q.LOADS, now) or m.loaded[m.load_bank] == 1:
        return
    queries = _pass(m, first(m, q.LOADS))[_QUERIES]
    if m.load_lane == queries:
        take(m, q.LOADS)
        m.loaded[m.load_bank] = 1
        m.passes_loaded += 1
        m.load_bank = 1 - m.load_bank
        m.load_lane, m.load_scales = 0, 0
        return
    if can_take(m, q.CODES, now) and take(m, q.CODES) == 1:
        m.load_lane += 1
    if m.load_scales < queries and can_take(m, q.SCALES, now):
        take(m, q.SCALES)
        m.load_scales += 1


@njit
def _walk(m: r.Machine, now: int) -> None:
    """Keys of the next tile, then values of some tiles before: as ``tile_walker``."""
    if can_take(m, q.CACHE_REQUESTS, now) and can_ask(m, q.CACHE_WORDS, now):
        word, words = unpack(take(m, q.CACHE_REQUESTS))
        ask(m, q.CACHE_WORDS, word, words, now)
    chunks = m.descriptor[D.chunks]
    free = has_room(m, q.CACHE_REQUESTS) and has_room(m, q.CACHE_BLOCKS)
    waiting = m.tiles - m.values_asked
    full = waiting == m.tiles_ahead + 1
    ask_keys = free and m.walking == 1 and not full
    ask_values = free and waiting > 0 and (full or m.walking == 0)
    if m.walking == 0 and can_take(m, q.WALKS, now):
        m.walk_pass = take(m, q.WALKS)
        of = _pass(m, m.walk_pass)
        m.walking, m.walk_word = 1, of[_BASE]
        m.walk_left, m.walk_remaining = of[_LAST_POSITION] + 1, of[_POSITION] + 1
    if ask_keys:
        tile = _tile(m, m.tiles)
        last = m.walk_left <= m.cache_tile
        rows = -(-m.walk_left // m.word_tokens) if last else m.cache_rows
        tile[_REMAINING], tile[_OF_PASS] = m.walk_remaining, m.walk_pass
        tile[_LAST], tile[_ROWS] = int(last), rows
        tile[_WORD] = m.walk_word + 2 * m.scale_words + m.cache_rows * chunks
        words = 2 * m.scale_words + rows * chunks
        put(m, q.CACHE_REQUESTS, now + 1, pack(m.walk_word, words))
        put(m, q.CACHE_BLOCKS, now + 1, 2 * m.tiles)
        m.tiles += 1
        m.walk_word += 2 * (m.scale_words + m.cache_rows * chunks)
        m.walk_remaining -= m.cache_tile
        m.walk_left -= m.cache_tile
        if last:
            m.walking = 0
    elif ask_values:
        number = m.values_asked
        tile = _tile(m, number)
        put(m, q.CACHE_REQUESTS, now + 1, pack(tile[_WORD], tile[_ROWS] * chunks))
        put(m, q.CACHE_BLOCKS, now + 1, 2 * number + 1)
        m.values_asked += 1


@njit
def _take_words(m: r.Machine, now: int) -> None:
    """Words of keys when their queries are there, of values when their weights are: ``words``."""
    if not can_take(m, q.CACHE_BLOCKS, now):
        return
    block = first(m, q.CACHE_BLOCKS)
    tile = _tile(m, block // 2)
    values = block % 2 == 1
    if m.begun == 0:
        if values:
            if m.weighed_before > 0 and m.unused < 2:
                m.begun = 1
                m.weighed -= 1
                m.unused += 1
        elif tile[_REMAINING] != _pass(m, tile[_OF_PASS])[_POSITION] + 1:
            m.begun = 1
        elif m.passes_loaded > 0:
            m.begun = 1
            m.passes_loaded -= 1
        if m.begun == 0 or m.block_wait == 1:
            return
    if not can_take(m, q.CACHE_WORDS, now):
        return
    take_word(m, q.CACHE_WORDS)
    m.counters[N.attention_words] += 1
    m.block_word += 1
    words = tile[_ROWS] * m.descriptor[D.chunks] + (0 if values else 2 * m.scale_words)
    if m.block_word == words:
        m.block_word, m.begun = 0, 0
        take(m, q.CACHE_BLOCKS)
        if values:
            put(m, q.SUMMED, now + m.sum_latency, 0)
        else:
            put(m, q.SCORED_TILES, now + m.dot_latency + 1, block // 2)


@njit
def _has_room_for_job(m: r.Machine) -> bool:
    """All four readers of jobs take one more."""
    return (has_room(m, q.JOBS_SUMMED) and has_room(m, q.JOBS_WEIGHED)
            and has_room(m, q.JOBS_WRITTEN) and has_room(m, q.JOBS_PUT_OUT))


@njit
def _score(m: r.Machine, now: int) -> None:
    """A query of a tile after the other, a token per cycle: as ``scores``."""
    if not can_take(m, q.SCORED_TILES, now):
        return
    tile = _tile(m, first(m, q.SCORED_TILES))
    of = _pass(m, tile[_OF_PASS])
    left = tile[_REMAINING] + m.score_lane // of[_GROUP]
    ends = False
    if m.counted == 0:
        m.score_count = min(max(left, 0), m.cache_tile)
        m.counted = 1
    elif m.score_runs == 0:
        if m.score_count == 0:
            ends = True
        elif has_room(m, q.MAXIMA) and _has_room_for_job(m):
            job = 2 * int(left <= m.cache_tile) + int(m.score_lane + 1 == of[_QUERIES])
            for reader in range(q.JOBS_SUMMED, q.JOBS_PUT_OUT + 1):
                put(m, reader, now + 1, job)
            m.score_runs = 1
    elif has_room(m, q.SCORES):
        m.score_token += 1
        ends = m.score_token == m.score_count
        put(m, q.SCORES, now + m.score_latency + 1, int(ends))
        if ends:
            put(m, q.MAXIMA, now + m.score_latency + 2, 0)
    if ends:
        m.counted, m.score_runs, m.score_token = 0, 0, 0
        m.score_lane += 1
        if m.score_lane == of[_QUERIES]:
            m.score_lane = 0
            take(m, q.SCORED_TILES)
            if tile[_LAST] == 1:
                m.loaded[m.oldest_bank] = 0
                m.oldest_bank = 1 - m.oldest_bank


@njit
def _weigh(m: r.Machine, now: int) -> None:
    """Exponentials, the sum of each row, and weights: ``exponentials``, ``softmax_sums``."""
    if can_take(m, q.ROW_SUMS, now) and can_take(m, q.SHRINKS, now):
        take(m, q.ROW_SUMS)
        take(m, q.SHRINKS)
        take(m, q.JOBS_SUMMED)
    if can_take(m, q.EXPONENTIALS, now):
        last = first(m, q.EXPONENTIALS) == 1
        if m.exponential_summed == 0 and (not last or (
                has_room(m, q.ROW_FACTORS) and m.lane_sum_idle_at <= now)):
            m.exponential_summed = 1
            if last:
                put(m, q.ROW_SUMS, now + m.row_sum_latency, 0)
                put(m, q.ROW_FACTORS, now + m.fold_latency + 1, 0)
                m.lane_sum_idle_at = now + m.row_sum_latency + 1
        if m.exponential_weighed == 0 and can_take(m, q.JOBS_WEIGHED, now) and has_room(
                m, q.SCALED):
            m.exponential_weighed = 1
            put(m, q.SCALED, now + m.weigh_latency + 1, int(last))
            if last:
                take(m, q.JOBS_WEIGHED)
        if m.exponential_summed == 1 and m.exponential_weighed == 1:
            m.exponential_summed, m.exponential_weighed = 0, 0
            take(m, q.EXPONENTIALS)
    if can_take(m, q.MAXIMA, now):
        if m.shrunk == 0:
            if has_room(m, q.SHRINKS):
                put(m, q.SHRINKS, now + m.exponential_latency + 1, 0)
                m.shrunk = 1
        elif can_take(m, q.SCORES, now) and has_room(m, q.EXPONENTIALS):
            last = take(m, q.SCORES)
            put(m, q.EXPONENTIALS, now + m.exponential_latency + 1, last)
            if last == 1:
                take(m, q.MAXIMA)
                m.shrunk = 0


@njit
def _quantize_weights(m: r.Machine, now: int) -> None:
    """A row of weights to int16: the quantizer of ``softmax_weights``, one weight per beat."""
    if can_take(m, q.WEIGHT_ROW, now) and can_take(m, q.WEIGHT_INVERSES, now) and has_room(
            m, q.WEIGHT_CODES):
        last = take(m, q.WEIGHT_ROW)
        put(m, q.WEIGHT_CODES, now + m.code_latency + 1, last)
        if last == 1:
            take(m, q.WEIGHT_INVERSES)
    if can_take(m, q.SCALED, now) and has_room(m, q.WEIGHT_ROW):
        last = first(m, q.SCALED)
        if last == 0 or (has_room(m, q.WEIGHT_INVERSES) and has_room(m, q.WEIGHT_STEPS)
                         and not meets(m, r.CODED_WEIGHTS, now)):
            take(m, q.SCALED)
            put(m, q.WEIGHT_ROW, now + 3, last)
            if last == 1:
                note_end(m, r.CODED_WEIGHTS, now)
                put(m, q.WEIGHT_INVERSES, now + m.weight_largest_latency + 1, 0)
                put(m, q.WEIGHT_STEPS, now + m.weight_largest_latency + 1, 0)
    if can_take(m, q.WEIGHT_STEPS, now) and has_room(m, q.STEPS):
        take(m, q.WEIGHT_STEPS)
        put(m, q.STEPS, now + 1, 0)


@njit
def _write_weights(m: r.Machine, now: int) -> None:
    """Weights into the lanes; with the last query's last one the tile is weighed."""
    m.weighed_before = m.weighed
    if (can_take(m, q.WEIGHT_CODES, now) and can_take(m, q.JOBS_WRITTEN, now)
            and take(m, q.WEIGHT_CODES) == 1 and take(m, q.JOBS_WRITTEN) % 2 == 1):
        m.weighed += 1


@njit
def _put_out(m: r.Machine, now: int) -> None:
    """``lanes`` elements per cycle; a job waits for the results of the one before: ``outputs``."""
    if not (can_take(m, q.JOBS_PUT_OUT, now) and can_take(m, q.ROW_FACTORS, now)
            and can_take(m, q.STEPS, now) and can_take(m, q.SUMMED, now)
            and m.keeping_until <= now):
        return
    job = first(m, q.JOBS_PUT_OUT)
    last = job >= 2
    if last and not has_room(m, q.ATTENDED):
        return
    if last:
        put(m, q.ATTENDED, now + m.output_latency + 1, 0)
    m.output_beat += 1
    if m.output_beat == m.descriptor[D.chunks] * m.chunk_beats:
        m.output_beat = 0
        m.keeping_until = now + m.keep_latency + 1
        take(m, q.JOBS_PUT_OUT)
        take(m, q.ROW_FACTORS)
        take(m, q.STEPS)
        if job % 2 == 1:
            take(m, q.SUMMED)
            m.unused -= 1
