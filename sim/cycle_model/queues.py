"""Queues of entries that can be taken from some cycle on: what stands between two units.

``m`` is the machine's record; an entry has the cycle from which it can be taken, which holds the
latency of what lies between, and what it is, which depends on the queue.
"""

from __future__ import annotations

import numpy as np

from ...tools.compiled import njit
from . import registers as r

__all__ = ["can_take", "first", "has_room", "limit", "pack", "put", "size", "take", "unpack"]


@njit
def _entry(m: r.Machine, queue: int, number: int) -> np.ndarray:
    """An entry: when it can be taken, and what it is."""
    return m.entries[queue, number & m.mask[queue]]


@njit
def limit(m: r.Machine, queue: int) -> int:
    """Entries that the queue holds."""
    return m.limit[queue]


@njit
def size(m: r.Machine, queue: int) -> int:
    """Entries put and not taken."""
    return m.put[queue] - m.taken[queue]


@njit
def has_room(m: r.Machine, queue: int) -> bool:
    """One more entry may be put."""
    return size(m, queue) < m.limit[queue]


@njit
def can_take(m: r.Machine, queue: int, now: int) -> bool:
    """There is an entry that can be taken in cycle ``now``."""
    number = m.taken[queue]
    return m.put[queue] != number and _entry(m, queue, number)[0] <= now


@njit
def put(m: r.Machine, queue: int, when: int, what: int) -> None:
    """Put an entry that can be taken from cycle ``when`` on."""
    entry = _entry(m, queue, m.put[queue])
    entry[0], entry[1] = when, what
    m.put[queue] += 1


@njit
def first(m: r.Machine, queue: int) -> int:
    """What the oldest entry is."""
    return _entry(m, queue, m.taken[queue])[1]


@njit
def take(m: r.Machine, queue: int) -> int:
    """Take the oldest entry; what it is."""
    what = first(m, queue)
    m.taken[queue] += 1
    return what


@njit
def pack(word: int, count: int) -> int:
    """A first word and a count of up to 16 bits, as what an entry is."""
    return word << 16 | count


@njit
def unpack(what: int) -> tuple[int, int]:
    """The first word and the count of ``pack``."""
    return what >> 16, what & 0xFFFF
