"""Predicted cycles beside those of RTL simulation, by operation and whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import EstimateError
from ...fpga.compiler import Program
from ...fpga.configuration import load_configuration
from ...fpga.descriptors import WeightTile
from ...fpga.planner import plan_program
from ..bench.ddr import DdrTiming
from ..shapes import load_shape
from .cases import CAPACITY, HARDWARE, MODELS, Case, all_cases
from .constants import hardware_constants
from .predict import predict_step

__all__ = ["CYCLES", "FULL_SIZE", "MEASURED", "Comparison", "check_counts", "compare_cases",
           "compare_full_size"]

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
    counted = json.loads(MEASURED.read_text())[name]["constants"]
    now = hardware_constants(hardware.parameters, hardware.timing)
    changed = [f"{key} was {counted.get(key)} and is {now.get(key)}"
               for key in sorted({*counted, *now}) if counted.get(key) != now.get(key)]
    if changed:
        raise EstimateError(
            f"{MEASURED.name}: the cycles of accelerator {name} were counted of other hardware: "
            f"{', '.join(changed)}. Count them again with "
            f"``python -m trilobite.sim.cycle_model.measure {name}``")


def compare_cases() -> list[Comparison]:
    """Every case that ``measured.json`` has."""
    measured = json.loads(MEASURED.read_text())
    return [_compare(case, measured[case.hardware]) for case in all_cases()]


def _compare(case: Case, measured: dict[str, Any]) -> Comparison:
    hardware, step = HARDWARE[case.hardware], case.step
    counted = measured["cases"][case.model][step.name]
    program = plan_program(MODELS[case.model], hardware.parameters, CAPACITY)
    predicted = predict_step(program, hardware.timing, step.tokens, step.position, step.chooses,
                             counted["started"],
                             differs=_restore(program, measured["constants"]))
    return Comparison(f"{case.hardware}, {case.model}, {step.name}", case.held_out, predicted,
                      counted)


def _restore(program: Program, counted: dict[str, int]) -> dict[str, int]:
    """What differs of hardware that was counted; ``program`` gets the words of weights that it had.

    Tiles of weights had as many beats, but in other frames; what lay behind them moves.
    """
    shared, whole, beats = (counted[name] for name in ("shared_words", "whole_words",
                                                       "frame_beats"))
    words = [-(-tile.beats // beats) * shared + tile.beats * whole for tile in program.tiles]
    moves = [(tile.word, count - tile.words)
             for tile, count in zip(program.tiles, words, strict=True)]

    def moved(word: int) -> int:
        return word + sum(more for start, more in moves if start < word)

    program.tiles[:] = [WeightTile(moved(tile.word), count, tile.beats)
                        for tile, count in zip(program.tiles, words, strict=True)]
    program.descriptors[:] = [replace(one, b=moved(one.b)) if one.norm else one
                              for one in program.descriptors]
    return {**counted, "program": moved(program.word("program")),
            "list": moved(program.word("tiles"))}


def compare_full_size() -> Iterator[Comparison]:
    """One layer and two of a published shape, as ``trilobite verify --shape`` counted them.

    Hours of simulation: so ``full_size.json`` keeps the constants of the hardware of each count,
    and the model takes those.
    """
    recorded = json.loads(FULL_SIZE.read_text())
    for run in recorded["runs"]:
        hardware = recorded["hardware"][run["hardware"]]
        for layers, counted in ((run["layers"], run["one"]), (2 * run["layers"], run["two"])):
            predicted = _predict_run(run, hardware, layers)
            yield Comparison(f"{_what(run)}, {layers} layers", True, predicted, counted)


def _what(run: dict[str, Any]) -> str:
    length = f"{run['tokens']} tokens" if run["phase"] == "prefill" else f"context {run['context']}"
    return f"{run['hardware']}: {run['shape']}, {run['phase']}, {length}"


def _predict_run(run: dict[str, Any], hardware: dict[str, Any], layers: int) -> dict[str, int]:
    """The counters of a recorded run, of the hardware that it was counted on."""
    parameters = replace(load_configuration(hardware["configuration"]), **hardware["parameters"])
    if run["phase"] == "prefill":
        most, tokens = parameters.max_tokens, run["tokens"]
        steps = [(min(most, tokens - start), start, start + most >= tokens)
                 for start in range(0, tokens, most)]
        capacity = tokens
    else:
        steps, capacity = [(1, run["context"], True)], run["context"] + 1
    program = plan_program(load_shape(run["shape"]).config, parameters, capacity + 1, layers)
    differs = _restore(program, hardware["constants"])
    counts = [predict_step(program, _TIMING, *step, differs=differs) for step in steps]
    return {name: sum(one[name] for one in counts) for name in counts[0]}
