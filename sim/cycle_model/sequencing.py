"""The sequencer, and who reads the program's two lists: as ``fpga.sequencer``."""

from __future__ import annotations

import numpy as np

from ...fpga.descriptors import DESCRIPTOR_BYTES, TILE_BYTES, Operation
from ...tools.compiled import njit
from . import registers as r
from . import streams as q
from .port import ask, can_ask, take_word
from .queues import can_take, has_room, put, take
from .registers import D, N

__all__ = ["BEATS", "FIRST_WORD", "SCALES", "WORDS", "is_active", "step_fetchers", "step_sequencer"]

WORDS, BEATS, FIRST_WORD, SCALES = range(4)   # columns of a weight tile in the list

_END, _HEAD = int(Operation.END), int(Operation.HEAD)
(_BEGIN, _DECODE, _MULTIPLY, _COMPARE, _CHECK, _EXECUTE, _LAST) = range(7)


@njit
def is_active(m: r.Machine, now: int) -> bool:
    """An operation is being done."""
    return m.operation != 0 and m.active_from <= now


@njit
def step_sequencer(m: r.Machine, program: np.ndarray, notes: np.ndarray, now: int) -> None:
    """One cycle: begin, take a descriptor, or see whether it is done."""
    while can_take(m, q.COMPLETED, now - 1):
        take(m, q.COMPLETED)
        m.pending -= 1
    if m.state == _DECODE:
        m.operation = 0
    m.counters[N.cycles] += 1
    if is_active(m, now):
        m.counters[m.operation] += 1
    if m.state == _BEGIN:
        m.fetching, m.listing = 1, 1
        m.state = _DECODE
    elif m.state == _DECODE:
        if can_take(m, q.DESCRIPTORS, now):
            m.place = take(m, q.DESCRIPTORS)
            notes[m.place] = m.counters
            m.descriptor[:] = program[m.place]
            m.state = _MULTIPLY
    elif m.state == _MULTIPLY:
        m.state = _COMPARE
    elif m.state == _COMPARE:
        m.state = _CHECK
    elif m.state == _CHECK:
        operation = m.descriptor[D.operation]
        skipped = m.chooses == 0 and (m.descriptor[D.last_row] == 1 or operation == _HEAD)
        m.state = _EXECUTE
        if operation == _END:
            m.state = _LAST
        elif skipped:
            m.state = _DECODE
        else:
            m.operation = operation
            m.active_from = now + 1
            m.walked = 0
            m.walk = 0
    elif m.state == _EXECUTE:
        if m.walked == 1 and m.pending == 0:
            m.state = _DECODE
    else:
        m.ended = 1


@njit
def step_fetchers(m: r.Machine, program: np.ndarray, tiles: np.ndarray, now: int) -> None:
    """Descriptors two ahead; weight tiles as far ahead as there is room."""
    _fetch_descriptors(m, program, now)
    _fetch_tiles(m, tiles, now)


@njit
def _fetch_descriptors(m: r.Machine, program: np.ndarray, now: int) -> None:
    if m.fetching == 1:
        m.fetching = 2
    elif m.fetching == 2:
        if has_room(m, q.DESCRIPTORS) and can_ask(m, q.DESCRIPTOR_WORDS, now):
            word = m.program + m.fetched * m.descriptor_words
            ask(m, q.DESCRIPTOR_WORDS, word, m.descriptor_words, now)
            m.fetching = 3
    elif m.fetching == 3 and can_take(m, q.DESCRIPTOR_WORDS, now):
        take_word(m, q.DESCRIPTOR_WORDS)
        m.fetched_part += 1
        if m.fetched_part == m.descriptor_words:
            m.fetched_part = 0
            put(m, q.DESCRIPTORS, now + 1, m.fetched)
            m.fetching = 0 if program[m.fetched, D.operation] == _END else 2
            m.fetched += 1


@njit
def _fetch_tiles(m: r.Machine, tiles: np.ndarray, now: int) -> None:
    count = tiles.shape[0]
    entry_words = max(1, m.descriptor_words * TILE_BYTES // DESCRIPTOR_BYTES)
    if m.listing == 1:
        m.listing = 2
    elif m.listing == 2:
        if can_ask(m, q.TILE_WORDS, now):
            ask(m, q.TILE_WORDS, m.list, -(-count // m.tiles_per_word) * entry_words, now)
            m.listing = 3
    elif m.listing == 3 and can_take(m, q.TILE_WORDS, now):
        if m.list_place < entry_words - 1:   # an entry of several words is gathered
            m.list_place += 1
            take_word(m, q.TILE_WORDS)
            return
        if m.weights_asked == 0 and can_ask(m, q.WEIGHT_WORDS, now):
            ask(m, q.WEIGHT_WORDS, tiles[m.listed, FIRST_WORD], tiles[m.listed, WORDS], now)
            m.weights_asked = 1
        if m.tile_told == 0 and has_room(m, q.TILE_INFO):
            put(m, q.TILE_INFO, now + 1, m.listed)
            m.tile_told = 1
        scales_told = _tell_scales(m, tiles, now)
        if m.weights_asked == 1 and m.tile_told == 1 and scales_told:
            m.weights_asked, m.tile_told, m.split_told, m.scales_told = 0, 0, 0, 0
            m.listed += 1
            m.list_place += 1
            if m.list_place >= m.tiles_per_word or m.listed == count:
                m.list_place = 0
                take_word(m, q.TILE_WORDS)
            if m.listed == count:
                m.listing = 0


@njit
def _tell_scales(m: r.Machine, tiles: np.ndarray, now: int) -> bool:
    """Whether who takes an entry's scales knows of them; an accelerator may have none."""
    if m.scale_depth == 0:
        return True
    if m.split_told == 0 and has_room(m, q.SPLIT_INFO):
        put(m, q.SPLIT_INFO, now + 1, m.listed)
        m.split_told = 1
    if m.scales_told == 0 and (tiles[m.listed, SCALES] == 0 or has_room(m, q.SCALE_INFO)):
        if tiles[m.listed, SCALES] > 0:
            put(m, q.SCALE_INFO, now + 1, m.listed)
        m.scales_told = 1
    return m.split_told == 1 and m.scales_told == 1
