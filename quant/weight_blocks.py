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
    """One matrix [M, K] of ``checkpoint``.

    A linear weight of a BitNet model counts as the trits times the scale that the model computes
    with, whether they are stored packed or as master weights, which are rounded here as they are
    on load.
    """

    def __init__(self, checkpoint: Checkpoint, name: str) -> None:
        self._checkpoint = checkpoint
        self._name = name
        self._ranges = row_blocks(checkpoint.tensors[name].shape)
        self._packed = checkpoint.native_ternary(name)
        self._scale: np.ndarray | None = None
        if self._packed:
            self._scale = np.full((1, 1), checkpoint.ternary_scale(name), np.float32)
        elif checkpoint.config.bitlinear and name in checkpoint.config.linear_weights():
            self._scale = Ternary().statistics(self._stored())

    def float32(self, every: int = 1) -> Iterator[np.ndarray]:
        """Float32 rows, block by block; with ``every``, only each so-manieth block."""
        if self._scale is None:
            yield from self._stored(every)
        else:
            for trits in self._trits(every):
                yield trits * self._scale

    def encoded(self, form: Format) -> Iterator[tuple[np.ndarray, Codes]]:
        """Float32 rows and their codes in ``form``, block by block.

        Trits that the model was trained with stay exactly as they are in a ternary format.
        """
        if self._scale is not None and isinstance(form, Ternary):
            for trits in self._trits():
                yield trits * self._scale, Codes(trits, self._scale)
        else:
            statistics = form.statistics(self.float32())
            for rows in self.float32():
                yield rows, form.encode(rows, statistics)

    def _stored(self, every: int = 1) -> Iterator[np.ndarray]:
        for start, stop in self._ranges[::every]:
            yield self._checkpoint.rows(self._name, start, stop)

    def _trits(self, every: int = 1) -> Iterator[np.ndarray]:
        if self._packed:
            for start, stop in self._ranges[::every]:
                yield self._checkpoint.codes(self._name, start, stop)
        else:
            for rows in self._stored(every):
                yield Ternary().encode(rows, self._scale).values
