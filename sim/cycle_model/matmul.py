"""Weights, the matmul engine, and what turns its sums into outputs."""

from __future__ import annotations

import numpy as np

from ...fpga.descriptors import Operation, Post
from ...tools.compiled import njit
from . import registers as r
from . import streams as q
from .groups import give_scales, is_grouped, scale_groups, sum_digits, take_scales
from .port import take_word
from .queues import can_take, first, has_room, pack, put, size, take
from .registers import D, N
from .sequencing import BEATS, WORDS, is_active

__all__ = ["drive_matmul", "step_matmul"]

_MATMUL = int(Operation.MATMUL)
_ADD, _ROTATE, _GATE, _KEYS, _VALUES = (int(post) for post in (
    Post.ADD, Post.ROTATE, Post.GATE, Post.KEYS, Post.VALUES))
_IDLE, _TILE, _TOKEN, _HEADS_WALK, _NEXT, _WALKED = range(6)


@njit
def step_matmul(m: r.Machine, tiles: np.ndarray, now: int) -> None:
    """One cycle from the weights' words to scaled outputs."""
    _give_tiles(m, tiles, now)
    if m.unpacked_tile == tiles.shape[0] or not take_scales(m, tiles, now):
        _unpack(m, tiles, now)
    give_scales(m, tiles, now)
    _give_activations(m, now)
    _multiply(m, now)
    if is_grouped(m):
        scale_groups(m, now)
        sum_digits(m, now)
    else:
        _scale(m, now)


@njit
def _unpack(m: r.Machine, tiles: np.ndarray, now: int) -> None:
    """Words to beats: as ``hw.weights.unpacker``."""
    if not can_take(m, q.WEIGHT_WORDS, now):
        return
    is_own = m.shared == m.shared_words
    completes = is_own and m.own == m.whole_words - 1
    if completes and not has_room(m, q.UNPACKED):
        return
    take_word(m, q.WEIGHT_WORDS)
    if completes:
        put(m, q.UNPACKED, now + 1, 0)
    m.unpacked_words += 1
    if m.unpacked_words == tiles[m.unpacked_tile, WORDS]:
        m.unpacked_words, m.shared, m.own, m.frame_beat = 0, 0, 0, 0
        m.unpacked_tile += 1
        m.scales_given = 0
        if m.scale_depth > 0:
            take(m, q.SPLIT_INFO)
    elif not is_own:
        m.shared += 1
    elif not completes:
        m.own += 1
    else:
        m.own = 0
        m.frame_beat += 1
        if m.frame_beat == m.frame_beats:
            m.shared, m.frame_beat = 0, 0


@njit
def _give_tiles(m: r.Machine, tiles: np.ndarray, now: int) -> None:
    """Each tile as often as there are tokens: as ``hw.weights.tile_buffer``."""
    held = m.held
    taken = can_take(m, q.UNPACKED, now) and held != m.weight_depth
    waits = taken and m.weight_ports == 1   # what comes in goes first
    if (not waits and can_take(m, q.TILE_INFO, now) and held > m.past
            and has_room(m, q.WEIGHT_BEATS)):
        beats = tiles[first(m, q.TILE_INFO), BEATS]
        last_beat = m.tile_beat + 1 >= beats
        last_round = m.round + 1 >= m.tokens or beats > m.weight_depth
        put(m, q.WEIGHT_BEATS, now + 2, 0)
        m.tile_beat += 1
        if last_round:
            m.held -= 1
        else:
            m.past += 1
        if last_beat:
            m.tile_beat, m.past = 0, 0
            m.round += 1
            if last_round:
                m.round = 0
                take(m, q.TILE_INFO)
    if taken:
        take(m, q.UNPACKED)
        m.held += 1


@njit
def _give_activations(m: r.Machine, now: int) -> None:
    """The beats of a row of codes: as ``hw.matmul.activation_buffer``."""
    if m.reading == 1:
        if has_room(m, q.ACTIVATIONS):
            put(m, q.ACTIVATIONS, now + 2, 0)
            m.reading_left -= 1
            if m.reading_left == 0:
                m.reading = 0
    elif can_take(m, q.READS, now) and has_room(m, q.ACTIVATION_SCALES):
        take(m, q.READS)
        put(m, q.ACTIVATION_SCALES, now + 2, 0)
        m.reading, m.reading_left = 1, m.descriptor[D.passes]


@njit
def _multiply(m: r.Machine, now: int) -> None:
    """Tables of the next pass are built while those of this one are looked up: as
    ``hw.matmul.tlmm``.
    """
    full = m.tables_full
    passes = m.descriptor[D.beats] if is_grouped(m) else m.descriptor[D.passes]
    finished = False
    emits = m.job_active == 1 and m.pass_number + 1 >= passes
    if m.job_active == 1 and full > 0 and can_take(m, q.WEIGHT_BEATS, now) and (
            not emits or has_room(m, q.SUMS)):
        take(m, q.WEIGHT_BEATS)
        m.counters[N.weight_beats] += 1
        last_block = m.block + 1 >= m.job_blocks
        if emits:
            put(m, q.SUMS, now + m.engine_latency, int(last_block))
        m.block += 1
        if last_block:
            m.block = 0
            m.pass_number += 1
            m.tables_full -= 1
            finished = emits
    elif is_active(m, now) and m.operation == _MATMUL:
        m.counters[N.engine_waits] += 1

    queued = m.job_queued
    if m.job_active == 0 or finished:
        m.job_active, m.job_blocks = queued, m.queued_blocks
        m.pass_number, m.job_queued = 0, 0
    if queued == 0 and can_take(m, q.JOBS, now):
        m.job_queued, m.queued_blocks = 1, first(m, q.JOBS)
        m.job_times += 1
        if m.job_times >= m.descriptor[D.rows]:   # as ``hw.matmul.job_repeater``
            m.job_times = 0
            take(m, q.JOBS)

    last_entry = False
    if m.building == 1 and full < 2:
        m.built += 1
        if m.built == m.table_entries:
            last_entry = True
            m.tables_full += 1
    if (m.building == 0 or last_entry) and can_take(m, q.ACTIVATIONS, now):
        take(m, q.ACTIVATIONS)
        m.counters[N.table_passes] += 1
        m.building, m.built = 1, 0
    elif last_entry:
        m.building, m.built = 0, 0


