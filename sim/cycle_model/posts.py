"""What becomes of a matmul's outputs: residual, rotary embedding, gate, cache."""

from __future__ import annotations

import numpy as np

from ...fpga.descriptors import Post
from ...tools.compiled import njit
from . import registers as r
from . import streams as q
from .port import announce, can_announce, can_write, write_word
from .queues import can_take, first, has_room, put, take, unpack
from .rows import can_code, code, has_beat, sink, sink_beat, sink_row, step_quantizer, take_beat

__all__ = ["post"]

_ADD, _ROTATE, _GATE, _KEYS, _VALUES = (int(kind) for kind in (
    Post.ADD, Post.ROTATE, Post.GATE, Post.KEYS, Post.VALUES))
_B = 1


@njit
def post(m: np.ndarray, now: int) -> None:
    """One cycle of the units behind the dequantizer."""
    kind = m[r.D_POST]
    if kind == _ADD:
        sink(m, q.ADDED, now)
        _add(m, now)
    elif kind == _ROTATE:
        sink(m, q.TURNED, now)
        _turn(m, now)
    elif kind == _GATE:
        if can_take(m, q.GATED, now) and first(m, q.GATED) == 0:
            take(m, q.GATED)   # gathered: only a beat's last element goes on, with the others
        else:
            sink_beat(m, q.GATED, now)
        sink_row(m, now)
        _gate(m, now)
    else:
        beats = _head_beats(m)
        _write_cache(m, now)
        step_quantizer(m, beats, now)
        source = q.TURNED if kind == _KEYS else q.OUTPUTS
        if can_take(m, source, now) and can_code(m, beats, now):
            take(m, source)
            code(m, beats, now)
        if kind == _KEYS:
            _turn(m, now)


@njit
def _head_beats(m: np.ndarray) -> int:
    return m[r.D_ROW_BLOCKS] * m[r.BLOCK_BEATS]


@njit
def _add(m: np.ndarray, now: int) -> None:
    if can_take(m, q.OUTPUTS, now) and has_beat(m, _B, now) and has_room(m, q.ADDED):
        take(m, q.OUTPUTS)
        take_beat(m, _B)
        put(m, q.ADDED, now + m[r.ADD_LATENCY] + 1, 0)


@njit
def _turn(m: np.ndarray, now: int) -> None:
    """Whole heads, by their token's angles: as ``hw.rows.rotary`` and ``hw.rows.angle_pairs``."""
    beats = _head_beats(m)
    heads, angles = m[r.HEADS_FULL], m[r.ANGLES_FULL]
    if heads > 0 and angles > 0 and can_take(m, q.HEADS, now) and has_room(m, q.TURNED):
        put(m, q.TURNED, now + m[r.TURN_LATENCY] + 1, 0)
        m[r.TURN_BEAT] += 1
        if m[r.TURN_BEAT] == beats:
            m[r.TURN_BEAT] = 0
            m[r.HEADS_FULL] -= 1
            m[r.TURN_HEAD] += 1
            if m[r.TURN_HEAD] >= first(m, q.HEADS):
                m[r.TURN_HEAD] = 0
                m[r.ANGLES_FULL] -= 1
                take(m, q.HEADS)
    if heads < 2 and can_take(m, q.OUTPUTS, now):
        take(m, q.OUTPUTS)
        m[r.HEAD_BEAT] += 1
        if m[r.HEAD_BEAT] == beats:
            m[r.HEAD_BEAT] = 0
            m[r.HEADS_FULL] += 1
    if has_beat(m, _B, now) and (m[r.ANGLE_SINE] == 0 or angles < 2):
        last = take_beat(m, _B)
        m[r.ANGLE_SINE] = 1 - m[r.ANGLE_SINE]
        if last:
            m[r.ANGLES_FULL] += 1


@njit
def _gate(m: np.ndarray, now: int) -> None:
    """Blocks of gate and up outputs in turn, then element by element: as ``hw.rows.gate_rows``."""
    kind = q.UPS if m[r.IS_UP] == 1 else q.GATES
    if can_take(m, q.OUTPUTS, now) and has_room(m, kind):
        take(m, q.OUTPUTS)
        put(m, kind, now + 1, 0)
        m[r.GATE_PLACE] += 1
        if m[r.GATE_PLACE] == m[r.BLOCK_BEATS]:
            m[r.GATE_PLACE] = 0
            m[r.IS_UP] = 1 - m[r.IS_UP]
    if can_take(m, q.GATES, now) and can_take(m, q.UPS, now) and has_room(m, q.GATED):
        m[r.GATE_ELEMENT] += 1
        last = m[r.GATE_ELEMENT] == m[r.GATE_ELEMENTS]
        put(m, q.GATED, now + m[r.GATE_LATENCY] + 1, int(last))
        if last:
            m[r.GATE_ELEMENT] = 0
            take(m, q.GATES)
            take(m, q.UPS)


_ANNOUNCE, _CODES, _ANNOUNCE_SCALE, _SCALE = range(4)


@njit
def _write_cache(m: np.ndarray, now: int) -> None:
    """A head's codes, then its scale: as ``hw.attention.cache_writer``."""
    values = m[r.D_POST] == _VALUES
    if m[r.WRITING] == _ANNOUNCE:
        if can_take(m, q.CACHE_HEADS, now) and can_announce(m, now):
            word, token = unpack(first(m, q.CACHE_HEADS))
            chunks = m[r.D_CHUNKS]
            codes = 2 * m[r.SCALE_WORDS] + (m[r.CACHE_ROWS] * chunks if values else 0)
            announce(m, word + codes + token // m[r.WORD_TOKENS] * chunks, chunks, now)
            m[r.WRITING] = _CODES
    elif m[r.WRITING] == _CODES:
        if can_take(m, q.CODES, now):
            completes = m[r.WRITE_PLACE] + 1 == m[r.CHUNK_BEATS]
            if not completes or can_write(m, now):
                m[r.WRITE_PLACE] += 1
                if completes:
                    m[r.WRITE_PLACE] = 0
                    write_word(m, now)
                if take(m, q.CODES) == 1:
                    m[r.WRITING] = _ANNOUNCE_SCALE
    elif m[r.WRITING] == _ANNOUNCE_SCALE:
        if can_announce(m, now):
            word, token = unpack(first(m, q.CACHE_HEADS))
            scales = m[r.SCALE_WORDS] if values else 0
            announce(m, word + scales + token // m[r.WORD_FLOATS], 1, now)
            m[r.WRITING] = _SCALE
    elif can_take(m, q.SCALES, now) and can_write(m, now):
        take(m, q.SCALES)
        take(m, q.CACHE_HEADS)
        write_word(m, now)
        m[r.WRITING] = _ANNOUNCE
