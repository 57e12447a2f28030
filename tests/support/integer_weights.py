"""Packed weights made of chosen codes, and the exact sums that they must give."""

from dataclasses import dataclass

import numpy as np

from trilobite import numerics
from trilobite.quant.formats import Codes, Format, Mxfp4, PackedWeight
from trilobite.quant.formats.codebook import Codebook
from trilobite.quant.formats.e2m1 import E2M1_VALUES
from trilobite.quant.formats.e4m3_scaled import E4m3Scaled
from trilobite.quant.formats.fp8 import E4M3_VALUES
from trilobite.quant.formats.grouped_int import GroupedInt

E4M3_UNITS = 448 * 512   # the largest E4M3 number, in units of the smallest
# What an integer of a weight is worth, besides the stored scale.
_UNITS = {"fp8": 2.0**-9, "nvfp4": 2.0**-10, "int4-fp8": 2.0**-18}


@dataclass(frozen=True)
class IntegerWeight:
    """A packed weight next to ``integers`` int64 [M, K], the whole numbers its sums are made of.

    [M, K, terms] for formats with several parameters to a group, as their counts are.
    """

    packed: PackedWeight
    integers: np.ndarray

    @property
    def grouped(self) -> bool:
        """Whether a float scale for each group keeps the groups' sums apart."""
        form = self.packed.format
        integer_scales = isinstance(form, E4m3Scaled)
        return isinstance(form, Mxfp4) or (hasattr(form, "group_size") and not integer_scales)

    @property
    def extremes(self) -> tuple[int, int]:
        """The smallest and largest activation."""
        fp8 = self.packed.format.name == "int4-fp8"
        return (-E4M3_UNITS, E4M3_UNITS) if fp8 else (-128, 127)

    def random_activations(self, N: int, seed: int = 1) -> np.ndarray:
        """Integers [N, K] over the whole range, in the type that a kernel takes."""
        low, high = self.extremes
        q = np.random.default_rng(seed).integers(low, high + 1, (N, self.packed.shape[1]))
        return q.astype(np.int8 if high == 127 else np.int32)

    def activations(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Integers and scales of float32 ``x``, by the rule of the format."""
        fp8 = self.packed.format.name == "int4-fp8"
        return (numerics.quantize_activations_fp8 if fp8 else numerics.quantize_activations)(x)

    def sums(self, q: np.ndarray) -> np.ndarray:
        """int64 [N, M]; [N, groups (* terms), M] for formats with float scales for each group."""
        q = q.astype(np.int64)
        if self.integers.ndim == 3:
            groups, (M, _, terms) = self.packed.tensors["scale"].shape[1], self.integers.shape
            weight = self.integers.reshape(M, groups, -1, terms)
            sums = np.einsum("ngk,mgkt->ngtm", q.reshape(len(q), groups, -1), weight, optimize=True)
            return sums.reshape(len(q), groups * terms, M)
        if not self.grouped:
            return q @ self.integers.T
        groups = self.packed.tensors["scale"].shape[1]
        weight = self.integers.reshape(len(self.integers), groups, -1)
        return np.einsum("ngk,mgk->ngm", q.reshape(len(q), groups, -1), weight)

    def output(self, q: np.ndarray, scale_x: np.ndarray) -> np.ndarray:
        """float32 [N, M] by the written rule, for scales far from underflow."""
        sums = self.sums(q).astype(np.float32)
        codes = self.packed.codes()
        scale = codes.scale.reshape(len(codes.scale), -1)
        if not self.grouped:
            unit = np.float32(_UNITS.get(self.packed.format.name, 1))
            scale = scale * unit if codes.global_scale is None else unit / codes.global_scale
            return sums * scale_x[:, None] * scale.reshape(-1)
        if isinstance(self.packed.format, Mxfp4):
            scale = scale / 2
        total = np.zeros((len(q), len(self.integers)), np.float32)
        for group in range(scale.shape[1]):
            total = total + sums[:, group] * scale[:, group]
        return total * scale_x[:, None]


def whole_range(weight_format: Format) -> np.ndarray:
    """Every code of a format, in the order of the integers that they stand for."""
    if isinstance(weight_format, Codebook):
        return np.arange(len(weight_format.table)).astype(np.uint8)
    if weight_format.name == "fp8":
        codes = np.arange(256).astype(np.uint8)
        codes = codes[~np.isnan(E4M3_VALUES)]
        return codes[np.argsort(E4M3_VALUES[codes], kind="stable")]
    if weight_format.name in ("mxfp4", "nvfp4"):
        return np.argsort(E2M1_VALUES, kind="stable").astype(np.uint8)
    if weight_format.name == "int4-fp8":
        return np.arange(-8, 8).astype(np.int8)
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
    if isinstance(weight_format, Codebook):
        groups = K // (weight_format.group_size or K)
        scale = rng.uniform(1e-3, 2e-3, (M, groups, weight_format.parameters)).astype(np.float16)
        codes = Codes(values, scale.astype(np.float32))
        packed = PackedWeight(weight_format, (M, K), weight_format.pack(codes))
        return IntegerWeight(packed, weight_format.table.astype(np.int64)[values])
    layout = weight_format.layout((M, K))
    scale = rng.uniform(1e-3, 2e-3, layout["scale"].shape).astype(layout["scale"].dtype)
    zero_points = global_scale = None
    integers = values.astype(np.int64)
    if weight_format.name == "fp8":
        integers = (E4M3_VALUES[values] * 2**9).astype(np.int64)
    if weight_format.name in ("mxfp4", "nvfp4"):
        integers = (2 * E2M1_VALUES[values]).astype(np.int64)
    if isinstance(weight_format, Mxfp4):
        scale = np.float32(2.0) ** rng.integers(-12, -8, scale.shape)
    if isinstance(weight_format, E4m3Scaled):
        scale = rng.choice(E4M3_VALUES[1:0x7F], scale.shape)
        if zero_point is not None:
            scale[:] = 448
        global_scale = np.float32([[2.0**9 if weight_format.name == "int4-fp8" else 777.7]])
        repeated = np.repeat(scale * 2**9, K // scale.shape[1], axis=1)
        integers *= repeated.astype(np.int64)
    if "zero_point" in layout:
        top = weight_format.top
        zero_points = rng.integers(0, top + 1, layout["zero_point"].shape).astype(np.uint8)
        if zero_point is not None:
            zero_points[:] = min(zero_point, top)
        integers -= np.repeat(zero_points, K // zero_points.shape[1], axis=1)
    codes = Codes(values, scale.astype(np.float32), zero_points, global_scale)
    return IntegerWeight(PackedWeight(weight_format, (M, K), weight_format.pack(codes)), integers)


def random_weight(weight_format: Format, M: int, K: int, seed: int = 0) -> IntegerWeight:
    """A weight whose codes are drawn from the whole range."""
    values = np.random.default_rng(seed).choice(whole_range(weight_format), (M, K))
    return pack_values(weight_format, values, seed)
