"""A decoder as an ONNX graph, with keys and values as inputs and outputs.

Names are those that onnxruntime-genai looks for: input_ids, attention_mask, past_key_values.i.key
and .value; logits, present.i.key and .value.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import GraphProto, TensorProto, ValueInfoProto, helper

from ...model import ModelConfig, Rope
from ...numerics import query_factors, rope_rows
from ..onnx.graph import GraphBuilder
from .onnx_matrices import OnnxMatrix
from .onnx_operators import RotaryTables, operators_for, soft_cap

__all__ = ["DecoderGraph"]

_FLOAT, _INT64 = TensorProto.FLOAT, TensorProto.INT64
_END = np.iinfo(np.int64).max


class DecoderGraph:
    """Builds the graph of ``config``, layer by layer.

    Parameters
    ----------
    config
        The model.
    graph
        Takes nodes and tensors.
    opset
        Which operators there are.
    matrix
        Gives a matrix by canonical name, its tensors written; asked once for each, in order.
    vector
        Gives a norm or bias as float32 by canonical name.
    positions
        For how many positions there are rotary tables.
    """

    def __init__(
        self, config: ModelConfig, graph: GraphBuilder, opset: int,
        matrix: Callable[[str], OnnxMatrix], vector: Callable[[str], np.ndarray], positions: int,
    ) -> None:
        self._config = config
        self._graph = graph
        self._matrix = matrix
        self._vector = vector
        self._operators = operators_for(graph, opset, config)
        self._places = np.arange(positions)
        self._tables: dict[Rope, RotaryTables] = {}
        for layer in range(config.num_layers):   # they stand first in the data
            self._rotary_tables(layer)
        self._queries = None
        if config.query_growth:
            self._queries = graph.array("query_factors", query_factors(config, self._places))

    def build(self) -> GraphProto:
        """The whole graph."""
        graph, config = self._graph, self._config
        positions, masks = self._positions_and_masks()
        embedding = self._matrix("model.embed_tokens.weight")
        x = embedding.look_up(graph, "input_ids", "/model/embed_tokens")
        x = self._scaled(x, config.embedding_scale, "/model/embed_tokens")
        for layer in range(config.num_layers):
            x = self._layer(x, layer, positions, masks[config.window(layer)])
        x = self._norm(x, "model.norm", "/model/norm")
        head = embedding if config.tie_word_embeddings else self._matrix("lm_head.weight")
        logits = self._scaled(head.multiply(graph, x, "/lm_head"), config.logit_scale, "/lm_head")
        if config.logit_cap is not None:
            logits = soft_cap(graph, logits, config.logit_cap, "/lm_head")
        graph.op("Identity", [logits], "/lm_head", ["logits"])
        return helper.make_graph(
            graph.nodes, config.family, self._inputs(), self._outputs(), graph.tensors
        )

    def _layer(self, x: str, layer: int, positions: str, mask: str) -> str:
        prefix, path = f"model.layers.{layer}.", f"/model/layers.{layer}"
        norms = self._config.layer_norms

        def norm(x: str, name: str | None) -> str:
            """The layer's norm of this name; without one, ``x``."""
            return x if name is None else self._norm(x, f"{prefix}{name}", f"{path}/{name}")

        def add(x: str, update: str, name: str | None, part: str) -> str:
            """``x`` and an update, normed and scaled as the model has it."""
            update = self._scaled(norm(update, name), self._config.residual_scale, f"{path}/{part}")
            return self._graph.op("Add", [x, update], f"{path}/{part}")

        attended = self._attention(norm(x, norms.attention_in), layer, positions, mask)
        if self._config.sub_norm:
            name = "self_attn.attn_sub_norm"
            attended = self._norm(attended, f"{prefix}{name}", f"{path}/attn/attn_sub_norm")
        update = self._linear(attended, layer, "self_attn.o_proj")
        x = add(x, update, norms.attention_out, "attn")
        gated = self._gate(norm(x, norms.feed_forward_in), layer)
        if self._config.sub_norm:
            gated = self._norm(gated, f"{prefix}mlp.ffn_sub_norm", f"{path}/mlp/ffn_sub_norm")
        update = self._linear(gated, layer, "mlp.down_proj")
        return add(x, update, norms.feed_forward_out, "mlp")

    def _attention(self, h: str, layer: int, positions: str, mask: str) -> str:
        path, config = f"/model/layers.{layer}/attn", self._config
        heads = {"q": config.num_heads, "k": config.num_kv_heads, "v": config.num_kv_heads}
        tables = self._rotary_tables(layer)
        parts = {}
        for part, count in heads.items():
            split = self._graph.constant([0, 0, count, config.head_dim])
            x = self._linear(h, layer, f"self_attn.{part}_proj")
            normed = config.qk_norm and part != "v"
            name = f"model.layers.{layer}.self_attn.{part}_norm"
            if normed and config.qk_norm_whole:
                x = self._norm(x, name, f"{path}/{part}_norm")
            x = self._graph.op("Reshape", [x, split], f"{path}/{part}")
            if normed and not config.qk_norm_whole:
                x = self._norm(x, name, f"{path}/{part}_norm")
            x = self._graph.op("Transpose", [x], f"{path}/{part}", perm=[0, 2, 1, 3])
            if part == "q" and self._queries is not None:
                x = self._grown(x, positions, path)
            if part != "v" and tables is not None:
                x = self._operators.rotary(x, tables, positions, f"{path}/{part}_rotary")
            parts[part] = x
        attended = self._operators.attention(
            parts["q"], parts["k"], parts["v"], mask,
            (f"past_key_values.{layer}.key", f"past_key_values.{layer}.value"),
            (f"present.{layer}.key", f"present.{layer}.value"), path,
        )
        attended = self._graph.op("Transpose", [attended], path, perm=[0, 2, 1, 3])
        joined = self._graph.constant([0, 0, config.num_heads * config.head_dim])
        return self._graph.op("Reshape", [attended, joined], path)

    def _rotary_tables(self, layer: int) -> RotaryTables | None:
        """Those of a layer, shared with all that are turned alike; None: it is not turned."""
        rope = self._config.rope(layer)
        if not rope.width:
            return None
        if rope not in self._tables:
            number = f"_{len(self._tables)}" if self._tables else ""
            rows = rope_rows(rope, self._places, len(self._places))
            cosine, sine = (self._graph.array(f"{name}_cache{number}", part)
                            for name, part in zip(("cos", "sin"), rows, strict=True))
            self._tables[rope] = RotaryTables(cosine, sine, rope.width)
        return self._tables[rope]

    def _grown(self, x: str, positions: str, path: str) -> str:
        """Queries [batch, heads, tokens, head_dim] times the factors of their positions."""
        op = self._graph.op
        assert self._queries is not None, "the caller has looked"
        factors = op("Gather", [self._queries, positions], path)
        factors = op("Unsqueeze", [factors, self._graph.constant([1, 3])], path)
        return op("Mul", [x, factors], f"{path}/q_factors")

    def _scaled(self, x: str, scale: float, path: str) -> str:
        if scale == 1:
            return x
        return self._graph.op("Mul", [x, self._graph.constant(scale, np.float32)], path)

    def _gate(self, h: str, layer: int) -> str:
        path, op = f"/model/layers.{layer}/mlp", self._graph.op
        gate = self._linear(h, layer, "mlp.gate_proj")
        up = self._linear(h, layer, "mlp.up_proj")
        if self._config.activation == "silu":
            gate = op("Mul", [gate, op("Sigmoid", [gate], path)], path)
        elif self._config.activation == "gelu_tanh":
            gate = op("Gelu", [gate], path, approximate="tanh")
        else:
            gate = op("Relu", [gate], path)
            gate = op("Mul", [gate, gate], path)
        return op("Mul", [gate, up], path)

    def _linear(self, x: str, layer: int, name: str) -> str:
        full = f"model.layers.{layer}.{name}"
        path = "/" + full.replace(".layers.", "/layers.").replace(".self_attn.", "/attn/")
        path = path.replace(".mlp.", "/mlp/")
        y = self._matrix(f"{full}.weight").multiply(self._graph, x, path)
        if not self._config.has_bias(name):
            return y
        bias = self._graph.array(f"{full}.bias", self._vector(f"{full}.bias"))
        return self._graph.op("Add", [y, bias], path)

    def _norm(self, x: str, name: str, path: str) -> str:
        gain = self._vector(f"{name}.weight") + np.float32(self._config.gain_offset)
        weight = self._graph.array(f"{name}.weight", gain)
        return self._operators.rms_norm(x, weight, self._config.rms_norm_eps, path)

    def _positions_and_masks(self) -> tuple[str, dict[int | None, str]]:
        """Positions int64 [batch, tokens], and per window what each token sees.

        A position counts the tokens before it that ``attention_mask`` shows, so a batch may be
        padded on its left. A token always sees itself: softmax over nothing would be NaN, also
        for padding.
        """
        path, op, constant = "/model/positions", self._graph.op, self._graph.constant
        counted = op("CumSum", ["attention_mask", constant(1)], path)
        counted = op("Max", [op("Sub", [counted, constant(1)], path), constant(0)], path)
        tokens = op("Shape", ["input_ids"], path, start=1, end=2)
        first = op("Neg", [tokens], path)
        ends = [first, constant([_END]), constant([1])]
        positions = op("Slice", [counted, *ends], path)
        return positions, self._masks(tokens)

    def _masks(self, tokens: str) -> dict[int | None, str]:
        path, op, constant = "/model/mask", self._graph.op, self._graph.constant
        total = op("Shape", ["attention_mask"], path, start=1, end=2)
        every = op("Range", [constant(0), op("Squeeze", [total], path), constant(1)], path)
        ends = [op("Neg", [tokens], path), constant([_END]), constant([0])]
        queries = op("Unsqueeze", [op("Slice", [every, *ends], path), constant([1])], path)
        distance = op("Sub", [queries, every], path)   # [tokens, all]
        itself = op("Equal", [distance, constant(0)], path)
        causal = op("GreaterOrEqual", [distance, constant(0)], path)
        shown = op("Greater", ["attention_mask", constant(0)], path)
        shown = op("Unsqueeze", [shown, constant([1, 2])], path)   # [batch, 1, 1, all]
        masks = {}
        for window in {self._config.window(layer) for layer in range(self._config.num_layers)}:
            seen = causal
            if window is not None:
                near = op("Less", [distance, constant(window)], path)
                seen = op("And", [causal, near], path)
            masks[window] = op("Or", [op("And", [seen, shown], path), itself], path)
        return masks

    def _inputs(self) -> list[ValueInfoProto]:
        given = [
            helper.make_tensor_value_info("input_ids", _INT64, ["batch_size", "sequence_length"]),
            helper.make_tensor_value_info(
                "attention_mask", _INT64, ["batch_size", "total_sequence_length"]
            ),
        ]
        return given + self._caches("past_key_values", "past_sequence_length")

    def _outputs(self) -> list[ValueInfoProto]:
        shape: list[str | int | None] = ["batch_size", "sequence_length", self._config.vocab_size]
        logits = helper.make_tensor_value_info("logits", _FLOAT, shape)
        return [logits, *self._caches("present", "total_sequence_length")]

    def _caches(self, name: str, length: str) -> list[ValueInfoProto]:
        shape: list[str | int | None] = [
            "batch_size", self._config.num_kv_heads, length, self._config.head_dim,
        ]
        return [
            helper.make_tensor_value_info(f"{name}.{layer}.{part}", _FLOAT, shape)
            for layer in range(self._config.num_layers)
            for part in ("key", "value")
        ]
