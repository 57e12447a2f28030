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
    parts = [affine_codes(stored.form, codes) for codes in encoded]
    per_tensor = stored.scale_shape == ()
    scale = parts[0].scale if per_tensor else np.concatenate([part.scale for part in parts])
    zero_point = None
    if parts[0].zero_point is not None:
        zero_point = np.concatenate([part.zero_point for part in parts])
    codes = Codes(np.concatenate([part.values for part in parts]), scale, zero_point)
    kind = stored.type.name
    tensors = [
        sink.stored(names[0], kind, stored.shape, [stored.codes(codes.values)]),
        sink.array(names[1], stored.scale(codes)),
    ]
    if (packed := stored.zero_point(codes)) is not None:
        tensors.append(sink.stored(names[2], kind, stored.scale_shape, [packed]))
    return tensors


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
