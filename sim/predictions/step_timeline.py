"""Predicted steps as timelines, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...fpga.planner import plan_program
from ..events import Channel, Kind, System, Task, Timeline, Unit, simulate
from ..formulas.energy import Supply, work_energy
from ..formulas.workload import Operator
from .extrapolation import total
from .operator_rows import OperatorRows
from .prediction import PredictedStep, Prediction, activity_energy
from .work import accelerator_operators

__all__ = ["predicted_timelines"]

_DRAM = "DRAM"
_UNITS = {"tlmm": Kind.MATMUL, "integer": Kind.ATTENTION, "vector": Kind.VECTOR}


def predicted_timelines(prediction: Prediction, supply: Supply) -> dict[str, Timeline]:
    """The prefill, step by step, and the decode step in the middle of the generation.

    A layer's operators take what they take in the mean of all layers.
    """
    return {"prefill": _timeline(prediction, supply, prediction.prefill),
            "decode": _timeline(prediction, supply, [prediction.decode])}


def _timeline(prediction: Prediction, supply: Supply,
              steps: Sequence[PredictedStep]) -> Timeline:
    runs = [(f"from token {step.position}: {label}" if step is not steps[0] else label,
             operator, counts)
            for step in steps for label, operator, counts in _in_order(prediction, step)]
    bandwidth = max(_sustained(prediction), *(
        _bytes(prediction, counts) / (prediction.cycle * total(counts[np.newaxis]))
        for _, _, counts in runs))
    energy = 8e-12 * supply.device.dram.energy.nominal
    system = System.of([Unit(name, kind) for name, kind in _UNITS.items()],
                       [Channel(_DRAM, Kind.DRAM, bandwidth, energy=energy)],
                       idle=work_energy(supply, 1.0, 0, 0).standing)
    return simulate(system, [
        _task(prediction, supply, operator, counts, bandwidth, number, label)
        for number, (label, operator, counts) in enumerate(runs)])


def _sustained(prediction: Prediction) -> float:
    """Bytes per second of the memory. For a moment there may be more: a word a cycle early."""
    timing = prediction.timing
    return (prediction.accelerator.port.word.count * timing.words / timing.per_cycles
            / prediction.cycle)


def _bytes(prediction: Prediction, counts: np.ndarray) -> float:
    """What the port moved."""
    words = total(counts[np.newaxis], "read_words") + total(counts[np.newaxis], "write_words")
    return prediction.accelerator.port.word.count * words


def _in_order(prediction: Prediction, step: PredictedStep,
              ) -> Iterator[tuple[str, Operator, np.ndarray]]:
    """Label, operator and counters of every run, in the order of the descriptors."""
    config, parameters = prediction.config, prediction.parameters
    operators = accelerator_operators(config, parameters, step.tokens, step.position, 1)
    layer = OperatorRows.of(plan_program(config, parameters, 2, 1)).layer
    runs = list(zip(operators, step.counts, strict=True))
    for operator, counts in runs[:layer.start]:
        yield operator.name, operator, counts
    for number in range(config.num_layers):
        for operator, counts in runs[layer]:
            yield f"layer {number} {operator.name}", operator, counts / config.num_layers
    for operator, counts in runs[layer.stop:]:
        if counts.any():   # not in a step that chooses no token
            yield operator.name, operator, counts


def _task(prediction: Prediction, supply: Supply, operator: Operator, counts: np.ndarray,
          bandwidth: float, number: int, label: str) -> Task:
    """One operator; what neither its unit nor the port is busy with passes before."""
    parts = prediction.parts(operator.name, counts, operator.tokens, 1)
    moved = _bytes(prediction, counts)
    joules = activity_energy(supply, prediction.accelerator, counts[np.newaxis],
                             operator.operations, 0.0).compute
    return Task(
        _name(number), operator.unit, parts.compute, {_DRAM: moved},
        (_name(number - 1),) if number else (),
        start=max(0.0, parts.total - max(parts.compute, moved / bandwidth)), joules=joules,
        label=label)


def _name(number: int) -> str:
    return f"{number:06}"
