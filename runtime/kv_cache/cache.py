"""The keys and values of past tokens: float32, or 4 or 8 bits with a scale per head and token."""

from __future__ import annotations

from typing import Literal, Protocol, get_args

import numpy as np

from ...errors import TrilobiteError
from ...model import ModelConfig
from ...tools.memory import require_memory
from ..kernels.attention.key_bias import BiasScores
from ..kernels.attention.portable import attend_float32, attend_int8, store_int8
from ..kernels.attention.scoring import scoring_of, with_sinks
from ..kernels.attention.vnni import append_and_attend_tiled, attend_tiled, store_tiled, tiled_cache
from ..kernels.choice import chosen_kernel
from .packed import Fp8Cache, Int4Cache
from .steps import CacheSteps

__all__ = ["Attention", "Float32Cache", "Int8Cache", "KVCache", "KVKind", "make_cache"]

KVKind = Literal["float32", "int8", "int4", "fp8"]

_PACKED = {"int4": Int4Cache, "fp8": Fp8Cache}
_BITS = {"float32": 32, "int8": 8, "int4": 4, "fp8": 8}


class Attention(Protocol):
    """What a decoder layer asks of the keys and values that it attends to."""

    def append_and_attend(
        self, layer: int, start: int, queries: np.ndarray, keys: np.ndarray, values: np.ndarray,
        cosine: np.ndarray, sine: np.ndarray, window: int | None,
        sinks: np.ndarray | None = None,
    ) -> np.ndarray:
        """Turn ``queries`` and ``keys`` in place (``apply_rope``), ``store``, ``attend``.

        ``sinks`` float32 [heads]: see ``scoring.Scoring``.
        """


class KVCache(Attention, Protocol):
    """What the decoder asks of a cache. ``keys``, ``values``: float32 [N, kv_heads, head_dim].

    A cache belongs to one sequence, and is used by one thread at a time; ``session`` sees to that.
    """

    capacity: int

    @property
    def nbytes(self) -> int:
        """Memory taken, scales included."""

    def store(self, layer: int, start: int, keys: np.ndarray, values: np.ndarray) -> None:
        """Keep the keys and values of positions ``start`` to ``start + N - 1``."""

    def attend(
        self, layer: int, start: int, queries: np.ndarray, window: int | None,
        sinks: np.ndarray | None = None, bias: BiasScores | None = None,
    ) -> np.ndarray:
        """Causal attention of ``queries`` float32 [N, heads, head_dim] at ``start`` and after.

        ``bias`` is added to the scores: what keys lack that were stored without their bias.
        """


class _Bounded(CacheSteps):
    """The bounds of a cache, and how its scores are made."""

    def __init__(self, config: ModelConfig, capacity: int) -> None:
        self.capacity = capacity
        self._scoring = scoring_of(config)

    def _limit(self, window: int | None) -> int:
        return self.capacity if window is None else window


class _Cache(_Bounded):
    """Keys and values token by token; a layer's arrays are [kv_heads, capacity, ...]."""

    def __init__(self, config: ModelConfig, capacity: int, dtype: type) -> None:
        super().__init__(config, capacity)
        shape = (config.num_layers, config.num_kv_heads, capacity, config.head_dim)
        self._keys: np.ndarray = np.zeros(shape, dtype)
        self._values: np.ndarray = np.zeros(shape, dtype)


class Float32Cache(_Cache):
    """Keys and values as they are: for float models and for measuring what int8 costs."""

    def __init__(self, config: ModelConfig, capacity: int) -> None:
        super().__init__(config, capacity, np.float32)

    @property
    def nbytes(self) -> int:
        """Memory taken."""
        return self._keys.nbytes + self._values.nbytes

    def store(self, layer: int, start: int, keys: np.ndarray, values: np.ndarray) -> None:
        """Keep the keys and values of positions ``start`` to ``start + N - 1``."""
        self._check(start, len(keys))
        self._keys[layer, :, start:start + len(keys)] = keys.swapaxes(0, 1)
        self._values[layer, :, start:start + len(keys)] = values.swapaxes(0, 1)

    def attend(
        self, layer: int, start: int, queries: np.ndarray, window: int | None,
        sinks: np.ndarray | None = None, bias: BiasScores | None = None,
    ) -> np.ndarray:
        """Causal attention, see ``attention.attend_float32``; these keys have their biases."""
        assert bias is None, "float32 keys lack no bias"
        self._check(start, len(queries))
        return attend_float32(
            queries, self._keys[layer], self._values[layer], start, self._limit(window),
            with_sinks(self._scoring, sinks),
        )


