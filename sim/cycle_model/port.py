"""The memory port: shared reader, shared writer, and the memory behind them."""

from __future__ import annotations

import numpy as np

from ...tools.compiled import njit
from . import registers as r
from . import streams as q
from .queues import can_take, first, has_room, limit, pack, put, size, take, unpack
from .registers import N

__all__ = [
    "announce",
    "ask",
    "can_announce",
    "can_ask",
    "can_write",
    "step_port",
    "take_word",
    "write_word",
]

# Columns of ``asked``: what is left of a request, and since when; words of the burst before it, and
# of the one that has its places and is to be chosen; places that were freed in the cycle before.
_LEFT, _NEXT, _SINCE, _CUT, _PLACED, _FREED = range(r.ASKED_COLUMNS)
_READ_CYCLES = 4   # from a word that the memory moves to one that its reader can take


@njit
def can_ask(m: r.Machine, reader: int, now: int) -> bool:
    """The reader's splitter takes a request in this cycle."""
    return m.asked[reader, _LEFT] == 0 and m.free_at[reader] <= now


@njit
def ask(m: r.Machine, reader: int, word: int, words: int, now: int) -> None:
    """Ask for words, to be taken from the queue whose number is the reader's."""
    m.asked[reader, _LEFT] = words
    m.asked[reader, _NEXT] = word
    m.asked[reader, _SINCE] = now + 1


@njit
def take_word(m: r.Machine, reader: int) -> None:
    """Take a word, and give its place back."""
    m.asked[reader, _FREED] += 1
    take(m, reader)


@njit
def can_announce(m: r.Machine, now: int) -> bool:
    """The shared writer takes a request in this cycle."""
    return m.serves == 0 and m.serves_free_at <= now and has_room(m, q.WRITE_REQUESTS)


@njit
def announce(m: r.Machine, word: int, words: int, now: int) -> None:
    """Announce ``words`` words from ``word`` on; ``write_word`` for each of them follows."""
    put(m, q.WRITE_REQUESTS, now + 1, pack(word, words))
    m.serves = 1
    m.serves_from = now + 1
    m.write_words_left = words


@njit
def can_write(m: r.Machine, now: int) -> bool:
    """The word that is offered is taken in this cycle."""
    return m.serves == 1 and m.serves_from <= now and m.write_room == 1


@njit
def write_word(m: r.Machine, now: int) -> None:
    """A word goes to the write master."""
    put(m, q.WRITE_WORDS, now + 1, 0)
    m.write_words_left -= 1
    if m.write_words_left == 0:
        m.serves = 0
        m.serves_free_at = now + 1


@njit
def step_port(m: r.Machine, now: int) -> None:
    """One cycle of everything between the units and the memory's cells."""
    m.write_room = int(has_room(m, q.WRITE_WORDS))
    _choose_burst(m, now)
    _split_writes(m, now)
    _move(m, now)
    _acknowledge(m, now)


@njit
def _choose_burst(m: r.Machine, now: int) -> None:
    """The first reader that has a burst, and a place for each of its words, asks for it."""
    while can_take(m, q.RELEASED, now):
        take(m, q.RELEASED)
        m.noted -= 1
    m.counters[N.memory_waits] += int(m.noted > 0 and m.read_moved == 0)
    free = m.noted < m.outstanding
    for reader in range(r.READERS):
        asked = m.asked[reader]
        if asked[_PLACED] != 0 and free:
            free = False
            _note(m, reader, asked[_PLACED], now)
            asked[_PLACED] = 0
        if asked[_CUT] != 0 and asked[_PLACED] == 0 and (
                m.reserved[reader] + asked[_CUT] <= limit(m, reader)):
            asked[_PLACED] = asked[_CUT]
            m.reserved[reader] += asked[_CUT]
            asked[_CUT] = 0
        if asked[_LEFT] != 0 and asked[_CUT] == 0 and asked[_SINCE] <= now:
            asked[_CUT] = min(asked[_LEFT], m.max_burst - asked[_NEXT] % m.max_burst)
            asked[_LEFT] -= asked[_CUT]
            asked[_NEXT] += asked[_CUT]
            if asked[_LEFT] == 0:
                m.free_at[reader] = now + 1
        m.reserved[reader] -= asked[_FREED]
        asked[_FREED] = 0


