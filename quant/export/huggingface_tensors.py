"""How one tensor of a model is stored in a Hugging Face folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from typing_extensions import override

from ...errors import FormatError
from ..checkpoint import Checkpoint
from ..formats import Format
from ..formats.grouped_int import GroupedInt
from ..output.safetensors_writer import SafetensorsWriter, TensorEntry
from ..rounding.weight_blocks import WeightBlocks, row_blocks
from .base import ExportedTensor
from .gguf_encode import bfloat16

__all__ = ["BitnetTensor", "CompressedTensor", "FloatTensor", "HuggingFaceTensor", "JoinedTensor",
           "pack_words", "weight_bits"]

_FLOAT_BITS = {"F16": 16, "BF16": 16, "F32": 32}


class HuggingFaceTensor(ABC):
    """The stored tensors that one tensor of ``checkpoint`` becomes."""

    type: str
    exact = True

    def __init__(self, checkpoint: Checkpoint, name: str) -> None:
        self.checkpoint = checkpoint
        self.name = name
        self.shape = checkpoint.tensors[name].shape

    @abstractmethod
    def stored(self) -> dict[str, TensorEntry]:
        """Full name -> type and shape, in file order."""

    @abstractmethod
    def write(self, writer: SafetensorsWriter) -> None:
        """Read the source block by block and write every stored tensor."""

    @property
    def source_bytes(self) -> int:
        """Bytes that are read of the source."""
        return self.checkpoint.tensors[self.name].nbytes

    @property
    def sources(self) -> str:
        """What it is made of, by canonical names."""
        return self.name

    def exported(self) -> list[ExportedTensor]:
        """The record's lines."""
        return [
            ExportedTensor(stored, self.sources, entry.shape, self.type, entry.nbytes, self.exact)
            for stored, entry in self.stored().items()
        ]


class FloatTensor(HuggingFaceTensor):
    """Floats of type ``dtype``: the numbers that the codes stand for, rounded to nearest even."""

    def __init__(self, checkpoint: Checkpoint, name: str, dtype: str) -> None:
        super().__init__(checkpoint, name)
        self.type = dtype
        held = checkpoint.tensors[name].float_type if checkpoint.format(name) is None else "F32"
        self.exact = dtype in ("F32", held)

    @override
    def stored(self) -> dict[str, TensorEntry]:
        return {self.name: TensorEntry(self.type, self.shape)}

    @override
    def write(self, writer: SafetensorsWriter) -> None:
        if len(self.shape) != 2:
            writer.append(self.name, self._convert(self.checkpoint.read(self.name)))
            return
        for rows in self.converted():
            writer.append(self.name, rows)

    def converted(self) -> Iterator[np.ndarray]:
        """The rows of a matrix as they are stored, block by block."""
        return map(self._convert, WeightBlocks(self.checkpoint, self.name).float32())

    def _convert(self, numbers: np.ndarray) -> np.ndarray:
        return bfloat16(numbers) if self.type == "BF16" else numbers.astype(np.float32)


class JoinedTensor(HuggingFaceTensor):
    """Floats of several matrices, row under row in one tensor ``stored_name``."""

    def __init__(
        self, checkpoint: Checkpoint, stored_name: str, names: list[str], dtype: str
    ) -> None:
        super().__init__(checkpoint, names[0])
        self._parts = [FloatTensor(checkpoint, name, dtype) for name in names]
        self._stored_name = stored_name
        self.type = dtype
        self.exact = all(part.exact for part in self._parts)

    @property
    @override
    def source_bytes(self) -> int:
        return sum(part.source_bytes for part in self._parts)

    @property
    @override
    def sources(self) -> str:
        return ", ".join(part.name for part in self._parts)

    @override
    def stored(self) -> dict[str, TensorEntry]:
        rows = sum(part.shape[0] for part in self._parts)
        return {self._stored_name: TensorEntry(self.type, (rows, self.shape[1]))}

    @override
    def write(self, writer: SafetensorsWriter) -> None:
        for part in self._parts:
            for rows in part.converted():
                writer.append(self._stored_name, rows)


