"""Choosing the next token: greedy, temperature, top-k, top-p, min-p, repetition penalty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import TrilobiteError

__all__ = ["Sampler", "Sampling"]


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen; the defaults are greedy.

    Attributes
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
    min_p
        Keep tokens that are at least ``min_p`` times as probable as the most probable one (Nguyen
        et al. 2024, arXiv 2407.01082); 0 keeps all.
    repetition_penalty
        The logit of every token that prompt or answer has already is divided by it where it is
        positive, and multiplied where it is negative (CTRL: Keskar et al. 2019, arXiv 1909.05858);
        1 changes nothing.

    Raises
    ------
    TrilobiteError
        A parameter is out of its range.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        """Check the parameters."""
        if not 0.0 <= self.temperature < math.inf:
            raise TrilobiteError(
                f"Temperature must be 0 or a positive number, not {self.temperature}"
            )
        if self.top_k < 0:
            raise TrilobiteError(f"top-k must be 0 (all) or a positive count, not {self.top_k}")
        if not 0.0 < self.top_p <= 1.0:
            raise TrilobiteError(f"top-p must be above 0 and at most 1, not {self.top_p}")
        if self.seed < 0:
            raise TrilobiteError(f"The seed must be 0 or a positive integer, not {self.seed}")
        if not 0.0 <= self.min_p <= 1.0:
            raise TrilobiteError(f"min-p must be from 0 to 1, not {self.min_p}")
        if not 0.0 < self.repetition_penalty < math.inf:
            raise TrilobiteError(
                f"The repetition penalty must be a positive number, not {self.repetition_penalty}"
            )


class Sampler:
    """Picks token ids from logits, one sequence's after the other.

    Parameters
    ----------
    sampling
        How.
    prompt
        The tokens before the first one that is picked, which a repetition penalty counts.
    """

    def __init__(self, sampling: Sampling | None = None, prompt: Sequence[int] = ()) -> None:
        self._how = sampling or Sampling()
        self._generator = np.random.default_rng(self._how.seed)
        self._seen = set(prompt)

    def __call__(self, logits: np.ndarray) -> int:
        """Token id for finite float32 ``logits`` [vocab_size]."""
        if self._how.repetition_penalty != 1.0:
            logits = self._penalized(logits)
        token = int(np.argmax(logits)) if self._how.temperature == 0.0 else self._drawn(logits)
        self._seen.add(token)
        return token

    def _penalized(self, logits: np.ndarray) -> np.ndarray:
        seen = np.fromiter(self._seen, np.int64, len(self._seen))
        penalty = np.float32(self._how.repetition_penalty)
        penalized = logits.copy()
        with np.errstate(over="ignore"):
            known = np.where(logits[seen] > 0, logits[seen] / penalty, logits[seen] * penalty)
        largest = np.finfo(np.float32).max
        penalized[seen] = np.clip(known, -largest, largest)
        return penalized

    def _drawn(self, logits: np.ndarray) -> int:
        how = self._how
        order = np.argsort(-logits, kind="stable")
        if how.top_k:
            order = order[: how.top_k]
        wide = logits[order].astype(np.float64)
        with np.errstate(over="ignore"):
            scaled = wide / how.temperature
            if not np.isfinite(scaled).all():   # a temperature next to none
                scaled = (wide - wide[0]) / how.temperature
        weights = np.exp(scaled - scaled[0])
        probabilities = weights / weights.sum()
        kept = int(np.searchsorted(np.cumsum(probabilities), how.top_p)) + 1
        if how.min_p:   # they fall, so those that are probable enough come first
            kept = min(kept, int((weights >= how.min_p).sum()))
        probabilities = probabilities[:kept] / probabilities[:kept].sum()
        return int(self._generator.choice(order[:kept], p=probabilities))
