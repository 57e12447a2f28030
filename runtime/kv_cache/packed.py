"""KV caches smaller than int8: four bits, or FP8, with a float32 scale per head and token."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from ...model import ModelConfig
from ...quant.formats.fp8 import E4M3_VALUES
from ..kernels.attention.key_bias import BiasScores
from ..kernels.attention.packed import attend_packed, store_fp8, store_int4
from ..kernels.attention.scoring import scoring_of, with_sinks
from .steps import CacheSteps

__all__ = ["Fp8Cache", "Int4Cache"]

_NIBBLES = ((np.arange(16) ^ 8) - 8).astype(np.int32)   # two's complement
_UNITS = np.nan_to_num(E4M3_VALUES * np.float32(512)).astype(np.int32)   # NaN is never stored
_CODES = np.zeros(448 * 512 + 1, np.uint8)              # of each magnitude that is a number
_CODES[_UNITS[:0x7F]] = np.arange(0x7F)


class _PackedCache(CacheSteps):
    """A layer's arrays are [kv_heads, capacity, bytes of a vector]; scales as in int8."""

    table: ClassVar[np.ndarray]
    channels_per_byte: ClassVar[int]

    def __init__(self, config: ModelConfig, capacity: int) -> None:
        self.capacity = capacity
        self._scoring = scoring_of(config)
        width = config.head_dim // self.channels_per_byte
        shape = (config.num_layers, config.num_kv_heads, capacity, width)
        self._keys, self._values = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        self._key_scales = np.zeros(shape[:3], np.float32)
        self._value_scales = np.zeros(shape[:3], np.float32)

    @property
    def nbytes(self) -> int:
        """Memory taken, scales included."""
        return 2 * (self._keys.nbytes + self._key_scales.nbytes)

    def store(self, layer: int, start: int, keys: np.ndarray, values: np.ndarray) -> None:
        """Quantize and keep the keys and values of ``start`` to ``start + N - 1``."""
        self._check(start, len(keys))
        self._store(keys, self._keys[layer], self._key_scales[layer], start)
        self._store(values, self._values[layer], self._value_scales[layer], start)

    def attend(
        self, layer: int, start: int, queries: np.ndarray, window: int | None,
        sinks: np.ndarray | None = None, bias: BiasScores | None = None,
    ) -> np.ndarray:
        """Causal attention in integers, see ``kernels.attention.packed``."""
        self._check(start, len(queries))
        cache = (
            self._keys[layer], self._key_scales[layer],
            self._values[layer], self._value_scales[layer], self.table,
        )
        limit = self.capacity if window is None else window
        return attend_packed(queries, cache, start, limit, bias, with_sinks(self._scoring, sinks))

    @abstractmethod
    def _store(self, x: np.ndarray, cache: np.ndarray, scales: np.ndarray, start: int) -> None:
        """Quantize float32 ``x`` [N, kv_heads, head_dim] into one layer's arrays."""


class Int4Cache(_PackedCache):
    """Four-bit keys and values, -7 to 7: absmax / 7."""

    table: ClassVar[np.ndarray] = _NIBBLES
    channels_per_byte: ClassVar[int] = 2

    def _store(self, x: np.ndarray, cache: np.ndarray, scales: np.ndarray, start: int) -> None:
        store_int4(x, cache, scales, start)


class Fp8Cache(_PackedCache):
    """E4M3 keys and values: absmax / 448."""

    table: ClassVar[np.ndarray] = _UNITS
    channels_per_byte: ClassVar[int] = 1

    def _store(self, x: np.ndarray, cache: np.ndarray, scales: np.ndarray, start: int) -> None:
        store_fp8(x, cache, scales, start, _CODES)
