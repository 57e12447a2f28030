"""One decoder layer, in the steps between which its linears stand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ..errors import CheckpointError
from ..model import LINEAR_STAGES, ModelConfig
from ..numerics import flush_array
from ..quant.formats.base import PackedWeight
from .experts import ExpertFeedForward, Router, expert_gate
from .kernels.elementwise import add_and_norm, add_residual, add_scaled, gate_for, rms_norm
from .kv_cache.cache import Attention
from .linear import Linear, make_linear
from .rope import Rotations

__all__ = ["DecoderLayer", "Observer", "Weights", "gain", "vector"]

# Gives a tensor by its canonical name: float32, or packed in a number format.
Weights = Callable[[str], "np.ndarray | PackedWeight"]
# Receives intermediate tensors by name while a forward pass runs.
Observer = Callable[[str, np.ndarray], None]


class DecoderLayer:
    """Attention and feed-forward of one layer: ``forward``, or its steps one by one.

    Parameters
    ----------
    config, index
        The model, and which of its layers this is.
    weights
        Gives the layer's tensors by their full names. ``linears`` may be filled later, when
        calibration quantizes them one after the other.
    later
        Gives the matrices of experts when they are first used; as ``weights`` if None.
    """

    def __init__(
        self, config: ModelConfig, index: int, weights: Weights | None = None,
        later: Weights | None = None,
    ) -> None:
        self.config = config
        self.index = index
        self.prefix = f"model.layers.{index}."
        self.linears: dict[str, Linear] = {}
        self.norms: dict[str, np.ndarray] = {}
        self.key_bias: np.ndarray | None = None   # float32 [kv_heads, head_dim], as keys have it
        self.sinks: np.ndarray | None = None   # of attention, float32 [heads]
        self.experts: ExpertFeedForward | None = None   # instead of the linears of ``mlp``
        self._epsilon = np.float32(config.rms_norm_eps)
        self._gate = gate_for(config.activation)
        if config.experts:
            self._gate_of_experts = expert_gate(config.experts, self._gate)
        self._places = config.layer_norms
        self._residual_scale = np.float32(config.residual_scale)
        if weights is not None:
            self.load_norms(weights)
            for name in config.linears(index):
                if not name.startswith("mlp.experts."):
                    self.load_linear(name, weights)
            if config.experts and config.has_experts(index):
                self.experts = ExpertFeedForward(
                    config.experts, self.load_router(weights), self._gate_of_experts,
                    partial(self._linear, later or weights, stored=True),
                )

    @property
    def nbytes(self) -> int:
        """Memory that the layer's weights take; of experts, those that are loaded."""
        linears = sum(linear.nbytes for linear in self.linears.values())
        norms = sum(norm.nbytes for norm in self.norms.values())
        return linears + norms + (self.experts.nbytes if self.experts else 0)

    def load_norms(self, weights: Weights) -> None:
        """Take the layer's norms, and attention sinks."""
        if self.config.sinks:
            self.sinks = vector(weights, f"{self.prefix}self_attn.sinks")
        for name, shape in self.config.tensor_shapes().items():
            if name.startswith(self.prefix) and len(shape) == 1 and name.endswith(".weight"):
                short = name.removeprefix(self.prefix).removesuffix(".weight")
                self.norms[short] = gain(weights, name, self.config)

    def load_linear(self, name: str, weights: Weights) -> None:
        """Take one of ``ModelConfig.linears``, with its bias."""
        self.linears[name] = self._linear(weights, name)

    def _linear(self, weights: Weights, name: str, stored: bool = False) -> Linear:
        weight = weights(f"{self.prefix}{name}.weight")
        bias = None
        if self.config.has_bias(name):
            bias = vector(weights, f"{self.prefix}{name}.bias")
        if name == "self_attn.k_proj" and bias is not None and self.config.plain_keys:
            self.key_bias = bias.reshape(self.config.num_kv_heads, self.config.head_dim)
        return make_linear(weight, bias, stored)

    def load_router(self, weights: Weights) -> Router:
        """Take the router of a layer that has experts."""
        assert self.config.experts is not None, "the layer has experts"
        weight = vector(weights, f"{self.prefix}mlp.gate.weight")
        bias = None
        if self.config.experts.biases:
            bias = vector(weights, f"{self.prefix}mlp.gate.bias")
        return Router(self.config.experts, weight, bias)

    def attention_input(self, x: np.ndarray) -> np.ndarray:
        """What the query, key and value projections read; ``x`` float32 [N, hidden_size]."""
        return self._norm(x, self._places.attention_in)

    def attend(
        self, h: np.ndarray, cache: Attention, slot: int, start: int, rope: Rotations
    ) -> np.ndarray:
        """What the output projection reads, float32 [N, num_heads * head_dim].

        ``h`` are the attention's inputs at positions ``start`` and after, ``rope`` their tables;
        layer ``slot`` of ``cache`` holds the earlier positions and receives these.
        """
        config, linears = self.config, self.linears
        q, k = linears["self_attn.q_proj"](h), linears["self_attn.k_proj"](h)
        v = linears["self_attn.v_proj"](h)
        if config.qk_norm:
            q = self._norm_heads(q, self.norms["self_attn.q_norm"])
            k = self._norm_heads(k, self.norms["self_attn.k_norm"])
        q = q.reshape(len(h), config.num_heads, config.head_dim)
        k = k.reshape(len(h), config.num_kv_heads, config.head_dim)
        v = v.reshape(len(h), config.num_kv_heads, config.head_dim)
        if rope.queries is not None:
            q = flush_array(q * rope.queries)
        attended = cache.append_and_attend(
            slot, start, q, k, v, rope.cosine, rope.sine, config.window(self.index), self.sinks,
        ).reshape(len(h), -1)
        if config.sub_norm:
            attended = self._norm(attended, "self_attn.attn_sub_norm")
        return attended

    def add_attention(self, x: np.ndarray, attended: np.ndarray) -> None:
        """Add the output projection of ``attended`` to the residual stream ``x`` in place."""
        self._add(x, self.linears["self_attn.o_proj"](attended), self._places.attention_out)

    def feed_forward_input(self, x: np.ndarray) -> np.ndarray:
        """What the gate and up projections, or the experts, read."""
        return self._norm(x, self._places.feed_forward_in)

    def gate_of(self, expert: int, h: np.ndarray) -> np.ndarray:
        """What the down projection of ``expert``, whose linears are set, reads; as ``gate``."""
        assert self.config.experts is not None, "the layer has experts"
        inputs, _ = self.config.experts.stages(expert)
        return self._gate_of_experts(*(self.linears[name](h) for name in inputs))

    def gate(self, h: np.ndarray) -> np.ndarray:
        """What the down projection reads, float32 [N, intermediate_size]."""
        gated = self._gate(self.linears["mlp.gate_proj"](h), self.linears["mlp.up_proj"](h))
        if self.config.sub_norm:
            gated = self._norm(gated, "mlp.ffn_sub_norm")
        return gated

    def add_feed_forward(self, x: np.ndarray, gated: np.ndarray) -> None:
        """Add the down projection of ``gated`` to the residual stream ``x`` in place."""
        self.add_update(x, self.linears["mlp.down_proj"](gated))

    def add_update(self, x: np.ndarray, update: np.ndarray) -> None:
        """Add what the feed-forward gives to the residual stream ``x`` in place."""
        self._add(x, update, self._places.feed_forward_out)

    def forward(
        self, x: np.ndarray, cache: Attention, start: int, rope: Rotations,
        observe: Observer | None = None, slot: int | None = None,
    ) -> None:
        """Pass the residual stream ``x`` float32 [N, hidden_size] through the layer, in place.

        ``slot`` is the layer's place in ``cache``, its index if None.
        """
        h = self.attention_input(x)
        self._report(observe, 0, h)
        attended = self.attend(h, cache, self.index if slot is None else slot, start, rope)
        self._report(observe, 1, attended)
        h = self._between(x, attended)
        if self.experts:
            if observe:
                observe(f"{self.prefix}mlp.experts.input", h.copy())
            self.add_update(x, self.experts(h))
        else:
            self._report(observe, 2, h)
            gated = self.gate(h)
            self._report(observe, 3, gated)
            self.add_feed_forward(x, gated)
        if observe:
            observe(f"{self.prefix}output", x.copy())

    def _between(self, x: np.ndarray, attended: np.ndarray) -> np.ndarray:
        """``add_attention`` and ``feed_forward_input``, in one call where nothing lies between."""
        norm = self._places.feed_forward_in
        if norm is None or self._places.attention_out or self._residual_scale != 1:
            self.add_attention(x, attended)
            return self.feed_forward_input(x)
        update = self.linears["self_attn.o_proj"](attended)
        return add_and_norm(x, update, self.norms[norm], self._epsilon)

    def _norm(self, x: np.ndarray, name: str | None) -> np.ndarray:
        """The norm ``name`` of ``x``; without one, ``x`` itself."""
        return x if name is None else rms_norm(x, self.norms[name], self._epsilon)

    def _add(self, x: np.ndarray, update: np.ndarray, norm: str | None) -> None:
        """Add ``update``, normed and scaled as the model has it, to ``x`` in place."""
        update = self._norm(update, norm)
        if self._residual_scale == 1:
            add_residual(x, update)
        else:
            add_scaled(x, update, self._residual_scale)

    def _report(self, observe: Observer | None, stage: int, value: np.ndarray) -> None:
        if observe is None:
            return
        for name in LINEAR_STAGES[stage]:
            observe(f"{self.prefix}{name}.input", value.copy())

    def _norm_heads(self, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Norm q or k in pieces as wide as ``weight``: a head, or all."""
        return rms_norm(x.reshape(-1, len(weight)), weight, self._epsilon)


def vector(weights: Weights, name: str) -> np.ndarray:
    """A norm, bias or router, flushed; raises ``CheckpointError`` if it comes packed."""
    value = weights(name)
    if isinstance(value, PackedWeight):
        raise CheckpointError(
            f"Tensor {name!r} is quantized; norms, biases and routers must be float")
    return flush_array(value)


def gain(weights: Weights, name: str, config: ModelConfig) -> np.ndarray:
    """What a norm multiplies by: its weight, plus the model's ``gain_offset``; as ``vector``."""
    value = vector(weights, name)
    if config.gain_offset == 0:
        return value
    return flush_array(value + np.float32(config.gain_offset))
