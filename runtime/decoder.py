"""The decoder: embedding, layers, final norm, head. One definition for prefill and decode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import CheckpointError
from ..model import LINEAR_NAMES, ModelConfig
from ..numerics import flush_array, rope_tables
from ..quant.formats.base import PackedWeight
from .elementwise import add_residual, apply_rope, relu2_gate, rms_norm, silu_gate
from .kv_cache import KVCache
from .linear import Linear, make_linear

__all__ = ["Decoder", "Observer", "Weights"]

# Gives a tensor by its canonical name: float32, or packed in a number format.
Weights = Callable[[str], "np.ndarray | PackedWeight"]
# Receives intermediate tensors by name while a forward pass runs.
Observer = Callable[[str, np.ndarray], None]

_GATES = {"silu": silu_gate, "relu2": relu2_gate}
# The rotary tables grow by this many positions: a long-context model's whole table would take
# more memory than a short session needs.
_ROPE_STEP = 1024


@dataclass(frozen=True)
class _Layer:
    linears: dict[str, Linear]
    norms: dict[str, np.ndarray]


class Embedding:
    """Rows of the embedding matrix, kept as they are stored and dequantized one by one."""

    def __init__(self, weight: np.ndarray | PackedWeight) -> None:
        self._weight = weight

    @property
    def nbytes(self) -> int:
        """Memory taken."""
        return self._weight.nbytes

    def __call__(self, token_ids: np.ndarray) -> np.ndarray:
        """Float32 rows [N, hidden_size] of int ``token_ids`` [N], flushed."""
        return flush_array(self._rows(token_ids))

    def _rows(self, token_ids: np.ndarray) -> np.ndarray:
        if isinstance(self._weight, np.ndarray):
            return self._weight[token_ids]
        rows = {
            suffix: tensor[token_ids] if len(tensor) == self._weight.shape[0] else tensor
            for suffix, tensor in self._weight.tensors.items()
        }
        shape = (len(token_ids), self._weight.shape[1])
        return PackedWeight(self._weight.format, shape, rows).dequantize()


class Decoder:
    """A decoder-only transformer over whatever number formats its weights come in.

    Parameters
    ----------
    config
        What the model is.
    weights
        Gives each tensor of ``config.tensor_shapes()``; asked once per name, in order.
    progress
        Called with each name as it is loaded.
    """

    def __init__(
        self, config: ModelConfig, weights: Weights, progress: Callable[[str], None] | None = None
    ) -> None:
        self.config = config
        self._progress = progress or (lambda name: None)
        embedding = self._take(weights, "model.embed_tokens.weight")
        self.embedding = Embedding(embedding)
        self._layers = [self._layer(weights, index) for index in range(config.num_layers)]
        self._norm = self._vector(weights, "model.norm.weight")
        head = embedding if config.tie_word_embeddings else self._take(weights, "lm_head.weight")
        self.head = make_linear(head, None)
        self._epsilon = np.float32(config.rms_norm_eps)
        self._cosine, self._sine = rope_tables(config, np.arange(_ROPE_STEP))

    def _take(self, weights: Weights, name: str) -> np.ndarray | PackedWeight:
        self._progress(name)
        return weights(name)

    def _vector(self, weights: Weights, name: str) -> np.ndarray:
        value = self._take(weights, name)
        if isinstance(value, PackedWeight):
            raise CheckpointError(f"Tensor {name!r} is quantized; norms and biases must be float")
        return flush_array(value)

    def _layer(self, weights: Weights, index: int) -> _Layer:
        prefix = f"model.layers.{index}."
        norms = {
            name.removeprefix(prefix).removesuffix(".weight"): self._vector(weights, name)
            for name, shape in self.config.tensor_shapes().items()
            if name.startswith(prefix) and len(shape) == 1 and name.endswith(".weight")
        }
        linears = {}
        for name in LINEAR_NAMES:
            weight = self._take(weights, f"{prefix}{name}.weight")
            bias = None
            if self.config.has_bias(name):
                bias = self._vector(weights, f"{prefix}{name}.bias")
            linears[name] = make_linear(weight, bias)
        return _Layer(linears, norms)

    def linear(self, layer: int, name: str) -> Linear:
        """One of ``LINEAR_NAMES`` of ``layer``."""
        return self._layers[layer].linears[name]

    @property
    def nbytes(self) -> int:
        """Memory that the weights take; a tied head shares the embedding's."""
        linears = sum(
            linear.nbytes for layer in self._layers for linear in layer.linears.values()
        )
        norms = sum(norm.nbytes for layer in self._layers for norm in layer.norms.values())
        return self.embedding.nbytes + linears + norms + self._norm.nbytes + self.head.nbytes

    def hidden(
        self, token_ids: np.ndarray, cache: KVCache, start: int, observe: Observer | None = None
    ) -> np.ndarray:
        """Final hidden states, normed, float32 [N, hidden_size].

        ``token_ids`` int [N] stand at positions ``start`` to ``start + N - 1``; ``cache`` holds all
        earlier positions and receives these. ``observe`` gets the float32 input of every linear as
        ``model.layers.<i>.<linear>.input`` and the residual stream after every layer as
        ``model.layers.<i>.output``.
        """
        self._extend_rope(start + len(token_ids))
        x = self.embedding(token_ids)
        for index in range(self.config.num_layers):
            self._attention(x, index, cache, start, observe)
            self._feed_forward(x, index, observe)
            if observe:
                observe(f"model.layers.{index}.output", x.copy())
        return rms_norm(x, self._norm, self._epsilon)

    def _extend_rope(self, positions: int) -> None:
        if positions > len(self._cosine):
            rounded = -(-positions // _ROPE_STEP) * _ROPE_STEP
            self._cosine, self._sine = rope_tables(self.config, np.arange(rounded))

    def logits(self, hidden: np.ndarray) -> np.ndarray:
        """Float32 [N, vocab_size] from ``hidden``."""
        return self.head(hidden)

    def _apply(
        self, layer: int, name: str, x: np.ndarray, observe: Observer | None
    ) -> np.ndarray:
        if observe:
            observe(f"model.layers.{layer}.{name}.input", x.copy())
        return self._layers[layer].linears[name](x)

    def _attention(
        self, x: np.ndarray, index: int, cache: KVCache, start: int, observe: Observer | None
    ) -> None:
        config, norms = self.config, self._layers[index].norms
        count = len(x)
        h = rms_norm(x, norms["input_layernorm"], self._epsilon)
        q = self._apply(index, "self_attn.q_proj", h, observe)
        k = self._apply(index, "self_attn.k_proj", h, observe)
        v = self._apply(index, "self_attn.v_proj", h, observe)
        if config.qk_norm:
            q = self._norm_heads(q, norms["self_attn.q_norm"])
            k = self._norm_heads(k, norms["self_attn.k_norm"])
        q = q.reshape(count, config.num_heads, config.head_dim)
        k = k.reshape(count, config.num_kv_heads, config.head_dim)
        v = v.reshape(count, config.num_kv_heads, config.head_dim)
        apply_rope(q, self._cosine[start:start + count], self._sine[start:start + count])
        apply_rope(k, self._cosine[start:start + count], self._sine[start:start + count])
        cache.store(index, start, k, v)
        attended = cache.attend(index, start, q, config.window(index)).reshape(count, -1)
        if config.sub_norm:
            attended = rms_norm(attended, norms["self_attn.attn_sub_norm"], self._epsilon)
        add_residual(x, self._apply(index, "self_attn.o_proj", attended, observe))

    def _norm_heads(self, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return rms_norm(x.reshape(-1, self.config.head_dim), weight, self._epsilon)

    def _feed_forward(self, x: np.ndarray, index: int, observe: Observer | None) -> None:
        config, norms = self.config, self._layers[index].norms
        h = rms_norm(x, norms["post_attention_layernorm"], self._epsilon)
        gate = self._apply(index, "mlp.gate_proj", h, observe)
        up = self._apply(index, "mlp.up_proj", h, observe)
        gated = _GATES[config.activation](gate, up)
        if config.sub_norm:
            gated = rms_norm(gated, norms["mlp.ffn_sub_norm"], self._epsilon)
        add_residual(x, self._apply(index, "mlp.down_proj", gated, observe))
