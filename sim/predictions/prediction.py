"""What the cycle model says about the steps of an estimate, and what each operator waits for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...fpga.accelerator_parameters import AcceleratorParameters
from ...fpga.events import COUNTERS
from ...model import ModelConfig
from ..descriptions.ddr_timing import DdrTiming
from ..formulas.cycle_source import CountingMethod, DetailTable, TableRow
from ..formulas.energy import Energy, Powered, work_energy
from ..formulas.results import Estimate
from .accelerator_constants import RtlAccelerator
from .extrapolation import total
from .method import PREDICTIONS
from .operator_rows import ATTENTION, LM_HEAD
from .work import row_width

__all__ = ["ERRORS", "Parts", "PredictedStep", "Prediction", "activity_energy"]

# Of what RTL simulation counted, for whole steps; the tests hold the model to these bounds.
ERRORS = {"small models, 42 steps": 0.008, "BitNet 0.73B in full size, 10 runs": 0.0005}


@dataclass(frozen=True)
class PredictedStep:
    """A step of the accelerator: its tokens, how many of them were before it, its counters.

    ``counts``: float64 [operators, counters].
    """

    tokens: int
    position: int
    counts: np.ndarray


@dataclass(frozen=True)
class Parts:
    """Seconds of an operator: its unit takes operands, the port moves words, and what is left.

    What is left when the longer of both is taken off: start-up, the latency of pipelines, turns of
    the port.
    """

    start: float
    compute: float
    memory: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.start + max(self.compute, self.memory)


@dataclass(frozen=True)
class Prediction:
    """The steps of a prefill, and one decode step, at nominal constants."""

    config: ModelConfig
    parameters: AcceleratorParameters
    accelerator: RtlAccelerator
    timing: DdrTiming
    prefill: tuple[PredictedStep, ...]
    decode: PredictedStep

    @property
    def method(self) -> CountingMethod:
        """How figures are calculated with these cycles."""
        return PREDICTIONS

    @property
    def agreement(self) -> str:
        """How good the model is, as a clause for the report."""
        bounds = ", ".join(f"{100 * error:g} % of RTL simulation for {what}"
                           for what, error in ERRORS.items())
        return ("by a model of the whole accelerator, from the descriptors that it runs; whole "
                f"steps are within {bounds}")

    @cached_property
    def cycle(self) -> float:
        """Seconds of a cycle."""
        return 1e-6 / self.accelerator.clock.frequency.nominal

    def parts(self, name: str, counts: np.ndarray, tokens: int, runs: int) -> Parts:
        """The parts of an operator, of its counters over all ``runs`` for ``tokens`` tokens."""
        said = dict(zip(COUNTERS, counts.tolist(), strict=True))
        compute = min(said["cycles"], self._operand_cycles(name, said, tokens * runs))
        # A memory that gives less than a word per cycle may give one a cycle early.
        memory = min(said["cycles"], (said["read_words"] + said["write_words"]) * (
            self.timing.per_cycles / self.timing.words))
        rest = said["cycles"] - max(compute, memory)
        return Parts(self.cycle * rest, self.cycle * compute, self.cycle * memory)

    def _operand_cycles(self, name: str, said: dict[str, float], rows: int) -> float:
        """Cycles in which its unit took an operand."""
        if name == ATTENTION:
            return said["attention_words"]
        if name == LM_HEAD:
            return said["head_words"]
        if name.endswith("_proj"):
            return said["weight_beats"]
        return rows * row_width(self.config, name) / self.accelerator.vector.lanes.count

    def to_json(self) -> dict[str, Any]:
        """``cycles`` of docs/reference/report.md."""
        return {"agreement": self.agreement, "measured": [], "predicted": self.counters()}

    def table(self, estimates: Sequence[Estimate]) -> DetailTable:
        """The counters of the prefill and of a decode step, as predicted, for each estimate."""
        phases = [(f"{estimate.model.name}: {phase}", counts) for estimate in estimates
                  for phase, counts in estimate.cycles.to_json()["predicted"].items()]
        return DetailTable(
            "counters", "What the accelerator counts of itself",
            ("counter", *(title for title, _ in phases)),
            tuple(TableRow(name.replace("_", " "), meaning,
                           tuple(f"{counts[name]:,}" for _, counts in phases))
                  for name, meaning in COUNTERS.items()))

    def counters(self) -> dict[str, dict[str, int]]:
        """What the accelerator counts of itself in the prefill, and in the decode step."""
        phases = {"prefill": self.prefill, "decode": (self.decode,)}
        return {phase: {name: round(sum(total(step.counts, name) for step in steps))
                        for name in COUNTERS} for phase, steps in phases.items()}


def activity_energy(powered: Powered, accelerator: RtlAccelerator, counts: np.ndarray,
                    operations: float, seconds: float) -> Energy:
    """Joules of ``seconds`` in which ``counts`` [operators, counters] happened.

    Ternary products are those of the engine's beats, int8 products those of words that attention
    and head took, bytes those of the port's words; ``operations`` are the float units', which no
    counter counts.
    """
    attention = accelerator.integer.lanes.count * total(counts, "attention_words")
    head = accelerator.integer.head_lanes.count * total(counts, "head_words")
    words = total(counts, "read_words") + total(counts, "write_words")
    return work_energy(
        powered, seconds, accelerator.port.word.count * words,
        total(counts, "weight_beats") * accelerator.macs_per_cycle, attention + head, operations)