@njit
def _scale(m: r.Machine, now: int) -> None:
    """Sums to outputs, a beat per cycle: as ``hw.matmul.dequantizer``."""
    if can_take(m, q.BLOCKS, now) and can_take(m, q.SCALINGS_TAKEN, now) and can_take(
            m, q.ACTIVATION_SCALES, now) and has_room(m, q.OUTPUTS):
        put(m, q.OUTPUTS, now + m.scale_latency + 1, 0)
        m.part += 1
        if m.part == m.block_beats:
            m.part = 0
            if take(m, q.BLOCKS) == 1:
                take(m, q.SCALINGS_TAKEN)
                take(m, q.ACTIVATION_SCALES)
    if can_take(m, q.SUMS, now) and has_room(m, q.BLOCKS):
        put(m, q.BLOCKS, now + 3, take(m, q.SUMS))
    if can_take(m, q.SCALINGS, now) and has_room(m, q.SCALINGS_TAKEN):
        take(m, q.SCALINGS)
        put(m, q.SCALINGS_TAKEN, now + 1, 0)


@njit
def drive_matmul(m: r.Machine, now: int) -> None:
    """Tiles outside, tokens inside: as ``fpga.matmul_driver``."""
    turned = m.descriptor[D.post] == _ROTATE or m.descriptor[D.post] == _KEYS
    cached = m.descriptor[D.post] == _KEYS or m.descriptor[D.post] == _VALUES
    last_tile = m.tile + 1 == m.descriptor[D.tiles]
    blocks = m.descriptor[D.last_blocks] if last_tile else m.descriptor[D.blocks]
    heads = m.descriptor[D.group] if last_tile else m.descriptor[D.heads]
    beats = blocks * m.block_beats >> int(m.descriptor[D.post] == _GATE)
    biased = m.descriptor[D.bias] == 1
    normed = turned and m.descriptor[D.norm] == 1
    if m.walk == _IDLE:
        m.tile, m.tile_out, m.tile_bias = 0, m.descriptor[D.d], m.descriptor[D.a]
        m.tile_beside, m.tile_cache = m.descriptor[D.b], m.descriptor[D.c]
        m.walk = _TILE
    elif m.walk == _TILE:
        m.token, m.out = 0, m.tile_out
        m.beside = m.tile_beside + (m.position * m.descriptor[D.b_stride] if turned else 0)
        m.walk = _TOKEN
    elif m.walk == _TOKEN:
        if (has_room(m, q.JOBS) and has_room(m, q.READS) and has_room(m, q.SCALINGS)
                and has_room(m, q.A_ROWS) and has_room(m, q.B_ROWS) and has_room(m, q.HEADS)
                and size(m, q.SINK_ROWS) < 2):
            put(m, q.JOBS, now + 1, blocks * max(1, m.descriptor[D.digits]))
            put(m, q.READS, now + 1, 0)
            if not is_grouped(m):
                put(m, q.SCALINGS, now + 1, 0)
            if biased:
                put(m, q.A_ROWS, now + 1, pack(m.tile_bias, blocks * m.block_beats))
            if turned:
                put(m, q.HEADS, now + 1, heads)
            if turned or m.descriptor[D.post] == _ADD:
                rows = m.descriptor[D.row_blocks] if turned else blocks
                put(m, q.B_ROWS, now + 1, pack(m.beside, rows * m.block_beats))
            if not cached:
                put(m, q.SINK_ROWS, now + 1, pack(m.out, beats))
                m.pending += 1
            m.heads_left = heads
            m.walk = _HEADS_WALK if cached or normed else _NEXT
            token = m.position + m.token
            m.head_at = m.tile_cache + token // m.cache_tile * m.descriptor[D.tile_words]
    elif m.walk == _HEADS_WALK:
        if (not cached or has_room(m, q.CACHE_HEADS)) and (
                not normed or has_room(m, q.A_ROWS)):
            if cached:
                token = (m.position + m.token) % m.cache_tile
                put(m, q.CACHE_HEADS, now + 1, pack(m.head_at, token))
                m.pending += 2
            if normed:
                rows = m.descriptor[D.row_blocks] * m.block_beats
                put(m, q.A_ROWS, now + 1, pack(m.descriptor[D.a], rows))
            m.head_at += m.descriptor[D.region]
            m.heads_left -= 1
            if m.heads_left == 0:
                m.walk = _NEXT
    elif m.walk == _NEXT:
        m.token += 1
        m.out += m.descriptor[D.d_stride]
        m.beside += m.descriptor[D.b_stride]
        m.walk = _TOKEN
        if m.token == m.tokens:
            m.tile += 1
            m.tile_out += beats // m.word_beats
            if m.descriptor[D.post] == _ADD:
                m.tile_beside += beats // m.word_beats
            m.tile_bias += blocks * m.block_beats // m.word_beats
            m.tile_cache += heads * m.descriptor[D.region]
            m.walk = _TILE
            if last_tile:
                m.walk = _WALKED
                m.walked = 1
