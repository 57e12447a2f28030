"""The memory port: shared reader, shared writer, and the memory behind them."""

from __future__ import annotations

import numpy as np

from ...tools.compiled import njit
from . import registers as r
from . import streams as q
from .queues import can_take, first, has_room, limit, pack, put, size, take, unpack

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

_READ_CYCLES = 3   # from a word that the memory moves to one that its reader can take


@njit
def can_ask(m: np.ndarray, reader: int, now: int) -> bool:
    """The reader's splitter takes a request in this cycle."""
    return m[r.ASKED + 3 * reader] == 0 and m[r.FREE_AT + reader] <= now


@njit
def ask(m: np.ndarray, reader: int, word: int, words: int, now: int) -> None:
    """Ask for words, to be taken from the queue whose number is the reader's."""
    m[r.ASKED + 3 * reader] = words
    m[r.ASKED + 3 * reader + 1] = word
    m[r.ASKED + 3 * reader + 2] = now + 1


@njit
def take_word(m: np.ndarray, reader: int) -> None:
    """Take a word, and give its place back."""
    m[r.RESERVED + reader] -= 1
    take(m, reader)


@njit
def can_announce(m: np.ndarray, now: int) -> bool:
    """The shared writer takes a request in this cycle."""
    return m[r.SERVES] == 0 and m[r.SERVES_FREE_AT] <= now and has_room(m, q.WRITE_REQUESTS)


@njit
def announce(m: np.ndarray, word: int, words: int, now: int) -> None:
    """Announce ``words`` words from ``word`` on; ``write_word`` for each of them follows."""
    put(m, q.WRITE_REQUESTS, now + 1, pack(word, words))
    m[r.SERVES] = 1
    m[r.SERVES_FROM] = now + 1
    m[r.WRITE_WORDS_LEFT] = words


@njit
def can_write(m: np.ndarray, now: int) -> bool:
    """The word that is offered is taken in this cycle."""
    return m[r.SERVES] == 1 and m[r.SERVES_FROM] <= now and m[r.WRITE_ROOM] == 1


@njit
def write_word(m: np.ndarray, now: int) -> None:
    """A word goes to the write master."""
    put(m, q.WRITE_WORDS, now + 1, 0)
    m[r.WRITE_WORDS_LEFT] -= 1
    if m[r.WRITE_WORDS_LEFT] == 0:
        m[r.SERVES] = 0
        m[r.SERVES_FREE_AT] = now + 1


@njit
def step_port(m: np.ndarray, now: int) -> None:
    """One cycle of everything between the units and the memory's cells."""
    m[r.WRITE_ROOM] = int(has_room(m, q.WRITE_WORDS))
    _choose_burst(m, now)
    _split_writes(m, now)
    _move(m, now)
    _acknowledge(m, now)


@njit
def _choose_burst(m: np.ndarray, now: int) -> None:
    """The first reader that has a burst to ask for, and a place for every word of it."""
    while can_take(m, q.RELEASED, now):
        take(m, q.RELEASED)
        m[r.NOTED] -= 1
    m[r.N_MEMORY_WAITS] += int(m[r.NOTED] > 0 and m[r.READ_MOVED] == 0)
    if m[r.NOTED] >= m[r.OUTSTANDING]:
        return
    for reader in range(r.READERS):
        left = m[r.ASKED + 3 * reader]
        if left == 0 or m[r.ASKED + 3 * reader + 2] > now:
            continue
        words = min(left, m[r.MAX_BURST] - m[r.ASKED + 3 * reader + 1] % m[r.MAX_BURST])
        if m[r.RESERVED + reader] + words > limit(m, reader):
            continue
        burst = r.READ_BURSTS + 3 * (m[r.READS] % r.RING)
        m[burst], m[burst + 1], m[burst + 2] = reader, words, now + max(m[r.DDR_LATENCY], 2)
        m[r.READS] += 1
        m[r.NOTED] += 1
        m[r.RESERVED + reader] += words
        m[r.ASKED + 3 * reader] -= words
        m[r.ASKED + 3 * reader + 1] += words
        if m[r.ASKED + 3 * reader] == 0:
            m[r.FREE_AT + reader] = now + 1
        return


