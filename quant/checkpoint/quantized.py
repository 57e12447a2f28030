"""Weights in one of Trilobite's own formats, as the quantize pipeline writes them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...errors import CheckpointError, FormatError
from ..formats import Codes, Format, PackedWeight
from .files.floats import check_finite
from .files.locate import StoredEntry
from .files.source import TensorInfo, TensorSource, check_entry

__all__ = ["QuantizedTensor"]

# Type names of safetensors by numpy's.
_STORED = {
    "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "float16": "F16",
    "float32": "F32",
}


class QuantizedTensor(TensorSource):
    """A weight [M, K] stored as the parts that ``form.layout`` names.

    Raises
    ------
    CheckpointError
        A part has another shape or type than ``form`` lays down; on reading: a scale is not
        finite, or a code is one that no encoder writes.
    """

    def __init__(
        self, name: str, shape: tuple[int, ...], form: Format, parts: Mapping[str, StoredEntry]
    ) -> None:
        self._layout = form.layout((shape[0], shape[1]))
        for suffix, layout in self._layout.items():
            check_entry(parts[suffix], layout.shape, (_STORED[layout.dtype.name],))
        nbytes = sum(part.tensor.nbytes for part in parts.values())
        file = next(iter(parts.values())).file.path
        super().__init__(name, TensorInfo(shape, form.name, nbytes, file))
        self._form = form
        self._parts = parts

    @property
    def form(self) -> Format:
        """The format that the folder's config.json gives."""
        return self._form

    def rows(self, start: int, stop: int) -> np.ndarray:
        """The float32 values that the packed rows stand for."""
        return self._form.dequantize(self.encoded(start, stop))

    def weight(self) -> PackedWeight:
        """The packed bytes as they lie in the file, once every code has been seen to be valid."""
        parts = {suffix: entry.file.view(entry.name) for suffix, entry in self._parts.items()}
        packed = self._finite(parts, 0, self.info.shape[0])
        try:
            self._form.verify(packed.tensors, packed.shape)
        except FormatError as error:
            raise self._damaged(error) from None
        return packed

    def encoded(self, start: int, stop: int) -> Codes:
        """The stored codes, once they have been seen to be valid."""
        try:
            return self._packed(start, stop).codes()
        except FormatError as error:
            raise self._damaged(error) from None

    def _damaged(self, error: FormatError) -> CheckpointError:
        return CheckpointError(f"{self.info.file}: {self.name} is damaged: {error}")

    def _packed(self, start: int, stop: int) -> PackedWeight:
        """Rows ``start`` to ``stop``; parts that are not per row are read whole."""
        tensors = {}
        for suffix, entry in self._parts.items():
            rows = (start, stop) if self._layout[suffix].per_row else ()
            tensors[suffix] = entry.file.read(entry.name, *rows)
        return self._finite(tensors, start, stop)

    def _finite(self, tensors: Mapping[str, np.ndarray], start: int, stop: int) -> PackedWeight:
        """The weight of rows ``start`` to ``stop``, once its floats have been seen to be finite."""
        for suffix, block in tensors.items():
            if block.dtype.kind == "f":
                check_finite(self._parts[suffix], block, start)
        return PackedWeight(self._form, (stop - start, self.info.shape[1]), tensors)
