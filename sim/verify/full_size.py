"""Cycles of models that are too large to simulate whole: one layer and the head, counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ...errors import ToolError, TrilobiteError
from ...fpga.accelerator_parameters import AcceleratorParameters
from ...fpga.compiler import Program, Weights, compile_model
from ...fpga.runs import RunError
from ...model import ModelConfig
from ...tools.progress import SILENT, Progress
from ..descriptions.ddr_timing import DdrTiming
from ..report.schedule import Samples
from .bench import Build, build
from .bench.program_bench import ProgramBench
from .bench.program_run import Run, RunResult, run_accelerator

__all__ = ["PhaseCycles", "count_phase", "layer_operators"]


@dataclass(frozen=True)
class PhaseCycles:
    """What a prefill of ``tokens``, or a decode step after ``context`` tokens, costs.

    ``one`` has the accelerator's counters for a model of ``layers`` layers, embedding and head
    included; ``more`` what as many layers more cost: the difference of two runs without the head.
    ``samples`` are the counters in the course of these further layers, of the last step, if asked
    for.
    """

    phase: str
    tokens: int
    context: int
    layers: int
    model_layers: int
    one: dict[str, int]
    more: dict[str, int]
    samples: Samples | None = None

    def whole(self, counter: str = "cycles") -> float:
        """A counter of the whole model."""
        others = (self.model_layers - self.layers) / self.layers
        return self.one[counter] + self.more[counter] * others

    def to_json(self) -> dict[str, Any]:
        """The counts as JSON values; ``whole`` has the counters of the whole model."""
        values = asdict(replace(self, samples=None))
        del values["samples"]
        return {**values, "whole": {name: self.whole(name) for name in self.one}}


def count_phase(
    config: ModelConfig, weights: Weights, parameters: AcceleratorParameters, phase: str,
    tokens: int, context: int, layers: int, timing: DdrTiming, look: int = 0,
    progress: Progress = SILENT,
) -> PhaseCycles:
    """Simulate ``layers`` layers, and twice as many, of a model on an accelerator.

    Both have one image and one simulation, in which the head runs once: of a large model it takes
    most of the time.

    Prefill: ``tokens`` tokens from position 0, in as many steps as the accelerator needs, and the
    first new token. Decode: one token at position ``context``; the cache holds zeros, whose
    cycles are those of any other keys and values. With ``look``, the counters are sampled every so
    many cycles.

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
    capacity = tokens if phase == "prefill" else context + 1
    program = compile_model(config, weights, parameters, capacity + 1, 2 * layers)
    half, half_tiles = program.first_layers(layers)
    # At least a sixteenth of what can be addressed, so that one build serves every shape.
    depth = max(1 << (program.memory.words - 1).bit_length(),
                (1 << parameters.address_width) // (16 * parameters.word_bytes))
    twice = Run(program.word("program"), program.word("tiles"), len(program.tiles), 0, 0, 0,
                look=look)
    once = replace(twice, program=half, tile_count=half_tiles, look=0)
    steps = _steps(program.step_tokens, phase, tokens, context)
    runs = [replace(run, tokens=count, position=position, new_tokens=int(chooses))
            for run, chooses in ((once, False), (twice, False), (once, True))
            for position, count in (steps[-1:] if chooses else steps)]
    progress.start(len(runs), "Building the accelerator")
    engine = build(ProgramBench(parameters, depth, timing), "accelerator")
    progress.doing("Simulating")
    results = _simulate(engine, program, runs, progress)
    counts = [result.counts for result in results]
    without, with_more = (_sum(counts[len(steps) * part:len(steps) * (part + 1)])
                          for part in (0, 1))
    one = _sum([*counts[:len(steps) - 1], counts[-1]])
    more = {name: with_more[name] - without[name] for name in one}
    samples = Samples(results[2 * len(steps) - 1].looks, layer_operators(program)).after(
        counts[len(steps) - 1]["cycles"]) if look else None
    return PhaseCycles(phase, tokens, context, layers, config.num_layers, one, more, samples)


def layer_operators(program: Program) -> tuple[tuple[str, str], ...]:
    """Operation and operator of each descriptor of a layer."""
    return tuple((descriptor.operation.name.lower(), origin.operator)
                 for descriptor, origin in zip(program.descriptors, program.origins, strict=True)
                 if origin.layer == 0)


def _steps(most: int, phase: str, tokens: int, context: int) -> list[tuple[int, int]]:
    """Position and tokens of each step, which has ``most`` tokens at most."""
    if phase == "decode":
        return [(context, 1)]
    return [(start, min(most, tokens - start)) for start in range(0, tokens, most)]


def _sum(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    return {name: sum(each[name] for each in counts) for name in counts[0]}


def _simulate(engine: Build, program: Program, runs: Sequence[Run],
              progress: Progress) -> list[RunResult]:
    """The results of each run, over one image with token ids."""
    region = program.memory.regions["tokens"]
    ids = np.arange(4 * region.words, dtype="<i4") % program.config.vocab_size
    ids = np.resize(ids, region.words * program.parameters.word_bytes // 4)
    image = [*program.memory.image(),
             (region.start, ids.astype("<i4").view(np.uint8).reshape(region.words, -1))]
    results = run_accelerator(engine, image, runs, progress=progress)
    for result in results:
        if result.error != RunError.NONE:
            raise ToolError(f"The accelerator reported {result.error.name} at {result.failed}")
    return results
