"""Checkpoints of compressed-tensors (llm-compressor, vLLM): integers and small floats.

Which layout a weight has follows from its stored tensors (package compressed-tensors 0.20,
``compressors``), all with scales ``weight_scale`` [M, groups], [M, 1] or [1]:

- pack-quantized: ``weight_packed`` int32 [M, ceil(K * bits / 32)], a stream of codes less
  -2**(bits - 1), lowest bit first; ``weight_shape`` [2]; asymmetric also ``weight_zero_point``
  int32 [ceil(M * bits / 32), groups], packed the same way down the rows.
- int-quantized, float-quantized: ``weight`` int8 or F8_E4M3 [M, K]; zero points int8.
- nvfp4-pack-quantized: ``weight_packed`` uint8 [M, K / 2], the even column in the low nibble,
  ``weight_scale`` F8_E4M3 [M, K / 16], ``weight_global_scale`` F32 [1], which divides.
- mxfp4-pack-quantized: ``weight_scale`` uint8 [M, K / 32], exponents with a bias of 127.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import ml_dtypes
import numpy as np
from typing_extensions import override

from ...errors import CheckpointError
from .affine import AffineRows, AffineTensor, stored_floats, unpack_words
from .files.fields import Fields
from .files.locate import StoredEntry
from .files.source import check_entry
from .scheme import Scheme

__all__ = ["compressed_scheme"]

_FLOATS = ("F32", "F16", "BF16")
_FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)
_FP8 = np.arange(256, dtype=np.uint8).view(ml_dtypes.float8_e4m3fn).astype(np.float32)
_ROLES = {
    "packed": "weight_packed", "scale": "weight_scale", "zero_point": "weight_zero_point",
    "shape": "weight_shape", "g_idx": "weight_g_idx", "global_scale": "weight_global_scale",
}
_NOTES = ("config_groups", "format", "global_compression_ratio", "ignore", "kv_cache_scheme",
          "quantization_status", "version", "run_compressed")
# Scales of activations, which the runtime here does not quantize as those tools do.
_ACTIVATIONS = ("input_scale", "input_zero_point", "input_global_scale")


def compressed_scheme(fields: Fields) -> Scheme:
    """The storage that a ``quantization_config`` of method compressed-tensors describes.

    Raises ``CheckpointError`` if weights were pruned or transformed as well.
    """
    sparsity = fields.raw("sparsity_config")
    if sparsity and not (isinstance(sparsity, dict) and sparsity.get("format") == "dense"):
        raise fields.refuse("sparsity_config", 'absent, or of the format "dense"')
    fields.fixed("transform_config", {})
    fields.ignore(_NOTES)
    fields.finish()
    return _Compressed()


class _Compressed(Scheme):
    @override
    def parts(self, name: str, stored: Mapping[str, StoredEntry]) -> dict[str, str]:
        base = name.removesuffix("weight")
        if f"{base}weight_scale" not in stored and f"{base}weight_packed" not in stored:
            return {}
        found = {role: base + suffix for role, suffix in _ROLES.items() if base + suffix in stored}
        found |= {role: base + role for role in _ACTIVATIONS if base + role in stored}
        packed = base + ("weight" if name in stored else "weight_packed")
        return {"packed": packed, "scale": f"{base}weight_scale", **found}

    @override
    def source(
        self, name: str, shape: tuple[int, ...], parts: Mapping[str, StoredEntry]
    ) -> AffineTensor:
        dtype = parts["packed"].tensor.dtype
        kinds: dict[str, Callable[..., AffineTensor]] = {
            "I32": _PackedIntegers, "I8": _Plain, "F8_E4M3": _Plain, "U8": _PackedFp4}
        if dtype not in kinds:
            raise CheckpointError(
                f"{parts['packed']} is stored as {dtype}; a weight with a weight_scale is I32, U8, "
                "I8 or F8_E4M3"
            )
        return kinds[dtype](name, shape, parts)


class _Scaled(AffineTensor):
    """What the layouts share: scales and zero points by row, or one for the tensor."""

    def __init__(
        self, name: str, shape: tuple[int, ...], parts: Mapping[str, StoredEntry],
        bits: int | None,
    ) -> None:
        if "g_idx" in parts:
            check_entry(parts["g_idx"], (shape[1],), ("I32",))
        super().__init__(name, shape, parts, bits, parts.get("g_idx"))
        M, K = shape
        found = parts["scale"].tensor.shape
        self._single = math.prod(found) == 1 and len(found) <= 2
        if not self._single and (len(found) != 2 or found[0] != M or not found[1] or K % found[1]):
            raise CheckpointError(
                f"{parts['scale']} has shape {list(found)}; a weight of shape {list(shape)} has "
                "one scale, or [M, 1], or [M, groups] with groups that divide K"
            )

    @property
    def groups(self) -> int:
        """Groups of a row."""
        return 1 if self._single else self.parts["scale"].tensor.shape[1]

    def _scales(self, start: int, stop: int) -> np.ndarray:
        entry = self.parts["scale"]
        if self._single:
            return np.broadcast_to(stored_floats(entry).reshape(1, 1), (stop - start, 1))
        return stored_floats(entry, start, stop)

    def _rows(self, part: str, start: int, stop: int) -> np.ndarray:
        return self.parts[part].file.read(self.parts[part].name, start, stop)


class _PackedIntegers(_Scaled):
    kind = "pack-quantized"
    bits: int

    def __init__(
        self, name: str, shape: tuple[int, ...], parts: Mapping[str, StoredEntry]
    ) -> None:
        M, K = shape
        packed = parts["packed"]
        widths = {-(-K * bits // 32): bits for bits in range(8, 0, -1)}
        bits = widths.get(packed.tensor.shape[-1] if packed.tensor.shape else 0)
        if bits is None or packed.tensor.shape != (M, -(-K * bits // 32)):
            raise CheckpointError(
                f"{packed} has shape {list(packed.tensor.shape)}; that packs no weight of shape "
                f"{list(shape)}"
            )
        check_entry(parts["scale"], parts["scale"].tensor.shape, _FLOATS)
        super().__init__(name, shape, parts, bits)
        self._check_shape(parts)
        if "zero_point" in parts:
            check_entry(parts["zero_point"], (-(-M * bits // 32), self.groups), ("I32",))

    def _check_shape(self, parts: Mapping[str, StoredEntry]) -> None:
        if "shape" in parts:
            entry = parts["shape"]
            check_entry(entry, (2,), ("I64", "I32"))
            stated = entry.file.read(entry.name).tolist()
            if stated != list(self.info.shape):
                raise CheckpointError(
                    f"{entry} is {stated}; config.json calls for {list(self.info.shape)}"
                )

    @property
    def lowest(self) -> int:
        """-2**(bits - 1)."""
        return -(2 ** (self.bits - 1))

    @override
    def block(self, start: int, stop: int) -> AffineRows:
        K = self.info.shape[1]
        codes = unpack_words(self._rows("packed", start, stop), self.bits, K)
        zero_point = None
        if "zero_point" in self.parts:
            zero_point = self._zero_points[start:stop].astype(np.int16) + self.lowest
        return AffineRows(
            codes.astype(np.int16) + self.lowest, self._scales(start, stop), zero_point)

    @property
    def _zero_points(self) -> np.ndarray:
        """Stored codes of the zero points: uint8 [M, groups]."""
        entry = self.parts["zero_point"]
        words = np.ascontiguousarray(entry.file.read(entry.name).T)
        return unpack_words(words, self.bits, self.info.shape[0]).T


class _Plain(_Scaled):
    """One byte to a code: int8, or F8_E4M3."""

    lowest = -128

    def __init__(
        self, name: str, shape: tuple[int, ...], parts: Mapping[str, StoredEntry]
    ) -> None:
        integer = parts["packed"].tensor.dtype == "I8"
        self.kind = "int-quantized" if integer else "float-quantized"
        check_entry(parts["packed"], shape, ("I8", "F8_E4M3"))
        check_entry(parts["scale"], parts["scale"].tensor.shape, _FLOATS)
        super().__init__(name, shape, parts, 8 if integer else None)
        if "zero_point" in parts:
            check_entry(parts["zero_point"], parts["scale"].tensor.shape, ("I8",))

    @override
    def block(self, start: int, stop: int) -> AffineRows:
        stored = self._rows("packed", start, stop)
        values = stored if self.bits else _FP8[stored]
        zero_point = None
        if "zero_point" in self.parts:
            entry = self.parts["zero_point"]
            whole = entry.file.read(entry.name)
            zero_point = whole.reshape(1, 1) if self._single else whole[start:stop]
            zero_point = np.broadcast_to(zero_point, (stop - start, self.groups)).astype(np.int16)
        return AffineRows(values, self._scales(start, stop), zero_point)


class _PackedFp4(_Scaled):
    """E2M1 codes, two to a byte; scales of the two families."""

    lowest = 0

    def __init__(
        self, name: str, shape: tuple[int, ...], parts: Mapping[str, StoredEntry]
    ) -> None:
        M, K = shape
        nvfp4 = parts["scale"].tensor.dtype == "F8_E4M3"
        self.kind = "nvfp4-pack-quantized" if nvfp4 else "mxfp4-pack-quantized"
        size = 16 if nvfp4 else 32
        if K % size:
            raise CheckpointError(f"{parts['packed']}: K = {K} is no multiple of {size}")
        check_entry(parts["packed"], (M, K // 2), ("U8",))
        check_entry(parts["scale"], (M, K // size), ("F8_E4M3", "U8"))
        if nvfp4 and "global_scale" not in parts:
            raise CheckpointError(
                f"{parts['packed']} has no weight_global_scale, which NVFP4 needs"
            )
        super().__init__(name, shape, parts, None)
        if nvfp4:
            check_entry(parts["global_scale"], (1,), ("F32",))

    @override
    def block(self, start: int, stop: int) -> AffineRows:
        packed = self._rows("packed", start, stop)
        values = np.empty((len(packed), 2 * packed.shape[1]), np.float32)
        values[:, 0::2], values[:, 1::2] = _FP4[packed & 15], _FP4[packed >> 4]
        return AffineRows(values, self._scales(start, stop), None)

    def _scales(self, start: int, stop: int) -> np.ndarray:
        stored = self._rows("scale", start, stop)
        if "global_scale" not in self.parts:
            return np.ldexp(np.float32(1), stored.astype(np.int32) - 127)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return _FP8[stored] / stored_floats(self.parts["global_scale"])
