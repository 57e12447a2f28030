"""Cycles of a whole model, counted from a layer and the head."""

from dataclasses import replace

import numpy as np
import pytest

from support.tiny_accelerator import MODEL, TINY
from trilobite.errors import TrilobiteError
from trilobite.fpga.compiler import compile_model
from trilobite.quant.formats import Ternary
from trilobite.runtime.random_weights import random_weights
from trilobite.sim.descriptions.ddr_timing import DdrTiming
from trilobite.sim.verify.bench import build
from trilobite.sim.verify.bench.program_bench import ProgramBench
from trilobite.sim.verify.bench.program_run import Run, run_accelerator
from trilobite.sim.verify.full_size import PhaseCycles, count_phase

THREE = replace(MODEL, num_layers=3)
TIMING = DdrTiming(latency=20)


def test_a_whole_model_is_the_first_layers_and_what_the_others_cost():
    cycles = PhaseCycles("decode", 1, 9, layers=2, model_layers=8,
                         one={"cycles": 1000}, more={"cycles": 300})
    assert cycles.whole() == 1000 + 3 * 300
    assert cycles.to_json()["whole"] == {"cycles": 1900}


@pytest.mark.parametrize(("phase", "tokens", "layers", "sentence"), [
    ("both", 1, 1, "'prefill' or 'decode', not 'both'"),
    ("decode", 1, 2, "the model has 3 layers"),
    ("prefill", 0, 1, "0 tokens and a context of 3 cannot be simulated"),
])
def test_what_cannot_be_counted_is_refused(phase, tokens, layers, sentence):
    with pytest.raises(TrilobiteError, match=sentence):
        count_phase(THREE, random_weights(THREE, Ternary()), TINY, phase, tokens, 3, layers, TIMING)


@pytest.mark.slow
@pytest.mark.parametrize(("phase", "tokens", "context"), [("decode", 1, 20), ("prefill", 11, 0)])
def test_counted_layers_cost_what_simulated_ones_do(phase, tokens, context):
    """Three layers counted from one and two, and simulated; a prefill of two steps."""
    weights = random_weights(THREE, Ternary())
    counted = count_phase(THREE, weights, TINY, phase, tokens, context, 1, TIMING)
    program = compile_model(THREE, weights, TINY, tokens + context + 2)
    ids = np.zeros((program.memory.regions["tokens"].words, TINY.word_bytes), np.uint8)
    image = [*program.memory.image(), (program.word("tokens"), ids)]
    steps = [(context, 1)] if phase == "decode" else [(0, 8), (8, 3)]
    runs = [Run(program.word("program"), program.word("tiles"), len(program.tiles), count, position,
                int(position == steps[-1][0])) for position, count in steps]
    depth = 1 << (program.memory.words - 1).bit_length()
    results = run_accelerator(build(ProgramBench(TINY, depth, TIMING), "accelerator"), image, runs)
    for name in ("read_words", "write_words", "weight_beats", "table_passes", "attention_words",
                 "head_words", "tokens"):
        assert sum(result.counts[name] for result in results) == counted.whole(name), name
    cycles = sum(result.counts["cycles"] for result in results)
    assert counted.whole() == pytest.approx(cycles, rel=0.01)
