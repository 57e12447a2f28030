"""The sequencer, and who reads the program's two lists: as ``fpga.sequencer``."""

from __future__ import annotations

import numpy as np

from ...fpga.descriptors import Operation
from ...tools.compiled import njit
from . import registers as r
from . import streams as q
from .port import ask, can_ask, take_word
from .queues import can_take, has_room, put, take

__all__ = ["is_active", "step_fetchers", "step_sequencer", "weight_tile"]

_END, _HEAD = int(Operation.END), int(Operation.HEAD)
(_BEGIN, _DECODE, _EXECUTE, _LAST) = range(4)


@njit
def _descriptor(m: np.ndarray, number: int) -> int:
    """Where a descriptor of the program is kept; its operation comes first."""
    return m[r.PROGRAM_AT] + r.FIELDS * number


@njit
def weight_tile(m: np.ndarray, number: int) -> int:
    """Where a weight tile of the list is kept: words, beats, first word."""
    return m[r.TILES_AT] + 3 * number


@njit
def is_active(m: np.ndarray, now: int) -> bool:
    """An operation is being done."""
    return m[r.OPERATION] != 0 and m[r.ACTIVE_FROM] <= now


@njit
def step_sequencer(m: np.ndarray, now: int) -> None:
    """One cycle: begin, take a descriptor, or see whether it is done."""
    while can_take(m, q.COMPLETED, now - 1):
        take(m, q.COMPLETED)
        m[r.PENDING] -= 1
    if m[r.STATE] == _DECODE:
        m[r.OPERATION] = 0
    m[r.N_CYCLES] += 1
    if is_active(m, now):
        m[r.N_CYCLES + m[r.OPERATION]] += 1
    if m[r.STATE] == _BEGIN:
        m[r.FETCHING], m[r.LISTING] = 1, 1
        m[r.STATE] = _DECODE
    elif m[r.STATE] == _DECODE:
        if can_take(m, q.DESCRIPTORS, now):
            m[r.PLACE] = take(m, q.DESCRIPTORS)
            note = m[r.NOTES_AT] + r.COUNTS * m[r.PLACE]
            m[note:note + r.COUNTS] = m[r.N_CYCLES:r.N_CYCLES + r.COUNTS]
            at = _descriptor(m, m[r.PLACE])
            m[r.DESCRIPTOR:r.DESCRIPTOR + r.FIELDS] = m[at:at + r.FIELDS]
            skipped = m[r.CHOOSES] == 0 and (m[r.D_LAST_ROW] == 1 or m[r.D_OPERATION] == _HEAD)
            if m[r.D_OPERATION] == _END:
                m[r.STATE] = _LAST
            elif not skipped:
                m[r.OPERATION] = m[r.D_OPERATION]
                m[r.ACTIVE_FROM] = now + 1
                m[r.WALKED] = 0
                m[r.WALK] = 0
                m[r.STATE] = _EXECUTE
    elif m[r.STATE] == _EXECUTE:
        if m[r.WALKED] == 1 and m[r.PENDING] == 0:
            m[r.STATE] = _DECODE
    else:
        m[r.ENDED] = 1


@njit
def step_fetchers(m: np.ndarray, now: int) -> None:
    """Descriptors two ahead; weight tiles as far ahead as there is room."""
    _fetch_descriptors(m, now)
    _fetch_tiles(m, now)


@njit
def _fetch_descriptors(m: np.ndarray, now: int) -> None:
    if m[r.FETCHING] == 1:
        m[r.FETCHING] = 2
    elif m[r.FETCHING] == 2:
        if has_room(m, q.DESCRIPTORS) and can_ask(m, q.DESCRIPTOR_WORDS, now):
            word = m[r.PROGRAM] + m[r.FETCHED] * m[r.DESCRIPTOR_WORDS]
            ask(m, q.DESCRIPTOR_WORDS, word, m[r.DESCRIPTOR_WORDS], now)
            m[r.FETCHING] = 3
    elif m[r.FETCHING] == 3 and can_take(m, q.DESCRIPTOR_WORDS, now):
        take_word(m, q.DESCRIPTOR_WORDS)
        m[r.FETCHED_PART] += 1
        if m[r.FETCHED_PART] == m[r.DESCRIPTOR_WORDS]:
            m[r.FETCHED_PART] = 0
            put(m, q.DESCRIPTORS, now + 1, m[r.FETCHED])
            m[r.FETCHING] = 0 if m[_descriptor(m, m[r.FETCHED])] == _END else 2
            m[r.FETCHED] += 1


@njit
def _fetch_tiles(m: np.ndarray, now: int) -> None:
    count = m[r.TILE_COUNT]
    if m[r.LISTING] == 1:
        m[r.LISTING] = 2
    elif m[r.LISTING] == 2:
        if can_ask(m, q.TILE_WORDS, now):
            ask(m, q.TILE_WORDS, m[r.LIST], -(-count // m[r.TILES_PER_WORD]), now)
            m[r.LISTING] = 3
    elif m[r.LISTING] == 3 and can_take(m, q.TILE_WORDS, now):
        tile = weight_tile(m, m[r.LISTED])
        if m[r.WEIGHTS_ASKED] == 0 and can_ask(m, q.WEIGHT_WORDS, now):
            ask(m, q.WEIGHT_WORDS, m[tile + 2], m[tile], now)
            m[r.WEIGHTS_ASKED] = 1
        if m[r.TILE_TOLD] == 0 and has_room(m, q.TILE_INFO):
            put(m, q.TILE_INFO, now + 1, m[r.LISTED])
            m[r.TILE_TOLD] = 1
        if m[r.WEIGHTS_ASKED] == 1 and m[r.TILE_TOLD] == 1:
            m[r.WEIGHTS_ASKED], m[r.TILE_TOLD] = 0, 0
            m[r.LISTED] += 1
            m[r.LIST_PLACE] += 1
            if m[r.LIST_PLACE] == m[r.TILES_PER_WORD] or m[r.LISTED] == count:
                m[r.LIST_PLACE] = 0
                take_word(m, q.TILE_WORDS)
            if m[r.LISTED] == count:
                m[r.LISTING] = 0
