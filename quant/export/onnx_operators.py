"""The decoder's operators in ONNX: as one node where the opset has it, in small steps otherwise."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..onnx.graph import GraphBuilder

__all__ = ["FusedOperators", "Operators", "PlainOperators", "operators_for"]

_FUSED_SINCE = 23   # RMSNormalization, RotaryEmbedding and Attention


class Operators(Protocol):
    """What a decoder layer needs. ``path`` names the nodes."""

    def rms_norm(self, x: str, weight: str, epsilon: float, path: str) -> str:
        """``x * rsqrt(mean(x^2) + epsilon) * weight`` over the last axis."""

    def rotary(self, x: str, tables: tuple[str, str], positions: str, path: str) -> str:
        """Rotate halves of [batch, heads, tokens, head_dim]; tables [positions, head_dim / 2]."""

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

    def __init__(self, graph: GraphBuilder) -> None:
        self._graph = graph

    def rms_norm(self, x: str, weight: str, epsilon: float, path: str) -> str:
        """Add the norm of ``x``; the name of its result."""
        return self._graph.op("RMSNormalization", [x, weight], path, axis=-1, epsilon=epsilon)

    def rotary(self, x: str, tables: tuple[str, str], positions: str, path: str) -> str:
        """Add the rotation of ``x``; the name of its result."""
        return self._graph.op("RotaryEmbedding", [x, *tables, positions], path)

    def attention(
        self, q: str, k: str, v: str, mask: str, past: tuple[str, str], present: tuple[str, str],
        path: str,
    ) -> str:
        """Add attention over past and present; the name of its result."""
        outputs = [f"{path}/Attention/output_0", *present]
        return self._graph.op("Attention", [q, k, v, mask, *past], path, outputs)


class PlainOperators:
    """Opsets 21 and 22: the same from elementary operators.

    Parameters
    ----------
    graph
        Takes the nodes.
    heads, kv_heads, head_dim
        Of the attention.
    """

    def __init__(self, graph: GraphBuilder, heads: int, kv_heads: int, head_dim: int) -> None:
        self._graph = graph
        self._heads, self._kv_heads, self._head_dim = heads, kv_heads, head_dim

    def rms_norm(self, x: str, weight: str, epsilon: float, path: str) -> str:
        """Add the norm of ``x``; the name of its result."""
        op, constant = self._graph.op, self._graph.constant
        square = op("Mul", [x, x], path)
        mean = op("ReduceMean", [square, constant([-1])], path, keepdims=1)
        shifted = op("Add", [mean, constant(epsilon, np.float32)], path)
        normed = op("Div", [x, op("Sqrt", [shifted], path)], path)
        return op("Mul", [normed, weight], path)

    def rotary(self, x: str, tables: tuple[str, str], positions: str, path: str) -> str:
        """Add the rotation of ``x``; the name of its result."""
        op, constant = self._graph.op, self._graph.constant
        cosine, sine = (
            op("Unsqueeze", [op("Gather", [table, positions], path, axis=0), constant([1])], path)
            for table in tables
        )
        low = self._slice(x, 0, self._head_dim // 2, path)
        high = self._slice(x, self._head_dim // 2, self._head_dim, path)
        first = op("Sub", [op("Mul", [low, cosine], path), op("Mul", [high, sine], path)], path)
        second = op("Add", [op("Mul", [high, cosine], path), op("Mul", [low, sine], path)], path)
        return op("Concat", [first, second], path, axis=-1)

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
        scaled = op("Mul", [q, constant(self._head_dim**-0.5, np.float32)], path)
        queries = op("Reshape", [scaled, split], path)
        keys, values = (op("Unsqueeze", [each, constant([2])], path) for each in (keys, values))
        transposed = op("Transpose", [keys], path, perm=[0, 1, 2, 4, 3])
        scores = op("MatMul", [queries, transposed], path)
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


def operators_for(
    graph: GraphBuilder, opset: int, heads: int, kv_heads: int, head_dim: int
) -> Operators:
    """The operators of an opset."""
    if opset >= _FUSED_SINCE:
        return FusedOperators(graph)
    return PlainOperators(graph, heads, kv_heads, head_dim)
