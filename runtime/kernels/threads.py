"""How the kernels share the machine's cores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...tools.compiled import numba
from .parallel_region import parallel_region

__all__ = ["chunks_for", "over_groups", "over_rows"]

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
