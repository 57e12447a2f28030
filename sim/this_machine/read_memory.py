"""Read memory as fast as a plain loop does: to measure bandwidth, and to empty caches."""

from __future__ import annotations

import numpy as np

from ...runtime.kernels.parallel_region import parallel_region
from ...tools.compiled import njit, numba, prange

__all__ = ["read_words"]

_LANES = 8   # sums of a thread under way


def read_words(words: np.ndarray) -> int:
    """Read int64 ``words`` [N] once, by all threads together, but for a rest of the division."""
    with parallel_region():
        return int(_read(words, numba.get_num_threads()))


@njit(parallel=True)
def _read(words: np.ndarray, parts: int) -> np.int64:
    """Combine all words by exclusive or, a part in each thread."""
    totals = np.zeros(parts, np.int64)
    length = len(words) // parts
    for part in prange(parts):
        sums = np.zeros(_LANES, np.int64)
        for place in range(part * length, (part + 1) * length, _LANES):
            for lane in range(_LANES):
                sums[lane] ^= words[place + lane]
        for lane in range(_LANES):
            totals[part] ^= sums[lane]
    return totals.sum()
