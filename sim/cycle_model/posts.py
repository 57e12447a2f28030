"""What becomes of a matmul's outputs: residual, rotary embedding, gate, cache."""

from __future__ import annotations

from ...fpga.descriptors import Post
from ...tools.compiled import njit
from . import registers as r
from . import streams as q
from .port import announce, can_announce, can_write, write_word
from .queues import can_take, first, has_room, put, take, unpack
from .registers import D
from .rows import (
    can_code,
    can_norm,
    code,
    give_normed,
    has_beat,
    norm,
    sink,
    sink_beat,
    sink_row,
    step_quantizer,
    take_beat,
)

__all__ = ["post"]

_ADD, _ROTATE, _GATE, _KEYS, _VALUES = (int(kind) for kind in (
    Post.ADD, Post.ROTATE, Post.GATE, Post.KEYS, Post.VALUES))
_A, _B = 0, 1


@njit
def post(m: r.Machine, now: int) -> None:
    """One cycle of the units behind the dequantizer."""
    kind = m.descriptor[D.post]
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
        source = q.TURNED if kind == _KEYS else _outputs(m)
        if can_take(m, source, now) and can_code(m, beats, now):
            take(m, source)
            code(m, beats, now)
        if kind == _KEYS:
            _turn(m, now)
    if m.descriptor[D.bias] == 1:
        _add_bias(m, now)


@njit
def _outputs(m: r.Machine) -> int:
    """The queue of the matmul's outputs: after their biases, if it has any."""
    return q.BIASED if m.descriptor[D.bias] == 1 else q.OUTPUTS


@njit
def _add_bias(m: r.Machine, now: int) -> None:
    """As ``hw.rows.bias_add``."""
    if can_take(m, q.OUTPUTS, now) and has_beat(m, _A, now) and has_room(m, q.BIASED):
        take(m, q.OUTPUTS)
        take_beat(m, _A)
        put(m, q.BIASED, now + m.add_latency + 1, 0)


@njit
def _head_beats(m: r.Machine) -> int:
    return m.descriptor[D.row_blocks] * m.block_beats


@njit
def _add(m: r.Machine, now: int) -> None:
    outputs = _outputs(m)
    if can_take(m, outputs, now) and has_beat(m, _B, now) and has_room(m, q.ADDED):
        take(m, outputs)
        take_beat(m, _B)
        put(m, q.ADDED, now + m.add_latency + 1, 0)


@njit
def _turn(m: r.Machine, now: int) -> None:
    """Whole heads, by their token's angles: as ``hw.rows.rotary`` and ``hw.rows.angle_pairs``."""
    beats = _head_beats(m)
    heads, angles = m.heads_full, m.angles_full
    if heads > 0 and angles > 0 and can_take(m, q.HEADS, now) and has_room(m, q.TURNED):
        put(m, q.TURNED, now + m.turn_latency + 1, 0)
        m.turn_beat += 1
        if m.turn_beat == beats:
            m.turn_beat = 0
            m.heads_full -= 1
            m.turn_head += 1
            if m.turn_head >= first(m, q.HEADS):
                m.turn_head = 0
                m.angles_full -= 1
                take(m, q.HEADS)
    norms = m.descriptor[D.norm] == 1
    outputs = _outputs(m)
    source = q.NORMED if norms else outputs
    if heads < 2 and can_take(m, source, now):
        take(m, source)
        m.head_beat += 1
        if m.head_beat == beats:
            m.head_beat = 0
            m.heads_full += 1
    if norms:
        give_normed(m, _A, beats, now)
        if can_take(m, outputs, now) and can_norm(m, beats, now):
            take(m, outputs)
            norm(m, beats, now)
    if has_beat(m, _B, now) and (m.angle_sine == 0 or angles < 2):
        last = take_beat(m, _B)
        m.angle_sine = 1 - m.angle_sine
        if last:
            m.angles_full += 1


@njit
def _gate(m: r.Machine, now: int) -> None:
    """Blocks of gate and up outputs in turn, then element by element: as ``hw.rows.gate_rows``."""
    kind = q.UPS if m.is_up == 1 else q.GATES
    outputs = _outputs(m)
    if can_take(m, outputs, now) and has_room(m, kind):
        take(m, outputs)
        put(m, kind, now + 1, 0)
        m.gate_place += 1
        if m.gate_place == m.block_beats:
            m.gate_place = 0
            m.is_up = 1 - m.is_up
    if can_take(m, q.GATES, now) and can_take(m, q.UPS, now) and has_room(m, q.GATED):
        m.gate_element += 1
        last = m.gate_element == m.gate_elements
        put(m, q.GATED, now + m.gate_latency + 1, int(last))
        if last:
            m.gate_element = 0
            take(m, q.GATES)
            take(m, q.UPS)


_ANNOUNCE, _CODES, _ANNOUNCE_SCALE, _SCALE = range(4)


@njit
def _write_cache(m: r.Machine, now: int) -> None:
    """A head's codes, then its scale: as ``hw.attention.cache_writer``."""
    values = m.descriptor[D.post] == _VALUES
    if m.writing == _ANNOUNCE:
        if can_take(m, q.CACHE_HEADS, now) and can_announce(m, now):
            word, token = unpack(first(m, q.CACHE_HEADS))
            chunks = m.descriptor[D.chunks]
            codes = 2 * m.scale_words + (m.cache_rows * chunks if values else 0)
            announce(m, word + codes + token // m.word_tokens * chunks, chunks, now)
            m.writing = _CODES
    elif m.writing == _CODES:
        if can_take(m, q.CODES, now):
            completes = m.write_place + 1 == m.chunk_beats
            if not completes or can_write(m, now):
                m.write_place += 1
                if completes:
                    m.write_place = 0
                    write_word(m, now)
                if take(m, q.CODES) == 1:
                    m.writing = _ANNOUNCE_SCALE
    elif m.writing == _ANNOUNCE_SCALE:
        if can_announce(m, now):
            word, token = unpack(first(m, q.CACHE_HEADS))
            scales = m.scale_words if values else 0
            announce(m, word + scales + token // m.word_floats, 1, now)
            m.writing = _SCALE
    elif can_take(m, q.SCALES, now) and can_write(m, now):
        take(m, q.SCALES)
        take(m, q.CACHE_HEADS)
        write_word(m, now)
        m.writing = _ANNOUNCE
