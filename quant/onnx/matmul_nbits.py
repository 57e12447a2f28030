"""Weights for MatMulNBits, onnxruntime's operator for a matrix of few bits in blocks of K."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..formats import Codes, Format
from ..formats.bits import pack_bits
from .types import nbits_width

__all__ = ["NBitsLayout", "NBitsRows"]

_BLOCK_SIZES = (128, 64, 32)
_LARGEST_PADDING = 1.1   # K as stored, over K; beyond it smaller blocks are better


@dataclass(frozen=True)
class NBitsRows:
    """Stored arrays of some rows.

    ``packed`` uint8 [R, blocks, block_size * bits / 8], ``scale`` float32 [R, blocks],
    ``zero_point`` uint8 [R, ceil(blocks * bits / 8)], or None where all are ``2**(bits - 1)``.
    """

    packed: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray | None


@dataclass(frozen=True)
class NBitsLayout:
    """How a matrix [M, K] in ``form`` is stored for MatMulNBits.

    The operator (https://github.com/microsoft/onnxruntime, docs/ContribOperators.md) wants a scale
    for every block of K, so a scale per row or tensor is repeated; the last block of a K that
    does not fill it is padded with the zero point. Raises ``FormatError`` if the operator has no
    such numbers.
    """

    form: Format
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        """Check the format."""
        nbits_width(self.form)

    @property
    def bits(self) -> int:
        """2, 4 or 8; 3-bit codes take 4."""
        return nbits_width(self.form)

    @property
    def block_size(self) -> int:
        """The format's groups; else the largest of 128, 64 and 32 that pads K by a tenth at most.

        onnxruntime is fastest with 128 at two bits, and takes its slow reference path below 32.
        """
        K = self.shape[1]
        scales = self.form.layout(self.shape)["scale"].shape[1]
        if scales > 1:
            return K // scales
        fitting = (size for size in _BLOCK_SIZES if -(-K // size) * size <= _LARGEST_PADDING * K)
        return next(fitting, _BLOCK_SIZES[-1])

    @property
    def blocks(self) -> int:
        """Blocks in a row."""
        return -(-self.shape[1] // self.block_size)

    @property
    def attributes(self) -> dict[str, int]:
        """The node's attributes, but for its accuracy level."""
        M, K = self.shape
        return {"K": K, "N": M, "bits": self.bits, "block_size": self.block_size}

    @property
    def packed_shape(self) -> tuple[int, int, int]:
        """The shape of the codes, uint8."""
        return self.shape[0], self.blocks, self.block_size * self.bits // 8

    @property
    def zero_point_shape(self) -> tuple[int, int] | None:
        """The shape of the zero points, uint8; None where the operator's default is meant."""
        if self._middle is not None and self._middle == 2 ** (self.bits - 1):
            return None
        return self.shape[0], -(-self.blocks * self.bits // 8)

    @property
    def nbytes(self) -> int:
        """Stored bytes."""
        M, blocks, width = self.packed_shape
        zero_points = self.zero_point_shape
        return M * blocks * (width + 4) + (M * zero_points[1] if zero_points else 0)

    @property
    def _middle(self) -> int | None:
        """What is added to the codes of a symmetric format; None for an asymmetric one."""
        if self.form.name in ("ternary", "ternary-group"):
            return 1
        return 2 ** (self.bits - 1) if getattr(self.form, "symmetric", True) else None

    def rows(self, codes: Codes) -> NBitsRows:
        """Stored arrays of a block of rows."""
        R, K = codes.values.shape
        middle = self._middle
        if middle is None:
            assert codes.zero_point is not None, "codes of an asymmetric format have one"
            stored, zero_point = codes.values, codes.zero_point
        else:
            stored = (codes.values.astype(np.int16) + middle).astype(np.uint8)
            zero_point = np.full((R, 1), middle, np.uint8)
        padded = np.repeat(zero_point[:, -1:], self.blocks * self.block_size, axis=1)
        padded[:, :K] = stored
        zero_point = np.broadcast_to(zero_point, (R, self.blocks))
        scale = np.broadcast_to(codes.scale.astype(np.float32), (R, self.blocks))
        return NBitsRows(
            self._pack(padded).reshape(R, *self.packed_shape[1:]),
            np.ascontiguousarray(scale),
            None if self.zero_point_shape is None else self._pack(zero_point),
        )

    def _pack(self, values: np.ndarray) -> np.ndarray:
        """Uint8 [R, n] as bytes, lowest bits first, each row padded to whole bytes with zeros."""
        if self.bits == 8:
            return np.ascontiguousarray(values)
        padding = -values.shape[1] % (8 // self.bits)
        return pack_bits(np.pad(values, ((0, 0), (0, padding))), self.bits)
