"""What attention does with a KV cache in one pass of a layer, whatever the cache keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from ...errors import TrilobiteError
from ..kernels.attention.key_bias import BiasScores
from ..kernels.elementwise import apply_rope

__all__ = ["CacheSteps"]


class CacheSteps(ABC):
    """A cache whose steps are made one after the other; see ``cache.KVCache``."""

    capacity: int

    def _check(self, start: int, count: int) -> None:
        """Raise ``TrilobiteError`` unless the cache has places ``start`` to ``start + count - 1``.

        Kernels do not look whether they are within the cache.
        """
        if start < 0:
            raise TrilobiteError(f"Positions in a KV cache begin with 0, not {start}")
        if start + count > self.capacity:
            raise TrilobiteError(
                f"The KV cache holds {self.capacity} tokens; {start + count} are needed: "
                "ask for fewer tokens or a larger capacity"
            )

    @abstractmethod
    def store(self, layer: int, start: int, keys: np.ndarray, values: np.ndarray) -> None:
        """Keep the keys and values of positions ``start`` to ``start + N - 1``."""

    @abstractmethod
    def attend(
        self, layer: int, start: int, queries: np.ndarray, window: int | None,
        sinks: np.ndarray | None = None, bias: BiasScores | None = None,
    ) -> np.ndarray:
        """Causal attention of ``queries`` float32 [N, heads, head_dim] at ``start`` and after."""

    def append_and_attend(
        self, layer: int, start: int, queries: np.ndarray, keys: np.ndarray, values: np.ndarray,
        cosine: np.ndarray, sine: np.ndarray, window: int | None,
        sinks: np.ndarray | None = None,
    ) -> np.ndarray:
        """Turn ``queries`` and ``keys`` in place, ``store``, ``attend``."""
        apply_rope(queries, cosine, sine)
        apply_rope(keys, cosine, sine)
        self.store(layer, start, keys, values)
        return self.attend(layer, start, queries, window, sinks)
