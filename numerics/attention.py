"""What attention rounds to: tiles of tokens, and softmax weights as int16."""

from __future__ import annotations

import numpy as np

__all__ = ["ATTENTION_TILE", "WEIGHT_FLOOR", "WEIGHT_MAX", "WEIGHT_STEP"]

ATTENTION_TILE = 32   # tokens that share one scale of their softmax weights
WEIGHT_MAX = np.float32(32767)
WEIGHT_STEP = np.float32(1 / 32767)
# Below the floor a tile's weights are all zero next to the running maximum's weight of one; it
# keeps the reciprocal finite.
WEIGHT_FLOOR = np.float32(2.0**-100)
