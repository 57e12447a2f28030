"""What a model asks of a processor: the operators of a step, and what each moves over the pins."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ...errors import EstimateError
from ...model import LINEAR_NAMES, ModelConfig
from ..descriptions.shapes import ExpertLayers, ModelShape
from ..formulas.workload import DramTraffic, Operator, pairs
from .stored_format import StoredFormat

__all__ = ["KV_BITS", "kv_bytes", "step_operators"]

KV_BITS = {"f16": 16, "q8_0": 8.5, "int8": 8}   # of a key or a value in the cache

# Rotary embedding of q and of k, write to the cache; activation; two residuals. Norms besides.
_ELEMENTWISE_LAUNCHES = 6


def kv_bytes(config: ModelConfig, kv: str) -> int:
    """Bytes of one position's keys and values, all layers.

    Raises
    ------
    EstimateError
        There is no such type of cache.
    """
    if kv not in KV_BITS:
        raise EstimateError(f"There is no type {kv!r} of a cache; known are {', '.join(KV_BITS)}")
    return round(2 * config.num_layers * config.num_kv_heads * config.head_dim * KV_BITS[kv] / 8)


def step_operators(
    model: ModelShape, stored: StoredFormat, kv: str, tokens: int, past: int, chunk: int = 0,
    batch: int = 1,
) -> Iterator[Operator]:
    """The operators of a step of ``tokens`` tokens after ``past`` ones, in order.

    ``batch`` sequences go through the model together, each with so many tokens. Weights cross the
    pins once in a step, keys and values once in an attention; where a step goes through the layers
    in parts of ``chunk`` tokens (0: whole), once in each part. The head is multiplied for one token
    of each sequence. Of experts those are read that are expected to be chosen by any token.
    """
    config = model.config
    parts = math.ceil(tokens / chunk) if chunk else 1
    layers, width = config.num_layers, config.num_heads * config.head_dim
    yield Operator("embedding", "launch", 1, tokens,
                   traffic=DramTraffic(weights=batch * tokens * stored.row_bytes(config)))
    for name in LINEAR_NAMES:
        if model.experts is not None and name.startswith("mlp."):
            yield from _experts(config, model.experts, stored, name, tokens, batch, parts)
            continue
        M, K = config.linear_shape(name)
        yield Operator(name.partition(".")[2], "matrix", layers * parts, tokens,
                       macs=round(M * K * batch * tokens / parts), shape=(M, K),
                       traffic=DramTraffic(stored.matrix_bytes(config, name)))
    position = batch * kv_bytes(config, kv) / layers
    visible = [pairs(tokens, past, config.window(layer)) for layer in range(layers)]
    part = math.ceil(tokens / parts)
    ends = [past + min(tokens, (index + 1) * part) for index in range(parts)]
    reach = [min(end, (config.window(layer) or end) + part - 1)
             for layer in range(layers) for end in ends]
    runs = layers * parts
    yield Operator("attention", "attention", runs, tokens,
                   macs=round(2 * width * batch * sum(visible) / runs),
                   traffic=DramTraffic(kv_read=round(position * sum(reach) / runs),
                                       kv_written=round(position * tokens / parts)))
    launches = (_ELEMENTWISE_LAUNCHES + len(config.layer_norms.names) + 2 * config.qk_norm
                + 2 * config.sub_norm)
    yield Operator("elementwise", "launch", runs * launches, tokens)
    yield Operator("head", "matrix", 1, batch,
                   macs=batch * config.vocab_size * config.hidden_size,
                   shape=(config.vocab_size, config.hidden_size),
                   traffic=DramTraffic(stored.head_bytes(config)))


def _experts(
    config: ModelConfig, experts: ExpertLayers, stored: StoredFormat, name: str, tokens: int,
    batch: int, parts: int,
) -> Iterator[Operator]:
    """One of the experts' matrices, all experts together; before the first, the router."""
    runs, together = config.num_layers * parts, batch * tokens / parts
    if name == "mlp.gate_proj":
        M, K = experts.count, config.hidden_size
        yield Operator("router", "matrix", runs, tokens, macs=round(M * K * together), shape=(M, K),
                       traffic=DramTraffic(4 * M * K))
    M, K = experts.shape(config, name)
    weights = experts.used(together) * stored.matrix_bytes(config, name, (M, K))
    yield Operator(f"experts {name.partition('.')[2]}", "matrix", runs, tokens,
                   macs=round(M * K * together * experts.chosen), shape=(M, K),
                   traffic=DramTraffic(round(weights)))
