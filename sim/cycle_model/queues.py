"""Queues of entries that can be taken from some cycle on: what stands between two units.

``m`` is the machine's array; an entry has the cycle from which it can be taken, which holds the
latency of what lies between, and what it is, which depends on the queue.
"""

from __future__ import annotations

import numpy as np

from ...tools.compiled import njit
from . import registers as r

__all__ = ["can_take", "first", "has_room", "limit", "pack", "put", "size", "take", "unpack"]


@njit
def _entry(m: np.ndarray, queue: int, number: int) -> int:
    capacity = m[r.CAPACITY]
    return r.ENTRIES + 2 * (queue * capacity + (number & (capacity - 1)))


@njit
def limit(m: np.ndarray, queue: int) -> int:
    """Entries that the queue holds."""
    return m[r.LIMIT + queue]


@njit
def size(m: np.ndarray, queue: int) -> int:
    """Entries put and not taken."""
    return m[r.PUT + queue] - m[r.TAKEN + queue]


@njit
def has_room(m: np.ndarray, queue: int) -> bool:
    """One more entry may be put."""
    return size(m, queue) < m[r.LIMIT + queue]


@njit
def can_take(m: np.ndarray, queue: int, now: int) -> bool:
    """There is an entry that can be taken in cycle ``now``."""
    number = m[r.TAKEN + queue]
    return m[r.PUT + queue] != number and m[_entry(m, queue, number)] <= now


@njit
def put(m: np.ndarray, queue: int, when: int, what: int) -> None:
    """Put an entry that can be taken from cycle ``when`` on."""
    entry = _entry(m, queue, m[r.PUT + queue])
    m[entry] = when
    m[entry + 1] = what
    m[r.PUT + queue] += 1


@njit
def first(m: np.ndarray, queue: int) -> int:
    """What the oldest entry is."""
    return m[_entry(m, queue, m[r.TAKEN + queue]) + 1]


@njit
def take(m: np.ndarray, queue: int) -> int:
    """Take the oldest entry; what it is."""
    what = first(m, queue)
    m[r.TAKEN + queue] += 1
    return what


@njit
def pack(word: int, count: int) -> int:
    """A first word and a count of up to 16 bits, as what an entry is."""
    return word << 16 | count


@njit
def unpack(what: int) -> tuple[int, int]:
    """The first word and the count of ``pack``."""
    return what >> 16, what & 0xFFFF
