"""How a router chooses experts: logits in the written order of sums, a softmax, the largest."""

from __future__ import annotations

import numpy as np

from ..tools.compiled import njit
from .float32 import add, mul, sub
from .functions import exp, reciprocal
from .sums import LANES, add_lanes, sum_lanes

__all__ = ["dot_lanes", "largest", "softmax"]


@njit
def dot_lanes(a: np.ndarray, b: np.ndarray) -> np.float32:
    """Sum of ``a[k] * b[k]`` over float32 [n], in the order of ``sum_lanes``."""
    lanes = np.zeros(LANES, np.float32)
    whole = a.shape[0] // LANES * LANES
    for start in range(0, whole, LANES):
        for lane in range(LANES):
            lanes[lane] = add(lanes[lane], mul(a[start + lane], b[start + lane]))
    for lane in range(a.shape[0] - whole):
        lanes[lane] = add(lanes[lane], mul(a[whole + lane], b[whole + lane]))
    return add_lanes(lanes)


@njit
def softmax(values: np.ndarray) -> None:
    """Softmax of float32 [n] in place: exp(v - max), times the reciprocal of their ``sum_lanes``.

    The error of a share is at most 8e-7 of the largest possible share, which is 1, for up to 1024
    values of any size.
    """
    largest_value = values[0]
    for i in range(1, values.shape[0]):
        largest_value = max(largest_value, values[i])
    for i in range(values.shape[0]):
        values[i] = exp(sub(values[i], largest_value))
    factor = reciprocal(sum_lanes(values))
    for i in range(values.shape[0]):
        values[i] = mul(values[i], factor)


@njit
def largest(values: np.ndarray, places: np.ndarray) -> None:
    """Write int32 ``places`` [k]: where the k largest of float32 [n] stand, the largest first.

    Of equal values the one that stands first is taken first. (``torch.topk`` leaves that open.)
    """
    for rank in range(places.shape[0]):
        best = -1
        for i in range(values.shape[0]):
            taken = False
            for earlier in range(rank):
                taken |= places[earlier] == i
            if not taken and (best < 0 or values[i] > values[best]):
                best = i
        places[rank] = best
