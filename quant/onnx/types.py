"""Which of ONNX's element types hold a format's codes, and their bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import FormatError
from ..formats import Codes, Format
from ..formats.bits import pack_bits
from ..formats.e2m1 import E2M1_TWICE

__all__ = [
    "ElementType", "affine_codes", "element_type", "nbits_width", "pack_elements",
    "wider_than_needed",
]

# Bits of a code that is an integer, by format.
_CODE_BITS = {
    "ternary": 2, "ternary-group": 2, "int2": 2, "int3": 3, "int4": 4, "int4-fp8": 4, "int8": 8,
    "mxfp4": 8, "nvfp4": 8,
}
# Twice an E2M1 number is an integer from -12 to 12. onnxruntime computes with no FLOAT4E2M1.
_E2M1 = ("mxfp4", "nvfp4")
_BLOCK_VALUES = 1 << 20   # a multiple of what fills a byte


@dataclass(frozen=True)
class ElementType:
    """A type of ``onnx.TensorProto``: its name there, its width, and its first opset.

    ``since`` is the opset from which DequantizeLinear takes it, with a scale per tensor or axis.
    """

    name: str
    bits: int
    since: int

    def nbytes(self, count: int) -> int:
        """Bytes of ``count`` elements."""
        return -(-count * self.bits // 8)


_SIGNED = {
    2: ElementType("INT2", 2, 25), 4: ElementType("INT4", 4, 21), 8: ElementType("INT8", 8, 13),
}
_UNSIGNED = {
    2: ElementType("UINT2", 2, 25), 4: ElementType("UINT4", 4, 21), 8: ElementType("UINT8", 8, 13),
}
_E4M3 = ElementType("FLOAT8E4M3FN", 8, 19)


def element_type(form: Format, opset: int | None = None) -> ElementType:
    """The narrowest type that holds the codes of ``form`` and that DequantizeLinear takes.

    Three bits go into four, there being no such type. With an ``opset`` below 25, which has no
    two-bit types, two bits go into four as well.

    Raises
    ------
    FormatError
        ONNX has no type whose numbers are those of ``form``.
    """
    if form.name == "fp8":
        return _E4M3
    bits = _code_bits(form)
    types = _SIGNED if getattr(form, "symmetric", True) else _UNSIGNED
    chosen = next(kind for width, kind in types.items() if width >= bits)
    if opset is not None and chosen.bits == 2 and opset < chosen.since:
        return types[4]
    return chosen


def wider_than_needed(form: Format, kind: ElementType) -> str | None:
    """Why codes of ``form`` take a wider type than they need; None where they do not."""
    if form.name in _E2M1:
        return f"stored as {kind.name}: onnxruntime computes with no FLOAT4E2M1"
    if form.name == "int3":
        return f"stored as {kind.name}: ONNX has no 3-bit type"
    narrowest = element_type(form)
    if narrowest != kind:
        return f"stored as {kind.name}: {narrowest.name} needs opset {narrowest.since}"
    return None


def affine_codes(form: Format, codes: Codes) -> Codes:
    """Codes whose numbers are ``(values - zero_point) * scale``, exactly those of ``codes``.

    The bit patterns of fp8 stay: DequantizeLinear reads them.
    """
    values, scale = codes.values, codes.scale
    if codes.global_scale is not None:
        scale = scale / codes.global_scale
    if form.name in _E2M1:
        values, scale = E2M1_TWICE[values], scale * np.float32(0.5)
    return Codes(values, scale, codes.zero_point)


def nbits_width(form: Format) -> int:
    """Bits of a code in MatMulNBits: 2, 4 or 8. Raises ``FormatError`` where it has no such."""
    if form.name == "fp8":
        raise FormatError("MatMulNBits multiplies integers, not fp8; choose qdq, or int8")
    return next(width for width in _SIGNED if width >= _code_bits(form))


def pack_elements(values: np.ndarray, kind: ElementType) -> np.ndarray:
    """Bytes (uint8 [n]) of integer or bit-pattern ``values`` in row-major order.

    Elements below eight bits lie lowest bits first and without gaps between rows, as
    ``TensorProto.raw_data`` wants them; the last byte is filled with zeros.
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    if kind.bits == 8:
        return flat.view(np.uint8)
    per_byte, mask = 8 // kind.bits, np.uint8(2**kind.bits - 1)
    packed = np.empty(kind.nbytes(flat.size), np.uint8)
    for begin in range(0, flat.size, _BLOCK_VALUES):
        codes = flat[begin:begin + _BLOCK_VALUES].view(np.uint8) & mask
        if padding := -codes.size % per_byte:
            codes = np.pad(codes, (0, padding))
        first = begin // per_byte
        packed[first:first + codes.size // per_byte] = pack_bits(codes[None], kind.bits)[0]
    return packed


def _code_bits(form: Format) -> int:
    if form.name not in _CODE_BITS:
        raise FormatError(
            f"ONNX has no operator for the numbers of the format {form.name}; it has for "
            f"{', '.join([*_CODE_BITS, 'fp8'])}"
        )
    return _CODE_BITS[form.name]
