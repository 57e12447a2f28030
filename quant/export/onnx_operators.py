"""The decoder's operators in ONNX: as one node where the opset has it, in small steps otherwise."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from ...model import ModelConfig
from ..onnx.graph import GraphBuilder

__all__ = ["FusedOperators", "Operators", "PlainOperators", "RotaryTables", "operators_for",
           "soft_cap"]

_FUSED_SINCE = 23   # RMSNormalization, RotaryEmbedding and Attention


class RotaryTables(NamedTuple):
    """Names of float32 [positions, width / 2], and how many channels of a head they turn."""

    cosine: str
    sine: str
    width: int


class Operators(Protocol):
    """What a decoder layer needs. ``path`` names the nodes."""

    def rms_norm(self, x: str, weight: str, epsilon: float, path: str) -> str:
        """``x * rsqrt(mean(x^2) + epsilon) * weight`` over the last axis."""

    def rotary(self, x: str, tables: RotaryTables, positions: str, path: str) -> str:
        """Rotate halves of the first channels of [batch, heads, tokens, head_dim]."""

    def attention(
        self, q: str, k: str, v: str, mask: str, past: tuple[str, str], present: tuple[str, str],
        path: str,
    ) -> str:
        """Grouped-query attention of [batch, heads, tokens, head_dim] over past and new tokens.

        ``mask`` bool [batch, 1, tokens, all tokens] says what is seen. The outputs ``present``
        get the past keys and values with the new ones behind them.
        """


class FusedOperators:
    """Opset 23 and later: RMSNormalization, RotaryEmbedding, Attention."""

    def __init__(self, graph: GraphBuilder, config: ModelConfig) -> None:
        self._graph = graph
        self._scale, self._head_dim = config.score_scale, config.head_dim

    def rms_norm(self, x: str, weight: str, epsilon: float, path: str) -> str:
        """Add the norm of ``x``; the name of its result."""
        return self._graph.op("RMSNormalization", [x, weight], path, axis=-1, epsilon=epsilon)

    def rotary(self, x: str, tables: RotaryTables, positions: str, path: str) -> str:
        """Add the rotation of ``x``; the name of its result."""
        part: dict[str, Any] = {}
        if tables.width != self._head_dim:
            part = {"rotary_embedding_dim": tables.width}
        inputs = [x, tables.cosine, tables.sine, positions]
        return self._graph.op("RotaryEmbedding", inputs, path, **part)

    def attention(
        self, q: str, k: str, v: str, mask: str, past: tuple[str, str], present: tuple[str, str],
        path: str,
    ) -> str:
        """Add attention over past and present; the name of its result."""
        outputs = [f"{path}/Attention/output_0", *present]
        scale: dict[str, Any] = {} if self._scale is None else {"scale": self._scale}
        return self._graph.op("Attention", [q, k, v, mask, *past], path, outputs, **scale)


class PlainOperators:
    """Opsets 21 and 22: the same from elementary operators.

    Parameters
    ----------
    graph
        Takes the nodes.
    config
        The model.
    """

    def __init__(self, graph: GraphBuilder, config: ModelConfig) -> None:
        self._graph = graph
        self._heads, self._kv_heads = config.num_heads, config.num_kv_heads
        self._head_dim = config.head_dim
        scale = config.score_scale
        self._scale = config.head_dim**-0.5 if scale is None else scale
        self._cap = config.score_cap

    def rms_norm(self, x: str, weight: str, epsilon: float, path: str) -> str:
        """Add the norm of ``x``; the name of its result."""
        op, constant = self._graph.op, self._graph.constant
        square = op("Mul", [x, x], path)
        mean = op("ReduceMean", [square, constant([-1])], path, keepdims=1)
        shifted = op("Add", [mean, constant(epsilon, np.float32)], path)
        normed = op("Div", [x, op("Sqrt", [shifted], path)], path)
        return op("Mul", [normed, weight], path)

    def rotary(self, x: str, tables: RotaryTables, positions: str, path: str) -> str:
        """Add the rotation of ``x``; the name of its result."""
        op, constant = self._graph.op, self._graph.constant
        cosine, sine = (
            op("Unsqueeze", [op("Gather", [table, positions], path, axis=0), constant([1])], path)
            for table in (tables.cosine, tables.sine)
        )
        half = tables.width // 2
        low, high = self._slice(x, 0, half, path), self._slice(x, half, 2 * half, path)
        first = op("Sub", [op("Mul", [low, cosine], path), op("Mul", [high, sine], path)], path)
        second = op("Add", [op("Mul", [high, cosine], path), op("Mul", [low, sine], path)], path)
        rest = [] if 2 * half == self._head_dim else [
            self._slice(x, 2 * half, self._head_dim, path)]
        return op("Concat", [first, second, *rest], path, axis=-1)

    def attention(
        self, q: str, k: str, v: str, mask: str, past: tuple[str, str], present: tuple[str, str],
        path: str,
    ) -> str:
        """Add attention over past and present; the name of its result."""
        op, constant = self._graph.op, self._graph.constant
        groups = self._heads // self._kv_heads
        keys = op("Concat", [past[0], k], path, [present[0]], axis=2)
        values = op("Concat", [past[1], v], path, [present[1]], axis=2)
        split = constant([0, self._kv_heads, groups, -1, self._head_dim])
        scaled = op("Mul", [q, constant(self._scale, np.float32)], path)
        queries = op("Reshape", [scaled, split], path)
        keys, values = (op("Unsqueeze", [each, constant([2])], path) for each in (keys, values))
        transposed = op("Transpose", [keys], path, perm=[0, 1, 2, 4, 3])
        scores = op("MatMul", [queries, transposed], path)
        if self._cap is not None:
            scores = soft_cap(self._graph, scores, self._cap, path)
        seen = op("Unsqueeze", [mask, constant([1])], path)
        lowest = constant(np.finfo(np.float32).min, np.float32)
        weights = op("Softmax", [op("Where", [seen, scores, lowest], path)], path, axis=-1)
        attended = op("MatMul", [weights, values], path)
        joined = constant([0, self._heads, -1, self._head_dim])
        return op("Reshape", [attended, joined], path)

    def _slice(self, x: str, begin: int, end: int, path: str) -> str:
        constant = self._graph.constant
        return self._graph.op(
            "Slice", [x, constant([begin]), constant([end]), constant([-1])], path
        )


def soft_cap(graph: GraphBuilder, x: str, cap: float, path: str) -> str:
    """Add ``cap * tanh(x / cap)``; the name of its result."""
    bound = graph.constant(cap, np.float32)
    return graph.op("Mul", [graph.op("Tanh", [graph.op("Div", [x, bound], path)], path), bound],
                    path)


def operators_for(graph: GraphBuilder, opset: int, config: ModelConfig) -> Operators:
    """The operators of an opset; ONNX's Attention caps scores after the mask, which is another."""
    if opset >= _FUSED_SINCE and config.score_cap is None:
        return FusedOperators(graph, config)
    return PlainOperators(graph, config)