@njit
def _note(m: r.Machine, reader: int, words: int, now: int) -> None:
    """A burst is asked for."""
    burst = m.read_bursts[m.reads % r.RING]
    burst[0], burst[1], burst[2] = reader, words, now + max(m.ddr_latency, 2)
    m.reads += 1
    m.noted += 1


@njit
def _move(m: r.Machine, now: int) -> None:
    """Which direction moves a word: as ``sim.verify.bench.ddr.DdrModel``."""
    available = m.saved + m.ddr_words
    refreshes = m.refresh_cycles > 0 and (
        (m.started + now) % m.refresh_interval
        >= m.refresh_interval - m.refresh_cycles)
    read = m.read_bursts[m.reads_done % r.RING]
    write = m.write_bursts[m.writes_done % r.RING]
    wants_read = m.reads != m.reads_done and read[2] <= now
    wants_write = (m.writes != m.writes_done and write[1] <= now
                   and can_take(m, q.WRITTEN, now) and size(m, q.ACKNOWLEDGED) < m.ddr_queue)
    mine, other = wants_read, wants_write
    if m.direction == 1:
        mine, other = wants_write, wants_read
    moves = False
    m.read_moved = 0
    if m.turning != 0:
        m.turning -= 1
    elif other and (m.between == 1 or not mine):
        m.direction = 1 - m.direction
        m.turning = m.turnaround - 1
        m.between = 0
    elif mine and available >= m.ddr_cycles and not refreshes:
        moves = True
        if m.direction == 0:
            _read(m, read, now)
        else:
            _write(m, write, now)
    if moves:
        m.saved = available - m.ddr_cycles
    else:
        m.saved = min(available, m.ddr_cycles)


@njit
def _read(m: r.Machine, burst: np.ndarray, now: int) -> None:
    m.counters[N.read_words] += 1
    m.read_moved = 1
    put(m, burst[0], now + _READ_CYCLES, 0)
    burst[1] -= 1
    m.between = 0
    if burst[1] == 0:
        m.between = 1
        m.reads_done += 1
        put(m, q.RELEASED, now + 2, 0)


@njit
def _write(m: r.Machine, burst: np.ndarray, now: int) -> None:
    m.counters[N.write_words] += 1
    take(m, q.WRITTEN)
    burst[0] -= 1
    m.between = 0
    if burst[0] == 0:
        m.between = 1
        m.writes_done += 1
        put(m, q.ACKNOWLEDGED, now + m.ddr_latency, burst[2])


@njit
def _acknowledge(m: r.Machine, now: int) -> None:
    if can_take(m, q.ACKNOWLEDGED, now):
        m.announced -= 1
        if take(m, q.ACKNOWLEDGED) == 1:
            put(m, q.COMPLETED, now + 1, 0)


@njit
def _split_writes(m: r.Machine, now: int) -> None:
    """Requests into bursts, and words behind the bursts that have been announced."""
    if can_take(m, q.WRITE_WORDS, now) and can_take(m, q.WRITE_LENGTHS, now) and has_room(
            m, q.WRITTEN):
        take(m, q.WRITE_WORDS)
        put(m, q.WRITTEN, now + 1, 0)
        m.write_beat += 1
        if m.write_beat == first(m, q.WRITE_LENGTHS):
            take(m, q.WRITE_LENGTHS)
            m.write_beat = 0
    if m.write_cut != 0 and m.announced < m.outstanding and has_room(m, q.WRITE_LENGTHS):
        burst = m.write_bursts[m.writes % r.RING]
        burst[0], burst[1] = m.write_cut, max(now + m.ddr_latency - 1, now + 1)
        burst[2] = m.write_cut_last
        m.writes += 1
        m.announced += 1
        put(m, q.WRITE_LENGTHS, now + 1, m.write_cut)
        m.write_cut = 0
    if m.write_left != 0:
        if m.write_valid_at <= now and m.write_cut == 0:
            m.write_cut = min(m.write_left, m.max_burst - m.write_at % m.max_burst)
            m.write_left -= m.write_cut
            m.write_at += m.write_cut
            m.write_cut_last = int(m.write_left == 0)
            m.write_free_at = now + 1
    elif can_take(m, q.WRITE_REQUESTS, now) and m.write_free_at <= now:
        m.write_at, m.write_left = unpack(take(m, q.WRITE_REQUESTS))
        m.write_valid_at = now + 1
