"""Predicted cycles beside those of RTL simulation, by operation and whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...fpga.configuration import load_configuration
from ...fpga.planner import plan_program
from ..bench.ddr import DdrTiming
from ..shapes import load_shape
from .cases import CAPACITY, HARDWARE, MODELS, Case, all_cases
from .predict import predict_step

__all__ = ["CYCLES", "FULL_SIZE", "MEASURED", "Comparison", "compare_cases", "compare_full_size"]

MEASURED = Path(__file__).with_name("measured.json")
FULL_SIZE = Path(__file__).with_name("full_size.json")
CYCLES = ("cycles", "embed_cycles", "quantize_cycles", "matmul_cycles", "attend_cycles",
          "head_cycles")
_TIMING = DdrTiming(latency=60)   # of ``trilobite verify --shape``


@dataclass(frozen=True)
class Comparison:
    """A step's counters as predicted and as counted in RTL simulation."""

    what: str
    held_out: bool
    predicted: dict[str, int]
    counted: dict[str, int]

    def error(self, counter: str = "cycles") -> float:
        """Signed error, as a fraction of what was counted; 0 where both are 0."""
        if self.predicted[counter] == self.counted[counter]:
            return 0.0
        return self.predicted[counter] / self.counted[counter] - 1


def compare_cases() -> list[Comparison]:
    """Every case that ``measured.json`` has."""
    measured = json.loads(MEASURED.read_text())
    return [_compare(case, measured[case.hardware]["cases"][case.model][case.step.name])
            for case in all_cases() if case.hardware in measured]


def _compare(case: Case, counted: dict[str, int]) -> Comparison:
    hardware, step = HARDWARE[case.hardware], case.step
    program = plan_program(MODELS[case.model], hardware.parameters, CAPACITY)
    predicted = predict_step(program, hardware.timing, step.tokens, step.position, step.chooses,
                             counted["started"])
    return Comparison(f"{case.hardware}, {case.model}, {step.name}", case.held_out, predicted,
                      counted)


def compare_full_size() -> Iterator[Comparison]:
    """One layer and two of a published shape, as ``trilobite verify --shape`` counted them."""
    for run in json.loads(FULL_SIZE.read_text()):
        prefills = run["phase"] == "prefill"
        capacity = run["tokens"] if prefills else run["context"] + 1
        config, parameters = load_shape(run["shape"]).config, load_configuration(run["hardware"])
        length = f"{run['tokens']} tokens" if prefills else f"context {run['context']}"
        for layers, counted in ((run["layers"], run["one"]), (2 * run["layers"], run["two"])):
            program = plan_program(config, parameters, capacity + 1, layers)
            if prefills:
                most = parameters.max_tokens
                starts = range(0, run["tokens"], most)
                steps = [(min(most, run["tokens"] - start), start, start == starts[-1])
                         for start in starts]
            else:
                steps = [(1, run["context"], True)]
            counts = [predict_step(program, _TIMING, *step) for step in steps]
            predicted = {name: sum(one[name] for one in counts) for name in counted}
            yield Comparison(f"{run['shape']}, {layers} layers, {run['phase']}, {length}", True,
                             predicted, counted)
