"""Quantized weights as tensors of a model, from codes that come block by block."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from onnx import TensorProto

from ..formats import Codes
from .dequantize import DequantizeLayout
from .matmul_nbits import NBitsLayout, NBitsRows
from .sink import TensorSink
from .types import affine_codes

__all__ = ["PARTS", "dequantize_tensors", "nbits_tensors"]

PARTS = ("codes", "scale", "zero_point")   # what the tensors are called, in the nodes' order


def dequantize_tensors(
    stored: DequantizeLayout, encoded: Iterator[Codes], names: Sequence[str], sink: TensorSink
) -> list[TensorProto]:
    """Codes, scale and zero point; one byte per code is held."""
    codes = _joined(stored, encoded)
    kind = stored.type.name
    tensors = [
        sink.stored(names[0], kind, stored.shape, [stored.codes(codes.values)]),
        sink.array(names[1], stored.scale(codes)),
    ]
    if (packed := stored.zero_point(codes)) is not None:
        tensors.append(sink.stored(names[2], kind, stored.scale_shape, [packed]))
    return tensors


def _joined(stored: DequantizeLayout, encoded: Iterator[Codes]) -> Codes:
    """All rows' codes in one array."""
    K = stored.shape[stored.axis]
    rows, done = math.prod(stored.shape) // K, 0
    values: np.ndarray | None = None
    scales: list[np.ndarray] = []
    zero_points: list[np.ndarray] = []
    for block in encoded:
        codes = affine_codes(stored.form, block)
        if values is None:
            values = np.empty((rows, K), codes.values.dtype)
        values[done:done + len(codes.values)] = codes.values
        done += len(codes.values)
        scales.append(codes.scale)
        if codes.zero_point is not None:
            zero_points.append(codes.zero_point)
    scale = scales[0] if stored.scale_shape == () else np.concatenate(scales)
    assert values is not None, "there is a block at least"
    zero_point = np.concatenate(zero_points) if zero_points else None
    return Codes(values, scale, zero_point)


def nbits_tensors(
    stored: NBitsLayout, encoded: Iterator[Codes], names: Sequence[str], sink: TensorSink
) -> list[TensorProto]:
    """Codes, scale and zero points of MatMulNBits, block by block."""
    small: list[NBitsRows] = []

    def packed() -> Iterator[np.ndarray]:
        for codes in encoded:
            rows = stored.rows(affine_codes(stored.form, codes))
            small.append(replace(rows, packed=rows.packed[:0]))
            yield rows.packed

    nbytes = math.prod(stored.packed_shape)
    tensors = [
        sink.stored(names[0], "UINT8", stored.packed_shape, packed(), nbytes),
        sink.array(names[1], np.concatenate([rows.scale for rows in small])),
    ]
    if stored.zero_point_shape is not None:
        tensors.append(sink.array(names[2], np.concatenate([r.zero_point for r in small])))
    return tensors
