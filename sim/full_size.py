"""Cycles of models that are too large to simulate whole: one layer and the head, counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..errors import ToolError, TrilobiteError
from ..fpga.compiler import Program, Weights, compile_model
from ..fpga.parameters import AcceleratorParameters
from ..fpga.sequencer import RunError
from ..model import ModelConfig
from .bench import build
from .bench.ddr import DdrTiming
from .bench.program_bench import ProgramBench
from .bench.program_run import Run, run_program

__all__ = ["PhaseCycles", "count_phase"]


@dataclass(frozen=True)
class PhaseCycles:
    """What a prefill of ``tokens``, or a decode step after ``context`` tokens, costs.

    ``one`` and ``two`` are the accelerator's counters for a model of ``layers`` layers and of twice
    as many, embedding and head included; the difference is what ``layers`` more cost.
    """

    phase: str
    tokens: int
    context: int
    layers: int
    model_layers: int
    one: dict[str, int]
    two: dict[str, int]

    def whole(self, counter: str = "cycles") -> float:
        """A counter of the whole model."""
        more = self.two[counter] - self.one[counter]
        return self.one[counter] + more / self.layers * (self.model_layers - self.layers)

    def to_json(self) -> dict[str, Any]:
        """As JSON values; ``whole`` has the counters of the whole model."""
        return {**asdict(self), "whole": {name: self.whole(name) for name in self.one}}


def count_phase(
    config: ModelConfig, weights: Weights, parameters: AcceleratorParameters, phase: str,
    tokens: int, context: int, layers: int, timing: DdrTiming,
    progress: Callable[[str, int, int], None] | None = None,
) -> PhaseCycles:
    """Simulate ``layers`` layers, and twice as many, of a model on an accelerator.

    Prefill: ``tokens`` tokens from position 0, in as many steps as the accelerator needs, and the
    first new token. Decode: one token at position ``context``; the cache holds zeros, whose
    cycles are those of any other keys and values.

    Raises
    ------
    TrilobiteError
        The accelerator cannot run the model, or a number is out of range.
    ToolError
        A tool is missing, or the simulation failed.
    """
    if phase not in ("prefill", "decode"):
        raise TrilobiteError(f"The phase is 'prefill' or 'decode', not {phase!r}")
    if not 0 < 2 * layers <= config.num_layers or tokens < 1 or context < 0:
        raise TrilobiteError(f"{layers} layers, {tokens} tokens and a context of {context} cannot "
                             f"be simulated; the model has {config.num_layers} layers")
    report = progress or (lambda description, done, total: None)
    capacity = tokens if phase == "prefill" else context + 1
    programs = [compile_model(config, weights, parameters, capacity + 1, count)
                for count in (layers, 2 * layers)]
    depth = 1 << (max(program.memory.words for program in programs) - 1).bit_length()
    report("building the accelerator", 0, 2)
    engine = build(ProgramBench(parameters, depth, timing), "accelerator")
    counts = []
    for number, program in enumerate(programs):
        report(f"simulating {program.layers} layers", number, 2)
        counts.append(_counts(engine, program, _runs(program, phase, tokens, context)))
    return PhaseCycles(phase, tokens, context, layers, config.num_layers, *counts)


def _runs(program: Program, phase: str, tokens: int, context: int) -> list[Run]:
    def run(position: int, count: int, new_tokens: int) -> Run:
        return Run(program.word("program"), program.word("tiles"), len(program.tiles), count,
                   position, new_tokens)

    if phase == "decode":
        return [run(context, 1, 1)]
    most = program.parameters.max_tokens
    starts = range(0, tokens, most)
    return [run(start, min(most, tokens - start), int(start + most >= tokens)) for start in starts]


def _counts(engine: Any, program: Program, runs: Sequence[Run]) -> dict[str, int]:
    region = program.memory.regions["tokens"]
    ids = np.arange(4 * region.words, dtype="<i4") % program.config.vocab_size
    ids = np.resize(ids, region.words * program.parameters.word_bytes // 4)
    image = [*program.memory.image(),
             (region.start, ids.astype("<i4").view(np.uint8).reshape(region.words, -1))]
    results = run_program(engine, image, runs)
    for result in results:
        if result.error != RunError.NONE:
            raise ToolError(f"The accelerator reported {result.error.name} at {result.failed}")
    return {name: sum(result.counts[name] for result in results) for name in results[0].counts}
