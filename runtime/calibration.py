"""A model run layer by layer on calibration text, while ``quant`` quantizes it layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..model import ModelConfig
from ..numerics import flush_array
from ..quant.formats.base import PackedWeight
from .decoder import Embedding
from .expert_calibration import ExpertRun
from .kv_cache.cache import make_cache
from .kv_cache.unbiased import UnbiasedKeys
from .layer import DecoderLayer, Weights
from .rope import RopeTables

__all__ = ["CalibrationRun"]

_ATTENTION_STAGES = 2


class CalibrationRun:
    """The residual stream of every sequence, as far as the layers have been passed.

    Every linear that runs is quantized: it multiplies in exact integers, and keys and values are
    kept in int8, as the finished model does it. So what a linear reads here is, bit for bit, what
    it will read. Memory: ``tokens * (hidden_size + num_heads * head_dim) * 4`` bytes, one layer's
    packed weights, and one sequence's intermediate tensors. Of a layer's experts one is there at a
    time; what they add up to takes ``tokens * hidden_size * 4`` bytes.

    Attributes
    ----------
    tokens_per_expert
        Of each layer with experts that has ended, how many tokens went to each.
    """

    def __init__(self, config: ModelConfig, weights: Weights, sequences: np.ndarray) -> None:
        length = sequences.shape[1]
        self._config = config
        self._weights = weights
        embedding = Embedding(weights("model.embed_tokens.weight"), config.embedding_scale)
        self._streams = [embedding(sequence) for sequence in sequences]
        self._rotations = RopeTables(config).rotations(0, length)
        one_layer = replace(config, num_layers=1, sliding_windows=())
        self._cache = make_cache("int8", one_layer, length)
        self._attended: list[np.ndarray] = []
        self._layer: DecoderLayer
        self._experts: ExpertRun | None = None
        self.tokens_per_expert: dict[int, list[int]] = {}

    def begin(self, layer: int) -> None:
        """Go on with ``layer``; its linears are not there yet."""
        self._layer = DecoderLayer(self._config, layer)
        self._layer.load_norms(self._weights)
        self._experts = None
        if self._config.has_experts(layer):
            self._experts = ExpertRun(self._layer, self._weights)

    def set(self, name: str, weight: PackedWeight | np.ndarray) -> None:
        """Use ``weight`` from now on for the linear ``name``."""
        full_name = f"{self._layer.prefix}{name}.weight"
        self._layer.load_linear(
            name, lambda asked: weight if asked == full_name else self._weights(asked)
        )

    def set_norm(self, name: str, gain: np.ndarray) -> None:
        """Use the float32 ``gain`` (any offset is in it) from now on for the norm ``name``."""
        self._layer.norms[name] = flush_array(gain)

    def inputs(self, stage: int) -> Iterator[np.ndarray]:
        """What the linears of a stage of ``ModelConfig.stages`` read, sequence by sequence.

        To be used up in order, those of the third stage once: the streams move along.
        """
        if self._experts and stage >= _ATTENTION_STAGES:
            return self._expert_inputs(self._experts, *divmod(stage - _ATTENTION_STAGES, 2))
        return (self._attention_inputs, self._attended_values, self._feed_forward_inputs,
                self._gated)[stage]()

    def end(self) -> None:
        """Pass all tokens through the rest of the layer."""
        if self._experts:
            self._experts.finish()
            self._experts.add_to(self._streams)
            self.tokens_per_expert[self._layer.index] = self._experts.tokens
            return
        for stream in self._streams:
            layer = self._layer
            layer.add_feed_forward(stream, layer.gate(layer.feed_forward_input(stream)))

    def _expert_inputs(
        self, experts: ExpertRun, expert: int, down: int
    ) -> Iterator[np.ndarray]:
        if down:
            return experts.gated(expert, self._streams)
        if not experts.routed:
            for stream, attended in zip(self._streams, self._attended, strict=True):
                self._layer.add_attention(stream, attended)
            experts.route(self._streams)
        return experts.inputs(expert, self._streams)

    def _attention_inputs(self) -> Iterator[np.ndarray]:
        for stream in self._streams:
            yield self._layer.attention_input(stream)

    def _attended_values(self) -> Iterator[np.ndarray]:
        self._attended = []
        bias = self._layer.key_bias
        cache = self._cache if bias is None else UnbiasedKeys(self._cache, [bias], self._config)
        for h in self._attention_inputs():
            rope = self._rotations[self._layer.index]
            attended = self._layer.attend(h, cache, 0, 0, rope)
            self._attended.append(attended)
            yield attended

    def _feed_forward_inputs(self) -> Iterator[np.ndarray]:
        for stream, attended in zip(self._streams, self._attended, strict=True):
            self._layer.add_attention(stream, attended)
            yield self._layer.feed_forward_input(stream)

    def _gated(self) -> Iterator[np.ndarray]:
        for stream in self._streams:
            yield self._layer.gate(self._layer.feed_forward_input(stream))
