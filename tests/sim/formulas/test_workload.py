"""Counts of operators, against hand calculations and published figures."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.estimates import LARGE as LARGE_SHAPE
from support.estimates import TWO_BILLION, small_config
from trilobite.sim.descriptions.dram_layout import DramLayout
from trilobite.sim.formulas.workload import model_bytes, pairs, step

LARGE = LARGE_SHAPE.config
# As published bounds count.
PLAIN = DramLayout(weight_bits=1.6, kv_scales=False, head_scales=False)


def named(workload, name):
    return next(operator for operator in workload.operators if operator.name == name)


def test_ternary_macs_are_the_linear_weights():
    # 24 (4 x 1536^2 + 3 x 1536 x 4096) = 679.5 M weights, each used once per token.
    ternary = [op for op in step(LARGE, PLAIN, 1).operators if op.unit == "tlmm"]
    assert sum(op.count * op.macs for op in ternary) == 679_477_248
    # At 1.6 bits, rounded up to bytes: 471,860 of a square matrix, 1,258,292 of an FFN matrix.
    streamed = sum(op.count * op.traffic.weights for op in ternary)
    assert streamed == 24 * (4 * 471_860 + 3 * 1_258_292)


@pytest.mark.parametrize(
    ("weight_bits", "tokens_per_second"), [(1.58, 105), (1.6, 104), (5 / 3, 101), (2.0, 88)]
)
def test_decode_bound_at_full_bandwidth(weight_bits, tokens_per_second):
    # Layer matrices and an INT8 head of 49.2 MB at 19.2 GB/s: the bound on any KV260 design.
    workload = step(LARGE, dataclasses.replace(PLAIN, weight_bits=weight_bits), 1)
    matrices = sum(op.count * op.traffic.weights for op in workload.operators if op.shape)
    assert round(19.2e9 / matrices) == tokens_per_second


def test_kv_bytes_of_a_position():
    # 2 x 24 layers x 16 heads x 96 x 2 bytes.
    layout = dataclasses.replace(PLAIN, kv_bits=16)
    assert 2 * LARGE.num_layers * layout.kv_bytes(LARGE, 1) == 147_456


@pytest.mark.parametrize(
    ("kv_bits", "context", "tokens_per_second"),
    [(16, 128, 94), (16, 512, 74), (16, 1024, 57), (16, 2048, 39),
     (8, 128, 99), (8, 512, 86), (8, 1024, 74), (8, 2048, 57)],
)
def test_decode_bound_with_a_cache(kv_bits, context, tokens_per_second):
    layout = dataclasses.replace(PLAIN, kv_bits=kv_bits)
    workload = step(LARGE, layout, 1, context - 1)
    matrices = sum(op.count * op.traffic.weights for op in workload.operators if op.shape)
    assert round(19.2e9 / (matrices + workload.bytes("kv_read"))) == tokens_per_second


def test_attention_of_one_decoded_token_by_hand():
    # 2 heads of 4 on one key-value head; 6 visible positions: 5 cached and its own.
    workload = step(small_config(), DramLayout(weight_bits=2), 1, past=5)
    scores = named(workload, "attention_scores")
    assert scores.macs == named(workload, "attention_values").macs == 2 * 4 * 6
    assert scores.traffic.kv_read == 6 * (4 + 4)   # int8 of one head, and its float32 scale
    assert named(workload, "softmax").elements == 2 * 6 * 2
    assert named(workload, "kv_write").traffic.kv_written == 2 * (4 + 4)


def test_matrices_of_a_prompt_by_hand():
    # K = 12 padded to 15, M = 8 padded to 16, at 2 bits: 60 bytes, whatever the number of tokens.
    layout = DramLayout(weight_bits=2, pad_m=16, pad_k=15, spill=True)
    down = named(step(small_config(), layout, 7), "down_proj")
    assert down.matrix == (8, 12)
    assert down.macs == 7 * 8 * 12
    assert down.traffic.weights == 60
    assert down.traffic.activations_read == 7 * 12       # int8
    assert down.traffic.activations_written == 7 * 8 * 4   # float32
    assert down.traffic.total == down.traffic.read + down.traffic.written == 60 + 84 + 224


def test_only_the_last_token_of_a_prompt_gets_logits():
    for tokens in (1, 9):
        head = named(step(small_config(), DramLayout(weight_bits=2), tokens), "lm_head")
        assert head.macs == 10 * 8
        assert head.traffic.weights == 10 * (8 + 4)


def test_activations_cross_dram_only_if_they_spill():
    kept = step(small_config(), DramLayout(weight_bits=2), 16)
    assert kept.bytes("activations_read") == kept.bytes("activations_written") == 0
    spilled = step(small_config(), DramLayout(weight_bits=2, spill=True), 16)
    assert spilled.bytes("weights") == kept.bytes("weights")
    assert named(spilled, "ffn_residual").traffic.activations_read == 2 * 16 * 8 * 4


def test_what_a_model_has_beyond_the_plain_decoder_is_counted():
    layout = DramLayout(weight_bits=2)
    plain = step(small_config(), layout, 1)
    norms = step(small_config(qk_norm=True, sub_norm=True), layout, 1)
    names = {operator.name for operator in norms.operators}
    assert names >= {"qk_norm", "attn_sub_norm", "ffn_sub_norm"}
    # Two layers, float32: 2 head norms of 4, one of 8 before o_proj, one of 12 before down_proj.
    assert norms.bytes("weights") - plain.bytes("weights") == 2 * 4 * (2 * 4 + 8 + 12)
    biased = step(small_config(qkv_bias=True, mlp_bias=True), layout, 1)
    assert biased.bytes("weights") - plain.bytes("weights") == 2 * 4 * (8 + 4 + 4 + 12 + 12 + 8)


def test_model_bytes_are_what_a_checkpoint_stores():
    # Per layer 2 x 8 x 8 + 2 x 4 x 8 + 3 x 8 x 12 = 480 weights at 2 bits and two norms of 8.
    layout = DramLayout(weight_bits=2)
    layers, final, embedding = 2 * (120 + 64), 32, 10 * 12
    assert model_bytes(small_config(), layout) == layers + final + embedding
    untied = small_config(tie_word_embeddings=False)
    assert model_bytes(untied, layout) == layers + final + 2 * embedding


def test_two_billion_parameters_take_the_published_bytes():
    # "0.4 GB non-embedding": 2.084 G weights at 1.6 bits.
    layout = dataclasses.replace(PLAIN, head_bits=0)
    assert round(model_bytes(TWO_BILLION.config, layout) / 1e9, 1) == 0.4


@given(st.integers(1, 40), st.integers(0, 40), st.none() | st.integers(1, 50))
def test_pairs_count_visible_keys(tokens, past, window):
    visible = [past + index + 1 for index in range(tokens)]
    assert pairs(tokens, past, window) == sum(min(seen, window or seen) for seen in visible)


@given(st.integers(1, 12), st.integers(0, 12), st.none() | st.integers(1, 20))
def test_a_prompt_does_the_arithmetic_of_its_tokens_one_by_one(tokens, past, window):
    config = small_config(sliding_windows=(window, None) if window else ())
    layout = DramLayout(weight_bits=2)
    whole = step(config, layout, tokens, past)
    single = [step(config, layout, 1, past + index) for index in range(tokens)]
    head = named(whole, "lm_head")
    repeated = tokens - 1   # a prompt has logits for its last token only
    assert whole.total("macs") + repeated * head.macs == sum(one.total("macs") for one in single)
    assert whole.bytes("kv_written") == sum(one.bytes("kv_written") for one in single)
    assert whole.bytes("kv_read") <= sum(one.bytes("kv_read") for one in single)


@given(st.integers(1, 12), st.integers(0, 40))
def test_layers_with_windows_of_different_lengths_add_up(tokens, past):
    config = small_config(num_layers=5, sliding_windows=(4, None, 4, 8, None))
    workload = step(config, DramLayout(weight_bits=2), tokens, past)
    scores = [op for op in workload.operators if op.name.startswith("attention_scores")]
    assert {op.name: op.count for op in scores} == {
        "attention_scores_4": 2, "attention_scores": 2, "attention_scores_8": 1,
    }
    for operator in scores:
        window = int(operator.name.rpartition("_")[2]) if operator.name[-1].isdigit() else None
        assert operator.macs == 2 * 4 * pairs(tokens, past, window)


def test_an_operator_without_a_matrix_says_so():
    rope = named(step(small_config(), DramLayout(weight_bits=2), 1), "rope")
    with pytest.raises(ValueError, match="rope is no matmul"):
        rope.matrix