class Int8Cache(_Cache):
    """int8 keys and values with one float32 scale per head and token (absmax / 127)."""

    def __init__(self, config: ModelConfig, capacity: int) -> None:
        super().__init__(config, capacity, np.int8)
        self._key_scales = np.zeros(self._keys.shape[:3], np.float32)
        self._value_scales = np.zeros(self._keys.shape[:3], np.float32)

    @property
    def nbytes(self) -> int:
        """Memory taken, scales included."""
        return 2 * (self._keys.nbytes + self._key_scales.nbytes)

    def store(self, layer: int, start: int, keys: np.ndarray, values: np.ndarray) -> None:
        """Quantize and keep the keys and values of ``start`` to ``start + N - 1``."""
        self._check(start, len(keys))
        store_int8(keys, self._keys[layer], self._key_scales[layer], start)
        store_int8(values, self._values[layer], self._value_scales[layer], start)

    def attend(
        self, layer: int, start: int, queries: np.ndarray, window: int | None,
        sinks: np.ndarray | None = None, bias: BiasScores | None = None,
    ) -> np.ndarray:
        """Causal attention in integers, see ``attention.attend_int8``."""
        self._check(start, len(queries))
        return attend_int8(
            queries,
            self._keys[layer], self._key_scales[layer],
            self._values[layer], self._value_scales[layer],
            start, self._limit(window), bias, with_sinks(self._scoring, sinks),
        )


class TiledInt8Cache(_Bounded):
    """``Int8Cache`` with the same bits, laid out for AVX-512 VNNI in whole tiles of tokens."""

    def __init__(self, config: ModelConfig, capacity: int) -> None:
        super().__init__(config, capacity)
        self._layers = tiled_cache(
            config.num_layers, config.num_kv_heads, capacity, config.head_dim
        )

    @property
    def nbytes(self) -> int:
        """Memory taken, scales included."""
        return sum(array.nbytes for layer in self._layers for array in layer)

    def store(self, layer: int, start: int, keys: np.ndarray, values: np.ndarray) -> None:
        """Quantize and keep the keys and values of ``start`` to ``start + N - 1``."""
        self._check(start, len(keys))
        store_tiled(keys, values, self._layers[layer], start)

    def attend(
        self, layer: int, start: int, queries: np.ndarray, window: int | None,
        sinks: np.ndarray | None = None, bias: BiasScores | None = None,
    ) -> np.ndarray:
        """Causal attention in integers, see ``attention.attend_int8``."""
        self._check(start, len(queries))
        return attend_tiled(
            queries, self._layers[layer], start, self._limit(window), bias,
            with_sinks(self._scoring, sinks),
        )

    def append_and_attend(
        self, layer: int, start: int, queries: np.ndarray, keys: np.ndarray, values: np.ndarray,
        cosine: np.ndarray, sine: np.ndarray, window: int | None,
        sinks: np.ndarray | None = None,
    ) -> np.ndarray:
        """Turn ``queries`` and ``keys`` in place, ``store``, ``attend``, in one call."""
        self._check(start, len(keys))
        return append_and_attend_tiled(
            queries, keys, values, cosine, sine, self._layers[layer], start, self._limit(window),
            with_sinks(self._scoring, sinks),
        )


def _least_bytes(kind: KVKind, config: ModelConfig, capacity: int) -> int:
    """What a cache takes at least: keys and values, and a scale per vector if not float."""
    scale_bits = 0 if kind == "float32" else 32
    vectors = 2 * config.num_layers * config.num_kv_heads * capacity
    return vectors * (config.head_dim * _BITS[kind] + scale_bits) // 8


def make_cache(kind: KVKind, config: ModelConfig, capacity: int) -> KVCache:
    """Make an empty cache for ``capacity`` tokens.

    Raise ``TrilobiteError`` on an unknown kind, or if there is not so much memory.
    """
    if kind not in get_args(KVKind):
        known = ", ".join(get_args(KVKind))
        raise TrilobiteError(f"KV cache kind {kind!r} is unknown; known are {known}")
    require_memory(_least_bytes(kind, config, capacity),
                   f"The {kind} KV cache of {capacity:,} tokens")
    if kind == "float32":
        return Float32Cache(config, capacity)
    if kind == "int8":
        tiled = chosen_kernel() == "vnni"
        return TiledInt8Cache(config, capacity) if tiled else Int8Cache(config, capacity)
    return _PACKED[kind](config, capacity)