class BitnetTensor(HuggingFaceTensor):
    """A ternary matrix, four output rows to a byte row, and the scale that multiplies it.

    The layout is that of ``quant.checkpoint.bitnet``; ``weight_scale`` is float32 [1]
    (``linear_class`` "autobitlinear").
    """

    type = "bitnet"

    def __init__(self, checkpoint: Checkpoint, name: str) -> None:
        super().__init__(checkpoint, name)
        if self.shape[0] % 4:
            raise FormatError(
                f"{name} has {self.shape[0]} output rows; packed BitNet weights need a multiple "
                "of 4"
            )

    @override
    def stored(self) -> dict[str, TensorEntry]:
        M, K = self.shape
        return {
            self.name: TensorEntry("U8", (M // 4, K)),
            f"{self.name}_scale": TensorEntry("F32", (1,)),
        }

    @override
    def write(self, writer: SafetensorsWriter) -> None:
        quarter = self.shape[0] // 4
        scale = np.ones(1, np.float32)
        for start, stop in row_blocks((quarter, self.shape[1])):
            packed = np.zeros((stop - start, self.shape[1]), np.uint8)
            for part in range(4):
                first = part * quarter
                codes = self.checkpoint.encoded(self.name, first + start, first + stop)
                packed |= (codes.values + 1).astype(np.uint8) << np.uint8(2 * part)
                scale = codes.scale
            writer.append(self.name, packed)
        writer.append(f"{self.name}_scale", scale.reshape(1).astype(np.float32))


class CompressedTensor(HuggingFaceTensor):
    """Codes as compressed-tensors packs them ("pack-quantized"): the stored ones, their scales.

    The layout is that of ``quant.checkpoint.compressed_tensors``. Scales are float32, so that the
    tool computes with the very numbers that the codes stand for.
    """

    def __init__(self, checkpoint: Checkpoint, name: str, form: Format) -> None:
        super().__init__(checkpoint, name)
        self.form = form
        bits = weight_bits(form)
        if bits is None:
            raise FormatError(f"{name}: {form.name} has no integer codes")
        self.bits = bits
        self.type = f"int{self.bits} pack-quantized"
        self.symmetric = getattr(form, "symmetric", True)
        size = getattr(form, "group_size", None)
        self._groups = self.shape[1] // size if size else 1

    @override
    def stored(self) -> dict[str, TensorEntry]:
        M, K = self.shape
        entries = {
            f"{self.name}_packed": TensorEntry("I32", (M, -(-K * self.bits // 32))),
            f"{self.name}_scale": TensorEntry("F32", (M, self._groups)),
            f"{self.name}_shape": TensorEntry("I64", (2,)),
        }
        if not self.symmetric:
            packed = (-(-M * self.bits // 32), self._groups)
            entries[f"{self.name}_zero_point"] = TensorEntry("I32", packed)
        return entries

    @override
    def write(self, writer: SafetensorsWriter) -> None:
        zero_points = []
        offset = 2 ** (self.bits - 1) if self.symmetric else 0
        for codes in WeightBlocks(self.checkpoint, self.name).stored():
            stored = (codes.values.astype(np.int16) + offset).astype(np.uint8)
            writer.append(f"{self.name}_packed", pack_words(stored, self.bits))
            scale = np.broadcast_to(codes.scale, (len(stored), self._groups))
            writer.append(f"{self.name}_scale", scale.astype(np.float32))
            if codes.zero_point is not None:
                zero_points.append(codes.zero_point)
        writer.append(f"{self.name}_shape", np.array(self.shape, "<i8"))
        if zero_points:
            packed = pack_words(np.concatenate(zero_points).T, self.bits).T
            writer.append(f"{self.name}_zero_point", np.ascontiguousarray(packed))


def weight_bits(form: Format | None) -> int | None:
    """Bits of a code of ``form`` in compressed-tensors; None where it cannot hold them."""
    if isinstance(form, GroupedInt):
        return form.bits
    return {"int8": 8, "ternary": 2, "ternary-group": 2}.get(form.name if form else "")


def pack_words(codes: np.ndarray, bits: int) -> np.ndarray:
    """Int32 [R, ceil(C * bits / 32)] of uint8 codes [R, C]; inverse of ``unpack_words``."""
    stream = np.unpackbits(
        np.ascontiguousarray(codes)[:, :, None], axis=2, count=bits, bitorder="little"
    ).reshape(len(codes), -1)
    padded = np.pad(stream, ((0, 0), (0, -stream.shape[1] % 32)))
    return np.packbits(padded, axis=1, bitorder="little").view("<i4")
