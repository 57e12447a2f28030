"""The decoder: embedding, layers, final norm, head. One definition for prefill and decode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..model import ModelConfig
from ..numerics import flush_array
from ..quant.formats.base import PackedWeight
from ..tools.progress import SILENT, Progress
from .kernels.elementwise import cap_softly, rms_norm
from .kv_cache.cache import KVCache, KVKind, make_cache
from .kv_cache.together import SequencesTogether
from .kv_cache.unbiased import UnbiasedKeys
from .layer import DecoderLayer, Observer, Weights, gain
from .linear import Linear, make_linear
from .rope import RopeTables

__all__ = ["Decoder", "Embedding", "Observer", "Weights"]

# Token counts that between them take every kernel: one token, a few, and enough for a batch; and
# the earlier positions that make attention worth two threads.
_WARM_UP_TOKENS = (1, 2, 16)
_WARM_UP_CONTEXT = 512


class Embedding:
    """Rows of the embedding matrix, kept as they are stored and dequantized one by one.

    ``scale`` multiplies them.
    """

    def __init__(self, weight: np.ndarray | PackedWeight, scale: float = 1.0) -> None:
        self._weight = weight
        self._scale = np.float32(scale)

    @property
    def nbytes(self) -> int:
        """Memory taken."""
        return self._weight.nbytes

    def __call__(self, token_ids: np.ndarray) -> np.ndarray:
        """Float32 rows [N, hidden_size] of int ``token_ids`` [N], flushed."""
        rows = flush_array(self._rows(token_ids))
        return rows if self._scale == 1 else flush_array(rows * self._scale)

    def _rows(self, token_ids: np.ndarray) -> np.ndarray:
        if isinstance(self._weight, np.ndarray):
            return self._weight[token_ids]
        rows = {
            suffix: tensor[token_ids] if len(tensor) == self._weight.shape[0] else tensor
            for suffix, tensor in self._weight.tensors.items()
        }
        shape = (len(token_ids), self._weight.shape[1])
        weight = PackedWeight(self._weight.format, shape, rows, self._weight.rotation)
        return weight.dequantize()


class Decoder:
    """A decoder-only transformer over whatever number formats its weights come in.

    Parameters
    ----------
    config
        What the model is.
    weights
        Gives each tensor of ``config.tensor_shapes()``; asked once per name, in order, but for
        those of experts, which it is asked for when they are first used.
    progress
        Is told how many tensors are loaded, and which.
    """

    def __init__(
        self, config: ModelConfig, weights: Weights, progress: Progress = SILENT
    ) -> None:
        self.config = config
        progress.start(sum(".experts." not in name for name in config.tensor_shapes()))

        def take(name: str) -> np.ndarray | PackedWeight:
            progress.doing(name)
            tensor = weights(name)
            progress.advance()
            return tensor

        embedding = take("model.embed_tokens.weight")
        self.embedding = Embedding(embedding, config.embedding_scale)
        self.layers = [
            DecoderLayer(config, index, take, weights) for index in range(config.num_layers)
        ]
        self._norm = gain(take, "model.norm.weight", config)
        head = embedding if config.tie_word_embeddings else take("lm_head.weight")
        self.head = make_linear(head, None)
        self._epsilon = np.float32(config.rms_norm_eps)
        self.rope = RopeTables(config)

    def linear(self, layer: int, name: str) -> Linear:
        """One of ``LINEAR_NAMES`` of ``layer``, which has it: not of experts."""
        return self.layers[layer].linears[name]

    def unbiased(self, cache: KVCache, kv: KVKind) -> KVCache:
        """``cache``, of a ``kv`` kind, for keys less their biases, if the model has any."""
        biases = [layer.key_bias for layer in self.layers if layer.key_bias is not None]
        some = kv != "float32" and any(bias.any() for bias in biases)
        return UnbiasedKeys(cache, biases, self.config) if some else cache

    def load_experts(self) -> None:
        """Load all experts now, instead of each when it is first used."""
        for layer in self.layers:
            if layer.experts:
                layer.experts.load_all()

    @property
    def nbytes(self) -> int:
        """Memory that the weights take; a tied head shares the embedding's.

        Of experts, those count that have been used.
        """
        layers = sum(layer.nbytes for layer in self.layers)
        embedding = 0 if self.config.tie_word_embeddings else self.embedding.nbytes
        return embedding + layers + self._norm.nbytes + self.head.nbytes

    @property
    def step_nbytes(self) -> int:
        """Bytes of the weights that a decode step reads: all but an embedding that is no head.

        Of experts, as many as a token goes to.
        """
        tied = self.config.tie_word_embeddings
        idle = sum(layer.experts.nbytes - layer.experts.step_nbytes
                   for layer in self.layers if layer.experts)
        return self.nbytes - idle - (0 if tied else self.embedding.nbytes)

    def hidden(
        self, token_ids: np.ndarray, cache: KVCache, start: int, observe: Observer | None = None,
        length: int | None = None,
    ) -> np.ndarray:
        """Final hidden states, normed, float32 [N, hidden_size].

        ``token_ids`` int [N] stand at positions ``start`` to ``start + N - 1``; ``cache`` holds all
        earlier positions and receives these. ``observe`` gets the float32 input of every linear as
        ``model.layers.<i>.<linear>.input`` and the residual stream after every layer as
        ``model.layers.<i>.output``. Rotary angles that depend on a sequence's length are those of
        ``length``, or as if these tokens were the last ones.
        """
        rotations = self.rope.rotations(start, start + len(token_ids), length)
        x = self.embedding(token_ids)
        for layer, rope in zip(self.layers, rotations, strict=True):
            layer.forward(x, cache, start, rope, observe)
        return rms_norm(x, self._norm, self._epsilon)

    def step(
        self, token_ids: np.ndarray, caches: Sequence[KVCache], starts: np.ndarray
    ) -> np.ndarray:
        """One token of each of B sequences: final hidden states, float32 [B, hidden_size].

        ``token_ids`` int [B] stand at positions ``starts`` int [B] of sequences of their own, whose
        ``caches`` hold what came before. The weights are read once for all of them. Each row is,
        bit for bit, what ``hidden`` gives for its sequence alone, as far as matrices are quantized;
        float32 ones go through BLAS, whose sums may differ in their last bits with B.
        """
        rotations = self.rope.each(starts)
        together = SequencesTogether(caches, starts.tolist())
        x = self.embedding(token_ids)
        for layer, rope in zip(self.layers, rotations, strict=True):
            layer.forward(x, together, 0, rope)
        return rms_norm(x, self._norm, self._epsilon)

    def warm_up(self, kv: KVKind) -> None:
        """Compile, or load from the cache, what any prefill and decode step needs.

        Runs one layer of each set of number formats and the head, with an empty cache.
        """
        one_layer = replace(self.config, num_layers=1, sliding_windows=())
        most = self.config.max_position_embeddings
        context = max(0, min(_WARM_UP_CONTEXT, most - max(_WARM_UP_TOKENS)))
        capacity = min(most, context + max(_WARM_UP_TOKENS))
        cache = self.unbiased(make_cache(kv, one_layer, capacity), kv)
        layers = {
            tuple(linear.format for linear in layer.linears.values()): layer
            for layer in self.layers
        }
        for tokens in _WARM_UP_TOKENS:
            for start in {0, context}:
                x = self.embedding(np.zeros(tokens, np.int64))
                rotations = self.rope.rotations(start, start + tokens)
                for layer in layers.values():
                    layer.forward(x, cache, start, rotations[layer.index], slot=0)
            self.logits(rms_norm(x[-1:], self._norm, self._epsilon))

    def logits(self, hidden: np.ndarray) -> np.ndarray:
        """Float32 [N, vocab_size] from ``hidden``."""
        logits = self.head(hidden)
        if self.config.logit_scale != 1:
            logits = flush_array(logits * np.float32(self.config.logit_scale))
        if (cap := self.config.logit_cap) is not None:
            cap_softly(logits, np.float32(cap), np.float32(1 / cap))
        return logits
