"""The caches of several sequences, each of which takes one token of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .cache import KVCache

__all__ = ["SequencesTogether"]


class SequencesTogether:
    """What a decoder layer asks of a cache, for one token of each of B sequences.

    Only ``append_and_attend`` is asked of it in a step: rows of its arguments are sequences.

    Parameters
    ----------
    caches, starts
        The cache of each sequence, and the position of its token.
    """

    def __init__(self, caches: Sequence[KVCache], starts: Sequence[int]) -> None:
        self._places = list(zip(caches, starts, strict=True))

    def append_and_attend(
        self, layer: int, start: int, queries: np.ndarray, keys: np.ndarray, values: np.ndarray,
        cosine: np.ndarray, sine: np.ndarray, window: int | None,
        sinks: np.ndarray | None = None,
    ) -> np.ndarray:
        """Each row against its own sequence; float32 [B, heads, head_dim]. ``start`` is unused."""
        del start
        attended = np.empty_like(queries)
        for row, (cache, position) in enumerate(self._places):
            one = slice(row, row + 1)
            attended[one] = cache.append_and_attend(
                layer, position, queries[one], keys[one], values[one], cosine[one], sine[one],
                window, sinks,
            )
        return attended
