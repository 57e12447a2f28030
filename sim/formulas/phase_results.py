"""What a phase of a request costs, operator by operator: plain data, and its JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..descriptions.quantity import Range
from .latency import Wait
from .workload import Operator

__all__ = ["OperatorCost", "PhaseEstimate", "shares"]


@dataclass(frozen=True)
class OperatorCost:
    """One operator of a step: its counts, and its seconds over all layers.

    ``start``, ``compute`` and ``memory`` are nominal, ``time`` has a range; ``cycles`` are the
    engine's for one ternary matmul of all the step's tokens. ``obtained``: how the part that it
    waits for was obtained, one of ``quantity.RESULT_KINDS``.
    """

    operator: Operator
    bytes: int
    start: float
    compute: float
    memory: float
    time: Range
    waits_for: Wait
    cycles: int | None
    obtained: str

    def to_json(self) -> dict[str, Any]:
        """One entry of ``operators``."""
        operator = self.operator
        return {
            "name": operator.name, "unit": operator.unit, "count": operator.count,
            "shape": operator.shape, "macs": operator.macs * operator.count,
            "operations": operator.operations * operator.count,
            "traffic": {
                kind: bytes_ * operator.count
                for kind, bytes_ in dataclasses.asdict(operator.traffic).items()
            },
            "dram_bytes": self.bytes, "cycles": self.cycles,
            "start_s": self.start, "compute_s": self.compute, "memory_s": self.memory,
            "time": self.time.to_json("s"), "waits_for": self.waits_for, "obtained": self.obtained,
        }


@dataclass(frozen=True)
class PhaseEstimate:
    """Prefill, or one decode step: its operators, seconds, joules, and how busy it keeps both.

    ``host`` is the processor's time, included in ``time``. ``bandwidth_used`` and ``engine_used``
    are nominal fractions of the DRAM's peak and of the engine's full rate. ``waits`` splits the
    nominal time by what is waited for (compute, memory, start, host), ``obtained`` by how that was
    obtained; both add up to 1.
    """

    tokens: int
    context: int
    operators: tuple[OperatorCost, ...]
    host: Range
    time: Range
    energy: dict[str, Range]
    dram_bytes: int
    bandwidth_used: float
    engine_used: float
    waits: dict[str, float]
    obtained: dict[str, float]

    @property
    def joules(self) -> Range:
        """Joules of the phase in all."""
        return self.energy["total"]

    def to_json(self) -> dict[str, Any]:
        """``prefill`` or ``decode``."""
        return {
            "tokens": self.tokens, "context": self.context,
            "time": self.time.to_json("s"), "host": self.host.to_json("s"),
            "energy": {part: value.to_json("J") for part, value in self.energy.items()},
            "dram_bytes": self.dram_bytes, "bandwidth_used": self.bandwidth_used,
            "engine_used": self.engine_used, "waits": self.waits, "obtained": self.obtained,
            "operators": [operator.to_json() for operator in self.operators],
        }


def shares(parts: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Seconds by label, as fractions of their sum, the largest first."""
    sums: dict[str, float] = {}
    for label, seconds in parts:
        sums[label] = sums.get(label, 0.0) + seconds
    total = sum(sums.values())
    return {label: sums[label] / total for label in sorted(sums, key=lambda key: -sums[key])}
