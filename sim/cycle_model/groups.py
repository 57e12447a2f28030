"""Weights of several digits, with a scale for each group: what is there beside the others' path."""

from __future__ import annotations

import numpy as np

from ...tools.compiled import njit
from . import registers as r
from . import streams as q
from .port import take_word
from .queues import can_take, first, has_room, put, take
from .registers import D
from .sequencing import SCALES

__all__ = ["give_scales", "is_grouped", "scale_groups", "sum_digits", "take_scales"]


@njit
def is_grouped(m: r.Machine) -> bool:
    """The weights of this MATMUL have a scale for each group."""
    return m.descriptor[D.rows] != 0


@njit
def take_scales(m: r.Machine, tiles: np.ndarray, now: int) -> bool:
    """The words that a tile begins with: as ``hw.weights.scale_splitter``.

    Whether the next word of weights that comes is one of them.
    """
    beats = tiles[m.unpacked_tile, SCALES]
    if m.scales_given == beats:
        return False
    if can_take(m, q.WEIGHT_WORDS, now) and m.scales_held != m.scale_depth:
        m.scales_held += 1
        m.scales_given += 1
        m.scales_took = now
        m.scale_part += 1
        if m.scale_part == m.scale_word_beats or m.scales_given == beats:
            m.scale_part = 0
            take_word(m, q.WEIGHT_WORDS)
            m.unpacked_words += 1
    return True


@njit
def give_scales(m: r.Machine, tiles: np.ndarray, now: int) -> None:
    """Scales as often as there are tokens: as ``hw.weights.tile_buffer``."""
    held = m.scales_held - int(m.scales_took == now)
    if (m.scales_took != now and can_take(m, q.SCALE_INFO, now) and held > m.scales_past
            and has_room(m, q.SCALE_BEATS)):
        beats = tiles[first(m, q.SCALE_INFO), SCALES]
        last_beat = m.scales_beat + 1 >= beats
        last_round = m.scales_round + 1 >= m.tokens
        put(m, q.SCALE_BEATS, now + 2, 0)
        m.scales_beat += 1
        if last_round:
            m.scales_held -= 1
        else:
            m.scales_past += 1
        if last_beat:
            m.scales_beat, m.scales_past = 0, 0
            m.scales_round += 1
            if last_round:
                m.scales_round = 0
                take(m, q.SCALE_INFO)


@njit
def sum_digits(m: r.Machine, now: int) -> None:
    """As ``hw.matmul.digit_sum``."""
    if can_take(m, q.SUMS, now) and has_room(m, q.DIGIT_SUMS):
        last = take(m, q.SUMS)
        m.digit += 1
        if m.digit >= m.descriptor[D.digits]:
            m.digit = 0
            put(m, q.DIGIT_SUMS, now + 1, last)


@njit
def scale_groups(m: r.Machine, now: int) -> None:
    """As ``hw.matmul.group_dequantizer``."""
    if m.narrow_parts > 1 and can_take(m, q.WIDE, now) and has_room(m, q.OUTPUTS):
        put(m, q.OUTPUTS, now + 1, 0)
        m.narrow_part += 1
        if m.narrow_part == m.narrow_parts:
            m.narrow_part = 0
            take(m, q.WIDE)
    if (can_take(m, q.BLOCKS, now) and can_take(m, q.SCALE_BEATS, now)
            and can_take(m, q.ACTIVATION_SCALES, now) and _has_room(m) and _may_add(m, now)):
        take(m, q.SCALE_BEATS)
        _enter(m, now)
    if can_take(m, q.DIGIT_SUMS, now) and has_room(m, q.BLOCKS):
        put(m, q.BLOCKS, now + 3, take(m, q.DIGIT_SUMS))


@njit
def _enter(m: r.Machine, now: int) -> None:
    """A beat of a block enters the adders; in the last group it leaves them as outputs."""
    last_group = m.group + 1 >= m.descriptor[D.rows]
    if last_group:
        put(m, q.WIDE if m.narrow_parts > 1 else q.OUTPUTS, now + m.group_latency + 1, 0)
    m.group_times[m.group_beat % r.GROUP_TIMES] = now
    m.group_beat += 1
    m.group_part += 1
    if m.group_part < m.group_parts:
        return
    m.group_part = 0
    if take(m, q.BLOCKS) == 1:   # the group's last one
        if m.group == 0:
            m.group_size = m.group_beat
        m.group += 1
        if last_group:
            m.group, m.group_beat = 0, 0
            take(m, q.ACTIVATION_SCALES)


@njit
def _has_room(m: r.Machine) -> bool:
    return has_room(m, q.WIDE if m.narrow_parts > 1 else q.OUTPUTS)


@njit
def _may_add(m: r.Machine, now: int) -> bool:
    """The total that this beat is added to has been written."""
    if m.group == 0 or m.group_size > m.group_wait:
        return True
    return m.group_times[(m.group_beat - m.group_size) % r.GROUP_TIMES] < now - m.group_wait
