"""How dot products of queries and keys become scores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ....model import ModelConfig
from ....numerics import soft_cap
from ....tools.compiled import njit

__all__ = ["Scoring", "begin_softmax", "cap_scores", "plain_scoring", "scoring_of", "with_sinks"]

_NO_SINKS = np.empty(0, np.float32)


class Scoring(NamedTuple):
    """All float32: what multiplies a dot product; a soft cap, or 0 for none, and its inverse.

    ``sinks`` [heads] are scores that stand beside those of the tokens, with no value behind them;
    empty where there are none.
    """

    scale: np.float32
    cap: np.float32
    inverse: np.float32
    sinks: np.ndarray


def plain_scoring(head_dim: int) -> Scoring:
    """1 / sqrt(``head_dim``), no cap."""
    return Scoring(np.float32(1.0 / np.sqrt(head_dim)), np.float32(0), np.float32(0),
                   _NO_SINKS)


def scoring_of(config: ModelConfig) -> Scoring:
    """That of every layer of a model."""
    scoring = plain_scoring(config.head_dim)
    if config.score_scale is not None:
        scoring = scoring._replace(scale=np.float32(config.score_scale))
    if config.score_cap is not None:
        cap = config.score_cap
        scoring = scoring._replace(cap=np.float32(cap), inverse=np.float32(1 / cap))
    return scoring


def with_sinks(scoring: Scoring, sinks: np.ndarray | None) -> Scoring:
    """The same with ``sinks``, if there are any."""
    return scoring if sinks is None else scoring._replace(sinks=sinks)


@njit(forceinline=True)
def begin_softmax(scoring: Scoring, head: int) -> tuple[np.float32, np.float32]:
    """The running maximum and sum before any token: of a head's sink, or of nothing."""
    if scoring.sinks.shape[0] == 0:
        return np.float32(-np.inf), np.float32(0)
    return scoring.sinks[head], np.float32(1)


# Inlined: a call would count references to the scores, whether there is a cap or not.
@njit(forceinline=True)
def cap_scores(scores: np.ndarray, count: int, scoring: Scoring) -> None:
    """Cap the first ``count`` scores in place, if there is a cap."""
    if scoring.cap > 0:
        for t in range(count):
            scores[t] = soft_cap(scores[t], scoring.cap, scoring.inverse)
