"""Rows from memory, through norm and quantizer, and back to memory."""

from __future__ import annotations

import numpy as np

from ...tools.compiled import njit
from . import registers as r
from . import streams as q
from .port import announce, ask, can_announce, can_ask, can_write, take_word, write_word
from .queues import can_take, first, has_room, pack, put, take, unpack

__all__ = ["can_code", "code", "drive_quantize", "has_beat", "meets", "note_end", "quantize",
           "sink", "sink_beat", "sink_row", "step_quantizer", "step_sources", "take_beat"]

_A, _B = 0, 1


@njit
def step_sources(m: np.ndarray, now: int) -> None:
    """Rows that were asked for become requests: as ``hw.rows.row_source``."""
    _request(m, q.A_ROWS, q.A_LENGTHS, q.A_WORDS, now)
    _request(m, q.B_ROWS, q.B_LENGTHS, q.B_WORDS, now)


@njit
def _request(m: np.ndarray, rows: int, lengths: int, reader: int, now: int) -> None:
    per_word = m[r.WORD_BEATS]
    if can_take(m, rows, now) and has_room(m, lengths) and can_ask(m, reader, now):
        word, beats = unpack(take(m, rows))
        ask(m, reader, word, -(-beats // per_word), now)
        put(m, lengths, now + 1, beats)


@njit
def has_beat(m: np.ndarray, source: int, now: int) -> bool:
    """A beat of source 0 (a) or 1 (b) is offered."""
    return can_take(m, q.A_WORDS + source, now) and can_take(m, q.A_LENGTHS + source, now)


@njit
def take_beat(m: np.ndarray, source: int) -> bool:
    """Take it; whether it is its row's last one."""
    place, beat = r.BEATS + 2 * source, r.BEATS + 2 * source + 1
    m[place] += 1
    m[beat] += 1
    last = m[beat] == first(m, q.A_LENGTHS + source)
    if last or m[place] == m[r.WORD_BEATS]:
        m[place] = 0
        take_word(m, q.A_WORDS + source)
    if last:
        m[beat] = 0
        take(m, q.A_LENGTHS + source)
    return last


@njit
def _norm(m: np.ndarray, now: int) -> None:
    """Two passes over each row: as ``hw.rows.rms_norm``. Weights come from source b."""
    beats = m[r.D_BEATS]
    if can_take(m, q.NORM_ROW, now) and can_take(m, q.FACTORS, now) and has_beat(
            m, _B, now) and has_room(m, q.NORMED):
        take(m, q.NORM_ROW)
        take_beat(m, _B)
        m[r.NORM_GIVEN] += 1
        put(m, q.NORMED, now + m[r.NORM_SCALE_LATENCY] + 1, 0)
        if m[r.NORM_GIVEN] == beats:
            m[r.NORM_GIVEN] = 0
            take(m, q.FACTORS)
    if has_beat(m, _A, now) and has_room(m, q.NORM_ROW):
        last = m[r.NORM_TAKEN] + 1 == beats
        may_end = has_room(m, q.FACTORS) and m[r.SUM_IDLE_AT] <= now and can_take(m, q.NORMS, now)
        if not last or may_end:
            take_beat(m, _A)
            put(m, q.NORM_ROW, now + 2, 0)
            m[r.NORM_TAKEN] += 1
            if last:
                m[r.NORM_TAKEN] = 0
                take(m, q.NORMS)
                put(m, q.FACTORS, now + m[r.FACTOR_LATENCY] + 1, 0)
                m[r.SUM_IDLE_AT] = now + m[r.SQUARE_LATENCY] + 1


@njit
def meets(m: np.ndarray, ring: int, now: int) -> bool:
    """A row that ends in this cycle would meet an earlier one in the shared reciprocal."""
    before = now - m[r.RECIPROCAL_PERIOD]
    return m[ring + before % r.RING] == before


@njit
def note_end(m: np.ndarray, ring: int, now: int) -> None:
    """A row ends in this cycle."""
    m[ring + now % r.RING] = now


@njit
def can_code(m: np.ndarray, beats: int, now: int) -> bool:
    """The quantizer takes the next beat of a row of ``beats``."""
    if not has_room(m, q.CODE_ROW):
        return False
    last = m[r.CODE_TAKEN] + 1 == beats
    return not last or (has_room(m, q.INVERSES) and has_room(m, q.SCALES)
                        and not meets(m, r.CODED_ROWS, now))


@njit
def code(m: np.ndarray, beats: int, now: int) -> None:
    """A beat enters the quantizer."""
    put(m, q.CODE_ROW, now + 2, 0)
    m[r.CODE_TAKEN] += 1
    if m[r.CODE_TAKEN] == beats:
        m[r.CODE_TAKEN] = 0
        note_end(m, r.CODED_ROWS, now)
        put(m, q.INVERSES, now + m[r.LARGEST_LATENCY] + 1, 0)
        put(m, q.SCALES, now + m[r.LARGEST_LATENCY] + 1, 0)


@njit
def step_quantizer(m: np.ndarray, beats: int, now: int) -> None:
    """From the largest magnitude of a row of ``beats`` to its codes: as ``hw.rows.quantizer``."""
    if can_take(m, q.CODE_ROW, now) and can_take(m, q.INVERSES, now) and has_room(m, q.CODES):
        take(m, q.CODE_ROW)
        m[r.CODE_GIVEN] += 1
        last = m[r.CODE_GIVEN] == beats
        put(m, q.CODES, now + m[r.CODE_LATENCY] + 1, int(last))
        if last:
            m[r.CODE_GIVEN] = 0
            take(m, q.INVERSES)


@njit
def sink(m: np.ndarray, source: int, now: int) -> None:
    """Beats of the queue ``source`` to memory, row by row: as ``hw.rows.row_sink``."""
    sink_beat(m, source, now)
    sink_row(m, now)


@njit
def sink_beat(m: np.ndarray, source: int, now: int) -> None:
    """A beat of the queue ``source``, if there is one and it is taken."""
    per_word = m[r.WORD_BEATS]
    if can_take(m, source, now) and can_take(m, q.SINK_LENGTHS, now):
        row_ends = m[r.SINK_BEAT] + 1 == first(m, q.SINK_LENGTHS)
        completes = row_ends or m[r.SINK_PLACE] + 1 == per_word
        if not completes or can_write(m, now):
            take(m, source)
            m[r.SINK_PLACE] += 1
            m[r.SINK_BEAT] += 1
            if completes:
                m[r.SINK_PLACE] = 0
                write_word(m, now)
            if row_ends:
                m[r.SINK_BEAT] = 0
                take(m, q.SINK_LENGTHS)


@njit
def sink_row(m: np.ndarray, now: int) -> None:
    """The next row is announced to the shared writer."""
    if can_take(m, q.SINK_ROWS, now) and has_room(m, q.SINK_LENGTHS) and can_announce(m, now):
        word, beats = unpack(take(m, q.SINK_ROWS))
        announce(m, word, -(-beats // m[r.WORD_BEATS]), now)
        put(m, q.SINK_LENGTHS, now + 1, beats)


@njit
def drive_quantize(m: np.ndarray, now: int) -> None:
    """Row by row, with the norm's weights: as ``fpga.quantize_driver``."""
    if m[r.WALK] == 0:
        m[r.LEFT] = 1 if m[r.D_LAST_ROW] == 1 else m[r.TOKENS]
        m[r.OUT] = m[r.D_A] + ((m[r.TOKENS] - 1) * m[r.D_A_STRIDE] if m[r.D_LAST_ROW] == 1 else 0)
        m[r.WALK] = 1
    elif (m[r.WALK] == 1 and has_room(m, q.A_ROWS) and has_room(m, q.B_ROWS)
            and has_room(m, q.NORMS)):
        put(m, q.A_ROWS, now + 1, pack(m[r.OUT], m[r.D_BEATS]))
        if m[r.D_NORM] == 1:
            put(m, q.B_ROWS, now + 1, pack(m[r.D_B], m[r.D_BEATS]))
            put(m, q.NORMS, now + 1, 0)
        m[r.PENDING] += 1
        m[r.OUT] += m[r.D_A_STRIDE]
        m[r.LEFT] -= 1
        if m[r.LEFT] == 0:
            m[r.WALK] = 2
            m[r.WALKED] = 1


@njit
def quantize(m: np.ndarray, now: int) -> None:
    """One cycle of the units of a QUANTIZE."""
    # To the activation buffer, which is always ready, or to the head, which stores a row.
    if can_take(m, q.CODES, now) and take(m, q.CODES) == 1:
        put(m, q.COMPLETED, now, 0)
        if m[r.D_LAST_ROW] == 1:
            m[r.STORED] = 1
    if m[r.D_LAST_ROW] == 0 and can_take(m, q.SCALES, now):
        take(m, q.SCALES)
    step_quantizer(m, m[r.D_BEATS], now)
    if m[r.D_NORM] == 1:
        if can_take(m, q.NORMED, now) and can_code(m, m[r.D_BEATS], now):
            take(m, q.NORMED)
            code(m, m[r.D_BEATS], now)
        _norm(m, now)
    elif has_beat(m, _A, now) and can_code(m, m[r.D_BEATS], now):
        take_beat(m, _A)
        code(m, m[r.D_BEATS], now)
