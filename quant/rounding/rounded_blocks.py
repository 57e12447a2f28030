"""A weight's blocks read, rounded and measured in threads, while earlier ones are written."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..formats import Format, Int4
from .error_meter import Errors, errors_of
from .weight_blocks import WeightBlocks

__all__ = ["COMPILED_VALUES", "THREADS", "RoundedBlock", "rounded_blocks"]

COMPILED_VALUES = 1 << 22   # of an int4 weight for which compiled code is worth loading
THREADS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class RoundedBlock:
    """A block of rows: how many, its stored tensors by suffix, and its errors."""

    rows: int
    tensors: dict[str, np.ndarray]
    errors: Errors


def rounded_blocks(blocks: WeightBlocks, form: Format) -> Iterator[RoundedBlock]:
    """The ``blocks`` of a weight in ``form``, in order; at most ``THREADS`` are worked on.

    Codes that are stored stay exactly as they are where ``form`` holds them. Raises
    ``CheckpointError`` and ``FormatError`` as reading and ``Format.encode`` do.
    """
    if blocks.holds(form):
        for codes in blocks.stored():
            weight = form.dequantize(codes)
            yield RoundedBlock(len(weight), form.pack(codes), errors_of(weight, weight))
        return
    rounded = _rounding(blocks, form)
    jobs = [
        partial(lambda start, stop: rounded(blocks.rows(start, stop)), *rows)
        for rows in blocks.ranges
    ]
    if blocks.coded or len(jobs) == 1:
        yield jobs.pop(0)()   # alone: what the source finds out once for all rows is then known
    yield from _in_order(jobs)


def _rounding(blocks: WeightBlocks, form: Format) -> Callable[[np.ndarray], RoundedBlock]:
    """What rounds float32 rows."""
    if isinstance(form, Int4) and math.prod(blocks.shape) >= COMPILED_VALUES:
        from .int4 import round_int4  # noqa: PLC0415   Numba, which small models do not need

        return lambda rows: RoundedBlock(len(rows), *round_int4(form, rows))
    statistics = form.statistics(blocks.float32())

    def rounded(rows: np.ndarray) -> RoundedBlock:
        codes = form.encode(rows, statistics)
        return RoundedBlock(len(rows), form.pack(codes), errors_of(rows, form.dequantize(codes)))

    return rounded


def _in_order(jobs: Iterable[Callable[[], RoundedBlock]]) -> Iterator[RoundedBlock]:
    """What the ``jobs`` give, each run in a thread, a few ahead of the one that is asked for."""
    waiting: deque[Future[RoundedBlock]] = deque()
    with ThreadPoolExecutor(THREADS) as threads:   # starts them when they are needed
        for job in jobs:
            waiting.append(threads.submit(job))
            if len(waiting) > THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
