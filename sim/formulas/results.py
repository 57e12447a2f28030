"""The result of an estimate: plain data, and the JSON that ``--json`` prints (docs/report.md)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..descriptions.device import Device
from ..descriptions.formula_accelerator import FormulaAccelerator
from ..descriptions.quantity import Range
from ..descriptions.shapes import ModelShape
from .cycles import CycleModel
from .latency import Wait
from .published import Comparison
from .workload import Operator

if TYPE_CHECKING:   # needs the RTL tools
    from ..predictions.accelerator_constants import RtlAccelerator
    from ..predictions.prediction import Prediction

__all__ = ["ContextPoint", "Estimate", "OperatorCost", "Phase", "shares"]


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
class Phase:
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


@dataclass(frozen=True)
class ContextPoint:
    """Decode rate with ``context`` positions in the cache."""

    context: int
    rate: Range


@dataclass(frozen=True)
class Estimate:
    """Everything that is reported about one model on one accelerator and device.

    ``first_token`` [s]; ``rate`` [token/s], ``per_token`` [s], ``decode_joules`` [J/token] and
    ``power`` [W]: means over the tokens after the first, as the context grows; ``request_joules``
    [J]: the prompt and all tokens. ``decode`` is the step in the middle of the generation.
    ``hardware`` and ``cycles``: a description and the formulas, or an accelerator in RTL and what
    the cycle model predicts of it.
    """

    model: ModelShape
    device: Device
    hardware: FormulaAccelerator | RtlAccelerator
    cycles: CycleModel | Prediction
    prompt: int
    tokens: int
    first_token: Range
    rate: Range
    per_token: Range
    decode_joules: Range
    request_joules: Range
    power: Range
    weight_bytes: int
    kv_bytes_per_position: int
    prefill: Phase
    decode: Phase
    curve: tuple[ContextPoint, ...]
    comparisons: tuple[Comparison, ...]

    def to_json(self) -> dict[str, Any]:
        """All of it, with units; the keys are documented in docs/reference/report.md."""
        return {
            "model": {
                "name": self.model.name, "source": self.model.source,
                "parameters": self.model.parameters,
                "config": dataclasses.asdict(self.model.config),
            },
            "prompt": self.prompt, "tokens": self.tokens,
            "first_token": self.first_token.to_json("s"),
            "rate": self.rate.to_json("token/s"),
            "per_token": self.per_token.to_json("s/token"),
            "decode_energy": self.decode_joules.to_json("J/token"),
            "request_energy": self.request_joules.to_json("J"),
            "power": self.power.to_json("W"),
            "weight_bytes": self.weight_bytes,
            "kv_bytes_per_position": self.kv_bytes_per_position,
            "prefill": self.prefill.to_json(),
            "decode": self.decode.to_json(),
            "context": [
                {"context": point.context, "rate": point.rate.to_json("token/s")}
                for point in self.curve
            ],
            "cycles": self.cycles.to_json(),
            "published": [comparison.to_json() for comparison in self.comparisons],
            "device": dataclasses.asdict(self.device),
            "hardware": dataclasses.asdict(self.hardware),
        }


def shares(parts: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Seconds by label, as fractions of their sum, the largest first."""
    sums: dict[str, float] = {}
    for label, seconds in parts:
        sums[label] = sums.get(label, 0.0) + seconds
    total = sum(sums.values())
    return {label: sums[label] / total for label in sorted(sums, key=lambda key: -sums[key])}
