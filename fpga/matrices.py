"""Weights as the engine multiplies by them: ternary digits, and how they and their scales lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import TrilobiteError
from ..hw.matmul.scale_codes import scale_codes
from ..quant.formats import GroupedTernary, Ternary
from ..quant.formats.base import Format, PackedWeight
from ..quant.formats.grouped_int import GroupedInt
from .accelerator_parameters import AcceleratorParameters

__all__ = ["Grouping", "Matrix", "MatrixLayout", "digits_of", "grouping_of", "take_matrix"]


@dataclass(frozen=True)
class Grouping:
    """Columns that share a scale (None: the whole matrix does), and ternary digits of a weight."""

    columns: int | None = None
    digits: int = 1

    def __str__(self) -> str:
        columns = "one scale" if self.columns is None else f"groups of {self.columns}"
        return f"{columns}, weights of {self.digits} ternary digits"


@dataclass(frozen=True)
class Matrix:
    """Integers [M, K], and scales float32: [M, groups], or [1, 1] without groups."""

    values: np.ndarray
    scales: np.ndarray
    grouping: Grouping

    @property
    def scale(self) -> np.float32:
        """The only scale; 0 where groups have them."""
        return np.float32(self.scales[0, 0] if self.grouping.columns is None else 0)


def grouping_of(form: Format, K: int) -> Grouping | None:
    """How the engine multiplies by [M, K] weights of a format; None: it does not."""
    if isinstance(form, Ternary):
        return Grouping()
    if isinstance(form, GroupedTernary):
        return Grouping(form.group_size or K)
    if isinstance(form, GroupedInt):
        largest = form.half if form.symmetric else form.top   # |code - zero point|
        digits = 1
        while 3 ** digits // 2 < largest:
            digits += 1
        return Grouping(form.group_size or K, digits)
    return None


def take_matrix(name: str, weight: np.ndarray | PackedWeight, p: AcceleratorParameters) -> Matrix:
    """A weight as integers.

    Raises
    ------
    TrilobiteError
        The accelerator does not multiply by weights of this format, or not by these.
    """
    packed = weight if isinstance(weight, PackedWeight) else None
    grouping = packed and grouping_of(packed.format, packed.shape[1])
    if not packed or not grouping or (grouping.columns and not p.scale_beats):
        if not p.scale_beats:
            raise TrilobiteError(
                f"{name} is not ternary, and the accelerator multiplies ternary weights; quantize "
                "the model with --format ternary")
        has = packed.format.name if packed else "float"
        raise TrilobiteError(
            f"{name} has the format {has}, and the accelerator multiplies ternary, ternary-group, "
            "int4, int3 and int2 weights; quantize the model with --format int4")
    if packed.rotation is not None:
        raise TrilobiteError(f"{name} is stored for rotated inputs, and the accelerator rotates "
                             "none; quantize the model with --format int4")
    codes = packed.codes()
    if grouping.columns is None:
        return Matrix(codes.values, np.asarray(codes.scale[:1, :1], np.float32), grouping)
    if grouping.columns % p.lanes:
        raise TrilobiteError(f"{name}: a group of {grouping.columns} columns is no multiple of the "
                             f"accelerator's {p.lanes} lanes")
    values, scales = codes.values.astype(np.int8), np.asarray(codes.scale, np.float32)
    if codes.zero_point is not None:
        values -= np.repeat(codes.zero_point.astype(np.int8), grouping.columns, axis=1)
    try:
        scale_codes(scales)
    except ValueError as error:
        raise TrilobiteError(f"{name}: {error}") from None
    return Matrix(values, scales, grouping)


def digits_of(values: np.ndarray, digits: int) -> np.ndarray:
    """Balanced ternary digits int8 [digits, ...] of integers, the highest one first."""
    found = []
    left = values.astype(np.int16)
    for _ in range(digits):
        digit = (left + 1) % 3 - 1
        found.append(digit.astype(np.int8))
        left = (left - digit) // 3
    return np.stack(found[::-1])


@dataclass(frozen=True)
class MatrixLayout:
    """How weight tiles of K columns lie in memory, scales before weights."""

    parameters: AcceleratorParameters
    K: int
    grouping: Grouping

    @property
    def groups(self) -> int:
        """Groups of a row that have scales; 0 without."""
        columns = self.grouping.columns
        return self.K // columns if columns else 0

    @property
    def group_passes(self) -> int:
        """Passes of a group."""
        return self.parameters.tlmm.passes(self.grouping.columns or self.K)

    @property
    def passes(self) -> int:
        """Passes of a row of activations."""
        return max(self.groups, 1) * self.group_passes

    @property
    def most_blocks(self) -> int:
        """Blocks of a tile of which two fit the buffers of weights and of scales."""
        p, digits = self.parameters, self.grouping.digits
        most = min(p.weight_beats // 2 // (self.passes * digits), p.tlmm.max_blocks // digits)
        if self.groups:
            most = min(most, p.scale_beats // 2 // self.scale_beats(1))
        return most

    def beats(self, blocks: int) -> int:
        """Beats of the weights of a tile of so many blocks."""
        return blocks * self.grouping.digits * self.passes

    def scale_beats(self, blocks: int) -> int:
        """Beats of its scales."""
        p = self.parameters
        return self.groups * blocks * p.tlmm.columns // p.scale_lanes if self.groups else 0

    def scale_words(self, blocks: int) -> int:
        """Words of its scales."""
        return -(-2 * self.parameters.scale_lanes * self.scale_beats(blocks)
                 // self.parameters.word_bytes)

    def words(self, blocks: int) -> int:
        """Words of the tile."""
        p = self.parameters
        rows = blocks * self.grouping.digits * p.tlmm.columns
        return self.scale_words(blocks) + p.weights.words(rows, self.passes * p.tlmm.pass_length)

    def pack(self, values: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """The tile of integers [rows, K] and their scales: uint8 [words, word_bytes]."""
        p, rows = self.parameters, len(values)
        weights = p.weights.pack(self._trits(values))
        if not self.groups:
            return weights
        blocks = rows // p.tlmm.columns
        image = np.zeros((self.words(blocks), p.word_bytes), np.uint8)
        codes = scale_codes(scales).T.astype("<u2").ravel().view(np.uint8)
        image.reshape(-1)[:len(codes)] = codes
        image[self.scale_words(blocks):] = weights
        return image

    def _trits(self, values: np.ndarray) -> np.ndarray:
        """Rows of digits, each group of columns filled up to whole passes."""
        if not self.groups:
            return values
        p, (rows, _) = self.parameters, values.shape
        digits = digits_of(values, self.grouping.digits)
        blocks = digits.reshape(len(digits), rows // p.tlmm.columns, p.tlmm.columns, self.K)
        ordered = blocks.transpose(1, 0, 2, 3).reshape(-1, self.groups, self.K // self.groups)
        padding = self.group_passes * p.tlmm.pass_length - ordered.shape[2]
        return np.pad(ordered, ((0, 0), (0, 0), (0, padding))).reshape(len(ordered), -1)
