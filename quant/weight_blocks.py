"""A checkpoint's matrices, as its model computes with them, in row blocks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .checkpoint import Checkpoint
from .formats import Codes, Format, Ternary

__all__ = ["BLOCK_VALUES", "WeightBlocks", "row_blocks"]

BLOCK_VALUES = 1 << 20   # a block is this many values, or one row: 4 MiB as float32


def row_blocks(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """The row ranges of a matrix [M, K] in blocks of about ``BLOCK_VALUES``."""
    M, K = shape
    step = max(1, BLOCK_VALUES // K)
    return [(start, min(start + step, M)) for start in range(0, M, step)]


class WeightBlocks:
    """One matrix [M, K] of ``checkpoint``, as its model computes with it.

    A linear weight of a BitNet model counts as the trits times the scale that the model computes
    with, whether they are stored packed or as master weights, which are rounded here as they are
    on load.
    """

    def __init__(self, checkpoint: Checkpoint, name: str) -> None:
        self._checkpoint = checkpoint
        self._name = name
        self._ranges = row_blocks(checkpoint.tensors[name].shape)

    def float32(self, every: int = 1) -> Iterator[np.ndarray]:
        """Float32 rows, block by block; with ``every``, only each so-manieth block."""
        form = self._checkpoint.format(self._name)
        if form is None:
            for start, stop in self._ranges[::every]:
                yield self._checkpoint.rows(self._name, start, stop)
        else:
            for codes in self.stored(every):
                yield form.dequantize(codes)

    def encoded(self, form: Format) -> Iterator[tuple[np.ndarray, Codes]]:
        """Float32 rows and their codes in ``form``, block by block.

        Codes that are stored stay exactly as they are where ``form`` holds them.
        """
        if self.holds(form):
            for codes in self.stored():
                yield form.dequantize(codes), codes
        else:
            statistics = form.statistics(self.float32())
            for rows in self.float32():
                yield rows, form.encode(rows, statistics)

    def holds(self, form: Format) -> bool:
        """Whether ``form`` holds the stored codes as they are; trits do not mind their packing."""
        stored = self._checkpoint.stored_format(self._name)
        both_ternary = isinstance(stored, Ternary) and isinstance(form, Ternary)
        return both_ternary or stored == form

    def stored(self, every: int = 1) -> Iterator[Codes]:
        """The stored codes, block by block; ``every`` as in ``float32``."""
        for start, stop in self._ranges[::every]:
            yield self._checkpoint.encoded(self._name, start, stop)
