"""How the kernels share the machine's cores."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from ...tools.compiled import numba
from .parallel_region import parallel_region

__all__ = ["chunks_for", "over_groups", "over_rows"]

# OpenMP's threads spin while they wait for each other. Beside other work on the same cores that
# makes a matmul of 0.6 ms take 36 ms; sleeping at once costs 35 us to wake up, some hundred times
# to a token. So they spin for about 50 us (GNU's OpenMP counts turns), then sleep: between the
# kernels of a decode step nobody sleeps, and beside other work a kernel loses 50 us. Numba loads
# OpenMP with the first parallel kernel, hence after these lines; who has set a variable keeps it.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# A thread is worth waking for this many products (20 us of work or more).
_PRODUCTS_PER_CHUNK = 1 << 20


def chunks_for(rows: int, products: int, products_per_chunk: int = _PRODUCTS_PER_CHUNK) -> int:
    """Into how many threads to split ``rows`` that take ``products``; 0 or 1: do not."""
    most = min(rows, products // products_per_chunk)
    return min(numba.get_num_threads(), most) if most > 1 else most   # asking takes a microsecond


def over_rows(
    serial: Callable[..., None],
    parallel: Callable[..., None],
    operands: tuple[np.ndarray, ...],
    q: np.ndarray,
    M: int,
    sums: np.ndarray,
) -> None:
    """Run a kernel over all M rows, in as many threads as the work is worth.

    ``serial(operands, q, start, stop, sums)`` writes the ``sums`` of rows [start, stop) from ``q``
    [N, K]; ``parallel(operands, q, chunks, sums)`` those of all rows, in ``chunks`` at a time.
    """
    chunks = chunks_for(M, M * q.size)
    if chunks > 1:
        with parallel_region():
            parallel(operands, q, chunks, sums)
    else:
        serial(operands, q, 0, M, sums)


def over_groups(
    serial: Callable[..., None], parallel: Callable[..., None], operands: tuple[Any, ...],
    groups: int, chunks: int,
) -> None:
    """``serial(*operands, 0, groups)``, or ``parallel(*operands, chunks)`` for several chunks."""
    if chunks > 1:
        with parallel_region():
            parallel(*operands, chunks)
    else:
        serial(*operands, 0, groups)
