"""A checkpoint's matrices, as its model computes with them, in row blocks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..checkpoint import Checkpoint
from ..formats import Codes, Format, Ternary

__all__ = ["BLOCK_VALUES", "WeightBlocks", "row_blocks"]

BLOCK_VALUES = 1 << 19   # a block is this many values, or one row: 2 MiB as float32


def row_blocks(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """The row ranges of a matrix [M, K] in blocks of about ``BLOCK_VALUES``."""
    M, K = shape
    step = max(1, BLOCK_VALUES // K)
    return [(start, min(start + step, M)) for start in range(0, M, step)]


class WeightBlocks:
    """One matrix [M, K] of ``checkpoint``, as its model computes with it.

    A linear weight of a BitNet model counts as the trits times the scale that the model computes
    with, whether they are stored packed or as master weights, which are rounded here as they are
    on load. ``scales`` [K] multiply its columns, ``divisors`` [M] divide its rows.
    """

    def __init__(
        self, checkpoint: Checkpoint, name: str, scales: np.ndarray | None = None,
        divisors: np.ndarray | None = None,
    ) -> None:
        self._scales, self._divisors = scales, divisors
        self._checkpoint = checkpoint
        self._name = name
        self.shape = checkpoint.tensors[name].matrix
        self.ranges = row_blocks(self.shape)
        codes = checkpoint.stored_format(name) is not None   # a rotated matrix has none of its own
        self._form = checkpoint.format(name) if codes else None

    @property
    def coded(self) -> bool:
        """Whether the model computes with codes, and not with floats."""
        return self._form is not None

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Float32 rows ``start`` to ``stop``; several threads may read."""
        form = self._form
        if form is None:
            rows = self._checkpoint.rows(self._name, start, stop)
        else:
            rows = form.dequantize(self._checkpoint.encoded(self._name, start, stop))
        if self._scales is not None:
            rows = rows * self._scales
        return rows if self._divisors is None else rows / self._divisors[start:stop, None]

    def float32(self, every: int = 1) -> Iterator[np.ndarray]:
        """Float32 rows, block by block; with ``every``, only the first of each ``every`` blocks."""
        for start, stop in self.ranges[::every]:
            yield self.rows(start, stop)

    def holds(self, form: Format) -> bool:
        """Whether ``form`` holds the stored codes as they are; trits do not mind their packing."""
        stored = self._checkpoint.stored_format(self._name)
        if self._scales is not None or self._divisors is not None:
            return False
        both_ternary = isinstance(stored, Ternary) and isinstance(form, Ternary)
        return both_ternary or stored == form

    def stored(self) -> Iterator[Codes]:
        """The stored codes, block by block."""
        for start, stop in self.ranges:
            yield self._checkpoint.encoded(self._name, start, stop)
