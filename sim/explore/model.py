"""Time and energy of every design of a space, as arrays.

The formulas are those of ``latency`` and ``energy`` at nominal constants; a prompt in chunks costs
what ``serving.costs`` says. Axes: engine, clock, URAM, chunk, cache width. Each part is calculated
on the axes on which it depends; only sums have them all.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...model import ModelConfig
from ..cycles import CycleModel
from ..device import Device
from ..energy import work_energy
from ..hardware import URAM_BYTES, Hardware
from ..latency import Machine
from ..quantity import Corner
from ..shapes import ModelShape
from ..workload import Operator, step
from .space import Space

__all__ = ["Costs", "evaluate"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
_AFTER = 2   # final norm and LM head, which only the chunk that yields a token needs


@dataclass(frozen=True)
class Costs:
    """What every design costs, in arrays that broadcast to the shape of the space.

    ``first_token`` in seconds, ``rate`` in tokens per second of decode, ``joules`` per decoded
    token, ``watts``: mean power of prefill or of decode, whichever is higher.
    """

    first_token: Array
    rate: Array
    joules: Array
    watts: Array


@dataclass(frozen=True)
class _Phase:
    """Seconds, and the joules of a step that grow with work, of some operators."""

    seconds: Array | float
    working: Array | float

    def __add__(self, other: _Phase) -> _Phase:
        return _Phase(self.seconds + other.seconds, self.working + other.working)

    def scaled(self, factor: float) -> _Phase:
        """Both times ``factor``."""
        return _Phase(self.seconds * factor, self.working * factor)


def evaluate(
    space: Space, model: ModelShape, device: Device, hardware: Hardware, prompt: int, tokens: int,
) -> Costs:
    """Costs of ``tokens`` tokens after a prompt of ``prompt``, for every design of ``space``.

    The model must fit the device (``estimate`` checks that).

    Raises
    ------
    EstimateError
        A matrix of the model is larger than the engines are built for.
    """
    grid = _Grid(space, model.config, device, hardware)
    first = _stack([grid.prefill(prompt, chunk) for chunk in space.chunks], axis=3)
    decode = grid.decode(prompt, tokens)
    standing = np.array([grid.standing(urams) for urams in space.urams])[:, None, None]
    joules = decode.seconds * standing + decode.working
    watts = np.maximum(standing + first.working / first.seconds,
                       standing + decode.working / decode.seconds)
    shape = (1,) * 5
    return Costs(*(np.asarray(value) + np.zeros(shape) for value in (
        first.seconds, 1 / decode.seconds, joules, watts)))


def _stack(phases: Sequence[_Phase], axis: int) -> _Phase:
    """Phases of several values of an axis on which each has length 1."""
    def joined(arrays: Sequence[Array | float]) -> Array:
        return np.concatenate(np.broadcast_arrays(*arrays), axis=axis)

    return _Phase(joined([phase.seconds for phase in phases]),
                  joined([phase.working for phase in phases]))


class _Grid:
    """The axes of a space as arrays, and the operators' costs on them."""

    def __init__(
        self, space: Space, config: ModelConfig, device: Device, hardware: Hardware
    ) -> None:
        self.space, self.config, self.hardware = space, config, hardware
        self.machine = Machine(device, hardware, CycleModel(hardware.tlmm.parameters()),
                               Corner.NOMINAL)
        self.hertz = np.array(space.mhz)[:, None, None, None] * 1e6
        self.buffers = np.array(
            [urams * URAM_BYTES for urams in space.urams], np.int64
        )[:, None, None]
        names = ("entries", "pass_length", "tables", "columns", "index_width", "group_size",
                 "latency")
        self.engine: dict[str, Integers] = {
            name: np.array([getattr(one, name) for one in space.engines], np.int64).reshape(
                -1, 1, 1, 1, 1)
            for name in names
        }

    def standing(self, urams: int) -> float:
        """Watts drawn whatever is done, with so many URAM."""
        size = float(urams * URAM_BYTES)
        storage = self.hardware.storage
        buffer = dataclasses.replace(storage.weight_buffer, low=size, nominal=size, high=size)
        hardware = dataclasses.replace(
            self.hardware, storage=dataclasses.replace(storage, weight_buffer=buffer))
        machine = dataclasses.replace(self.machine, hardware=hardware)
        return work_energy(machine, 1.0, 0, 0).standing

    def prefill(self, prompt: int, chunk: int) -> _Phase:
        """A prompt in chunks: all but the last one yield nothing."""
        total = _Phase(self.machine.host_time, 0.0)
        for past in range(0, prompt, chunk):
            tokens = min(chunk, prompt - past)
            total += self._step(tokens, past, yields=past + tokens == prompt)
        return total

    def decode(self, prompt: int, tokens: int) -> _Phase:
        """The mean step after the first token."""
        total = _Phase((tokens - 1) * self.machine.host_time, 0.0)
        for index in range(tokens - 1):
            total += self._step(1, prompt + index, yields=True)
        return total.scaled(1 / (tokens - 1))

    def _step(self, tokens: int, past: int, *, yields: bool) -> _Phase:
        """One step of ``tokens`` tokens, without the processor's part."""
        others = []
        for bits in self.space.kv_bits:
            layout = dataclasses.replace(self.hardware.layout(self.config, tokens), kv_bits=bits)
            operators = step(self.config, layout, tokens, past).operators
            used = operators if yields else operators[:-_AFTER]
            others.append(self._around([one for one in used if one.unit != "tlmm"]))
        return self._matmuls(tokens) + _stack(others, axis=4)

    @functools.cache   # noqa: B019 - lives as long as one evaluation
    def _matmuls(self, tokens: int) -> _Phase:
        """The matrices of all layers, which do not depend on the context."""
        layout = self.hardware.layout(self.config, tokens)
        total = _Phase(0.0, 0.0)
        for operator in step(self.config, layout, tokens).operators:
            if operator.unit == "tlmm":
                total += self._matmul(operator, operator.traffic.weights
                                      - layout.matrix_bytes(*operator.matrix))
        return total

    def _around(self, operators: Sequence[Operator]) -> _Phase:
        """Operators of the other units: they depend on the clock alone."""
        total = _Phase(np.zeros((1, 1, 1, 1, 1)), np.zeros((1, 1, 1, 1, 1)))
        for operator in operators:
            if operator.unit == "integer":
                unit, work = self.hardware.integer, operator.macs
            else:
                unit, work = self.hardware.vector, operator.elements
            cycles = work / (unit.lanes.count * unit.efficiency.nominal)
            total += self._phase(operator, cycles, operator.traffic.total)
        return total

    def _matmul(self, operator: Operator, bias: int) -> _Phase:
        """A ternary matmul: tile by tile, each passed over by all tokens (``Machine._tiles``)."""
        M, K = operator.matrix
        limits = self.hardware.tlmm
        if limits.max_m.count < M or limits.max_k.count < K:
            self.machine.cycles.cycles(M, K)   # refuses it
        engine, N = self.engine, operator.tokens
        rows = _up(M, engine["columns"])
        columns = _up(K, engine["pass_length"])
        bits = engine["index_width"]
        weights = -(-rows * columns * bits // (8 * engine["group_size"])) + bias
        traffic = operator.traffic.total - operator.traffic.weights + weights
        if N == 1:
            return self._phase(operator, self._cycles(M, K, 1), traffic)
        row_bits = columns // engine["group_size"] * bits
        fit = self.buffers // 2 * 8 // row_bits // engine["columns"] * engine["columns"]
        tile = np.where(fit == 0, M, np.minimum(M, fit))
        tiles, rest = M // tile, M % tile
        cycles = tiles * self._cycles(tile, K, N)
        cycles += np.where(rest > 0, self._cycles(rest, K, N), 0)
        traffic = np.where(fit == 0, weights * (N - 1) + traffic, traffic)
        return self._phase(operator, cycles, traffic)

    def _cycles(self, M: int | Integers, K: int, N: int) -> Integers:
        """``hw.cycles`` of every engine."""
        engine = self.engine
        blocks = -(-M // engine["columns"])
        passes = -(-K // engine["pass_length"])
        interval = np.maximum(blocks, engine["entries"])
        return 1 + engine["entries"] + (N * passes - 1) * interval + blocks + engine["latency"]

    def _phase(
        self, operator: Operator, cycles: float | Integers, traffic: int | Integers
    ) -> _Phase:
        """What all runs of an operator cost (``Machine.time``, ``work_energy``)."""
        compute, memory = cycles / self.hertz, traffic / self.machine.bandwidth
        overlap = getattr(self.hardware.overlap, operator.unit).nominal
        seconds = self.hardware.clock.start.nominal / self.hertz + np.maximum(compute, memory)
        if overlap != 1:
            seconds = seconds + (1 - overlap) * np.minimum(compute, memory)
        ternary = operator.macs if operator.unit == "tlmm" else 0
        fixed = work_energy(self.machine, 0.0, 0, ternary, operator.macs - ternary,
                            operator.operations).working
        per_byte = work_energy(self.machine, 0.0, 1, 0).dram
        return _Phase(operator.count * seconds, operator.count * (fixed + traffic * per_byte))


def _up(number: int, multiple: Integers) -> Integers:
    """``number`` rounded up to a whole ``multiple``."""
    return -(-number // multiple) * multiple
