"""Packed weights made of chosen codes, and the exact sums that they must give."""

from dataclasses import dataclass

import numpy as np

from trilobite.quant.formats import Codes, Format, PackedWeight


@dataclass(frozen=True)
class IntegerWeight:
    """A packed weight next to ``integers`` int64 [M, K], the whole numbers its sums are made of."""

    packed: PackedWeight
    integers: np.ndarray

    def sums(self, q: np.ndarray) -> np.ndarray:
        """int64 [N, M]."""
        return q.astype(np.int64) @ self.integers.T


def whole_range(weight_format: Format) -> np.ndarray:
    """Every code of a format."""
    low, high = {"ternary": (-1, 1), "int8": (-127, 127)}[weight_format.name]
    return np.arange(low, high + 1).astype(np.int8)


def pack_values(weight_format: Format, values: np.ndarray, seed: int = 0) -> IntegerWeight:
    """Pack code ``values`` [M, K] with scales that are no powers of two."""
    shape = (values.shape[0], values.shape[1])
    layout = weight_format.layout(shape)["scale"]
    scale = np.random.default_rng(seed).uniform(1e-3, 2e-3, layout.shape).astype(layout.dtype)
    codes = Codes(values, scale.astype(np.float32))
    packed = PackedWeight(weight_format, shape, weight_format.pack(codes))
    return IntegerWeight(packed, values.astype(np.int64))


def random_weight(weight_format: Format, M: int, K: int, seed: int = 0) -> IntegerWeight:
    """A weight whose codes are drawn from the whole range."""
    values = np.random.default_rng(seed).choice(whole_range(weight_format), (M, K))
    return pack_values(weight_format, values, seed)
