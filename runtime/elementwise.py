"""Norms, rotary embedding, gated activations and residual adds, in the float32 of ``numerics``.

Every function is a loop over float32 values with the roundings written out, so that hardware
built from the same adders and multipliers gives the same bits.
"""

from __future__ import annotations

import numba
import numpy as np

from ..numerics import add, mul, rsqrt, sigmoid, sub, sum_of_squares

__all__ = ["add_residual", "apply_rope", "relu2_gate", "rms_norm", "silu_gate"]


@numba.njit(cache=True)
def rms_norm(x: np.ndarray, weight: np.ndarray, epsilon: np.float32) -> np.ndarray:
    """Root-mean-square norm of each row: ``x * rsqrt(mean(x^2) + epsilon) * weight``.

    ``x`` float32 [N, K], ``weight`` float32 [K]; result float32 [N, K]. The sum of squares has the
    16-lane order of ``numerics``, the mean is a product with float32(1 / K), and each element is
    rounded after each of its two products (Zhang and Sennrich 2019, arXiv 1910.07467).
    """
    result = np.empty_like(x)
    inverse_width = np.float32(1.0 / x.shape[1])
    for n in range(x.shape[0]):
        mean = mul(sum_of_squares(x[n]), inverse_width)
        factor = rsqrt(add(mean, epsilon))
        for k in range(x.shape[1]):
            result[n, k] = mul(mul(x[n, k], factor), weight[k])
    return result


@numba.njit(cache=True)
def apply_rope(x: np.ndarray, cosine: np.ndarray, sine: np.ndarray) -> None:
    """Rotate the two halves of each head in place (Su et al. 2021, arXiv 2104.09864).

    ``x`` float32 [N, heads, head_dim]; ``cosine`` and ``sine`` float32 [N, head_dim / 2], the rows
    of the tokens' positions. Element d pairs with d + head_dim / 2, as in Hugging Face's layout.
    """
    half = x.shape[2] // 2
    for n in range(x.shape[0]):
        for head in range(x.shape[1]):
            for d in range(half):
                low, high = x[n, head, d], x[n, head, d + half]
                c, s = cosine[n, d], sine[n, d]
                x[n, head, d] = sub(mul(low, c), mul(high, s))
                x[n, head, d + half] = add(mul(high, c), mul(low, s))


@numba.njit(cache=True)
def silu_gate(gate: np.ndarray, up: np.ndarray) -> np.ndarray:
    """``(gate * sigmoid(gate)) * up``, elementwise on float32 [N, K]."""
    result = np.empty_like(gate)
    for n in range(gate.shape[0]):
        for k in range(gate.shape[1]):
            value = gate[n, k]
            result[n, k] = mul(mul(value, sigmoid(value)), up[n, k])
    return result


@numba.njit(cache=True)
def relu2_gate(gate: np.ndarray, up: np.ndarray) -> np.ndarray:
    """``max(gate, 0)^2 * up``, elementwise on float32 [N, K] (BitNet's squared ReLU)."""
    result = np.empty_like(gate)
    for n in range(gate.shape[0]):
        for k in range(gate.shape[1]):
            value = max(gate[n, k], np.float32(0.0))
            result[n, k] = mul(mul(value, value), up[n, k])
    return result


@numba.njit(cache=True)
def add_residual(x: np.ndarray, update: np.ndarray) -> None:
    """``x += update`` in place, float32 [N, K]."""
    for n in range(x.shape[0]):
        for k in range(x.shape[1]):
            x[n, k] = add(x[n, k], update[n, k])
