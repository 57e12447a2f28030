"""How a call is timed, beside others that leave threads behind."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

__all__ = ["best_of", "settle"]

_PAUSE = 0.012    # seconds: Linux adds up a running thread's time every 1 to 10 ms
_IDLE = 0.1       # of a core, at most, for threads to count as asleep


def best_of(calls: Sequence[Callable[[], object]], seconds: float) -> float:
    """Seconds of a call: the mean over one pass through ``calls``, of the fastest pass.

    Passes are made for ``seconds``, one at least. With copies of a weight that exceed the caches,
    a pass reads all of them from memory; its mean cannot come from one lucky call.
    """
    best, end = math.inf, time.perf_counter() + seconds
    while math.isinf(best) or time.perf_counter() < end:
        start = time.perf_counter()
        for call in calls:
            call()
        best = min(best, (time.perf_counter() - start) / len(calls))
    return best


def settle(most: float = 0.5) -> None:
    """Wait until this process is idle, ``most`` seconds at most.

    OpenMP's, OpenBLAS's and onnxruntime's threads wait actively for the next call for a while; the
    next contender must not share its cores with them.
    """
    end = time.perf_counter() + most
    while time.perf_counter() < end:
        start, used = time.perf_counter(), time.process_time()
        time.sleep(_PAUSE)
        if time.process_time() - used < _IDLE * (time.perf_counter() - start):
            return
