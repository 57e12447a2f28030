"""What multiplies the matrices of a model: engines of one kind that differ in size, as arrays.

Two kinds, for two formats of weights: the table-lookup engine for ``ternary`` (``hw.matmul.tlmm``)
and the INT4 x FP8 array, whose weights stay, for ``int4-fp8`` (``npu.array``). Results are
[engines, 1, 1, 1, 1]: the first axis of a ``Space``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from ...hw import TlmmParameters
from ...npu import ArrayParameters

__all__ = ["ARRAY_LATENCY", "ArrayEngines", "Engines", "TlmmEngines"]

Integers = NDArray[np.int64]
ARRAY_LATENCY = 7         # ``npu.array.Array.latency``, which needs Amaranth to be imported
_CODE, _SCALE = 4, 8      # bits of a weight, and of a group's scale


class Engines(ABC):
    """Engines of one kind.

    ``format`` names the weights' format; ``one_by_one`` are the engines' parameters, in order.
    """

    format: str
    one_by_one: tuple[TlmmParameters, ...] | tuple[ArrayParameters, ...]

    @abstractmethod
    def some(self, places: slice) -> Engines:
        """Those of the engines that lie at ``places``."""

    def __len__(self) -> int:
        return len(self.one_by_one)

    def describe(self, index: int) -> dict[str, int]:
        """The sizes in which engine ``index`` differs from the others, by name."""
        one = self.one_by_one[index]
        return {name: getattr(one, name) for name in self.sizes}

    @property
    @abstractmethod
    def sizes(self) -> tuple[str, ...]:
        """Names of the parameters in which the engines differ."""

    @property
    @abstractmethod
    def rows(self) -> Integers:
        """Output rows that are computed together: M is padded to a multiple."""

    @abstractmethod
    def matrix_bytes(self, M: int, K: int) -> Integers:
        """Bytes of an [M, K] matrix as streamed."""

    @abstractmethod
    def row_bits(self, K: int) -> Integers:
        """Bits of one of its rows."""

    @abstractmethod
    def cycles(self, M: int | Integers, K: int, N: int) -> Integers:
        """Cycles of N tokens' matmul by a matrix [M, K] that is at hand."""

    @abstractmethod
    def buffer_cycles(self, M: int, K: int, N: int) -> Integers:
        """Cycles for which a weight buffer's port is busy with it
        (``sim.formulas.latency.Machine``).
        """

    @abstractmethod
    def readings(self, N: int) -> int:
        """How often N tokens' matmul reads weights that do not stay on the chip."""

    def _axis(self, name: str) -> Integers:
        values = [getattr(one, name) for one in self.one_by_one]
        return np.array(values, np.int64).reshape(-1, 1, 1, 1, 1)


class TlmmEngines(Engines):
    """Table-lookup engines: cycles as ``hw.cycles`` says."""

    format = "ternary"
    sizes = ("group_size", "tables", "columns")

    def __init__(self, one_by_one: Sequence[TlmmParameters]) -> None:
        self.one_by_one: tuple[TlmmParameters, ...] = tuple(one_by_one)
        self._columns, self._pass = self._axis("columns"), self._axis("pass_length")
        self._group, self._bits = self._axis("group_size"), self._axis("index_width")
        self._entries, self._latency = self._axis("entries"), self._axis("latency")

    def some(self, places: slice) -> TlmmEngines:
        """See ``Engines``."""
        return TlmmEngines(self.one_by_one[places])

    @property
    @override
    def rows(self) -> Integers:
        return self._columns

    @override
    def matrix_bytes(self, M: int, K: int) -> Integers:
        weights = _up(M, self._columns) * _up(K, self._pass)
        return -(-weights * self._bits // (8 * self._group))

    @override
    def row_bits(self, K: int) -> Integers:
        return _up(K, self._pass) // self._group * self._bits

    @override
    def cycles(self, M: int | Integers, K: int, N: int) -> Integers:
        blocks, passes = -(-M // self._columns), -(-K // self._pass)
        interval = np.maximum(blocks, self._entries)
        return 1 + self._entries + (N * passes - 1) * interval + blocks + self._latency

    def buffer_cycles(self, M: int, K: int, N: int) -> Integers:
        """Cycles of the buffer's port: a beat is written once and read for every token."""
        return (N + 1) * -(-M // self._columns) * -(-K // self._pass)

    def readings(self, N: int) -> int:
        """Once for each token."""
        return N


class ArrayEngines(Engines):
    """INT4 x FP8 arrays: cycles of their jobs, one for each tile of rows and of tokens."""

    format = "int4-fp8"
    sizes = ("rows", "lanes")

    def __init__(self, one_by_one: Sequence[ArrayParameters]) -> None:
        self.one_by_one: tuple[ArrayParameters, ...] = tuple(one_by_one)
        self._rows, self._beats = self._axis("rows"), self._axis("beats_per_group")
        self._group, = {one.group_size for one in one_by_one}
        self._tokens, = {one.tokens for one in one_by_one}

    def some(self, places: slice) -> ArrayEngines:
        """See ``Engines``."""
        return ArrayEngines(self.one_by_one[places])

    @property
    @override
    def rows(self) -> Integers:
        return self._rows

    @override
    def matrix_bytes(self, M: int, K: int) -> Integers:
        return _up(M, self._rows) * self.row_bits(K) // 8

    @override
    def row_bits(self, K: int) -> Integers:
        groups = -(-K // self._group)
        return np.full_like(self._rows, groups * (self._group * _CODE + _SCALE))

    def cycles(self, M: int | Integers, K: int, N: int) -> Integers:
        """Cycles of the array: ``ArrayParameters.busy_cycles``, and one to take each job."""
        full, rest = divmod(N, self._tokens)
        jobs = [self._tokens] * full + ([rest] if rest else [])
        beats = -(-K // self._group) * self._beats
        of_tile = sum(beats * (1 + tokens) + 1 for tokens in jobs)
        return -(-M // self._rows) * of_tile + ARRAY_LATENCY

    def buffer_cycles(self, M: int, K: int, N: int) -> Integers:
        """None: no accelerator has been built around an array, hence no buffer."""
        return np.zeros_like(self._rows)

    def readings(self, N: int) -> int:
        """Once for each job's tokens."""
        return -(-N // self._tokens)


def _up(number: int, multiple: Integers) -> Integers:
    """``number`` rounded up to a whole ``multiple``."""
    return -(-number // multiple) * multiple
