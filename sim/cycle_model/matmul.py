"""Weights, the matmul engine, and what turns its sums into outputs."""

from __future__ import annotations

import numpy as np

from ...fpga.descriptors import Operation, Post
from ...tools.compiled import njit
from . import registers as r
from . import streams as q
from .port import take_word
from .queues import can_take, first, has_room, pack, put, size, take
from .sequencing import is_active, weight_tile

__all__ = ["drive_matmul", "step_matmul"]

_MATMUL = int(Operation.MATMUL)
_ADD, _ROTATE, _GATE, _KEYS, _VALUES = (int(post) for post in (
    Post.ADD, Post.ROTATE, Post.GATE, Post.KEYS, Post.VALUES))
_IDLE, _TILE, _TOKEN, _HEADS_WALK, _NEXT, _WALKED = range(6)


@njit
def step_matmul(m: np.ndarray, now: int) -> None:
    """One cycle from the weights' words to scaled outputs."""
    _give_tiles(m, now)
    _unpack(m, now)
    _give_activations(m, now)
    _multiply(m, now)
    _scale(m, now)


@njit
def _unpack(m: np.ndarray, now: int) -> None:
    """Words to beats: as ``hw.weights.unpacker``."""
    if not can_take(m, q.WEIGHT_WORDS, now):
        return
    is_own = m[r.SHARED] == m[r.SHARED_WORDS]
    completes = is_own and m[r.OWN] == m[r.WHOLE_WORDS] - 1
    if completes and not has_room(m, q.UNPACKED):
        return
    take_word(m, q.WEIGHT_WORDS)
    if completes:
        put(m, q.UNPACKED, now + 1, 0)
    m[r.UNPACKED_WORDS] += 1
    if m[r.UNPACKED_WORDS] == m[weight_tile(m, m[r.UNPACKED_TILE])]:
        m[r.UNPACKED_WORDS], m[r.SHARED], m[r.OWN], m[r.FRAME_BEAT] = 0, 0, 0, 0
        m[r.UNPACKED_TILE] += 1
    elif not is_own:
        m[r.SHARED] += 1
    elif not completes:
        m[r.OWN] += 1
    else:
        m[r.OWN] = 0
        m[r.FRAME_BEAT] += 1
        if m[r.FRAME_BEAT] == m[r.FRAME_BEATS]:
            m[r.SHARED], m[r.FRAME_BEAT] = 0, 0


@njit
def _give_tiles(m: np.ndarray, now: int) -> None:
    """Each tile as often as there are tokens: as ``hw.weights.tile_buffer``."""
    held = m[r.HELD]
    taken = can_take(m, q.UNPACKED, now) and held != m[r.WEIGHT_DEPTH]
    waits = taken and m[r.WEIGHT_PORTS] == 1   # what comes in goes first
    if (not waits and can_take(m, q.TILE_INFO, now) and held > m[r.PAST]
            and has_room(m, q.WEIGHT_BEATS)):
        beats = m[weight_tile(m, first(m, q.TILE_INFO)) + 1]
        last_beat = m[r.TILE_BEAT] + 1 >= beats
        last_round = m[r.ROUND] + 1 >= m[r.TOKENS] or beats > m[r.WEIGHT_DEPTH]
        put(m, q.WEIGHT_BEATS, now + 2, 0)
        m[r.TILE_BEAT] += 1
        if last_round:
            m[r.HELD] -= 1
        else:
            m[r.PAST] += 1
        if last_beat:
            m[r.TILE_BEAT], m[r.PAST] = 0, 0
            m[r.ROUND] += 1
            if last_round:
                m[r.ROUND] = 0
                take(m, q.TILE_INFO)
    if taken:
        take(m, q.UNPACKED)
        m[r.HELD] += 1


