"""The Pareto front: points that no other point is at least as good as in everything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["grid_front", "pareto_front"]

_FIRST_BLOCK = 8      # the points that remove most are few; comparing many with all is slow
_LARGEST_BLOCK = 256


def pareto_front(objectives: NDArray[np.float64]) -> NDArray[np.int64]:
    """Positions, in rising order, of the points of ``objectives`` that none dominates.

    ``objectives`` is [points, objectives], finite, of which less is better. A point dominates
    another if it is nowhere larger and somewhere smaller; so equal points are all on the front.

    A point can only be dominated by one of smaller sum (of the objectives scaled to 0 to 1), so
    points are taken in the order of their sums, and those which the taken ones dominate drop out.

    Raises
    ------
    ValueError
        ``objectives`` is not two-dimensional, or not finite.
    """
    values = np.asarray(objectives, np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ValueError("objectives must be finite numbers in two dimensions")
    if not values.size:
        return np.arange(len(values))
    # Ranks instead of values: rounding a sum could put a point before one that dominates it.
    ranks = np.stack([np.unique(column, return_inverse=True)[1] for column in values.T])
    left = np.argsort((ranks / (ranks.max(axis=1, keepdims=True) + 1)).sum(axis=0), kind="stable")
    return _front_of(ranks.astype(np.int32), left)


def _front_of(ranks: NDArray[np.int32], left: NDArray[np.int64]) -> NDArray[np.int64]:
    front: list[NDArray[np.int64]] = []
    size = _FIRST_BLOCK
    while len(left):
        block, left = left[:size], left[size:]
        block = block[~_dominated(ranks[:, block], ranks[:, block])]
        front.append(block)
        left = left[~_dominated(ranks[:, left], ranks[:, block])]
        size = min(2 * size, _LARGEST_BLOCK)
    return np.sort(np.concatenate(front))


def _dominated(points: NDArray[np.int32], others: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which of ``points`` [objectives, points] one of ``others`` dominates."""
    result = np.zeros(points.shape[1], np.bool_)
    for other in others.T:
        better = np.ones(points.shape[1], np.bool_)
        equal = better.copy()
        for values, value in zip(points, other, strict=True):
            better &= values >= value
            equal &= values == value
        result |= better & ~equal
    return result


def grid_front(
    objectives: Sequence[NDArray[np.float64]], allowed: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """``pareto_front`` of the ``allowed`` points of a grid, as positions in the flattened grid.

    Each of ``objectives`` broadcasts to the shape of ``allowed``. Points that a neighbour on an
    axis dominates drop out first: that takes few operations per point, and leaves few points.
    """
    shape = allowed.shape
    grids = [np.where(allowed, np.broadcast_to(one, shape), np.inf) for one in objectives]
    left = allowed.copy()
    for axis in range(len(shape)):
        low, high = _pair(len(shape), axis)
        no_worse = np.logical_and.reduce([one[low] <= one[high] for one in grids])
        no_better = np.logical_and.reduce([one[low] >= one[high] for one in grids])
        left[high] &= ~(no_worse & ~no_better)
        left[low] &= ~(no_better & ~no_worse)
    positions = np.flatnonzero(left)
    values = np.stack([one.ravel()[positions] for one in grids], axis=1)
    return positions[pareto_front(values)]


def _pair(axes: int, axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Slices of all points but the last on ``axis``, and of all but the first."""
    whole = (slice(None),) * axes
    return (
        (*whole[:axis], slice(None, -1), *whole[axis + 1:]),
        (*whole[:axis], slice(1, None), *whole[axis + 1:]),
    )
