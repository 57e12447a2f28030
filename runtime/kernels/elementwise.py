"""Norms, rotary embedding, gated activations and residual adds, in the float32 of ``numerics``.

Every function is a loop over float32 values with the roundings written out, so that hardware
built from the same adders and multipliers gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...numerics import add, gelu_tanh, mul, rsqrt, sigmoid, soft_cap, sub, sum_of_squares
from ...tools.compiled import njit
from .choice import chosen_kernel
from .ir.x86.gate import silu_vectors

__all__ = [
    "add_and_norm",
    "add_residual",
    "add_scaled",
    "apply_rope",
    "cap_softly",
    "gate_for",
    "gelu_gate",
    "limited_gate",
    "relu2_gate",
    "rms_norm",
    "silu_gate",
    "silu_gate_avx512",
]

GATE_GAIN = np.float32(1.702)   # of ``limited_gate``


@njit
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


@njit
def apply_rope(x: np.ndarray, cosine: np.ndarray, sine: np.ndarray) -> None:
    """Rotate the two halves of each head in place (Su et al. 2021, arXiv 2104.09864).

    ``x`` float32 [N, heads, head_dim]; ``cosine`` and ``sine`` float32 [N, width / 2], the rows of
    the tokens' positions. Of the first width <= head_dim elements, d pairs with d + width / 2, as
    in Hugging Face's layout; the others stay.
    """
    half = cosine.shape[1]
    for n in range(x.shape[0]):
        for head in range(x.shape[1]):
            for d in range(half):
                low, high = x[n, head, d], x[n, head, d + half]
                c, s = cosine[n, d], sine[n, d]
                x[n, head, d] = sub(mul(low, c), mul(high, s))
                x[n, head, d + half] = add(mul(high, c), mul(low, s))


@njit
def silu_gate(gate: np.ndarray, up: np.ndarray) -> np.ndarray:
    """``(gate * sigmoid(gate)) * up``, elementwise on float32 [N, K]."""
    result = np.empty_like(gate)
    for n in range(gate.shape[0]):
        for k in range(gate.shape[1]):
            value = gate[n, k]
            result[n, k] = mul(mul(value, sigmoid(value)), up[n, k])
    return result


@njit
def silu_gate_avx512(gate: np.ndarray, up: np.ndarray) -> np.ndarray:
    """``silu_gate`` of C-contiguous arrays, the same bits, on CPUs that have AVX-512."""
    result = np.empty_like(gate)
    vectors = result.size // 16
    silu_vectors(gate.ctypes.data, up.ctypes.data, result.ctypes.data, vectors)
    gates, ups, out = gate.reshape(-1), up.reshape(-1), result.reshape(-1)
    for k in range(16 * vectors, len(out)):
        out[k] = mul(mul(gates[k], sigmoid(gates[k])), ups[k])
    return result


@njit
def relu2_gate(gate: np.ndarray, up: np.ndarray) -> np.ndarray:
    """``max(gate, 0)^2 * up``, elementwise on float32 [N, K] (BitNet's squared ReLU)."""
    result = np.empty_like(gate)
    for n in range(gate.shape[0]):
        for k in range(gate.shape[1]):
            value = max(gate[n, k], np.float32(0.0))
            result[n, k] = mul(mul(value, value), up[n, k])
    return result


@njit
def gelu_gate(gate: np.ndarray, up: np.ndarray) -> np.ndarray:
    """``gelu_tanh(gate) * up``, elementwise on float32 [N, K]."""
    result = np.empty_like(gate)
    for n in range(gate.shape[0]):
        for k in range(gate.shape[1]):
            result[n, k] = mul(gelu_tanh(gate[n, k]), up[n, k])
    return result


@njit
def limited_gate(joined: np.ndarray, limit: np.float32) -> np.ndarray:
    """``(up + 1) * (gate * sigmoid(1.702 * gate))`` of gate, up = columns 0, 2, ... and 1, 3, ...

    Float32 [N, K] of ``joined`` [N, 2 K]. Before that the gate becomes at most ``limit``, and up at
    most ``limit`` in magnitude (gpt-oss, ``transformers`` ``modeling_gpt_oss``).
    """
    result = np.empty((joined.shape[0], joined.shape[1] // 2), np.float32)
    for n in range(joined.shape[0]):
        for k in range(result.shape[1]):
            gate = min(joined[n, 2 * k], limit)
            up = max(min(joined[n, 2 * k + 1], limit), -limit)
            swish = mul(gate, sigmoid(mul(GATE_GAIN, gate)))
            result[n, k] = mul(add(up, np.float32(1)), swish)
    return result


@njit
def add_residual(x: np.ndarray, update: np.ndarray) -> None:
    """``x += update`` in place, float32 [N, K]."""
    for n in range(x.shape[0]):
        for k in range(x.shape[1]):
            x[n, k] = add(x[n, k], update[n, k])


@njit
def add_scaled(x: np.ndarray, update: np.ndarray, scale: np.float32) -> None:
    """``x += update * scale`` in place, float32 [N, K]; the product is rounded first."""
    for n in range(x.shape[0]):
        for k in range(x.shape[1]):
            x[n, k] = add(x[n, k], mul(update[n, k], scale))


@njit
def cap_softly(x: np.ndarray, cap: np.float32, inverse: np.float32) -> None:
    """``soft_cap`` of every element of float32 [N, K], in place."""
    for n in range(x.shape[0]):
        for k in range(x.shape[1]):
            x[n, k] = soft_cap(x[n, k], cap, inverse)


@njit
def add_and_norm(
    x: np.ndarray, update: np.ndarray, weight: np.ndarray, epsilon: np.float32
) -> np.ndarray:
    """``add_residual``, then ``rms_norm`` of the sum, in one call."""
    add_residual(x, update)
    return rms_norm(x, weight, epsilon)


def gate_for(activation: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The gate of a ``model.Activation``, the fastest that this CPU has."""
    if activation != "silu":
        return {"relu2": relu2_gate, "gelu_tanh": gelu_gate}[activation]
    return silu_gate_avx512 if chosen_kernel() in ("vnni", "avx512") else silu_gate
