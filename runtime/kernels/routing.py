"""Which experts a token goes to, with which share; and their outputs added up."""

from __future__ import annotations

import numpy as np

from ...numerics import add, mul
from ...numerics.routing import dot_lanes, largest, softmax
from ...tools.compiled import njit

__all__ = ["add_shares", "route"]


@njit
def route(
    x: np.ndarray, router: np.ndarray, bias: np.ndarray, over_all: bool, chosen: np.ndarray,
    shares: np.ndarray,
) -> None:
    """Write int32 ``chosen`` [N, k], in ascending order, and float32 ``shares`` [N, k].

    ``x`` float32 [N, K] are what the experts read, ``router`` float32 [experts, K], ``bias``
    [experts] or empty. The logits are ``dot_lanes`` (plus the bias); the k largest are chosen, by
    ``largest``; a share is the softmax over all logits or over the chosen ones.
    """
    experts, k = router.shape[0], chosen.shape[1]
    logits, probabilities = np.empty(experts, np.float32), np.empty(experts, np.float32)
    for n in range(x.shape[0]):
        for expert in range(experts):
            logits[expert] = dot_lanes(x[n], router[expert])
        for expert in range(bias.shape[0]):
            logits[expert] = add(logits[expert], bias[expert])
        largest(logits, chosen[n])
        chosen[n].sort()
        if over_all:
            probabilities[:] = logits
            softmax(probabilities)
            for rank in range(k):
                shares[n, rank] = probabilities[chosen[n, rank]]
        else:
            for rank in range(k):
                shares[n, rank] = logits[chosen[n, rank]]
            softmax(shares[n])


@njit
def add_shares(
    out: np.ndarray, tokens: np.ndarray, outputs: np.ndarray, shares: np.ndarray
) -> None:
    """Add to rows ``tokens`` of float32 ``out`` [N, K] those of ``outputs``, times ``shares``."""
    for row in range(tokens.shape[0]):
        target = out[tokens[row]]
        for k in range(outputs.shape[1]):
            target[k] = add(target[k], mul(outputs[row, k], shares[row]))
