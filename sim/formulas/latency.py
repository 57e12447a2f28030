"""How long each operator takes on the accelerator, and what it waits for.

    start   = clock.start cycles
    compute = cycles of its unit (RTL for the ternary engine, or those of its weight buffer's port
              if they are more; lanes x efficiency for the others)
    memory  = its bytes / sustained bandwidth
    time    = start + max(compute, memory) + (1 - overlap) x min(compute, memory)

Operators follow each other: nothing of one overlaps with the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..descriptions.device import Device
from ..descriptions.formula_accelerator import FormulaAccelerator
from ..descriptions.quantity import Corner
from .cycles import CycleModel
from .workload import Operator, Workload

__all__ = ["Machine", "OperatorTime", "Wait"]

Wait = Literal["compute", "memory", "start"]


@dataclass(frozen=True)
class OperatorTime:
    """Seconds of one operator, run once: in all, and its parts."""

    start: float
    compute: float
    memory: float
    total: float

    @property
    def waits_for(self) -> Wait:
        """The largest of the three parts."""
        parts: dict[Wait, float] = {
            "compute": self.compute, "memory": self.memory, "start": self.start
        }
        return max(parts, key=lambda part: parts[part])


@dataclass(frozen=True)
class Machine:
    """A device with an accelerator on it, at one corner of all their constants."""

    device: Device
    hardware: FormulaAccelerator
    cycles: CycleModel
    corner: Corner

    @property
    def uram(self) -> int:
        """URAM blocks of the weight buffer."""
        return self.hardware.uram

    @property
    def frequency(self) -> float:
        """Fabric clock in Hz."""
        return self.hardware.clock.frequency.rate(self.corner) * 1e6

    @property
    def bandwidth(self) -> float:
        """Sustained DRAM bandwidth in bytes per second, never above the peak."""
        dram = self.device.dram
        return min(dram.sustained.rate(self.corner), dram.peak.rate(self.corner)) * 1e9

    @property
    def host_time(self) -> float:
        """Seconds that the processor takes for each generated token."""
        return self.hardware.host.token.cost(self.corner) * 1e-3

    def time(self, operator: Operator) -> OperatorTime:
        """Seconds of ``operator``, run once."""
        start = self.hardware.clock.start.cost(self.corner) / self.frequency
        compute = self._compute_cycles(operator) / self.frequency
        memory = self.bytes(operator) / self.bandwidth
        overlap = getattr(self.hardware.overlap, operator.unit).rate(self.corner)
        total = start + max(compute, memory) + (1 - overlap) * min(compute, memory)
        return OperatorTime(start, compute, memory, total)

    def step_time(self, workload: Workload) -> float:
        """Seconds of a step, the processor's part for the token it yields included."""
        operators = sum(op.count * self.time(op).total for op in workload.operators)
        return operators + self.host_time

    def bytes(self, operator: Operator) -> int:
        """DRAM bytes of ``operator``, run once.

        Weights come once if a tile of them stays on the chip, else once per token.
        """
        if operator.unit == "tlmm" and operator.tokens > 1 and self.tile_rows(operator) == 0:
            return operator.traffic.weights * (operator.tokens - 1) + operator.traffic.total
        return operator.traffic.total

    def step_bytes(self, workload: Workload) -> int:
        """DRAM bytes of a step."""
        return sum(operator.count * self.bytes(operator) for operator in workload.operators)

    def tile_rows(self, operator: Operator) -> int:
        """Output rows of a matmul that half of the weight buffer holds; 0 if not one block does.

        A prompt's tokens all pass over one tile before the next is needed.
        """
        M, K = operator.matrix
        engine = self.cycles.parameters
        row_bits = engine.passes(K) * engine.tables * engine.index_width
        rows = self.hardware.storage.weight_buffer.count // 2 * 8 // row_bits
        return min(M, rows // engine.columns * engine.columns)

    def matmul_cycles(self, operator: Operator) -> int:
        """Cycles of a ternary matmul of all its tokens."""
        return sum(self.cycles.cycles(M, K, operator.tokens) for M, K in self._tiles(operator))

    def buffer_cycles(self, operator: Operator) -> int:
        """Cycles for which the weight buffer's only port is busy with a ternary matmul.

        A beat is written once and read for every token. 0 without a buffer.
        """
        if not self.hardware.storage.weight_buffer.count:
            return 0
        M, K = operator.matrix
        engine = self.cycles.parameters
        return (operator.tokens + 1) * engine.passes(K) * engine.blocks(M)

    def is_measured(self, operator: Operator) -> bool:
        """Whether ``matmul_cycles`` of a matmul comes from RTL simulation, not the formula."""
        return all(
            self.cycles.is_measured(M, K, operator.tokens) for M, K in self._tiles(operator)
        )

    def obtained(self, operator: Operator) -> str:
        """How the part that ``operator`` waits for was obtained: one of ``RESULT_KINDS``."""
        waits_for = self.time(operator).waits_for
        if waits_for == "memory":
            return self.device.dram.sustained.kind
        if waits_for == "start":
            return self.hardware.clock.start.kind
        if operator.unit == "tlmm":
            return "rtl" if self.is_measured(operator) else "formula"
        unit = self.hardware.integer if operator.unit == "integer" else self.hardware.vector
        return unit.lanes.kind

    def _tiles(self, operator: Operator) -> list[tuple[int, int]]:
        """Shapes [M, K] of the parts that a matmul is done in: whole, or tile by tile."""
        M, K = operator.matrix
        rows = self.tile_rows(operator) if operator.tokens > 1 else M
        if rows in (0, M):
            return [(M, K)]
        tiles, rest = divmod(M, rows)
        return [(rows, K)] * tiles + ([(rest, K)] if rest else [])

    def _compute_cycles(self, operator: Operator) -> float:
        """Cycles for which the operator's unit is busy."""
        if operator.unit == "tlmm":
            return max(self.matmul_cycles(operator), self.buffer_cycles(operator))
        integer = operator.unit == "integer"
        unit = self.hardware.integer if integer else self.hardware.vector
        work = operator.macs if integer else operator.elements
        return work / (unit.lanes.count * unit.efficiency.rate(self.corner))
