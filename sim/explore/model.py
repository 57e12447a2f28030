"""Time and energy of every design of a space, as arrays.

The formulas are those of ``latency`` and ``energy`` at nominal constants; a prompt in chunks costs
what ``serving.costs`` says. Axes: engine, clock, URAM, policy, cache width. Each part is calculated
on the axes on which it depends; only sums have them all.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...model import ModelConfig
from ..descriptions.dram_layout import DramLayout
from ..descriptions.formula_accelerator import URAM_BYTES, FormulaAccelerator
from ..descriptions.quantity import Corner
from ..descriptions.shapes import ModelShape
from ..formulas.cycles import CycleModel
from ..formulas.energy import active_share, work_energy
from ..formulas.latency import Machine
from ..formulas.workload import Operator, step
from .prompt_policies import PromptPolicy
from .space import Space

__all__ = ["Costs", "space_costs"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Costs:
    """What every design costs, in arrays that broadcast to the shape of the space.

    ``first_token`` in seconds; ``pause``: the most seconds that another request waits for its next
    token meanwhile, the longest piece of the prompt and a decode step; ``rate`` in tokens per
    second of decode, ``joules`` per decoded token, ``watts``: mean power of prefill or of decode,
    whichever is higher.
    """

    first_token: Array
    pause: Array
    rate: Array
    joules: Array
    watts: Array


@dataclass(frozen=True)
class _Part:
    """Seconds, and the joules of a step that grow with work, of some operators."""

    seconds: Array | float
    working: Array | float

    def __add__(self, other: _Part) -> _Part:
        return _Part(self.seconds + other.seconds, self.working + other.working)

    def scaled(self, factor: float) -> _Part:
        """Both times ``factor``."""
        return _Part(self.seconds * factor, self.working * factor)


_ZEROS = _Part(np.zeros((1,) * 5), np.zeros((1,) * 5))


def space_costs(
    space: Space, model: ModelShape, hardware: FormulaAccelerator, prompt: int, tokens: int,
    lut: Array | None = None,
) -> Costs:
    """Costs of ``tokens`` tokens after a prompt of ``prompt``, for every design of ``space``.

    ``lut`` of each design, which broadcasts to the space: power then depends on it and on the
    clock, where the device says of which design its active power is. The model must fit the device
    (``estimate`` checks that).

    Raises
    ------
    EstimateError
        A matrix of the model is larger than the engines are built for.
    """
    grid = _Grid(space, model.config, space.around.hardware(hardware))
    prompts = [grid.prefill(prompt, policy) for policy in space.policies]
    first = _stack([whole for whole, _ in prompts], axis=3)
    decode = grid.decode(prompt, tokens)
    longest = _joined([piece for _, piece in prompts], axis=3)
    standing = np.array([grid.standing(urams) for urams in space.urams])[:, None, None]
    if lut is not None:
        power = space.device.power
        share = active_share(power, grid.hertz / 1e6, lut)
        standing = standing + (share - 1) * power.active.nominal
    joules = decode.seconds * standing + decode.working
    watts = np.maximum(standing + first.working / first.seconds,
                       standing + decode.working / decode.seconds)
    shape = (1,) * 5
    return Costs(*(np.asarray(value) + np.zeros(shape) for value in (
        first.seconds, longest + decode.seconds, 1 / decode.seconds, joules, watts)))


def _joined(arrays: Sequence[Array | float], axis: int) -> Array:
    """Arrays of several values of an axis on which each has length 1."""
    return np.concatenate(np.broadcast_arrays(*arrays), axis=axis)


def _stack(parts: Sequence[_Part], axis: int) -> _Part:
    """Parts of several values of an axis on which each has length 1."""
    return _Part(_joined([part.seconds for part in parts], axis),
                 _joined([part.working for part in parts], axis))


class _Grid:
    """The axes of a space as arrays, and the operators' costs on them."""

    def __init__(self, space: Space, config: ModelConfig, hardware: FormulaAccelerator) -> None:
        self.space, self.config, self.hardware = space, config, hardware
        self.engines = space.engines
        self.machine = Machine(space.device, hardware, CycleModel(hardware.tlmm.parameters()),
                               Corner.NOMINAL)
        self.energies = [work_energy(self.machine, 0.0, *counts).working for counts in (
            (0, 1), (0, 0, 1), (0, 0, 0, 1), (1, 0))]   # of the four terms of ``_joules``
        self.hertz = np.array(space.mhz)[:, None, None, None] * 1e6
        self.buffers = np.array(
            [urams * URAM_BYTES for urams in space.urams], np.int64
        )[:, None, None]

    def standing(self, urams: int) -> float:
        """Watts drawn whatever is done, with so many URAM."""
        size = float(urams * URAM_BYTES)
        storage = self.hardware.storage
        buffer = dataclasses.replace(storage.weight_buffer, low=size, nominal=size, high=size)
        hardware = dataclasses.replace(
            self.hardware, storage=dataclasses.replace(storage, weight_buffer=buffer))
        machine = dataclasses.replace(self.machine, hardware=hardware)
        return work_energy(machine, 1.0, 0, 0).standing

    def prefill(self, prompt: int, policy: PromptPolicy) -> tuple[_Part, Array | float]:
        """A prompt, and the seconds of its longest piece. All pieces but the last yield nothing."""
        total = _Part(self.machine.host_time, 0.0)
        longest: Array | float = 0.0
        for past in range(0, prompt, policy.chunk):
            tokens = min(policy.chunk, prompt - past)
            yields = past + tokens == prompt
            layers, ends = self._step(tokens, past, yields=yields)
            total += layers + ends
            part = -(-self.config.num_layers // policy.groups) / self.config.num_layers
            longest = np.maximum(longest, layers.seconds * part + ends.seconds)
        return total, longest

    def decode(self, prompt: int, tokens: int) -> _Part:
        """The mean step after the first token."""
        caches = []
        for layout in self._layouts(1):
            steps = [step(self.config, layout, 1, prompt + index).operators
                     for index in range(tokens - 1)]
            total = _ZEROS
            for one in zip(*steps, strict=True):
                if one[0].unit != "tlmm":
                    total += self._over_steps(one)
            caches.append(total)
        mean = _stack(caches, axis=4).scaled(1 / (tokens - 1))
        return mean + self._matmuls(1) + _Part(self.machine.host_time, 0.0)

    def _over_steps(self, operators: Sequence[Operator]) -> _Part:
        """The sum of one operator over steps with a growing cache, once per step."""
        if operators[0] == operators[-1]:   # whatever grows with the cache grows in every step
            return self._around(operators[:1]).scaled(len(operators))
        cycles = np.array([self._cycles(one) for one in operators])
        traffic = np.array([one.traffic.total for one in operators])
        seconds = self._seconds(operators[0].unit, cycles, traffic, self.hertz[..., None])
        working = sum(one.count * self._joules(one, one.traffic.total) for one in operators)
        return _Part(operators[0].count * seconds.sum(axis=-1), working)

    def _layouts(self, tokens: int) -> list[DramLayout]:
        """One for each width of the cache."""
        layout = self.hardware.layout(self.config, tokens)
        return [dataclasses.replace(layout, kv_bits=bits) for bits in self.space.kv_bits]

    def _step(self, tokens: int, past: int, *, yields: bool) -> tuple[_Part, _Part]:
        """One step of ``tokens`` tokens, without the processor's part: layers, and the ends."""
        layers, ends = [], []
        for layout in self._layouts(tokens):
            workload = step(self.config, layout, tokens, past)
            layers.append(self._around(one for one in workload.layer if one.unit != "tlmm"))
            # Final norm and LM head are for the piece that yields a token.
            ends.append(self._around(workload.before + (workload.after if yields else ())))
        return self._matmuls(tokens) + _stack(layers, axis=4), _stack(ends, axis=4)

    @functools.cache   # noqa: B019 - lives as long as one evaluation
    def _matmuls(self, tokens: int) -> _Part:
        """The matrices of all layers, which do not depend on the context."""
        layout = self.hardware.layout(self.config, tokens)
        total = _ZEROS
        for operator in step(self.config, layout, tokens).operators:
            if operator.unit == "tlmm":
                total += self._matmul(operator, operator.traffic.weights
                                      - layout.matrix_bytes(*operator.matrix))
        return total

    def _around(self, operators: Iterable[Operator]) -> _Part:
        """Operators of the other units: they depend on the clock alone."""
        total = _ZEROS
        for operator in operators:
            total += self._part(operator, self._cycles(operator), operator.traffic.total)
        return total

    def _cycles(self, operator: Operator) -> float:
        """Cycles of an operator of another unit than the engine."""
        integer, vector = self.hardware.integer, self.hardware.vector
        if operator.unit == "integer":
            return operator.macs / (integer.lanes.count * integer.efficiency.nominal)
        return operator.elements / (vector.lanes.count * vector.efficiency.nominal)

    def _matmul(self, operator: Operator, bias: int) -> _Part:
        """A layer's matrix: tile by tile, each passed over by all tokens (``Machine._tiles``)."""
        M, K = operator.matrix
        self.engines.check_matrix(M, K, self.machine.cycles)
        engines, N = self.engines, operator.tokens
        weights = engines.matrix_bytes(M, K) + bias
        traffic = operator.traffic.total - operator.traffic.weights + weights
        port = np.where(self.buffers > 0, engines.buffer_cycles(M, K, N), 0)
        if N == 1:
            return self._part(operator, np.maximum(engines.cycles(M, K, 1), port), traffic)
        fit = self.buffers // 2 * 8 // engines.row_bits(K) // engines.rows * engines.rows
        tile = np.where(fit == 0, M, np.minimum(M, fit))
        tiles, rest = M // tile, M % tile
        cycles = tiles * engines.cycles(tile, K, N)
        cycles += np.where(rest > 0, engines.cycles(rest, K, N), 0)
        traffic = np.where(fit == 0, weights * (engines.readings(N) - 1) + traffic, traffic)
        return self._part(operator, np.maximum(cycles, port), traffic)

    def _part(
        self, operator: Operator, cycles: float | Integers, traffic: int | Integers
    ) -> _Part:
        """What all runs of an operator cost (``Machine.time``, ``work_energy``)."""
        seconds = self._seconds(operator.unit, cycles, traffic, self.hertz)
        return _Part(operator.count * seconds, operator.count * self._joules(operator, traffic))

    def _seconds(
        self, unit: str, cycles: float | Integers, traffic: int | Integers, hertz: Array
    ) -> Array:
        compute, memory = cycles / hertz, traffic / self.machine.bandwidth
        overlap = getattr(self.hardware.overlap, unit).nominal
        seconds = self.hardware.clock.start.nominal / hertz + np.maximum(compute, memory)
        if overlap != 1:
            seconds = seconds + (1 - overlap) * np.minimum(compute, memory)
        return seconds

    def _joules(self, operator: Operator, traffic: int | Integers) -> Array | float:
        """What grows with the work of one run."""
        is_ternary = operator.unit == "tlmm" and self.engines.format == "ternary"
        ternary = operator.macs if is_ternary else 0
        per_ternary, per_mac, per_operation, per_byte = self.energies
        joules: NDArray[Any] | float = (
            ternary * per_ternary + (operator.macs - ternary) * per_mac
            + operator.operations * per_operation + traffic * per_byte)
        return joules
