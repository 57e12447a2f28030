"""How the kernels share the machine's cores."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from inspect import signature
from typing import Any

import numpy as np

from ...tools.compiled import njit, numba, prange
from .parallel_region import parallel_region

__all__ = ["chunks_for", "in_chunks", "over_range", "over_rows"]

# A thread is worth waking for this many products (20 us of work or more).
_PRODUCTS_PER_CHUNK = 1 << 20


def chunks_for(rows: int, products: int, products_per_chunk: int = _PRODUCTS_PER_CHUNK) -> int:
    """Into how many threads to split ``rows`` that take ``products``; 0 or 1: do not."""
    most = min(rows, products // products_per_chunk)
    return min(numba.get_num_threads(), most) if most > 1 else most   # asking takes a microsecond


@cache
def in_chunks(serial: Callable[..., None]) -> Callable[..., None]:
    """``parallel(*operands, count, chunks)`` of a compiled ``serial(*operands, start, stop)``.

    It is compiled, too, and calls ``serial`` for ``chunks`` parts of [0, count) at the same time;
    call it in a ``parallel_region``.
    """
    # With a parameter for each operand: Numba takes tuples into a parallel loop, but none that
    # holds a tuple, as ``*operands`` does.
    operands = ", ".join(f"operand_{i}" for i in range(len(signature(serial).parameters) - 2))
    name = f"{serial.__name__}_in_chunks"
    source = f"""
def {name}({operands}, count, chunks):
    for chunk in prange(chunks):
        start, stop = count * chunk // chunks, count * (chunk + 1) // chunks
        serial({operands}, start, stop)
"""
    names: dict[str, Any] = {"__name__": serial.__module__, "prange": prange, "serial": serial}
    exec(source, names)
    return njit(names[name], parallel=True)


def over_range(
    serial: Callable[..., None], operands: tuple[Any, ...], count: int, chunks: int
) -> None:
    """``serial(*operands, 0, count)``, a compiled function, or several ``chunks`` of it at once."""
    if chunks > 1:
        with parallel_region():
            in_chunks(serial)(*operands, count, chunks)
    else:
        serial(*operands, 0, count)


def over_rows(
    serial: Callable[..., None], operands: tuple[Any, ...], q: np.ndarray, M: int,
    sums: np.ndarray,
) -> None:
    """Run a kernel over all M rows, in as many threads as the work is worth.

    ``serial(*operands, q, sums, start, stop)`` writes the ``sums`` of rows [start, stop) from ``q``
    [N, K].
    """
    over_range(serial, (*operands, q, sums), M, chunks_for(M, M * q.size))
