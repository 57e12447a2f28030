"""What multiplies the matrices of a model: engines of one kind that differ in size, as arrays.

Two kinds, for two formats of weights: the table-lookup engine for ``ternary`` (``hw.matmul.tlmm``)
and the INT4 x FP8 array, whose weights stay, for ``int4-fp8`` (``npu.array``). Results are
[engines, 1, 1, 1, 1]: the first axis of a ``Space``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from ...errors import EstimateError
from ...hw import TlmmParameters
from ...npu import ArrayParameters, Stationary
from ..descriptions.formula_accelerator import FormulaAccelerator
from ..formulas.cycles import CycleModel
from .around import Around

__all__ = ["ARRAY_LATENCY", "ENGINES", "GROUPS", "ArrayEngines", "Engine", "Engines",
           "TlmmEngines", "kind_of"]

Engine = TlmmParameters | ArrayParameters
Integers = NDArray[np.int64]
GROUPS = (2, 3, 4)   # groups of 5 take more LUT for a multiply-accumulate than all of these
ARRAY_LATENCY = 7         # ``npu.array.Array.latency``, which needs Amaranth to be imported
_CODE, _SCALE = 4, 8      # bits of a weight, and of a group's scale
_LEAST, _LARGEST = 4, 32  # tables and columns, of the engines that have been synthesized
_LARGEST_ARRAY = 16       # rows and lanes
_ARRAY_TOKENS = 64


class Engines(ABC):
    """Engines of one kind.

    ``format`` names the weights' format; ``one_by_one`` are the engines' parameters, in order.
    """

    format: ClassVar[str]
    parameters: ClassVar[type[Engine]]
    one_by_one: tuple[TlmmParameters, ...] | tuple[ArrayParameters, ...]

    @abstractmethod
    def __init__(self, one_by_one: Sequence[Any]) -> None:
        """Take the parameters of each engine, all of the class ``parameters``."""

    @classmethod
    def that_fit(cls, around: Around, hardware: FormulaAccelerator) -> Engines:
        """All engines of this kind that can be built into ``around``, within ``hardware``."""
        return cls([one for one in cls.candidates(hardware) if cls.fits(one, around)])

    @staticmethod
    @abstractmethod
    def candidates(hardware: FormulaAccelerator) -> Iterator[Engine]:
        """The engines that are compared, in order."""

    @staticmethod
    @abstractmethod
    def fits(engine: Any, around: Around) -> bool:
        """Whether ``engine`` can be built into ``around`` (``fpga.AcceleratorParameters``)."""

    @staticmethod
    @abstractmethod
    def features(engine: Any) -> list[float]:
        """The sizes to which the LUT and DSP of ``engine`` are proportional (``lut_model``)."""

    @abstractmethod
    def check_matrix(self, M: int, K: int, cycles: CycleModel) -> None:
        """Raise ``EstimateError`` if an [M, K] matrix is larger than engines are built for."""

    @abstractmethod
    def some(self, places: slice) -> Engines:
        """The engines at ``places``."""

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
    parameters = TlmmParameters
    sizes = ("group_size", "tables", "columns")

    def __init__(self, one_by_one: Sequence[TlmmParameters]) -> None:
        self.one_by_one: tuple[TlmmParameters, ...] = tuple(one_by_one)
        self._columns, self._pass = self._axis("columns"), self._axis("pass_length")
        self._group, self._bits = self._axis("group_size"), self._axis("index_width")
        self._entries, self._latency = self._axis("entries"), self._axis("latency")

    @staticmethod
    @override
    def candidates(hardware: FormulaAccelerator) -> Iterator[TlmmParameters]:
        limits = hardware.tlmm
        sizes = range(_LEAST, _LARGEST + 1)
        for group in GROUPS:
            for tables in sizes:
                for columns in sizes:
                    yield TlmmParameters(group, tables, columns, limits.max_k.count,
                                         limits.max_m.count, limits.activation_width.count)

    @staticmethod
    @override
    def fits(engine: TlmmParameters, around: Around) -> bool:
        return (engine.columns % around.lanes == 0 and engine.pass_length % around.lanes == 0
                and engine.columns <= around.columns and engine.tables <= around.tables)

    @staticmethod
    @override
    def features(engine: TlmmParameters) -> list[float]:
        if engine.group_size not in GROUPS:
            raise EstimateError(f"no engines of groups of {engine.group_size} are in the LUT model")
        per_table = [0.0] * (2 * len(GROUPS))
        index = 2 * GROUPS.index(engine.group_size)
        per_table[index:index + 2] = engine.tables, engine.tables * engine.columns
        return [*per_table, engine.columns, 1]

    @override
    def check_matrix(self, M: int, K: int, cycles: CycleModel) -> None:
        cycles.cycles(M, K)

    @override
    def some(self, places: slice) -> TlmmEngines:
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
    parameters = ArrayParameters
    sizes = ("rows", "lanes")

    def __init__(self, one_by_one: Sequence[ArrayParameters]) -> None:
        self.one_by_one: tuple[ArrayParameters, ...] = tuple(one_by_one)
        self._rows, self._beats = self._axis("rows"), self._axis("beats_per_group")
        self._group, = {one.group_size for one in one_by_one}
        self._tokens, = {one.tokens for one in one_by_one}

    @staticmethod
    @override
    def candidates(hardware: FormulaAccelerator) -> Iterator[ArrayParameters]:
        for rows in range(_LEAST, _LARGEST_ARRAY + 1):
            for lanes in (4, 8, 16):
                yield ArrayParameters(Stationary.WEIGHT, rows, lanes, _ARRAY_TOKENS)

    @staticmethod
    @override
    def fits(engine: ArrayParameters, around: Around) -> bool:
        return engine.rows % around.lanes == 0 and engine.rows <= around.columns

    @staticmethod
    @override
    def features(engine: ArrayParameters) -> list[float]:
        return [engine.rows, engine.rows * engine.lanes, engine.lanes, 1]

    def check_matrix(self, M: int, K: int, cycles: CycleModel) -> None:
        """Accept every size: the array takes a matrix tile by tile."""

    @override
    def some(self, places: slice) -> ArrayEngines:
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


ENGINES: dict[str, type[Engines]] = {
    kind.format: kind for kind in (TlmmEngines, ArrayEngines)
}


def kind_of(engine: Engine) -> type[Engines]:
    """The kind of engines that ``engine`` is one of."""
    return next(kind for kind in ENGINES.values() if kind.parameters is type(engine))


def _up(number: int, multiple: Integers) -> Integers:
    """``number`` rounded up to a whole ``multiple``."""
    return -(-number // multiple) * multiple
