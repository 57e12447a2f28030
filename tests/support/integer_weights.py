"""Packed weights made of chosen codes, and the exact sums that they must give."""

from dataclasses import dataclass

import numpy as np

from trilobite.quant.formats import Codes, Format, PackedWeight
from trilobite.quant.formats.fp8 import E4M3_VALUES
from trilobite.quant.formats.grouped_int import GroupedInt


@dataclass(frozen=True)
class IntegerWeight:
    """A packed weight next to ``integers`` int64 [M, K], the whole numbers its sums are made of."""

    packed: PackedWeight
    integers: np.ndarray

    def sums(self, q: np.ndarray) -> np.ndarray:
        """int64 [N, M]; [N, groups, M] for formats with groups."""
        q = q.astype(np.int64)
        if not hasattr(self.packed.format, "group_size"):
            return q @ self.integers.T
        groups = self.packed.tensors["scale"].shape[1]
        weight = self.integers.reshape(len(self.integers), groups, -1)
        return np.einsum("ngk,mgk->ngm", q.reshape(len(q), groups, -1), weight)

    def output(self, q: np.ndarray, scale_x: np.ndarray) -> np.ndarray:
        """float32 [N, M] by the written rule, for scales far from underflow."""
        sums = self.sums(q).astype(np.float32)
        scale = self.packed.tensors["scale"].astype(np.float32)
        if not hasattr(self.packed.format, "group_size"):
            unit = np.float32(2.0**-9 if self.packed.format.name == "fp8" else 1)
            return sums * scale_x[:, None] * (scale.reshape(-1) * unit)
        total = np.zeros((len(q), len(self.integers)), np.float32)
        for group in range(scale.shape[1]):
            total = total + sums[:, group] * scale[:, group]
        return total * scale_x[:, None]


def whole_range(weight_format: Format) -> np.ndarray:
    """Every code of a format, in the order of the integers that they stand for."""
    if weight_format.name == "fp8":
        codes = np.arange(256).astype(np.uint8)
        codes = codes[~np.isnan(E4M3_VALUES)]
        return codes[np.argsort(E4M3_VALUES[codes], kind="stable")]
    if isinstance(weight_format, GroupedInt):
        codes = np.arange(weight_format.top + 1)
        symmetric = weight_format.symmetric
        return (codes - weight_format.half).astype(np.int8) if symmetric else codes.astype(np.uint8)
    largest = {"ternary": 1, "ternary-group": 1, "int8": 127}[weight_format.name]
    return np.arange(-largest, largest + 1).astype(np.int8)


def pack_values(
    weight_format: Format, values: np.ndarray, seed: int = 0, zero_point: int | None = None
) -> IntegerWeight:
    """Pack code ``values`` [M, K] with random scales, and zero points unless one is given."""
    M, K = values.shape
    rng = np.random.default_rng(seed)
    layout = weight_format.layout((M, K))
    scale = rng.uniform(1e-3, 2e-3, layout["scale"].shape).astype(layout["scale"].dtype)
    zero_points = None
    integers = values.astype(np.int64)
    if weight_format.name == "fp8":
        integers = (E4M3_VALUES[values] * 2**9).astype(np.int64)
    if "zero_point" in layout:
        top = weight_format.top
        zero_points = rng.integers(0, top + 1, layout["zero_point"].shape).astype(np.uint8)
        if zero_point is not None:
            zero_points[:] = min(zero_point, top)
        integers -= np.repeat(zero_points, K // zero_points.shape[1], axis=1)
    codes = Codes(values, scale.astype(np.float32), zero_points)
    return IntegerWeight(PackedWeight(weight_format, (M, K), weight_format.pack(codes)), integers)


def random_weight(weight_format: Format, M: int, K: int, seed: int = 0) -> IntegerWeight:
    """A weight whose codes are drawn from the whole range."""
    values = np.random.default_rng(seed).choice(whole_range(weight_format), (M, K))
    return pack_values(weight_format, values, seed)
