"""What the operators of an accelerator do: those of ``sim.formulas.workload``, as its descriptors
fuse them.

Rotation and the cache's quantizer are a part of the projections, the gate of its matmul, residuals
of the matmuls before them; attention is one operator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...fpga.accelerator_parameters import AcceleratorParameters
from ...fpga.compiler import Program
from ...fpga.planner import plan_program
from ...model import ModelConfig
from ..descriptions.dram_layout import DramLayout
from ..formulas.workload import DramTraffic, Operator, step
from .operator_rows import ATTENTION, LM_HEAD, OperatorRows

__all__ = ["accelerator_operators", "operations", "row_width"]

_PARTS = {
    ATTENTION: ("attention_scores", "softmax", "attention_values"),
    "o_proj": ("o_proj", "attn_residual"),
    "gate_up_proj": ("gate_proj", "up_proj", "activation"),
    "down_proj": ("down_proj", "ffn_residual"),
}


def operations(config: ModelConfig, tokens: int, position: int) -> int:
    """Float operations of a step: norms, quantizers, rotation, softmax, gate, residuals, scales."""
    return step(config, DramLayout(weight_bits=2), tokens, position).total("operations")


def row_width(config: ModelConfig, name: str) -> int:
    """Elements of a row that an elementwise operator takes."""
    if name.startswith("attn"):
        return config.num_heads * config.head_dim
    return config.intermediate_size if name.startswith("ffn") else config.hidden_size


def accelerator_operators(config: ModelConfig, parameters: AcceleratorParameters, tokens: int,
                          past: int, steps: int,
                          vocabulary_bits: tuple[int, int] = (8, 8)) -> list[Operator]:
    """The operators that send ``tokens`` tokens in ``steps`` steps through the model.

    ``traffic`` has the weights, as often as they are read, and what is written to the cache.
    """
    workload = step(config, DramLayout(weight_bits=2), tokens, past)
    parts = {operator.name: operator for operator in workload.operators}
    program = plan_program(config, parameters, 2, 1, vocabulary_bits)
    weights = _weight_bytes(program)
    found = []
    for name in OperatorRows.of(program).names:
        merged = [parts[part] for part in _PARTS.get(name, (name,)) if part in parts]
        operator = Operator(
            name, merged[0].unit, merged[0].count, merged[0].tokens,
            sum(one.macs for one in merged), sum(one.operations for one in merged),
            sum(one.elements for one in merged), merged[0].shape,
            DramTraffic(weights=steps * weights.get(name, 0)))
        if name == "gate_up_proj":
            M, K = merged[0].matrix
            operator = replace(operator, shape=(2 * M, K))
        found.append(_with_cache(operator, parts, config))
    return found


def _with_cache(operator: Operator, parts: Mapping[str, Operator], config: ModelConfig) -> Operator:
    """Rotation of queries and keys, and the cache's quantizer, with the projections."""
    heads = config.num_heads + config.num_kv_heads
    turned = {"q_proj": config.num_heads, "k_proj": config.num_kv_heads}.get(operator.name, 0)
    kept = operator.name in ("k_proj", "v_proj")
    rope, cache = parts["rope"], parts["kv_write"]
    return replace(
        operator,
        operations=operator.operations + rope.operations * turned // heads
        + kept * cache.operations // 2,
        elements=operator.elements + rope.elements * turned // heads + kept * cache.elements // 2,
        traffic=replace(operator.traffic, kv_written=kept * cache.traffic.kv_written // 2))


def _weight_bytes(program: Program) -> dict[str, int]:
    """Bytes of a layer's matrices, as they lie in memory, and of the head."""
    tiles, word, found = iter(program.tiles), program.parameters.word_bytes, {}
    for descriptor, origin in zip(program.descriptors, program.origins, strict=True):
        if descriptor.tiles:
            found[origin.operator] = word * sum(
                next(tiles).words for _ in range(descriptor.tiles))
    head = "vocabulary" if program.config.tie_word_embeddings else "head"
    return found | {LM_HEAD: word * program.memory.regions[head].words}
