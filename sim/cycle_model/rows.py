"""Rows from memory, through norm and quantizer, and back to memory."""

from __future__ import annotations

from ...tools.compiled import njit
from . import registers as r
from . import streams as q
from .port import announce, ask, can_announce, can_ask, can_write, take_word, write_word
from .queues import can_take, first, has_room, pack, put, take, unpack
from .registers import D

__all__ = ["can_code", "can_norm", "code", "drive_quantize", "give_normed", "has_beat", "meets",
           "norm", "note_end", "quantize", "sink", "sink_beat", "sink_row", "step_quantizer",
           "step_sources", "take_beat"]

_A, _B = 0, 1
_PLACE, _BEAT = 0, 1   # of a row: in its word, in the row


@njit
def step_sources(m: r.Machine, now: int) -> None:
    """Rows that were asked for become requests, and words beats: as ``hw.rows.row_source``."""
    for source in range(2):
        _give_beat(m, source, now)
    _request(m, q.A_ROWS, q.A_LENGTHS, q.A_WORDS, now)
    _request(m, q.B_ROWS, q.B_LENGTHS, q.B_WORDS, now)


@njit
def _request(m: r.Machine, rows: int, lengths: int, reader: int, now: int) -> None:
    per_word = m.word_beats
    if can_take(m, rows, now) and has_room(m, lengths) and can_ask(m, reader, now):
        word, beats = unpack(take(m, rows))
        ask(m, reader, word, -(-beats // per_word), now)
        put(m, lengths, now + 1, beats)


@njit
def _give_beat(m: r.Machine, source: int, now: int) -> None:
    """A beat of source 0 (a) or 1 (b) goes to the register before its output."""
    if not (can_take(m, q.A_WORDS + source, now) and can_take(m, q.A_LENGTHS + source, now)
            and has_room(m, q.A_BEATS + source)):
        return
    beats = m.beats[source]
    beats[_PLACE] += 1
    beats[_BEAT] += 1
    last = beats[_BEAT] == first(m, q.A_LENGTHS + source)
    put(m, q.A_BEATS + source, now + 1, int(last))
    if last or beats[_PLACE] == m.word_beats:
        beats[_PLACE] = 0
        take_word(m, q.A_WORDS + source)
    if last:
        beats[_BEAT] = 0
        take(m, q.A_LENGTHS + source)


@njit
def has_beat(m: r.Machine, source: int, now: int) -> bool:
    """A beat of source 0 (a) or 1 (b) is offered."""
    return can_take(m, q.A_BEATS + source, now)


@njit
def take_beat(m: r.Machine, source: int) -> bool:
    """Take it; whether it is its row's last one."""
    return take(m, q.A_BEATS + source) == 1


@njit
def give_normed(m: r.Machine, weights: int, beats: int, now: int) -> None:
    """The second pass over rows of ``beats``: as ``hw.rows.rms_norm``.

    Weights come from source ``weights``: 0 (a) or 1 (b).
    """
    if can_take(m, q.NORM_ROW, now) and can_take(m, q.FACTORS, now) and has_beat(
            m, weights, now) and has_room(m, q.NORMED):
        take(m, q.NORM_ROW)
        take_beat(m, weights)
        m.norm_given += 1
        put(m, q.NORMED, now + m.norm_scale_latency + 1, 0)
        if m.norm_given == beats:
            m.norm_given = 0
            take(m, q.FACTORS)


@njit
def can_norm(m: r.Machine, beats: int, now: int) -> bool:
    """The norm takes the next beat of a row of ``beats``, if it has the row's constants."""
    last = m.norm_taken + 1 == beats
    return has_room(m, q.NORM_ROW) and (
        not last or (has_room(m, q.FACTORS) and m.sum_idle_at <= now))


@njit
def norm(m: r.Machine, beats: int, now: int) -> bool:
    """A beat enters the norm; whether it is its row's last one."""
    put(m, q.NORM_ROW, now + 3, 0)
    m.norm_taken += 1
    if m.norm_taken < beats:
        return False
    m.norm_taken = 0
    put(m, q.FACTORS, now + m.factor_latency + 1, 0)
    m.sum_idle_at = now + m.square_latency + 1
    return True


@njit
def meets(m: r.Machine, ring: int, now: int) -> bool:
    """A row that ends in this cycle would meet an earlier one in the shared reciprocal."""
    before = now - m.reciprocal_period
    return m.coded[ring, before % r.RING] == before


@njit
def note_end(m: r.Machine, ring: int, now: int) -> None:
    """A row ends in this cycle."""
    m.coded[ring, now % r.RING] = now


@njit
def can_code(m: r.Machine, beats: int, now: int) -> bool:
    """The quantizer takes the next beat of a row of ``beats``."""
    if not has_room(m, q.CODE_ROW):
        return False
    last = m.code_taken + 1 == beats
    return not last or (has_room(m, q.INVERSES) and has_room(m, q.SCALES)
                        and not meets(m, r.CODED_ROWS, now))


@njit
def code(m: r.Machine, beats: int, now: int) -> None:
    """A beat enters the quantizer."""
    put(m, q.CODE_ROW, now + 3, 0)
    m.code_taken += 1
    if m.code_taken == beats:
        m.code_taken = 0
        note_end(m, r.CODED_ROWS, now)
        put(m, q.INVERSES, now + m.largest_latency + 1, 0)
        put(m, q.SCALES, now + m.largest_latency + 1, 0)


@njit
def step_quantizer(m: r.Machine, beats: int, now: int) -> None:
    """Turn the largest magnitude of a row of ``beats`` into its codes: ``hw.rows.quantizer``."""
    if can_take(m, q.CODE_ROW, now) and can_take(m, q.INVERSES, now) and has_room(m, q.CODES):
        take(m, q.CODE_ROW)
        m.code_given += 1
        last = m.code_given == beats
        put(m, q.CODES, now + m.code_latency + 1, int(last))
        if last:
            m.code_given = 0
            take(m, q.INVERSES)


@njit
def sink(m: r.Machine, source: int, now: int) -> None:
    """Beats of the queue ``source`` to memory, row by row: as ``hw.rows.row_sink``."""
    sink_beat(m, source, now)
    sink_row(m, now)


@njit
def sink_beat(m: r.Machine, source: int, now: int) -> None:
    """A beat of the queue ``source``, if there is one and it is taken."""
    per_word = m.word_beats
    if can_take(m, source, now) and can_take(m, q.SINK_LENGTHS, now):
        row_ends = m.sink_beat + 1 == first(m, q.SINK_LENGTHS)
        completes = row_ends or m.sink_place + 1 == per_word
        if not completes or can_write(m, now):
            take(m, source)
            m.sink_place += 1
            m.sink_beat += 1
            if completes:
                m.sink_place = 0
                write_word(m, now)
            if row_ends:
                m.sink_beat = 0
                take(m, q.SINK_LENGTHS)


@njit
def sink_row(m: r.Machine, now: int) -> None:
    """The next row is announced to the shared writer."""
    if can_take(m, q.SINK_ROWS, now) and has_room(m, q.SINK_LENGTHS) and can_announce(m, now):
        word, beats = unpack(take(m, q.SINK_ROWS))
        announce(m, word, -(-beats // m.word_beats), now)
        put(m, q.SINK_LENGTHS, now + 1, beats)


@njit
def drive_quantize(m: r.Machine, now: int) -> None:
    """Row by row, with the norm's weights: as ``fpga.quantize_driver``."""
    if m.walk == 0:
        m.left, m.out = m.tokens, m.descriptor[D.a]
        if m.descriptor[D.last_row] == 1:
            m.left = 1
            m.out += (m.tokens - 1) * m.descriptor[D.a_stride]
        m.walk = 1
    elif (m.walk == 1 and has_room(m, q.A_ROWS) and has_room(m, q.B_ROWS)
            and has_room(m, q.NORMS)):
        put(m, q.A_ROWS, now + 1, pack(m.out, m.descriptor[D.beats]))
        if m.descriptor[D.norm] == 1:
            put(m, q.B_ROWS, now + 1, pack(m.descriptor[D.b], m.descriptor[D.beats]))
            put(m, q.NORMS, now + 1, 0)
        m.pending += 1
        m.out += m.descriptor[D.a_stride]
        m.left -= 1
        if m.left == 0:
            m.walk = 2
            m.walked = 1


@njit
def quantize(m: r.Machine, now: int) -> None:
    """One cycle of the units of a QUANTIZE."""
    # To the activation buffer, which is always ready, or to the head, which stores a row.
    if can_take(m, q.CODES, now) and take(m, q.CODES) == 1:
        put(m, q.COMPLETED, now, 0)
        if m.descriptor[D.last_row] == 1:
            m.stored = 1
    if m.descriptor[D.last_row] == 0 and can_take(m, q.SCALES, now):
        take(m, q.SCALES)
    step_quantizer(m, m.descriptor[D.beats], now)
    beats = m.descriptor[D.beats]
    if m.descriptor[D.norm] == 1:
        if can_take(m, q.NORMED, now) and can_code(m, beats, now):
            take(m, q.NORMED)
            code(m, beats, now)
        give_normed(m, _B, beats, now)
        ends = m.norm_taken + 1 == beats
        if has_beat(m, _A, now) and can_norm(m, beats, now) and (
                not ends or can_take(m, q.NORMS, now)):
            take_beat(m, _A)
            if norm(m, beats, now):
                take(m, q.NORMS)
    elif has_beat(m, _A, now) and can_code(m, beats, now):
        take_beat(m, _A)
        code(m, beats, now)
