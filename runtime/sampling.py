"""Choosing the next token: greedy, temperature, top-k, top-p."""

from __future__ import annotations

import numpy as np

from ..errors import TrilobiteError

__all__ = ["Sampler"]


class Sampler:
    """Picks a token id from logits.

    Parameters
    ----------
    temperature
        0 takes the largest logit (the lowest id on a tie); above 0 logits are divided by it.
    top_k
        Keep only the ``top_k`` largest; 0 keeps all.
    top_p
        Keep the smallest set of most probable tokens whose probabilities reach ``top_p`` (nucleus
        sampling: Holtzman et al. 2019, arXiv 1904.09751); 1 keeps all.
    seed
        Same seed, same tokens. Unused at temperature 0.

    Raises
    ------
    TrilobiteError
        A parameter is out of its range.
    """

    def __init__(
        self, temperature: float = 0.0, top_k: int = 0, top_p: float = 1.0, seed: int = 0
    ) -> None:
        if not 0.0 <= temperature < float("inf"):
            raise TrilobiteError(f"Temperature must be 0 or a positive number, not {temperature}")
        if top_k < 0:
            raise TrilobiteError(f"top-k must be 0 (all) or a positive count, not {top_k}")
        if not 0.0 < top_p <= 1.0:
            raise TrilobiteError(f"top-p must be above 0 and at most 1, not {top_p}")
        if seed < 0:
            raise TrilobiteError(f"The seed must be 0 or a positive integer, not {seed}")
        self._temperature, self._top_k, self._top_p = temperature, top_k, top_p
        self._generator = np.random.default_rng(seed)

    def __call__(self, logits: np.ndarray) -> int:
        """Token id for finite float32 ``logits`` [vocab_size]."""
        if self._temperature == 0.0:
            return int(np.argmax(logits))
        order = np.argsort(-logits, kind="stable")
        if self._top_k:
            order = order[: self._top_k]
        wide = logits[order].astype(np.float64)
        with np.errstate(over="ignore"):
            scaled = wide / self._temperature
            if not np.isfinite(scaled).all():   # a temperature next to none
                scaled = (wide - wide[0]) / self._temperature
        weights = np.exp(scaled - scaled[0])
        probabilities = weights / weights.sum()
        kept = int(np.searchsorted(np.cumsum(probabilities), self._top_p)) + 1
        probabilities = probabilities[:kept] / probabilities[:kept].sum()
        return int(self._generator.choice(order[:kept], p=probabilities))
