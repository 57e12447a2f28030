"""Where in a model its numbers stop being finite."""

from __future__ import annotations

import numpy as np

from .decoder import Decoder
from .kv_cache.cache import KVCache

__all__ = ["first_not_finite"]


def first_not_finite(
    decoder: Decoder, cache: KVCache, token_ids: np.ndarray, start: int
) -> str:
    """Say which tensor is the first to hold NaN or infinity.

    ``token_ids`` int64 [N] are fed again at ``start`` into ``cache``, which holds what was before.
    """
    places: list[str] = []

    def observe(name: str, value: np.ndarray) -> None:
        if not places and not (finite := np.isfinite(value).all(axis=1)).all():
            position = start + int(np.argmin(finite))
            places.append(f"{name}, at position {position}, is the first tensor to hold them")

    hidden = decoder.hidden(token_ids, cache, start, observe)
    last = "output head" if np.isfinite(hidden).all() else "final norm"
    where = places[0] if places else f"the {last} is the first to give them"
    return (
        f"The model's logits for positions {start} to {start + len(token_ids) - 1} hold NaN or "
        f"infinity: {where}; its weights are too large, or damaged"
    )