@njit
def _give_activations(m: np.ndarray, now: int) -> None:
    """The beats of a row of codes: as ``hw.matmul.activation_buffer``."""
    if m[r.READING] == 1:
        if has_room(m, q.ACTIVATIONS):
            put(m, q.ACTIVATIONS, now + 2, 0)
            m[r.READING_LEFT] -= 1
            if m[r.READING_LEFT] == 0:
                m[r.READING] = 0
    elif can_take(m, q.READS, now) and has_room(m, q.ACTIVATION_SCALES):
        take(m, q.READS)
        put(m, q.ACTIVATION_SCALES, now + 2, 0)
        m[r.READING], m[r.READING_LEFT] = 1, m[r.D_PASSES]


@njit
def _multiply(m: np.ndarray, now: int) -> None:
    """Tables of the next pass are built while those of this one are looked up: as
    ``hw.matmul.tlmm``.
    """
    full = m[r.TABLES_FULL]
    passes = m[r.D_PASSES]
    finished = False
    emits = m[r.JOB_ACTIVE] == 1 and m[r.PASS_NUMBER] + 1 >= passes
    if m[r.JOB_ACTIVE] == 1 and full > 0 and can_take(m, q.WEIGHT_BEATS, now) and (
            not emits or has_room(m, q.SUMS)):
        take(m, q.WEIGHT_BEATS)
        m[r.N_WEIGHT_BEATS] += 1
        last_block = m[r.BLOCK] + 1 >= m[r.JOB_BLOCKS]
        if emits:
            put(m, q.SUMS, now + m[r.ENGINE_LATENCY], int(last_block))
        m[r.BLOCK] += 1
        if last_block:
            m[r.BLOCK] = 0
            m[r.PASS_NUMBER] += 1
            m[r.TABLES_FULL] -= 1
            finished = emits
    elif is_active(m, now) and m[r.OPERATION] == _MATMUL:
        m[r.N_ENGINE_WAITS] += 1

    queued = m[r.JOB_QUEUED]
    if m[r.JOB_ACTIVE] == 0 or finished:
        m[r.JOB_ACTIVE], m[r.JOB_BLOCKS] = queued, m[r.QUEUED_BLOCKS]
        m[r.PASS_NUMBER], m[r.JOB_QUEUED] = 0, 0
    if queued == 0 and can_take(m, q.JOBS, now):
        m[r.JOB_QUEUED], m[r.QUEUED_BLOCKS] = 1, take(m, q.JOBS)

    last_entry = False
    if m[r.BUILDING] == 1 and full < 2:
        m[r.BUILT] += 1
        if m[r.BUILT] == m[r.TABLE_ENTRIES]:
            last_entry = True
            m[r.TABLES_FULL] += 1
    if (m[r.BUILDING] == 0 or last_entry) and can_take(m, q.ACTIVATIONS, now):
        take(m, q.ACTIVATIONS)
        m[r.N_TABLE_PASSES] += 1
        m[r.BUILDING], m[r.BUILT] = 1, 0
    elif last_entry:
        m[r.BUILDING], m[r.BUILT] = 0, 0


@njit
def _scale(m: np.ndarray, now: int) -> None:
    """Sums to outputs, a beat per cycle: as ``hw.matmul.dequantizer``."""
    if can_take(m, q.BLOCKS, now) and can_take(m, q.SCALINGS_TAKEN, now) and can_take(
            m, q.ACTIVATION_SCALES, now) and has_room(m, q.OUTPUTS):
        put(m, q.OUTPUTS, now + m[r.SCALE_LATENCY] + 1, 0)
        m[r.PART] += 1
        if m[r.PART] == m[r.BLOCK_BEATS]:
            m[r.PART] = 0
            if take(m, q.BLOCKS) == 1:
                take(m, q.SCALINGS_TAKEN)
                take(m, q.ACTIVATION_SCALES)
    if can_take(m, q.SUMS, now) and has_room(m, q.BLOCKS):
        put(m, q.BLOCKS, now + 2, take(m, q.SUMS))
    if can_take(m, q.SCALINGS, now) and has_room(m, q.SCALINGS_TAKEN):
        take(m, q.SCALINGS)
        put(m, q.SCALINGS_TAKEN, now + 1, 0)