@njit
def _move(m: np.ndarray, now: int) -> None:
    """Which direction moves a word: as ``sim.verify.bench.ddr.DdrModel``."""
    available = m[r.SAVED] + m[r.DDR_WORDS]
    refreshes = m[r.REFRESH_CYCLES] > 0 and (
        (m[r.STARTED] + now) % m[r.REFRESH_INTERVAL]
        >= m[r.REFRESH_INTERVAL] - m[r.REFRESH_CYCLES])
    read = r.READ_BURSTS + 3 * (m[r.READS_DONE] % r.RING)
    write = r.WRITE_BURSTS + 3 * (m[r.WRITES_DONE] % r.RING)
    wants_read = m[r.READS] != m[r.READS_DONE] and m[read + 2] <= now
    wants_write = (m[r.WRITES] != m[r.WRITES_DONE] and m[write + 1] <= now
                   and can_take(m, q.WRITTEN, now) and size(m, q.ACKNOWLEDGED) < m[r.DDR_QUEUE])
    mine, other = wants_read, wants_write
    if m[r.DIRECTION] == 1:
        mine, other = wants_write, wants_read
    moves = False
    m[r.READ_MOVED] = 0
    if m[r.TURNING] != 0:
        m[r.TURNING] -= 1
    elif other and (m[r.BETWEEN] == 1 or not mine):
        m[r.DIRECTION] = 1 - m[r.DIRECTION]
        m[r.TURNING] = m[r.TURNAROUND] - 1
        m[r.BETWEEN] = 0
    elif mine and available >= m[r.DDR_CYCLES] and not refreshes:
        moves = True
        if m[r.DIRECTION] == 0:
            _read(m, read, now)
        else:
            _write(m, write, now)
    if moves:
        m[r.SAVED] = available - m[r.DDR_CYCLES]
    else:
        m[r.SAVED] = min(available, m[r.DDR_CYCLES])


@njit
def _read(m: np.ndarray, burst: int, now: int) -> None:
    m[r.N_READ_WORDS] += 1
    m[r.READ_MOVED] = 1
    put(m, m[burst], now + _READ_CYCLES, 0)
    m[burst + 1] -= 1
    m[r.BETWEEN] = 0
    if m[burst + 1] == 0:
        m[r.BETWEEN] = 1
        m[r.READS_DONE] += 1
        put(m, q.RELEASED, now + 2, 0)


@njit
def _write(m: np.ndarray, burst: int, now: int) -> None:
    m[r.N_WRITE_WORDS] += 1
    take(m, q.WRITTEN)
    m[burst] -= 1
    m[r.BETWEEN] = 0
    if m[burst] == 0:
        m[r.BETWEEN] = 1
        m[r.WRITES_DONE] += 1
        put(m, q.ACKNOWLEDGED, now + m[r.DDR_LATENCY], m[burst + 2])


@njit
def _acknowledge(m: np.ndarray, now: int) -> None:
    if can_take(m, q.ACKNOWLEDGED, now):
        m[r.ANNOUNCED] -= 1
        if take(m, q.ACKNOWLEDGED) == 1:
            put(m, q.COMPLETED, now + 1, 0)


@njit
def _split_writes(m: np.ndarray, now: int) -> None:
    """Requests into bursts, and words behind the bursts that have been announced."""
    if can_take(m, q.WRITE_WORDS, now) and can_take(m, q.WRITE_LENGTHS, now) and has_room(
            m, q.WRITTEN):
        take(m, q.WRITE_WORDS)
        put(m, q.WRITTEN, now + 1, 0)
        m[r.WRITE_BEAT] += 1
        if m[r.WRITE_BEAT] == first(m, q.WRITE_LENGTHS):
            take(m, q.WRITE_LENGTHS)
            m[r.WRITE_BEAT] = 0
    if m[r.WRITE_LEFT] != 0:
        if (m[r.WRITE_VALID_AT] <= now and m[r.ANNOUNCED] < m[r.OUTSTANDING]
                and has_room(m, q.WRITE_LENGTHS)):
            words = min(m[r.WRITE_LEFT], m[r.MAX_BURST] - m[r.WRITE_AT] % m[r.MAX_BURST])
            m[r.WRITE_LEFT] -= words
            m[r.WRITE_AT] += words
            burst = r.WRITE_BURSTS + 3 * (m[r.WRITES] % r.RING)
            m[burst], m[burst + 1] = words, max(now + m[r.DDR_LATENCY] - 1, now + 1)
            m[burst + 2] = int(m[r.WRITE_LEFT] == 0)
            m[r.WRITES] += 1
            m[r.ANNOUNCED] += 1
            put(m, q.WRITE_LENGTHS, now + 1, words)
            m[r.WRITE_FREE_AT] = now + 1
    elif can_take(m, q.WRITE_REQUESTS, now) and m[r.WRITE_FREE_AT] <= now:
        m[r.WRITE_AT], m[r.WRITE_LEFT] = unpack(take(m, q.WRITE_REQUESTS))
        m[r.WRITE_VALID_AT] = now + 1
