"""Embedding and head, as ``hw.vocabulary.embedding``, ``hw.vocabulary.head`` and
``fpga.vocabulary_drivers``.
"""

from __future__ import annotations

import numpy as np

from ...tools.compiled import njit
from . import registers as r
from . import streams as q
from .port import announce, ask, can_announce, can_ask, can_write, take_word, write_word
from .queues import can_take, has_room, pack, put, size, take
from .rows import sink

__all__ = ["choose", "drive_embed", "drive_head", "embed"]

_IDLE, _ASK_ID, _ID, _LOCATE, _ASK_SCALE, _ASK_ROW, _SCALE, _ROW = range(8)


@njit
def drive_embed(m: np.ndarray, now: int) -> None:
    """A row for each token."""
    if m[r.WALK] == 0:
        put(m, q.EMBED_JOBS, now + 1, 0)
        m[r.OUT], m[r.LEFT] = m[r.D_D], m[r.TOKENS]
        m[r.WALK] = 1
    elif m[r.WALK] == 1 and size(m, q.SINK_ROWS) < 2:
        put(m, q.SINK_ROWS, now + 1, pack(m[r.OUT], m[r.D_BEATS]))
        m[r.PENDING] += 1
        m[r.OUT] += m[r.D_D_STRIDE]
        m[r.LEFT] -= 1
        if m[r.LEFT] == 0:
            m[r.WALK] = 2
            m[r.WALKED] = 1


@njit
def embed(m: np.ndarray, now: int) -> None:
    """A token's id, its scale and its row, one after the other."""
    sink(m, q.EMBEDDED, now)
    place = m[r.POSITION] + m[r.EMBED_DONE]
    token = place % m[r.VOCABULARY]
    group = m[r.D_C] + token // m[r.GROUP_ROWS] * m[r.D_REGION]
    came = can_take(m, q.VOCABULARY_WORDS, now)
    if m[r.EMBED_STATE] == _IDLE:
        if can_take(m, q.EMBED_JOBS, now):
            m[r.EMBED_STATE] = _ASK_ID
    elif m[r.EMBED_STATE] == _ASK_ID:
        if can_ask(m, q.VOCABULARY_WORDS, now):
            ask(m, q.VOCABULARY_WORDS, m[r.D_A] + place // m[r.GROUP_ROWS], 1, now)
            m[r.EMBED_STATE] = _ID
    elif m[r.EMBED_STATE] == _ID:
        if came:
            take_word(m, q.VOCABULARY_WORDS)
            m[r.EMBED_STATE] = _LOCATE
    elif m[r.EMBED_STATE] == _LOCATE:
        m[r.EMBED_STATE] = _ASK_SCALE
    elif m[r.EMBED_STATE] == _ASK_SCALE:
        if can_ask(m, q.VOCABULARY_WORDS, now):
            ask(m, q.VOCABULARY_WORDS, group, 1, now)
            m[r.EMBED_STATE] = _ASK_ROW
    elif m[r.EMBED_STATE] == _ASK_ROW:
        if can_ask(m, q.VOCABULARY_WORDS, now):
            row = group + 1 + token % m[r.GROUP_ROWS] * m[r.D_TILE_WORDS]
            ask(m, q.VOCABULARY_WORDS, row, m[r.D_TILE_WORDS], now)
            m[r.EMBED_STATE] = _SCALE
    elif m[r.EMBED_STATE] == _SCALE:
        if came:
            take_word(m, q.VOCABULARY_WORDS)
            m[r.EMBED_STATE] = _ROW
    elif came and has_room(m, q.EMBEDDED):
        put(m, q.EMBEDDED, now + m[r.EMBED_LATENCY] + 1, 0)
        m[r.EMBED_BEAT] += 1
        m[r.EMBED_PLACE] += 1
        ends = m[r.EMBED_BEAT] == m[r.D_BEATS]
        if ends or m[r.EMBED_PLACE] == m[r.CODE_WORD_BEATS] << m[r.D_FOUR_BITS]:
            m[r.EMBED_PLACE] = 0
            take_word(m, q.VOCABULARY_WORDS)
        if ends:
            m[r.EMBED_BEAT] = 0
            m[r.EMBED_DONE] += 1
            m[r.EMBED_STATE] = _ASK_ID
            if m[r.EMBED_DONE] == m[r.TOKENS]:
                m[r.EMBED_DONE] = 0
                take(m, q.EMBED_JOBS)
                m[r.EMBED_STATE] = _IDLE


@njit
def _head_words(m: np.ndarray) -> int:
    return -(-m[r.D_ROWS] // m[r.GROUP_ROWS]) * m[r.D_REGION]


@njit
def drive_head(m: np.ndarray, now: int) -> None:
    """Read the vocabulary, and write the chosen token."""
    if m[r.WALK] == 0:
        put(m, q.HEAD_JOBS, now + 1, 0)
        m[r.PENDING] += 1
        m[r.WALK] = 1
    elif m[r.WALK] == 1:
        if can_ask(m, q.VOCABULARY_WORDS, now):
            ask(m, q.VOCABULARY_WORDS, m[r.D_C], _head_words(m), now)
            m[r.WALK] = 2
    elif m[r.WALK] == 2:
        if can_take(m, q.CHOICES, now):
            take(m, q.CHOICES)
            m[r.WALK] = 3
    elif m[r.WALK] == 3:
        if can_announce(m, now):
            announce(m, m[r.D_A] + (m[r.POSITION] + m[r.TOKENS]) // m[r.GROUP_ROWS], 1, now)
            m[r.WALK] = 4
    elif m[r.WALK] == 4 and can_write(m, now):
        write_word(m, now)
        m[r.WALK] = 5
        m[r.WALKED] = 1


@njit
def choose(m: np.ndarray, now: int) -> None:
    """A word of the vocabulary per cycle; the choice follows the last one."""
    if m[r.STORED] == 1 and can_take(m, q.SCALES, now) and can_take(
            m, q.HEAD_JOBS, now) and can_take(m, q.VOCABULARY_WORDS, now):
        take_word(m, q.VOCABULARY_WORDS)
        m[r.N_HEAD_WORDS] += 1
        m[r.HEAD_WORD] += 1
        if m[r.HEAD_WORD] == _head_words(m):
            m[r.HEAD_WORD], m[r.STORED] = 0, 0
            take(m, q.SCALES)
            take(m, q.HEAD_JOBS)
            put(m, q.CHOICES, now + m[r.CHOICE_LATENCY] + 1, 0)
            m[r.N_TOKENS] += 1
