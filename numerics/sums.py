"""Float sums in their written order, and how integer sums become outputs."""

from __future__ import annotations

import numpy as np

from ..tools.compiled import njit
from .float32 import add, mul, scalar

__all__ = ["LANES", "add_group", "add_lanes", "scale_sum", "sum_lanes", "sum_of_squares"]

LANES = 16   # of a float sum


@njit
def add_lanes(lanes: np.ndarray) -> np.float32:
    """Sum float32 [LANES] as a tree: lane j takes lane j + 8, then j + 4, j + 2, j + 1."""
    width = LANES // 2
    while width:
        for lane in range(width):
            lanes[lane] = add(lanes[lane], lanes[lane + width])
        width //= 2
    return lanes[0]


@njit
def sum_lanes(values: np.ndarray) -> np.float32:
    """Sum of float32 [n] in the written order.

    Lane j of ``LANES`` starts at zero and adds elements j, j + LANES, ... one after the other; the
    lanes are then added pairwise, (0 + 8), (1 + 9), ..., then 4, 2, 1 apart. Elements that are
    missing in the last round count as zero.
    """
    lanes = np.zeros(LANES, np.float32)
    whole = values.shape[0] // LANES * LANES
    for start in range(0, whole, LANES):
        for lane in range(LANES):
            lanes[lane] = add(lanes[lane], values[start + lane])
    for lane in range(values.shape[0] - whole):
        lanes[lane] = add(lanes[lane], values[whole + lane])
    return add_lanes(lanes)


@njit
def sum_of_squares(values: np.ndarray) -> np.float32:
    """Sum of v * v over float32 [n], in the order of ``sum_lanes``."""
    lanes = np.zeros(LANES, np.float32)
    whole = values.shape[0] // LANES * LANES
    for start in range(0, whole, LANES):
        for lane in range(LANES):
            value = values[start + lane]
            lanes[lane] = add(lanes[lane], mul(value, value))
    for lane in range(values.shape[0] - whole):
        value = values[whole + lane]
        lanes[lane] = add(lanes[lane], mul(value, value))
    return add_lanes(lanes)


@scalar
def scale_sum(total: int, scale_x: np.float32, scale_w: np.float32) -> np.float32:
    """Output of an integer dot product: (float32(total) * scale_x) * scale_w.

    The conversion rounds once, to nearest even, from int32 as well as from int64.
    """
    return mul(mul(np.float32(total), scale_x), scale_w)


@scalar
def add_group(total: np.float32, group_sum: int, scale_w: np.float32) -> np.float32:
    """One step of the output of a dot product with a scale per group of the weight.

    total + float32(group_sum) * scale_w, from +0 through the groups in order; the last total is
    multiplied by scale_x.
    """
    return add(total, mul(np.float32(group_sum), scale_w))