@njit
def drive_matmul(m: np.ndarray, now: int) -> None:
    """Tiles outside, tokens inside: as ``fpga.matmul_driver``."""
    turned = m[r.D_POST] == _ROTATE or m[r.D_POST] == _KEYS
    cached = m[r.D_POST] == _KEYS or m[r.D_POST] == _VALUES
    last_tile = m[r.TILE] + 1 == m[r.D_TILES]
    blocks = m[r.D_LAST_BLOCKS] if last_tile else m[r.D_BLOCKS]
    heads = m[r.D_GROUP] if last_tile else m[r.D_HEADS]
    beats = blocks * m[r.BLOCK_BEATS] >> int(m[r.D_POST] == _GATE)
    if m[r.WALK] == _IDLE:
        m[r.TILE], m[r.TILE_OUT] = 0, m[r.D_D]
        m[r.TILE_BESIDE], m[r.TILE_CACHE] = m[r.D_B], m[r.D_C]
        m[r.WALK] = _TILE
    elif m[r.WALK] == _TILE:
        m[r.TOKEN], m[r.OUT] = 0, m[r.TILE_OUT]
        m[r.BESIDE] = m[r.TILE_BESIDE] + (m[r.POSITION] * m[r.D_B_STRIDE] if turned else 0)
        m[r.WALK] = _TOKEN
    elif m[r.WALK] == _TOKEN:
        if (has_room(m, q.JOBS) and has_room(m, q.READS) and has_room(m, q.SCALINGS)
                and has_room(m, q.B_ROWS) and has_room(m, q.HEADS) and size(m, q.SINK_ROWS) < 2):
            put(m, q.JOBS, now + 1, blocks)
            put(m, q.READS, now + 1, 0)
            put(m, q.SCALINGS, now + 1, 0)
            if turned:
                put(m, q.HEADS, now + 1, heads)
            if turned or m[r.D_POST] == _ADD:
                rows = m[r.D_ROW_BLOCKS] if turned else blocks
                put(m, q.B_ROWS, now + 1, pack(m[r.BESIDE], rows * m[r.BLOCK_BEATS]))
            if not cached:
                put(m, q.SINK_ROWS, now + 1, pack(m[r.OUT], beats))
                m[r.PENDING] += 1
            m[r.HEADS_LEFT] = heads
            m[r.WALK] = _HEADS_WALK if cached else _NEXT
            token = m[r.POSITION] + m[r.TOKEN]
            m[r.HEAD_AT] = m[r.TILE_CACHE] + token // m[r.CACHE_TILE] * m[r.D_TILE_WORDS]
    elif m[r.WALK] == _HEADS_WALK:
        if has_room(m, q.CACHE_HEADS):
            token = (m[r.POSITION] + m[r.TOKEN]) % m[r.CACHE_TILE]
            put(m, q.CACHE_HEADS, now + 1, pack(m[r.HEAD_AT], token))
            m[r.PENDING] += 2
            m[r.HEAD_AT] += m[r.D_REGION]
            m[r.HEADS_LEFT] -= 1
            if m[r.HEADS_LEFT] == 0:
                m[r.WALK] = _NEXT
    elif m[r.WALK] == _NEXT:
        m[r.TOKEN] += 1
        m[r.OUT] += m[r.D_D_STRIDE]
        m[r.BESIDE] += m[r.D_B_STRIDE]
        m[r.WALK] = _TOKEN
        if m[r.TOKEN] == m[r.TOKENS]:
            m[r.TILE] += 1
            m[r.TILE_OUT] += beats // m[r.WORD_BEATS]
            if m[r.D_POST] == _ADD:
                m[r.TILE_BESIDE] += beats // m[r.WORD_BEATS]
            m[r.TILE_CACHE] += heads * m[r.D_REGION]
            m[r.WALK] = _TILE
            if last_tile:
                m[r.WALK] = _WALKED
                m[r.WALKED] = 1
