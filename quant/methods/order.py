"""The order in which the columns of a weight are rounded."""

from __future__ import annotations

import numpy as np

__all__ = ["activation_order"]


def activation_order(power: np.ndarray, group_size: int) -> np.ndarray:
    """Columns [K] by falling ``power`` of their inputs, group after group.

    Groups come by the sum of their columns' power, columns within a group by their own; equals
    keep their order. GPTQModel calls it group-aware: the columns of a group stay together, so that
    its scale can be fitted when its turn comes.
    """
    groups = power.reshape(-1, group_size)
    first = np.argsort(-groups.sum(axis=1), kind="stable")
    within = np.argsort(-groups, axis=1, kind="stable")
    return (first[:, None] * group_size + within[first]).reshape(-1)
