"""Measure the cases' cycles in RTL simulation, for the tests of the cycle model.

    python -m trilobite.sim.verify.cycles.measure [HARDWARE ...]

writes ``measured.json`` beside this file: for each accelerator a hash of its Verilog and what the
model says of it (``hardware_constants``), by which ``compare`` knows counts of other hardware; for
each case the cycle in which it started, counted from the reset, and the accelerator's counters.
What has been simulated before, with this Verilog, program and steps, is taken from the cache.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from ....errors import ToolError
from ....fpga.compiler import Program, compile_model
from ....fpga.runs import RunError
from ....quant.formats import Ternary
from ....runtime.random_weights import random_weights
from ....tools.cache import cached_folder, content_key
from ...cycle_model.constants import hardware_constants
from ..bench import build
from ..bench.build import Build
from ..bench.program_bench import ProgramBench
from ..bench.program_run import Run, run_accelerator
from .cases import CAPACITY, HARDWARE, MODELS, STEPS, CaseStep, SimulatedAccelerator
from .compare import MEASURED

__all__ = ["bench", "case_program", "count_steps", "measure"]

_DEPTH = 1 << 16   # words of the memory: room for every model on every accelerator


def bench(hardware: SimulatedAccelerator) -> ProgramBench:
    """The accelerator on its memory."""
    return ProgramBench(hardware.parameters, _DEPTH, hardware.timing)


def case_program(hardware: SimulatedAccelerator, model: str, capacity: int = CAPACITY) -> Program:
    """The program of a model with random weights."""
    config = MODELS[model]
    return compile_model(config, random_weights(config, Ternary(), seed=0), hardware.parameters,
                         capacity)


def count_steps(hardware: SimulatedAccelerator, model: str, steps: tuple[CaseStep, ...],
                capacity: int) -> list[dict[str, int]]:
    """Counters of steps of a case's model on any accelerator, and when each ``started``.

    Raises like ``measure``.
    """
    engine = build(bench(hardware), "accelerator")
    return _simulate(engine, case_program(hardware, model, capacity), steps)


def measure(name: str) -> dict[str, object]:
    """All cases of an accelerator: ``verilog``, ``constants``, and ``cases`` as model, step,
    counters.

    Raises
    ------
    ToolError
        A tool is missing, the simulation failed, or a run reported an error.
    """
    hardware = HARDWARE[name]
    engine = build(bench(hardware), "accelerator")
    cases: dict[str, dict[str, dict[str, int]]] = {}
    for model, steps in STEPS.items():
        counts = _simulate(engine, case_program(hardware, model), steps)
        cases[model] = dict(zip((step.name for step in steps), counts, strict=True))
    return {"verilog": content_key([engine.design.verilog]),
            "constants": hardware_constants(hardware.parameters, hardware.timing), "cases": cases}


def _simulate(engine: Build, program: Program, steps: tuple[CaseStep, ...]) -> list[dict[str, int]]:
    """Counters of each step. The cache holds zeros: their cycles are those of any other numbers."""
    image = [*program.memory.image(), _tokens(program)]
    runs = [Run(program.word("program"), program.word("tiles"), len(program.tiles), step.tokens,
                step.position, int(step.chooses)) for step in steps]

    def fill(folder: Path) -> None:
        results = run_accelerator(engine, image, runs)
        for result in results:
            if result.error != RunError.NONE:
                raise ToolError(f"The accelerator reported {result.error.name} at {result.failed}")
        (folder / "counts.json").write_text(json.dumps(
            [{"started": result.started, **result.counts} for result in results]))

    contents = (f"{word} {words.tobytes().hex()}" for word, words in image)
    key = content_key([engine.folder.name, repr(runs), *contents])
    return json.loads((cached_folder("rtl-counts", key, fill) / "counts.json").read_text())


def _tokens(program: Program) -> tuple[int, np.ndarray]:
    region = program.memory.regions["tokens"]
    count = region.words * program.parameters.word_bytes // 4
    ids = np.arange(count, dtype="<i4") % program.config.vocab_size
    return region.start, ids.view(np.uint8).reshape(region.words, -1)


def main(names: list[str]) -> None:
    """Measure the accelerators called ``names``, or all; the others' measurements are kept."""
    measured = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    for name in names or HARDWARE:
        measured[name] = measure(name)
        MEASURED.write_text(json.dumps(measured, indent=1) + "\n")
        print(name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
