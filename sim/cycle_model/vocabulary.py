"""Embedding and head, as ``hw.vocabulary.embedding``, ``hw.vocabulary.head`` and
``fpga.vocabulary_drivers``.
"""

from __future__ import annotations

from ...tools.compiled import njit
from . import registers as r
from . import streams as q
from .port import announce, ask, can_announce, can_ask, can_write, take_word, write_word
from .queues import can_take, has_room, pack, put, size, take
from .registers import D, N
from .rows import sink

__all__ = ["choose", "drive_embed", "drive_head", "embed"]

_IDLE, _ASK_ID, _ID, _MULTIPLY, _LOCATE, _ASK_SCALE, _ASK_ROW, _SCALE, _ROW = range(9)


@njit
def drive_embed(m: r.Machine, now: int) -> None:
    """A row for each token."""
    if m.walk == 0:
        put(m, q.EMBED_JOBS, now + 1, 0)
        m.out, m.left = m.descriptor[D.d], m.tokens
        m.walk = 1
    elif m.walk == 1 and size(m, q.SINK_ROWS) < 2:
        put(m, q.SINK_ROWS, now + 1, pack(m.out, m.descriptor[D.beats]))
        m.pending += 1
        m.out += m.descriptor[D.d_stride]
        m.left -= 1
        if m.left == 0:
            m.walk = 2
            m.walked = 1


@njit
def embed(m: r.Machine, now: int) -> None:
    """A token's id, its scale and its row, one after the other."""
    sink(m, q.EMBEDDED, now)
    place = m.position + m.embed_done
    token = place % m.vocabulary
    group = m.descriptor[D.c] + token // m.group_rows * m.descriptor[D.region]
    came = can_take(m, q.VOCABULARY_WORDS, now)
    if m.embed_state == _IDLE:
        if can_take(m, q.EMBED_JOBS, now):
            m.embed_state = _ASK_ID
    elif m.embed_state == _ASK_ID:
        if can_ask(m, q.VOCABULARY_WORDS, now):
            ask(m, q.VOCABULARY_WORDS, m.descriptor[D.a] + place // m.group_rows, 1, now)
            m.embed_state = _ID
    elif m.embed_state == _ID:
        if came:
            take_word(m, q.VOCABULARY_WORDS)
            m.embed_state = _MULTIPLY
    elif m.embed_state == _MULTIPLY:
        m.embed_state = _LOCATE
    elif m.embed_state == _LOCATE:
        m.embed_state = _ASK_SCALE
    elif m.embed_state == _ASK_SCALE:
        if can_ask(m, q.VOCABULARY_WORDS, now):
            ask(m, q.VOCABULARY_WORDS, group, 1, now)
            m.embed_state = _ASK_ROW
    elif m.embed_state == _ASK_ROW:
        if can_ask(m, q.VOCABULARY_WORDS, now):
            row = group + 1 + token % m.group_rows * m.descriptor[D.tile_words]
            ask(m, q.VOCABULARY_WORDS, row, m.descriptor[D.tile_words], now)
            m.embed_state = _SCALE
    elif m.embed_state == _SCALE:
        if came:
            take_word(m, q.VOCABULARY_WORDS)
            m.embed_state = _ROW
    elif came and has_room(m, q.EMBEDDED):
        put(m, q.EMBEDDED, now + m.embed_latency + 1, 0)
        m.embed_beat += 1
        m.embed_place += 1
        ends = m.embed_beat == m.descriptor[D.beats]
        if ends or m.embed_place == m.code_word_beats << m.descriptor[D.four_bits]:
            m.embed_place = 0
            take_word(m, q.VOCABULARY_WORDS)
        if ends:
            m.embed_beat = 0
            m.embed_done += 1
            m.embed_state = _ASK_ID
            if m.embed_done == m.tokens:
                m.embed_done = 0
                take(m, q.EMBED_JOBS)
                m.embed_state = _IDLE


@njit
def _head_words(m: r.Machine) -> int:
    return -(-m.descriptor[D.rows] // m.group_rows) * m.descriptor[D.region]


@njit
def drive_head(m: r.Machine, now: int) -> None:
    """Read the vocabulary, and write the chosen token."""
    if m.walk == 0:
        put(m, q.HEAD_JOBS, now + 1, 0)
        m.pending += 1
        m.walk = 1
    elif m.walk == 1:
        if can_ask(m, q.VOCABULARY_WORDS, now):
            ask(m, q.VOCABULARY_WORDS, m.descriptor[D.c], _head_words(m), now)
            m.walk = 2
    elif m.walk == 2:
        if can_take(m, q.CHOICES, now):
            take(m, q.CHOICES)
            m.walk = 3
    elif m.walk == 3:
        if can_announce(m, now):
            announce(m, m.descriptor[D.a] + (m.position + m.tokens) // m.group_rows, 1, now)
            m.walk = 4
    elif m.walk == 4 and can_write(m, now):
        write_word(m, now)
        m.walk = 5
        m.walked = 1


@njit
def choose(m: r.Machine, now: int) -> None:
    """A word of the vocabulary per cycle; the choice follows the last one."""
    if m.stored == 1 and can_take(m, q.SCALES, now) and can_take(
            m, q.HEAD_JOBS, now) and can_take(m, q.VOCABULARY_WORDS, now):
        take_word(m, q.VOCABULARY_WORDS)
        m.counters[N.head_words] += 1
        m.head_word += 1
        if m.head_word == _head_words(m):
            m.head_word, m.stored = 0, 0
            take(m, q.SCALES)
            take(m, q.HEAD_JOBS)
            put(m, q.CHOICES, now + m.choice_latency + 1, 0)
            m.counters[N.tokens] += 1
