"""What the quantizers ask of the runtime: the inputs of every linear on some text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np

from ...model import ModelConfig
from ..formats import PackedWeight

__all__ = [
    "CalibrationSource",
    "LayerwiseRun",
    "corrected",
    "hessian",
    "moments_and_drift",
    "relative_output_error",
    "row_errors",
]

_DAMPING = 0.01   # of the mean of the Hessian's diagonal


class LayerwiseRun(Protocol):
    """A model that runs layer by layer, each linear in its quantized form.

    The order of calls is: for each layer ``begin``; for each of ``ModelConfig.stages`` ``inputs``,
    used up, then ``set`` for each linear of the stage; ``end``. A linear may be set again, and then
    ``inputs`` asked for again (only those of the third stage must be asked for once).

    ``tokens_per_expert`` has, of each layer with experts that has ended, how many tokens went to
    each.
    """

    tokens_per_expert: dict[int, list[int]]

    def begin(self, layer: int) -> None:
        """Go on with ``layer``; its linears are not there yet."""

    def inputs(self, stage: int) -> Iterable[np.ndarray]:
        """Float32 [N, K] blocks of what the linears of a stage read; of an expert, its tokens'."""

    def set(self, name: str, weight: PackedWeight | np.ndarray) -> None:
        """Use ``weight`` from now on for the linear ``name``, one of ``ModelConfig.linears``."""

    def set_norm(self, name: str, gain: np.ndarray) -> None:
        """Use the float32 ``gain`` from now on for the layer's norm ``name``."""

    def end(self) -> None:
        """Pass all tokens through the layer, whose linears are all set."""


class CalibrationSource(Protocol):
    """Calibration text, and how to run a model on it. The runtime's is passed in from above."""

    @property
    def tokens(self) -> int:
        """Tokens in all."""

    def describe(self) -> dict[str, Any]:
        """The manifest's entry: which text, its SHA-256, how much of it, which seed."""

    def start(
        self, config: ModelConfig, weights: Callable[[str], np.ndarray | PackedWeight]
    ) -> LayerwiseRun:
        """Start before the first layer; ``weights`` gives the embedding, norms and biases."""


def hessian(blocks: Iterable[np.ndarray], K: int) -> np.ndarray:
    """``sum x^T x`` over float32 blocks [N, K], in float64 [K, K]: half the Hessian of the error.

    The squared error of a linear's outputs is ``trace(E hessian E^T)`` for an error E [M, K] of its
    weight. Scaled to a mean diagonal of 1, which no quantizer's decision depends on.
    """
    total = np.zeros((K, K))
    for block in blocks:
        wide = block.astype(np.float64)
        total += wide.T @ wide
    mean = np.trace(total) / K
    return total / mean if mean > 0 else np.eye(K)


def moments_and_drift(
    found: Iterable[np.ndarray], exact: Iterable[np.ndarray], K: int
) -> tuple[np.ndarray, np.ndarray]:
    """``hessian`` of the blocks ``found``, and ``sum (e - f)^T f`` [K, K] at the same scale.

    ``found`` gives blocks f [N, K] of inputs as they are, ``exact`` the blocks e of what they
    would be if nothing had been quantized.
    """
    total, drift = np.zeros((K, K)), np.zeros((K, K))
    for block, wanted in zip(found, exact, strict=True):
        wide = block.astype(np.float64)
        total += wide.T @ wide
        drift += (wanted - wide).T @ wide
    mean = np.trace(total) / K
    return (total / mean, drift / mean) if mean > 0 else (np.eye(K), drift)


def corrected(weight: np.ndarray, hessian: np.ndarray, drift: np.ndarray) -> np.ndarray:
    """Float32 [M, K] that gives, for the inputs as they are, nearest what ``weight`` should give.

    The outputs to come near to are those for the inputs of the model itself: Li et al. 2025,
    "GPTAQ: Efficient Finetuning-Free Quantization for Asymmetric Calibration" (arXiv 2504.02692).
    There the correction is worked into GPTQ's steps; here it is the least-squares solution of the
    same problem before rounding, ``weight + weight @ drift @ hessian^-1`` (damped), of which the
    rounding then is GPTQ's own.
    """
    damped = hessian + _DAMPING * np.trace(hessian) / len(hessian) * np.eye(len(hessian))
    change = np.linalg.solve(damped, drift.T @ weight.T.astype(np.float64))
    return (weight + change.T).astype(np.float32)


def relative_output_error(
    weight: np.ndarray, quantized: np.ndarray, hessian: np.ndarray
) -> float:
    """Squared error of the outputs over their squares, on the inputs that made ``hessian``."""
    error = quantized.astype(np.float64) - weight
    squares = row_errors(weight.astype(np.float64), hessian).sum()
    return float(row_errors(error, hessian).sum() / squares) if squares > 0 else 0.0


def row_errors(error: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """``e hessian e^T`` of each row e of float64 ``error`` [M, K]: its share of the trace."""
    return np.einsum("mk,mk->m", error @ hessian, error)
