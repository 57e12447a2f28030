"""Counts of operators, against hand calculations and published figures."""

import dataclasses

import pytest

from trilobite.model import ModelConfig
from trilobite.sim.shapes import load_shape
from trilobite.sim.workload import Layout, step

LARGE = load_shape("bitnet-0.73b").config
TWO_BILLION = load_shape("bitnet-2b").config
PLAIN = Layout(weight_bits=1.6, kv_scales=False, head_scales=False)   # as published bounds count


def tiny(**changes) -> ModelConfig:
    config = ModelConfig(
        family="llama", hidden_size=8, intermediate_size=12, num_layers=2, num_heads=2,
        num_kv_heads=1, head_dim=4, vocab_size=10, max_position_embeddings=64, rms_norm_eps=1e-5,
        rope_theta=10000.0,
    )
    return dataclasses.replace(config, **changes)


def named(workload, name):
    return next(operator for operator in workload.operators if operator.name == name)


def test_parameter_counts_are_the_published_ones():
    assert load_shape("bitnet-0.73b").parameters == 728_842_752
    assert load_shape("bitnet-2b").parameters == 2_412_820_480


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
