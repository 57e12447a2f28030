"""Predicted cycles beside those of RTL simulation, by operation and whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....errors import EstimateError
from ....fpga.accelerator_parameters import AcceleratorParameters
from ....fpga.planner import plan_program
from ...cycle_model.constants import hardware_constants
from ...cycle_model.predict import predict_step
from ...descriptions.accelerator import load_accelerator
from ...descriptions.ddr_timing import DdrTiming
from ...descriptions.shapes import load_shape
from .cases import CAPACITY, HARDWARE, MODELS, Case, all_cases

__all__ = ["CYCLES", "FULL_SIZE", "MEASURED", "CounterComparison", "check_counts",
           "check_full_size", "compare_cases", "compare_full_size"]

MEASURED = Path(__file__).with_name("measured.json")
FULL_SIZE = Path(__file__).with_name("full_size.json")
CYCLES = ("cycles", "embed_cycles", "quantize_cycles", "matmul_cycles", "attend_cycles",
          "head_cycles")
_TIMING = DdrTiming(latency=60)   # of ``trilobite verify shape``


@dataclass(frozen=True)
class CounterComparison:
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


def check_counts(name: str) -> None:
    """Whether the counts in ``measured.json`` are of the accelerator ``name`` as it is now.

    Constants are compared: what changes cycles and none of them, only new counts show
    (``pytest --slow``).

    Raises
    ------
    EstimateError
        They are of other hardware.
    """
    hardware = HARDWARE[name]
    _check(f"{MEASURED.name}: the cycles of accelerator {name}",
           json.loads(MEASURED.read_text())[name]["constants"], hardware.parameters,
           hardware.timing, f"python -m trilobite.sim.verify.cycles.measure {name}")


def check_full_size() -> None:
    """The same of ``full_size.json``."""
    recorded = json.loads(FULL_SIZE.read_text())
    name = recorded["configuration"]
    _check(f"{FULL_SIZE.name}: the cycles of accelerator {name}", recorded["constants"],
           load_accelerator(name).whole(), _TIMING, "trilobite verify shape ... --json")


def _check(counts: str, counted: dict[str, int], parameters: AcceleratorParameters,
           timing: DdrTiming, command: str) -> None:
    now = hardware_constants(parameters, timing)
    changed = [f"{key} was {counted.get(key)} and is {now.get(key)}"
               for key in sorted({*counted, *now}) if counted.get(key) != now.get(key)]
    if changed:
        raise EstimateError(f"{counts} were counted of other hardware: {', '.join(changed)}. "
                            f"Count them again with ``{command}``")


def compare_cases() -> list[CounterComparison]:
    """Every case that ``measured.json`` has."""
    measured = json.loads(MEASURED.read_text())
    return [_compare(case, measured[case.hardware]) for case in all_cases()]


def _compare(case: Case, measured: dict[str, Any]) -> CounterComparison:
    hardware, step = HARDWARE[case.hardware], case.step
    counted = measured["cases"][case.model][step.name]
    program = plan_program(MODELS[case.model], hardware.parameters, CAPACITY)
    predicted = predict_step(program, hardware.timing, step.tokens, step.position, step.chooses,
                             counted["started"])
    return CounterComparison(
        f"{case.hardware}, {case.model}, {step.name}", case.held_out, predicted, counted)


def compare_full_size() -> Iterator[CounterComparison]:
    """One layer and two of a published shape, as ``trilobite verify shape`` counted them."""
    recorded = json.loads(FULL_SIZE.read_text())
    parameters = load_accelerator(recorded["configuration"]).whole()
    for run in recorded["runs"]:
        for layers, counted in ((run["layers"], run["one"]), (2 * run["layers"], run["two"])):
            predicted = _predict_run(run, parameters, layers)
            yield CounterComparison(f"{_what(run)}, {layers} layers", True, predicted, counted)


def _what(run: dict[str, Any]) -> str:
    length = f"{run['tokens']} tokens" if run["phase"] == "prefill" else f"context {run['context']}"
    return f"{run['shape']}, {run['phase']}, {length}"


def _predict_run(run: dict[str, Any], parameters: AcceleratorParameters,
                 layers: int) -> dict[str, int]:
    """The counters of a recorded run."""
    config = load_shape(run["shape"]).config
    if run["phase"] == "prefill":
        most, tokens = plan_program(config, parameters, 2, 1).step_tokens, run["tokens"]
        steps = [(min(most, tokens - start), start, start + most >= tokens)
                 for start in range(0, tokens, most)]
        capacity = tokens
    else:
        steps, capacity = [(1, run["context"], True)], run["context"] + 1
    program = plan_program(config, parameters, capacity + 1, layers)
    counts = [predict_step(program, _TIMING, *step) for step in steps]
    return {name: sum(one[name] for one in counts) for name in counts[0]}
