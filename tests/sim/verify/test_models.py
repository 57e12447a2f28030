"""Models of every kind on the accelerator, beside the runtime: tiny ones, on one build."""

from dataclasses import replace

import pytest

from support.tiny_accelerator import EVERYTHING, MODEL
from trilobite.api.verify import Runtime
from trilobite.fpga.compiler import compile_model
from trilobite.fpga.descriptors import Operation
from trilobite.model import RopeScaling
from trilobite.quant.formats import GroupedTernary, Int2, Int3, Int4, Int8, Ternary
from trilobite.runtime.decoder import Decoder
from trilobite.runtime.language_model import Session
from trilobite.runtime.random_weights import random_weights
from trilobite.sim.cycle_model.predict import predict_step
from trilobite.sim.descriptions.ddr_timing import DdrTiming
from trilobite.sim.verify.decoder import verify_decoder

TIMING = DdrTiming(latency=40, refresh_interval=195, refresh_cycles=9)
PROMPT = [5, 40, 7, 1, 30, 2, 8, 9, 11]   # one more than the accelerator takes at once

# What the cycle model predicts to the last one; cycles depend on when the memory refreshes, too.
EXACT = ("read_words", "write_words", "weight_beats", "table_passes", "attention_words",
         "head_words")

# Heads as wide as the model is not, no sub-norms; an untied head, biases of queries and values;
# biases of all but keys.
_PLAIN = replace(MODEL, hidden_size=48, intermediate_size=64, sub_norm=False, bitlinear=False)
MODELS = {
    "qwen3": replace(_PLAIN, family="qwen3", qk_norm=True),
    "qwen2": replace(_PLAIN, family="qwen2", qkv_bias=True, tie_word_embeddings=False,
                     rope_scaling=RopeScaling("linear", 4.0)),
    "llama": replace(_PLAIN, family="llama", qkv_bias=True, o_bias=True, mlp_bias=True,
                     rope_scaling=RopeScaling("llama3", 8.0,
                                              original_max_position_embeddings=32)),
}


def without_key_biases(weights):
    """The accelerator's attention has no part for them."""
    return lambda name: 0 * weights(name) if name.endswith("k_proj.bias") else weights(name)


def report(config, form, new_tokens=3):
    """What the accelerator makes of a random model, and its program."""
    weights = without_key_biases(random_weights(config, form, 3, Int8()))
    capacity = len(PROMPT) + new_tokens
    program = compile_model(config, weights, EVERYTHING, capacity, keep_residuals=True)
    decoder = Decoder(config, weights)
    reference = Runtime(decoder, Session(decoder, "int8", capacity))
    return program, verify_decoder(program, PROMPT, new_tokens, reference, TIMING, optimize=False)


# By name: the model, the format of its linears, ternary digits of a weight. A group is two passes
# and two thirds of one.
CASES = {
    "ternary": ("qwen3", Ternary(), 0),
    "groups": ("qwen3", GroupedTernary(group_size=32), 1),
    "int4": ("llama", Int4(group_size=32), 3),
    "int2": ("qwen2", Int2(group_size=None), 2),   # with zero points
    "int3": ("qwen3", Int3(group_size=32), 3),
    "biases": ("llama", Ternary(), 0),
    "untied": ("qwen2", Ternary(), 0),
}
BY_DEFAULT = ("groups", "int4")


@pytest.mark.parametrize("case", [
    name if name in BY_DEFAULT else pytest.param(name, marks=pytest.mark.slow) for name in CASES])
def test_every_residual_stream_and_token_is_the_runtimes(case):
    name, form, digits = CASES[case]
    config = MODELS[name]
    if digits:   # whole groups of columns
        config = replace(config, hidden_size=64)
    program, found = report(config, form)
    assert found.equal
    assert [step.tokens for step in found.steps] == [8, 1, 1, 1]
    matmuls = [d for d in program.descriptors if d.operation == Operation.MATMUL]
    assert sum(d.norm for d in matmuls) == (2 if config.qk_norm else 0)
    assert sum(d.bias for d in matmuls) == {"qwen3": 0, "qwen2": 3, "llama": 6}[name]
    assert {d.digits for d in matmuls} == {digits}
    assert all(d.rows for d in matmuls) == (digits > 0)
    for step in found.steps:
        predicted = predict_step(program, TIMING, step.tokens, step.position,
                                 step.token is not None)
        assert {name: step.counts[name] for name in EXACT} == {
            name: predicted[name] for name in EXACT}
        assert predicted["cycles"] == pytest.approx(step.counts["cycles"], rel=0.01)
