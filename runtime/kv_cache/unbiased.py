"""Keys that are kept without the bias of their projection, which the scores get back exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from typing_extensions import override

from ...model import ModelConfig
from ...numerics import flush_array
from ..kernels.attention.key_bias import BiasScores, bias_scores
from ..kernels.attention.scoring import scoring_of
from ..kernels.elementwise import apply_rope
from .cache import KVCache
from .steps import CacheSteps

__all__ = ["UnbiasedKeys"]


class _Tables:
    """Cosines and sines [head_dim / 2, capacity] of the positions that were kept."""

    def __init__(self, pairs: int, capacity: int) -> None:
        self.cosine, self.sine = np.zeros((2, pairs, capacity), np.float32)
        self.filled = 0

    def holds(self, start: int, cosine: np.ndarray, sine: np.ndarray) -> bool:
        """Whether the rows of ``start`` and after can be kept here: no others are there."""
        stop = min(start + len(cosine), self.filled)
        count = max(0, stop - start)
        return np.array_equal(self.cosine[:, start:stop].T, cosine[:count]) and np.array_equal(
            self.sine[:, start:stop].T, sine[:count])

    def keep(self, start: int, cosine: np.ndarray, sine: np.ndarray) -> None:
        """Write the rows of ``start`` and after."""
        stop = start + len(cosine)
        if stop > self.filled:
            self.cosine[:, start:stop], self.sine[:, start:stop] = cosine.T, sine.T
            self.filled = stop

    def copy(self, start: int) -> _Tables:
        """A table of its own with the positions before ``start``."""
        other = _Tables(*self.cosine.shape)
        other.cosine[:, :start] = self.cosine[:, :start]
        other.sine[:, :start] = self.sine[:, :start]
        other.filled = start
        return other


class UnbiasedKeys(CacheSteps):
    """A KV cache that keeps keys less ``biases``, and adds their part of the scores in float32.

    See ``kernels.attention.key_bias``. Layers share a rotary table as long as theirs are equal.

    Parameters
    ----------
    cache
        Keeps what is left, in whatever kind but float32.
    biases
        Of each layer's key projection, float32 [kv_heads, head_dim].
    config
        The model, whose layers turn whole heads.
    """

    def __init__(
        self, cache: KVCache, biases: Sequence[np.ndarray], config: ModelConfig
    ) -> None:
        self.capacity = cache.capacity
        self._cache = cache
        self._biases = biases
        self._scale = scoring_of(config).scale
        self._tables = [_Tables(biases[0].shape[1] // 2, cache.capacity)] * len(biases)

    @property
    def nbytes(self) -> int:
        """Memory taken, rotary tables included."""
        tables = {id(table): table for table in self._tables}.values()
        return self._cache.nbytes + sum(2 * table.cosine.nbytes for table in tables)

    @override
    def store(self, layer: int, start: int, keys: np.ndarray, values: np.ndarray) -> None:
        """Keep ``keys`` that have no bias."""
        self._cache.store(layer, start, keys, values)

    @override
    def attend(
        self, layer: int, start: int, queries: np.ndarray, window: int | None,
        sinks: np.ndarray | None = None, bias: BiasScores | None = None,
    ) -> np.ndarray:
        """Causal attention over the keys with their biases."""
        assert bias is None, "biases are taken away once"
        table = self._tables[layer]
        scores = bias_scores(queries, self._biases[layer], table.cosine, table.sine, self._scale)
        return self._cache.attend(layer, start, queries, window, sinks, scores)

    @override
    def append_and_attend(
        self, layer: int, start: int, queries: np.ndarray, keys: np.ndarray, values: np.ndarray,
        cosine: np.ndarray, sine: np.ndarray, window: int | None,
        sinks: np.ndarray | None = None,
    ) -> np.ndarray:
        """Take the bias from ``keys``, turn, ``store``, ``attend``."""
        self._check(start, len(keys))
        table = self._tables[layer]
        if not table.holds(start, cosine, sine):
            table = self._tables[layer] = table.copy(start)
        table.keep(start, cosine, sine)
        plain = flush_array(keys - self._biases[layer])
        apply_rope(plain, cosine, sine)
        apply_rope(queries, cosine, sine)
        self.store(layer, start, plain, values)
        return self.attend(layer, start, queries, window, sinks)
